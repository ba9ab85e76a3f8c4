"""How a run is to be carried out: what a recipe accepts, and that none of it belongs to what is learned."""

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import checks, config, plans, values
from tfxfer.cli import main
from tfxfer.errors import ConfigError
from tfxfer.recipes import Recipe, Running
from tfxfer.values import Change


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"jit_compile": True, "deterministic": True},
            "deterministic=true and jit_compile=true exclude each other in ",
        ),
        ({"jit_compile": "on"}, "jit_compile='on' is not true or false or 'auto'"),
        ({"strategy": "mirror"}, "strategy='mirror' is not one of 'one_device', 'mirrored', "),
        ({"devices": 2}, "devices=2 is not a text"),
        ({"devices": "gpu"}, "devices='gpu' does not say which GPUs; write gpu:all, gpu:0 or gpu:0,1."),
        ({"workers": ("a:1", "b")}, "workers: 'b' is not host:port"),
        ({"workers": "a:1"}, "workers='a:1' is not a list of texts"),
        ({"task_index": 1}, "task_index=1 without workers; write workers=10.0.0.1:2222,10.0.0.2:2222 too."),
        ({"workers": ("a:1",), "task_index": 1}, "task_index=1 must be 0 to 0"),
        ({"checkpoint_seconds": -1.0}, "checkpoint_seconds=-1.0 must be at least 0"),
        ({"checkpoint_seconds": float("inf")}, "checkpoint_seconds=inf must be at least 0"),
        ({"checkpoints_kept": 0}, "checkpoints_kept=0 must be at least 1"),
        ({"resume": "maybe"}, "resume='maybe' is not one of 'auto', 'must', 'never'"),
        ({"profile_steps": "20:10"}, "profile_steps='20:10' must be two steps such as 10:20, the last above"),
        ({"profile_steps": "a:b"}, "profile_steps='a:b' must be two steps such as 10:20, the last above"),
        (
            {"devices": "tpu", "checkpoints_kept": 0},
            "checkpoints_kept=0 must be at least 1; devices='tpu' is none of auto, cpu, ",
        ),
    ],
)
def test_running_that_cannot_be(settings, message):
    with pytest.raises(ConfigError) as caught:
        Running(**settings)
    assert str(caught.value).startswith("Running: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("how", ["flags", "TF_CONFIG"])
def test_what_one_process_does_refuses_several(how, monkeypatch):
    running = Running()
    if how == "flags":
        running = Running(workers=("10.0.0.1:2222", "10.0.0.2:2222"))
    else:
        cluster = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
        monkeypatch.setenv("TF_CONFIG", cluster)
    checks.check_recipe(Recipe(data="folder:photos", running=running))
    with pytest.raises(ConfigError, match="this is done by one process"):
        checks.check_alone(running)


@pytest.mark.parametrize("command", ["plan", "lr-find"])
def test_the_commands_that_refuse_them(command, capsys):
    flags = ["--data=folder:photos", "--workers=10.0.0.1:2222,10.0.0.2:2222"]
    assert main.main([command, *flags]) == 2
    assert "this is done by one process. Leave --workers out" in capsys.readouterr().err


def test_running_goes_to_json_and_back():
    running = Running(strategy="mirrored", devices="gpu:0,1", workers=["a:1", "b:2"], task_index=1)
    assert running.workers == ("a:1", "b:2")
    assert values.from_json(Running, values.to_json(running)) == running


def test_running_is_read_from_texts():
    texts = {"strategy": "mirrored", "devices": "gpu:0,1", "workers": "a:1,b:2", "task_index": "1"}
    texts |= {"jit_compile": "false", "deterministic": "auto"}
    changes = [Change(f"running.{name}", text, f"--{name}={text}") for name, text in texts.items()]
    running = config.read_recipe(None, changes).running
    expected = {"strategy": "mirrored", "devices": "gpu:0,1", "workers": ("a:1", "b:2"), "task_index": 1}
    assert running == Running(**expected, jit_compile=False, deterministic="auto")


def test_running_decides_nothing_of_what_is_learned():
    machine = machine_facts(devices=("gpu:0", "gpu:1"), strategy="mirrored")
    one = plans.resolve(Recipe(), data_facts(), backbone_facts(), machine_facts())
    two = plans.resolve(Recipe(running=Running(devices="gpu:0,1")), data_facts(), backbone_facts(), machine)
    assert two.digest == one.digest
    assert (one.how.strategy, two.how.strategy) == ("one_device", "mirrored")


def test_a_batch_has_an_example_for_each_device():
    machine = machine_facts(devices=("gpu:0", "gpu:1", "gpu:2"), strategy="mirrored")
    facts = data_facts(), backbone_facts(), machine
    assert plans.resolve(Recipe(batch_size=3), *facts).how.per_replica_batch == 1
    with pytest.raises(ConfigError) as caught:
        plans.resolve(Recipe(batch_size=2), *facts)
    assert str(caught.value) == (
        "batch_size=2 is for all devices together, and they are 3: gpu:0, gpu:1, gpu:2. Write --batch_size=3 or more, "
        "or name fewer devices or workers."
    )


@pytest.mark.parametrize(
    ("running", "variable", "message"),
    [
        (Running(), '{"cluster": {"worker": ["a"]}, "task": {}}', "TF_CONFIG has in cluster: 'a' is not host:port"),
        (Running(strategy="multi_worker_mirrored"), "", "and no workers are given"),
        (Running(strategy="one_device", devices="cpu:2"), "", "strategy=one_device, but devices=cpu:2 are 2"),
    ],
)
def test_what_does_not_go_together_is_told_before_tensorflow_is_loaded(monkeypatch, running, variable, message):
    monkeypatch.setenv("TF_CONFIG", variable)
    with pytest.raises(ConfigError) as caught:
        checks.check_recipe(Recipe(data="folder:x", backbone="keras:VGG16", running=running))
    assert message in str(caught.value)


def test_a_command_refuses_a_malformed_tf_config(monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", "{")
    assert main.main(["plan", "--data=folder:x", "--backbone=keras:VGG16"]) == 2
    assert capsys.readouterr().err.startswith("error: the variable TF_CONFIG is no JSON")


def test_the_plan_of_two_devices(program, colours):
    flags = ("--devices=cpu:2", "--strategy=mirrored", "--stages=feature_extraction")
    done = program("plan", f"--data=folder:{colours}", "--backbone=tiny:cnn", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "steps        of 32 examples on cpu:0, cpu:1 (16 on each), seed 0\n" in done.stdout
    assert "strategy     mirrored (given); learning rate not scaled with the number of devices\n" in done.stdout


@pytest.mark.slow
def test_a_refusal_of_devices_is_one_line(program, colours):
    done = program("plan", f"--data=folder:{colours}", "--backbone=tiny:cnn", "--devices=gpu:7")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: devices=gpu:7, but ")
    assert done.stderr.count("\n") == 1

"""The program as far as it goes without TensorFlow: help, typing errors, and exit codes."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

from tfxfer.cli import command, export, main, train
from tfxfer.errors import DataError, VerificationError
from tfxfer.recipes import Data, Export, Recipe, Running

COMMANDS = (
    *("train", "plan", "advise", "compare", "lr-find"),
    *("evaluate", "predict", "export", "backbones", "cache", "data"),
)
DATA = "--data=folder:photos"
# Command lines that say something impossible, and what must be in the answer.
MISTAKES = [
    (
        ["trian"],
        "there is no command 'trian'. Did you mean 'train'? Commands: train, plan, advise, compare, lr-find, evaluate, "
        "predict, export, backbones, cache, data.",
    ),
    (
        ["--data=folder:photos"],
        "there is no command '--data=folder:photos'. Commands: train, plan, advise, compare, lr-find, evaluate, "
        "predict, export, backbones, cache, data.",
    ),
    (["train", DATA], "--workdir is missing. Write --workdir=runs/photos."),
    (["train", "--workdir=runs/photos"], "the recipe names no data. Write --data=folder:photos."),
    (["plan"], "the recipe names no data. Write --data=folder:photos."),
    (["train", "--wrkdir=x"], "command line flag 'wrkdir'. Did you mean workdir? See: tfxfer train --help"),
    (["train", "--zzzz=x"], "Unknown command line flag 'zzzz'. See: tfxfer train --help"),
    (["train", "--workdir"], "Missing value for flag --workdir"),
    (["plan", "data=folder:x"], "'data=folder:x' is no flag. Flags begin with two dashes: --data=folder:photos."),
    (["plan", "--data=photos"], "--data=photos: Data: source='photos' names no kind of source; write folder:photos"),
    (["plan", "--data=fodler:x"], "there is no kind of source 'fodler'. Did you mean 'folder'?"),
    (["plan", "--data=folder:"], "data='folder:' names nothing. Write folder:<dir>."),
    (["plan", DATA, "--stages=ulmfi"], "--stages=ulmfi: stages='ulmfi' is not a list of Stage(…) or one of"),
    (["plan", DATA, "--stages=ulmfi"], "Did you mean 'ulmfit'?"),
    (["plan", DATA, "--image_size=8"], "error: --image_size=8: Recipe: image_size=8 must be 16 to 2048 pixels."),
    (["plan", DATA, "--image_size=16"], "image_size=16 is below the 32 pixels that builtin:efficientnet_lite0 needs"),
    (["plan", DATA, "--batch_size=many"], "--batch_size=many: batch_size='many' is not a whole number."),
    (
        ["plan", DATA, "--on_bad_image=skp"],
        "data.on_bad_image='skp' is not one of 'error', 'skip'. Did you mean 'skip'?",
    ),
    (["plan", DATA, "--backbone=MobileNetV2"], "Write it as source:name, such as keras:MobileNetV2."),
    (["plan", DATA, "--backbone=keras:VGG66"], "keras has no backbone 'VGG66'. Did you mean 'VGG16'?"),
    (["plan", DATA, "--config.bach_size=8"], "bach_size does not exist. Did you mean 'batch_size'?"),
    (["plan", DATA, "--config.seed"], "--config.seed has no value. Write --config.seed=…"),
    (["plan", DATA, "--config.seed", "x"], "--config.seed=x: seed='x' is not a whole number."),
    (
        ["plan", DATA, "--config.stages[0].epochs=3"],
        "stages is 'auto' and has no item [0]. Give it as a list in a config",
    ),
    (["plan", DATA, "--config.stages[x]=3"], "'stages[x]' is no path to a field. Write it like stages[0].epochs."),
    (["plan", DATA, "--config.=3"], "--config.=3: '' is no path to a field."),
    (["plan", "--config=none.py"], "the config file none.py cannot be read (No such file or directory)."),
    (["plan", "--config="], "cannot be read (Is a directory)."),
    (["evaluate"], "--bundle is missing. Write --bundle=runs/photos/bundle."),
    (["evaluate", "--bundle=b", "--data=photos"], "write folder:photos for a folder"),
    (["evaluate", "--bundle=b", "--data=fodler:x"], "Did you mean 'folder'?"),
    (["evaluate", "--bundle=b", "--on_bad_image=skp"], "on_bad_image='skp' is not one of 'error', 'skip'"),
    (["evaluate", "--bundle=b", "--config.seed=1"], "Unknown command line flag 'config.seed'"),
    (["predict"], "--bundle is missing. Write --bundle=runs/photos/bundle."),
    (["predict", "--bundle=b"], "no images were given. Write tfxfer predict --bundle=DIR image.jpg, or a folder."),
    (["predict", "--bundle=b", "--top=0", "a.jpg"], "--top=0 is no number of classes. Write --top=3, or --top=all."),
    (["cache"], "say what to do. Write tfxfer cache ls, or tfxfer cache prune --older_than_days=30."),
    (["cache", "prun"], "there is nothing called 'prun'. Did you mean 'prune'? Write tfxfer cache ls or prune."),
    (["cache", "ls", "--all"], "--all is for removing. Write tfxfer cache prune --all."),
    (["cache", "prune"], "say what goes, in one way: --older_than_days=30, --to_gb=10 or --all."),
    (["cache", "prune", "--all", "--to_gb=1"], "say what goes, in one way: --older_than_days=30, --to_gb=10 or --all."),
    (["cache", "prune", "--to_gb=much"], "--to_gb=much is no number from 0 up. Write --to_gb=10."),
    (["evaluate", "--bundle=b", "--tta=0"], "--tta=0 is no number from 1 to 64. Write --tta=4."),
    (["predict", "--bundle=b", "--tta=x", "a.jpg"], "--tta=x is no number from 1 to 64. Write --tta=4."),
    (["data"], "say what to do. Write tfxfer data check or show"),
    (["data", "shwo"], "there is nothing called 'shwo'. Did you mean 'show'? Write tfxfer data check or show"),
    (["data", "show", DATA], "--output is missing. Write --output=sheet.png."),
    (["data", "show", DATA, "--output=sheet.jpg"], "--output=sheet.jpg is no PNG file. Write --output=sheet.png."),
    (["data", "show", DATA, "--output=s.png", "--views=0"], "--views=0 is no number from 1 to 16. Write --views=5."),
    (["data", "show", DATA, "--output=s.png", "--columns=x"], "--columns=x is no number from 1 to 32. Write"),
    (
        ["data", "show", DATA, "--output=s.png", "--config.augment.flip=left"],
        "flip='left' is not",
    ),
    (["data", "show", DATA, "--output=s.png", "--config.augment.preset=lihgt"], "Did you mean 'light'?"),
]


@pytest.fixture
def run(capsys):
    """Runs one command line in this process; returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def train_does(monkeypatch):
    """Gives `tfxfer train` another action."""

    def replace(action):
        monkeypatch.setattr(train, "COMMAND", dataclasses.replace(train.COMMAND, own_flags={}, action=action))

    return replace


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_command(run, arguments):
    code, shown, errors = run(*arguments)
    assert (code, errors) == (0, "")
    assert shown.startswith("tfxfer: transfer learning for Keras and TensorFlow\n")
    assert re.findall(r"^  ([\w-]+) +\w", shown, re.MULTILINE)[: len(COMMANDS)] == list(COMMANDS)
    assert "  tfxfer train --data=folder:photos --workdir=runs/photos\n" in shown


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_a_command_names_its_flags_and_an_example(run, name, flag):
    code, shown, errors = run(name, "--workdir=x", flag)
    assert (code, errors) == (0, "")
    first, _, usage = shown.splitlines()[:3]
    begins = {"backbones": "[SOURCE", "cache": "ls | prune", "data": "check --data"}
    assert first == f"tfxfer {name}: {main._COMMANDS[name]}"
    assert usage.startswith(f"usage: tfxfer {name} {begins.get(name, '--')}")
    flags = {
        "train": "workdir",
        "evaluate": "bundle",
        "predict": "top",
        "backbones": "image_size",
        "cache": "to_gb",
        "data": "columns",
    }
    own = flags.get(name, "data")
    assert f"  --{own}=" in shown
    assert f"example:\n  tfxfer {name} " in shown
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize("name", ["train", "plan"])
def test_the_help_of_a_recipe_s_flags(run, name):
    _, shown, _ = run(name, "--help")
    for flag in command.RECIPE_FLAGS:
        assert f"\n  --{flag}=" in shown
    assert shown.count("--config=FILE.py  ") == 1
    assert "  --config.FIELD=VALUE " in shown


def test_the_flags_of_a_recipe_are_fields_of_it():
    """Each short flag reads a text that its field accepts."""
    texts = {
        "data": "csv:x", "image_column": "photo", "label_column": "breed",
        "on_bad_image": "skip", "backbone": "keras:VGG16", "stages": "full", "image_size": "96",
        "batch_size": "8", "seed": "3", "allow_unsafe_model_code": "true", "strategy": "multi_worker_mirrored",
        "devices": "gpu:0", "workers": "a:1,b:2", "task_index": "1", "checkpoint_seconds": "5",
        "resume": "must", "profile_steps": "1:3", "precision": "mixed_float16", "jit_compile": "true",
        "deterministic": "false", "formats": "onnx,litert", "assert_accuracy_at_least": "0.9",
        "hub_archive": "model.tar.gz", "task": "multi_label", "label_separator": "|",
        "budget": "none",  # as stages are given
        "loss": "binary_crossentropy", "metrics": "auc,recall",
    }  # fmt: skip
    values = command.Values(texts, (), [])
    recipe = values.recipe()
    assert (recipe.loss, recipe.metrics) == ("binary_crossentropy", ("auc", "recall"))
    assert recipe.data == Data(
        source="csv:x", image_column="photo", label_column="breed", on_bad_image="skip", task="multi_label",
        label_separator="|",
    )  # fmt: skip
    assert recipe.backbone.handle == "keras:VGG16"
    assert (recipe.stages, recipe.image_size, recipe.batch_size, recipe.seed) == ("full", 96, 8, 3)
    assert recipe.backbone.allow_unsafe_model_code is True
    assert recipe.precision == "mixed_float16"
    assert recipe.export == Export(formats=("onnx", "litert"), assert_accuracy_at_least=0.9, hub_archive="model.tar.gz")
    assert recipe.running == Running(
        strategy="multi_worker_mirrored", devices="gpu:0", workers=("a:1", "b:2"), task_index=1, checkpoint_seconds=5.0,
        resume="must", profile_steps="1:3", jit_compile=True, deterministic=False,
    )  # fmt: skip
    assert texts.keys() == command.RECIPE_FLAGS.keys()
    raced = command.Values({"data": "csv:x", "budget": "60"}, (), []).recipe()
    assert (raced.stages, raced.budget) == ("auto", 60.0)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_help_are_accepted_as_typed(name, monkeypatch):
    """All but their action."""
    shown = __import__(f"tfxfer.cli.{name.replace('-', '_')}", fromlist=["COMMAND"]).COMMAND
    seen = []

    def look(values):
        if shown.takes_recipe:
            assert isinstance(values.recipe(), Recipe)
        seen.append(values)
        return 0

    program, called, *arguments = shown.example.split()
    assert (program, called) == ("tfxfer", name)
    replaced = __import__("dataclasses").replace(shown, action=look)
    monkeypatch.setattr(f"tfxfer.cli.{name.replace('-', '_')}.COMMAND", replaced)
    assert main.main([name, *arguments]) == 0
    assert len(seen) == 1


def test_overrides_come_after_flags_in_either_way_of_writing():
    rest, changes = command._take_overrides(
        ["--config", "config.py", "--config.seed=3", "--data=folder:x", "--config.head", "MLP", "-config.batch_size=8"]
    )
    assert rest == ["--config", "config.py", "--data=folder:x"]
    assert [(change.path, change.text, change.typed) for change in changes] == [
        ("seed", "3", "--config.seed=3"),
        ("head", "MLP", "--config.head=MLP"),
        ("batch_size", "8", "--config.batch_size=8"),
    ]


def test_the_version(run):
    code, shown, _ = run("--version")
    assert code == 0
    assert re.fullmatch(r"tfxfer \d+\.\d+\.\d+\S*\n", shown)


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_on_the_command_line_is_answered_in_one_line_and_ends_with_2(run, arguments, message):
    code, shown, errors = run(*arguments)
    assert (code, shown) == (2, "")
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_mistakes_cost_no_tensorflow(tmp_path):
    """One process: the import, the help pages, and every mistake above."""
    code = (
        "import contextlib, io, json, sys, tfxfer\n"
        "from tfxfer.cli.main import main\n"
        "heavy = lambda: sorted({'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules))\n"
        "results = [('import tfxfer', 0, heavy())]\n"
        "for arguments in json.load(sys.stdin):\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "        results.append((arguments, main(arguments), heavy()))\n"
        "print(json.dumps(results))\n"
    )
    pages = [["--help"], *([name, "--help"] for name in COMMANDS)]
    lines = [*pages, *(arguments for arguments, _ in MISTAKES)]
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) == 1 + len(lines)
    assert [result for result in results if result[2]] == []
    assert [code for _, code, _ in results] == [0] * (1 + len(pages)) + [2] * len(MISTAKES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["trian"], 2)])
def test_the_process_ends_with_the_code(arguments, code):
    done = subprocess.run(
        [sys.executable, "-m", "tfxfer", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert bool(done.stdout) != bool(done.stderr)


def raises(error):
    def action(_values):
        raise error

    return action


def test_the_user_s_data_is_1(run, train_does):
    train_does(raises(DataError("no images.")))
    assert run("train") == (1, "", "error: no images.\n")


def test_an_error_of_the_system_is_1_and_names_the_file(run, train_does):
    train_does(raises(FileNotFoundError(2, "No such file or directory", "photo.jpg")))
    assert run("train") == (1, "", "error: photo.jpg: No such file or directory.\n")
    train_does(raises(OSError(28, "No space left on device")))
    assert run("train") == (1, "", "error: No space left on device.\n")


@pytest.mark.parametrize("error", [VerificationError("frozen weights moved."), ZeroDivisionError("division by zero")])
def test_a_bug_of_ours_is_70_with_a_traceback_and_asks_for_a_report(run, train_does, error):
    train_does(raises(error))
    code, shown, errors = run("train")
    assert (code, shown) == (70, "")
    assert errors.startswith("Traceback")
    assert f"{type(error).__name__}: {error}" in errors
    assert "This is a bug of tfxfer, not of yours. Please report it with the lines above." in errors


def test_a_stop_is_75_and_says_how_to_go_on(run, train_does):
    train_does(raises(KeyboardInterrupt()))
    code, _, errors = run("train")
    assert code == 75
    assert errors == "stopped; the same command goes on where it stopped. A race that was not over begins again.\n"


def test_where_nothing_goes_on_none_is_told_that_it_does(run, monkeypatch):
    stopped = dataclasses.replace(export.COMMAND, action=raises(KeyboardInterrupt()))
    monkeypatch.setattr(export, "COMMAND", stopped)
    assert run("export") == (75, "", "stopped; no file was written.\n")


def test_the_code_of_an_action_is_that_of_the_program(run, train_does):
    train_does(lambda _values: 3)
    assert run("train")[0] == 3


def test_a_reader_that_leaves_is_no_error(run, train_does, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back what the program closes
    train_does(raises(BrokenPipeError()))
    assert main.main(["train"]) == 0
    sys.stdout.close()


def test_names_of_files_carry_no_control_characters_into_the_terminal(run, train_does):
    def refuse(_values):
        raise DataError("a\x1b[31m.jpg cannot be read,\nnor \x9b\u202eb")

    train_does(refuse)
    assert run("train") == (1, "", "error: a�[31m.jpg cannot be read,\nnor ��b\n")

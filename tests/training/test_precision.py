"""Stages train in mixed precision: broken steps are skipped and are no divergence, and what ships is float32."""

import dataclasses
import functools

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import heads, optimizers, pipeline, training
from tfxfer.activations import cuts
from tfxfer.errors import TrainingError
from tfxfer.framing import Framing
from tfxfer.recipes import SGD, Adam, Gradual, Running
from tfxfer.reuse import Cache
from tfxfer.training import checkpoints, optimizer, trainees

POLICIES = ("mixed_bfloat16", "mixed_float16")
ALL = tfxfer.Stage(train="all", epochs=4, learning_rate=0.01, head_to_body=1.0, optimizer=Adam())
STAGES = {
    "head, cached": tfxfer.Stage(train="head", epochs=6, learning_rate=0.5),
    "suffix, cached": tfxfer.Stage(train=1, epochs=4, learning_rate=0.1),
    # Adam would move biases in front of batch norm by the rounding of a gradient of 0.
    "statistics move": dataclasses.replace(ALL, batch_norm="train", optimizer=SGD(), learning_rate=0.05),
    "affine": dataclasses.replace(ALL, batch_norm="affine"),
    "gradual": dataclasses.replace(ALL, unfreezing=Gradual()),
    "measured rates": dataclasses.replace(ALL, group_rates="auto_rgn", clip_norm=0.5),
}


@pytest.fixture
def run(plugin, colours, tmp_path):
    """A function that trains stages in a precision and returns the model, the history and what was noted."""

    def run(stages, precision, *, strategy=None, folder="run", spoil=lambda model: None, batch_size=9, **settings):
        recipe = tfxfer.Recipe(
            data=f"folder:{colours}",
            backbone="tiny:cnn",
            stages=stages,
            batch_size=batch_size,
            precision=precision,
            running=Running(checkpoint_seconds=0),
            **settings,
        )
        with strategy.scope() if strategy else tfxfer.runtime.scope():
            ready, lines = pipeline.prepare(recipe, with_seconds=False), []
            spoil(ready.model)
            history = training.fit(
                ready.model, ready.examples, np.array(ready.examples.pixels(24, Framing())), ready.plan,
                tmp_path / folder, tell=lambda *_: None, note=lines.append,
            )  # fmt: skip
        return ready.model, history, lines

    return run


@pytest.fixture
def scaled(monkeypatch):
    """A function that sets the scale that stages begin with, and behind how many steps it doubles."""

    def scaled(scale, growth=2000):
        kind = functools.partial(optimizers.LossScaling, initial_scale=scale, dynamic_growth_steps=growth)
        monkeypatch.setattr(optimizer, "LossScaling", kind)

    return scaled


def apart(one, other) -> float:
    """Returns the largest distance of two weights, in parts of the largest number of their tensor, or of 0.1."""
    pairs = [(a.numpy(), b.numpy()) for a, b in zip(one.trainable_variables, other.trainable_variables, strict=True)]
    return max(np.abs(a - b).max() / max(np.abs(a).max(), 0.1) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_a_stage_learns_nearly_what_it_learns_in_float32(run, stage, policy):
    exact, told, _ = run((stage,), "float32", folder="float32")
    model, history, lines = run((stage,), policy, folder=policy)
    assert lines == [] or stage.unfreezing is not None
    assert model.get_layer("block2_conv").dtype_policy.name == policy
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    for one, other in zip(told.stages[0].epochs, history.stages[0].epochs, strict=True):
        assert other.loss == pytest.approx(one.loss, abs=0.05)  # and not 2**15 times as much
    assert history.stages[0].epochs[-1].loss < history.stages[0].epochs[0].loss
    assert 0 < apart(exact, model) < 0.2
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["head, cached", "gradual", "measured rates"])
def test_replicas_end_near_one_device(run, mirrored, policy, name):
    alone, _, _ = run((STAGES[name],), policy, folder="one")
    together, history, _ = run((STAGES[name],), policy, strategy=mirrored, folder="two")
    assert apart(alone, together) < 0.1
    assert history.stages[0].epochs[-1].loss < history.stages[0].epochs[0].loss


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32", "uint8"])
def test_activations_are_kept_as_asked_whatever_computes_them(run, precision):
    kept, history, _ = run((STAGES["suffix, cached"],), "mixed_bfloat16", cache=Cache(precision=precision))
    plain, _, _ = run((STAGES["suffix, cached"],), "mixed_bfloat16", folder="plain", cache=Cache(store="off"))
    assert apart(plain, kept) < 0.1
    assert history.stages[0].epochs[-1].accuracy > 0.5


def test_activations_of_one_precision_do_not_serve_another(plugin):
    digests = set()
    for precision in ("float32", *POLICIES):
        model = tfxfer.swap_head(tfxfer.load_backbone("tiny:cnn", precision=precision), heads.Linear(outputs=3))
        digests.add(cuts.digest(cuts.part(model, cuts.cut_at(model, "stage2.block1"))))
    assert len(digests) == 3


def test_steps_that_float16_cannot_hold_are_skipped_told_and_no_divergence(run, scaled):
    scaled(2.0**40)
    stage = dataclasses.replace(ALL, epochs=8)
    _, history, (line,) = run((stage,), "mixed_float16")
    assert line.startswith("stage 1 all  ")
    skipped, _, rest = line.removeprefix("stage 1 all  ").partition(" of 40 steps were skipped: ")
    assert 5 < int(skipped) < 35
    assert rest == (
        f"float16 could not hold their gradients at the scale of the loss, which is {2.0 ** (40 - int(skipped)):g} now"
    )
    assert history.stages[0].epochs[-1].loss < history.stages[0].epochs[0].loss < 1.5


def test_a_stage_in_which_no_step_was_made_is_no_bug(run, scaled):
    scaled(2.0**60)
    before: list[np.ndarray] = []
    keep = lambda model: before.extend(v.numpy() for v in model.trainable_variables)  # noqa: E731
    head = heads.Linear(kernel="glorot_uniform")  # below one of zeros the first gradient is 0, at any scale
    stage = dataclasses.replace(ALL, epochs=1)
    model, history, (line,) = run((stage,), "mixed_float16", spoil=keep, head=head)
    assert "5 of 5 steps were skipped" in line
    assert history.stages[0].moved == 0
    assert {text.partition(": ")[2] for text in history.stages[0].idle} == {"none of its steps was made"}
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_gradients_lost_in_float16_are_no_bug(run, scaled):
    """Without a scale the gradients of a head of tiny weights are below the least number of float16."""
    scaled(1.0)
    tiny = lambda model: model.get_layer("head_logits").kernel.assign(np.full((8, 3), 1e-9))  # noqa: E731
    stage = dataclasses.replace(ALL, steps=2, epochs=None, learning_rate=1e-9)
    _, history, _ = run((stage,), "mixed_float16", spoil=tiny)
    assert any("no gradient reaches it" in text for text in history.stages[0].idle)


def test_gradients_that_are_none_at_any_scale_stop_the_stage(run, scaled, monkeypatch):
    scaled(2.0**-8)
    monkeypatch.setattr(optimizers.LossScaling, "check_finite", lambda self, grads: keras.ops.convert_to_tensor(False))
    with pytest.raises(TrainingError) as caught:
        run((ALL,), "mixed_float16")
    assert "First at fault: gradients that float16 holds at no scale of the loss. Write --precision=mixed_bf" in str(
        caught.value
    )


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_activations_beyond_float16_are_a_divergence_that_names_the_layer(run, mirrored, devices):
    large = lambda model: model.get_layer("block1_conv").kernel.assign(np.full((3, 3, 4, 8), 1e5))  # noqa: E731
    with pytest.raises(TrainingError) as caught:
        run((ALL,), "mixed_float16", spoil=large, strategy=mirrored if devices == 2 else None)
    assert "the loss of step 1 of 20 is no number" in str(caught.value)
    assert "mixed_bfloat16 holds them" in str(caught.value)
    assert ("what comes out of block1_conv" in str(caught.value)) == (devices == 1)
    run((ALL,), "mixed_bfloat16", folder="other")


@pytest.mark.slow
def test_a_run_in_float16_stopped_behind_any_step_ends_in_the_same_bits(run, scaled, monkeypatch):
    scaled(2.0**22, growth=3)
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)
    stages = (dataclasses.replace(ALL, unfreezing=Gradual(every=2, unit="steps"), epochs=2), ALL)
    settings = {"head": heads.Linear(dropout=0.5)}
    whole, history, lines = run(stages, "mixed_float16", folder="whole", **settings)
    assert sum("steps were skipped" in line for line in lines) == 2
    write, count = checkpoints.StageCheckpoints.write, 0

    def write_and_stop(self, checkpoint):
        nonlocal count
        write(self, checkpoint)
        count += 1
        if count % 4 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.StageCheckpoints, "write", write_and_stop)
    for _ in range(20):
        try:
            again, told, _ = run(stages, "mixed_float16", folder="stopped", **settings)
            break
        except KeyboardInterrupt:
            continue
    assert count > 12
    for one, other in zip(whole.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert [stage.moved for stage in told.stages] == [stage.moved for stage in history.stages]


def test_what_ships_computes_in_float32_and_the_plan_says_what_training_does(plugin, colours, tmp_path):
    lines: list[str] = []
    recipe = tfxfer.Recipe(
        data=f"folder:{colours}", backbone="tiny:cnn", stages=(ALL,), batch_size=8, precision="mixed_bfloat16"
    )
    report = tfxfer.run(recipe, workdir=tmp_path / "run", show=lines.append)
    assert "compute      mixed_bfloat16; weights, head, loss and what ships in float32; " in lines[0]
    model = keras.models.load_model(tmp_path / "run" / "bundle" / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert all(parity.largest_difference <= 1e-5 for parity in report.export)
    assert "in float32, also where it trained in mixed_bfloat16;" in (
        tmp_path / "run" / "bundle" / "README.md"
    ).read_text().replace("\n", " ")


def test_the_precision_belongs_to_what_is_learned(plugin, colours):
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(ALL,))
    plans = [
        pipeline.prepare(dataclasses.replace(recipe, precision=precision), with_seconds=False).plan
        for precision in ("float32", *POLICIES)
    ]
    assert [plan.what.precision for plan in plans] == ["float32", *POLICIES]
    assert len({plan.digest for plan in plans}) == 3


def test_a_sweep_of_rates_goes_through_the_scale(plugin, colours):
    from tfxfer.lr_finder.of_stage import sweep_stage

    recipe = tfxfer.Recipe(
        data=f"folder:{colours}", backbone="tiny:cnn", stages=(ALL,), batch_size=8, precision="mixed_float16"
    )
    sweep = sweep_stage(recipe).sweep
    assert sweep.losses[0] == pytest.approx(np.log(3), abs=0.1)

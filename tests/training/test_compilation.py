"""Steps that XLA compiles end where others end; whether it does is the plan's to decide."""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_BEGIN = """
import pathlib, sys
import numpy as np, keras, tfxfer
from tfxfer import pipeline, training
from tfxfer.errors import TrainingError
from tfxfer.framing import Framing
from tfxfer.recipes import Running

folder, colours = pathlib.Path(sys.argv[1]), sys.argv[2]
stage = tfxfer.Stage(train="all", steps=8, learning_rate=0.1, head_to_body=2.0)

def run(name, spoil=lambda model: None, precision="float32", **running):
    recipe = tfxfer.Recipe(
        data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=9, precision=precision,
        running=Running(**running),
    )
    ready = pipeline.prepare(recipe, with_seconds=False)
    spoil(ready.model)
    pixels = np.array(ready.examples.pixels(24, Framing()))
    training.fit(ready.model, ready.examples, pixels, ready.plan, folder / name, tell=lambda *_: None, note=print)
    return [variable.numpy() for variable in ready.model.trainable_variables], ready.plan

def apart(ones, others):
    return max(np.abs(a - b).max() / max(np.abs(a).max(), 0.1) for a, b in zip(ones, others))
"""


def said(code: str, folder: pathlib.Path, colours: pathlib.Path, plugin: pathlib.Path) -> list[str]:
    """Returns what code prints in a process in which ops are not deterministic yet."""
    variables = {**os.environ, "PYTHONPATH": f"{plugin}{os.pathsep}{ROOT}"}
    command = [
        sys.executable,
        "-W",
        "error::UserWarning",
        "-c",
        _BEGIN + textwrap.dedent(code),
        str(folder),
        str(colours),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_compiled_steps_end_in_the_same_weights_and_a_bad_loss_is_noticed(plugin, colours, tmp_path):
    code = """
    plain, plan = run("plain", deterministic=False)
    assert not plan.how.jit_compile and not plan.how.deterministic
    compiled, plan = run("compiled", jit_compile=True)
    assert plan.how.jit_compile and not plan.how.deterministic
    half, _ = run("half", jit_compile=True, precision="mixed_float16")
    print(apart(plain, compiled) < 1e-5, 0 < apart(plain, half) < 0.1)

    def spoil(model):
        model.get_layer("block1_conv").kernel.assign(np.full((3, 3, 4, 8), np.nan))

    try:
        run("spoiled", spoil, jit_compile=True)
    except TrainingError as error:
        print("the loss of step 1 of 8 is no number" in str(error), "cannot be told under XLA" in str(error))
    """
    assert said(code, tmp_path, colours, plugin) == ["True True", "True True"]


@pytest.fixture(scope="module")
def told(plugin, colours, tmp_path_factory) -> list[str]:
    """What one process says of the tests below, whose start takes most of their time."""
    code = """
    from tfxfer.errors import ConfigError
    from tfxfer.training import stage as stages
    decide = keras.Model._resolve_auto_jit_compile
    keras.Model._resolve_auto_jit_compile = lambda self: True
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,),
                           running=Running(deterministic=False))
    ready = pipeline.prepare(recipe, with_seconds=False)
    trainee = stages.prepared(ready.model, 0, ready.plan.what.stages[0], ready.plan.what)
    print(trainee.jit_compile)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    print(model.jit_compile)  # the canary
    keras.Model._resolve_auto_jit_compile = decide

    run("first")
    for settings in ({"jit_compile": True}, {"deterministic": False}):
        try:
            run("second", **settings)
        except ConfigError as error:
            print(str(error))
    """
    return said(code, tmp_path_factory.mktemp("runs"), colours, plugin)


def test_what_the_plan_says_is_done_whatever_keras_would_decide(told):
    assert told[:2] == ["False", "True"]


def test_what_an_earlier_run_set_is_not_passed_over(told):
    rest = (
        ", and an earlier run of this process made TensorFlow's ops deterministic, which it does not take back. Begin "
        "a new process, or leave that out."
    )
    assert told[2:] == [f"jit_compile=true{rest}", f"deterministic=false{rest}"]

"""What is refused before Keras is loaded: its other backends and its older self."""

import pytest

from tfxfer import checks
from tfxfer.errors import ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An environment that says nothing, and an empty home of Keras."""
    for variable in ("KERAS_BACKEND", "TF_USE_LEGACY_KERAS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def refusal() -> str:
    with pytest.raises(ConfigError) as caught:
        checks.check_environment()
    return str(caught.value)


def test_an_environment_that_says_nothing_is_fine():
    checks.check_environment()


@pytest.mark.parametrize("content", ['{"backend": "tensorflow"}', '{"floatx": "float32"}', "{", "[]", ""])
def test_a_file_of_keras_that_asks_for_nothing_else_is_fine(home, content):
    (home / "keras.json").write_text(content)
    checks.check_environment()


def test_another_backend_in_the_environment(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert refusal() == (
        "tfxfer needs Keras on TensorFlow, but the variable KERAS_BACKEND says 'jax': set KERAS_BACKEND=tensorflow."
    )


def test_another_backend_in_the_file_of_keras_which_the_environment_overrules(home, monkeypatch):
    (home / "keras.json").write_text('{"backend": "torch"}')
    assert refusal() == (
        f"tfxfer needs Keras on TensorFlow, but {home}/keras.json says 'torch': set KERAS_BACKEND=tensorflow."
    )
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    checks.check_environment()


@pytest.mark.parametrize("value", ["1", "True"])
def test_keras_2(monkeypatch, value):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    assert refusal() == "tfxfer needs Keras 3, but TF_USE_LEGACY_KERAS asks for Keras 2; unset it."

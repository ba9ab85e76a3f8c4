"""Settings of Keras under which nothing here is tested are refused with what to set."""

import keras
import pytest

from tfxfer import runtime
from tfxfer.errors import ConfigError


def test_the_usual_settings_pass():
    runtime.check_environment()


@pytest.mark.parametrize(
    ("function", "value", "message"),
    [
        ("image_data_format", "channels_first", "set image_data_format to channels_last"),
        ("floatx", "float16", "Keras is set to floatx float16; set it to float32"),
    ],
)
def test_other_settings_are_refused(monkeypatch, function, value, message):
    monkeypatch.setattr(keras.config, function, lambda: value)
    with pytest.raises(ConfigError, match=message):
        runtime.check_environment()


def test_the_machine_has_a_device_cores_and_memory():
    facts = runtime.probe()
    assert facts.devices
    assert facts.cores >= 1
    assert facts.memory_bytes > 10**8
    assert {"tfxfer", "tensorflow", "keras", "numpy"} == {name for name, _ in facts.versions}

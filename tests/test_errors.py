"""Each error has the exit code that the commands promise, and a typo gets the nearest valid name."""

import pytest

from tfxfer import errors
from tfxfer.errors import suggest


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("DataError", 1),
        ("BadImagesError", 1),
        ("BackboneError", 1),
        ("WorkdirError", 1),
        ("AccuracyError", 3),
        ("BundleError", 1),
        ("FormatError", 1),
        ("CacheError", 1),
        ("ConfigError", 2),
        ("OutOfMemoryError", 1),
        ("TrainingError", 1),
        ("WorkerError", 75),
        ("VerificationError", 70),
    ],
)
def test_the_exit_code_of_each_error(name, code):
    assert getattr(errors, name).exit_code == code


def test_no_error_is_without_a_tested_exit_code():
    """A new class must be entered above."""
    named = {name for name, value in vars(errors).items() if isinstance(value, type)} - {"Iterable"}
    assert named == {
        *("TfxferError", "DataError", "BadImagesError", "BackboneError", "WorkdirError", "BundleError", "ConfigError"),
        *("AccuracyError", "FormatError", "CacheError", "TrainingError", "OutOfMemoryError"),
        *("VerificationError", "WorkerError"),
    }


def test_mistakes_of_users_are_value_errors_and_broken_promises_are_not():
    mistakes = (errors.ConfigError, errors.DataError, errors.BackboneError, errors.WorkdirError, errors.BundleError)
    assert all(issubclass(kind, ValueError) for kind in mistakes)
    assert not issubclass(errors.VerificationError, ValueError)
    assert issubclass(errors.VerificationError, RuntimeError)


def test_the_nearest_name_is_suggested_whatever_its_case():
    names = ("MobileNetV2", "ResNet50", "VGG16")
    assert suggest("MobilNetV2", names) == " Did you mean 'MobileNetV2'?"
    assert suggest("resnet50", names) == " Did you mean 'ResNet50'?"
    assert suggest("net50", names) == " Did you mean 'ResNet50'?"


def test_nothing_is_suggested_where_nothing_is_near():
    assert suggest("zzz", ("train", "plan")) == ""
    assert suggest("train", ()) == ""

"""Data sets of tensorflow_datasets, with its own mock in place of a download."""

import pytest

from tfxfer import data, recipes
from tfxfer.data import tfds_source
from tfxfer.errors import ConfigError, DataError
from tfxfer.framing import Framing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorflow_datasets' own imports


@pytest.fixture
def mocked(monkeypatch):
    """A function that mocks a data set with the given splits; the mock draws the same examples for each."""
    import tensorflow_datasets as tfds

    # The mock makes examples for any split, but knows of none: those of MNIST come with its download.
    def know(*names):
        known = [tfds.core.SplitInfo(name=name, shard_lengths=[120], num_bytes=1) for name in names]
        monkeypatch.setattr(tfds.core.DatasetInfo, "splits", tfds.core.splits.SplitDict(known))

    with tfds.testing.mock_data(num_examples=120, policy=tfds.testing.MockPolicy.USE_CODE):
        yield know


def test_a_data_set_with_one_split_is_split_here(mocked):
    mocked("train")
    examples = data.open_data(recipes.Data(source="tfds:mnist"), seed=0)
    facts = examples.facts
    assert facts.class_names == tuple(str(digit) for digit in range(10))
    assert facts.examples == 120
    assert "by content hash" in facts.split
    assert examples.pixels(16, Framing()).shape == (120, 16, 16, 3)


def test_ready_splits_are_kept(mocked):
    mocked("train", "test")
    found = tfds_source.find("mnist")
    assert found.splits.tolist() == [0] * 120 + [2] * 120


def test_one_image_in_two_ready_splits_is_found(mocked):
    mocked("train", "test")
    with pytest.raises(DataError, match=r"120 image\(s\) stand in two splits"):
        data.open_data(recipes.Data(source="tfds:mnist"), seed=0)


def test_copies_can_be_dropped_from_the_training_side(mocked):
    mocked("train", "test")
    with pytest.raises(DataError, match="the split train of tfds:mnist has no images"):
        data.open_data(recipes.Data(source="tfds:mnist", on_duplicate="drop"), seed=0)


def test_an_unknown_data_set():
    with pytest.raises(ConfigError, match="tensorflow_datasets has no data set 'no_such_set'"):
        tfds_source.find("no_such_set")


def test_a_download_that_fails(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def offline(*_arguments, **_settings):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(DataError, match=r"could not be downloaded \(no route to host\).*TFDS_DATA_DIR"):
        tfds_source.find("mnist")

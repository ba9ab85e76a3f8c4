"""Data sets of tensorflow_datasets: one of our own that it builds, in place of a download."""

import functools

import numpy as np
import pytest

from tfxfer import data, recipes
from tfxfer.data import images, tfds_source
from tfxfer.data.tfds_source import Asked
from tfxfer.errors import ConfigError, DataError
from tfxfer.framing import Framing
from tfxfer.inspection.inspect import inspect

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tensorflow_datasets' own imports


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the data set `tiny_speckles`: 60 pictures to train on, 30 for the test, 15 of them copies."""
    import tensorflow_datasets as tfds
    from etils import epath

    folder = tmp_path_factory.mktemp("tfds")

    class TinySpeckles(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = code_path = epath.Path(folder)  # else it looks for them beside this file

        def _info(self):
            image, label = tfds.features.Image(shape=(None, None, 3)), tfds.features.ClassLabel(names=["blue", "red"])
            features = tfds.features.FeaturesDict({"image": image, "label": label})
            return self.dataset_info_from_configs(features=features)

        def _split_generators(self, _manager):
            return {"train": self._generate_examples(range(60)), "test": self._generate_examples(range(45, 75))}

        def _generate_examples(self, numbers):
            for number in numbers:
                yield number, {"image": speckles(number), "label": number % 2}

    tfds.builder("tiny_speckles", data_dir=str(folder)).download_and_prepare()
    return folder


def speckles(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def here(folder, monkeypatch):
    """Has the data set found."""
    import tensorflow_datasets as tfds

    monkeypatch.setattr(tfds, "builder", functools.partial(tfds.builder, data_dir=str(folder)))


@pytest.mark.usefixtures("here")
def test_pictures_classes_and_splits_are_kept_and_the_plan_tells_of_the_copy():
    found = tfds_source.find("tiny_speckles")
    assert found.class_names == ("blue", "red")
    assert found.splits.tolist() == [0] * 60 + [2] * 30
    numbers = {speckles(number).tobytes(): number for number in range(75)}
    shown = [numbers[images.decode(found.pictures.content(index)).tobytes()] for index in range(90)]
    assert sorted(shown) == sorted([*range(60), *range(45, 75)])
    assert found.labels.tolist() == [number % 2 for number in shown]
    assert found.pictures.name(61) == "test, example 2"
    assert found.notes == (
        "a data set of tfds has no random access: its pictures were copied for this run (0.0 MB of temporary disk)",
    )


@pytest.mark.usefixtures("here")
def test_splits_may_be_made_of_parts():
    found = tfds_source.find("tiny_speckles:1.0.0?train=train[:50%]&validation=train[50%:75%]&test=train[45:]")
    assert np.bincount(found.splits).tolist() == [30, 15, 15]
    assert found.pictures.name(30) == "train[50%:75%], example 1"
    examples = data.open_data(
        recipes.Data(source="tfds:tiny_speckles?train=train[:50%]&validation=train[50%:75%]&test=train[45:]"), seed=0
    )
    assert examples.facts.examples == 60
    assert examples.facts.notes == found.notes


@pytest.mark.usefixtures("here")
def test_a_part_to_train_on_alone_is_split_here():
    examples = data.open_data(recipes.Data(source="tfds:tiny_speckles?train=train[:50%]"), seed=0)
    assert examples.facts.examples == 30
    assert "by content hash" in examples.facts.split
    assert examples.pixels(16, Framing()).shape == (30, 16, 16, 3)


@pytest.mark.usefixtures("here")
def test_a_part_for_the_test_alone_is_measured_on_and_never_trained_on():
    recipe = recipes.Data(source="tfds:tiny_speckles?test=test")
    with pytest.raises(ConfigError, match=r"names parts for test and none to train on.*\?test=test&train=train"):
        data.open_data(recipe, seed=0)
    assert data.open_labelled(recipe, ("blue", "red")).facts.sizes is None
    assert data.open_labelled(recipe, ("blue", "red")).facts.test_counts == (15, 15)
    seen = inspect(recipe, seed=0)[0]
    assert "has no images. Name a part to train on: tfds:tiny_speckles?train=" in seen.refused


def test_no_part_to_train_on_is_found_before_anything_is_downloaded(monkeypatch):
    monkeypatch.setattr(tfds_source, "_prepared", lambda *_: pytest.fail("it was prepared"))
    with pytest.raises(ConfigError, match="names parts for validation and test and none to train on"):
        data.open_data(recipes.Data(source="tfds:x?test=test&validation=val"), seed=0)


@pytest.mark.usefixtures("here")
def test_one_image_in_two_splits_is_found():
    with pytest.raises(DataError, match=r"15 image\(s\) stand in two splits.*train, example \d+ \(train\) = test, ex"):
        data.open_data(recipes.Data(source="tfds:tiny_speckles"), seed=0)
    overlapping = recipes.Data(source="tfds:tiny_speckles?train=train[:80%]&test=train[70%:]")
    with pytest.raises(DataError, match=r"6 image\(s\) stand in two splits"):
        data.open_data(overlapping, seed=0)


@pytest.mark.usefixtures("here")
def test_copies_can_be_dropped_from_the_training_side():
    examples = data.open_data(recipes.Data(source="tfds:tiny_speckles", on_duplicate="drop"), seed=0)
    assert examples.facts.train_examples < 45
    assert sum(examples.facts.test_counts) == 30


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tiny_speckles?train=trian[:9%]", r"'trian\[:9%\]' is no part of it \(Unknown split 'trian'.*splits train, t"),
        ("tiny_speckles?train=train[:9x]", r"'train\[:9x\]' is no part of it .*a part is such as train\[:90%\]"),
        ("tiny_speckles?train=train[90:]", r"'train\[90:\]' is no part of it"),
        ("tiny_speckles:7.0.0", r"has no data set 'tiny_speckles:7\.0\.0' \(.*only: 1\.0\.0"),
        ("tiny_speckles:small", r"has no data set 'tiny_speckles/small' \(.*BuilderConfig small not found"),
        ("no_such_set", r"tensorflow_datasets has no data set 'no_such_set'"),
    ],
)
def test_what_is_not_there(text, message):
    with pytest.raises(ConfigError, match=message):
        tfds_source.find(text)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("mnist", Asked("mnist", {})),
        ("mnist:3.0.1", Asked("mnist:3.0.1", {})),
        ("mnist:3.*.*", Asked("mnist:3.*.*", {})),
        ("a/b:1.0.0", Asked("a/b:1.0.0", {})),
        ("a:b", Asked("a/b", {})),
        ("a:b:1.0.0", Asked("a/b:1.0.0", {})),
        ("a?test=test&train=train[:9]+x", Asked("a", {2: "test", 0: "train[:9]+x"})),
        ("a?VAL=train[90%:]", Asked("a", {1: "train[90%:]"})),
    ],
)
def test_how_a_data_set_is_written(text, asked):
    assert tfds_source.parse(text) == asked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mnist?", r"cannot be read\. Write tfds:<name>\[/<config>\]\[:<version>\]\[\?train="),
        ("?train=train", r"cannot be read"),
        ("mnist?trian=x", r"'trian=x' is no split\. Did you mean 'train'\? Write tfds:"),
        ("mnist?train", r"'train' is no split\..* where a part is such as"),
        ("mnist?train=", r"'train=' is no split"),
        ("mnist?val=a&validation=b", r"gives validation twice\. Join parts by \+: train\+test"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(ConfigError, match=message):
        tfds_source.parse(text)


def test_a_download_that_fails(monkeypatch):
    import tensorflow_datasets as tfds

    def offline(*_arguments, **_settings):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(DataError, match=r"could not be downloaded \(no route to host\).*TFDS_DATA_DIR"):
        tfds_source.find("mnist")


def test_a_data_set_of_something_else():
    with pytest.raises(DataError, match="no features image and label"):
        tfds_source.find("wikipedia/20230601.simple")

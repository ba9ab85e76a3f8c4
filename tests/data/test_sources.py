"""Which source a text names, before anything is loaded."""

import numpy as np
import pytest

from tfxfer import data
from tfxfer.errors import ConfigError
from tfxfer.recipes import Data


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "fodler:photos",
            "data='fodler:photos': there is no kind of source 'fodler'. Did you mean 'folder'? Kinds: arrays, csv, "
            "folder, npz, parquet, sample, tfds, tfrecord.",
        ),
        (
            "s3:x",
            "data='s3:x': there is no kind of source 's3'. Kinds: arrays, csv, folder, npz, parquet, sample, tfds, "
            "tfrecord.",
        ),
        ("npz:", "data='npz:' names nothing. Write npz:<file>."),
        ("tfrecord:", "data='tfrecord:' names nothing. Write tfrecord:<pattern>."),
        ("folder:", "data='folder:' names nothing. Write folder:<dir>."),
        ("tfds:", "data='tfds:' names nothing. Write tfds:<name>."),
        ("csv:", "data='csv:' names nothing. Write csv:<file>."),
        ("parquet:", "data='parquet:' names nothing. Write parquet:<file>."),
        (
            "csb:x",
            "data='csb:x': there is no kind of source 'csb'. Did you mean 'csv'? Kinds: arrays, csv, folder, "
            "npz, parquet, sample, tfds, tfrecord.",
        ),
    ],
)
def test_a_source_that_cannot_be(source, message):
    with pytest.raises(ConfigError) as caught:
        data.check_source(source)
    assert str(caught.value) == message
    with pytest.raises(ConfigError) as caught:
        data.open_data(Data(source=source), seed=0)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "source", ["folder:a:b", "csv:a.csv", "parquet:a", "arrays:", "sample:digits", "tfds:mnist", "npz:a", "tfrecord:a*"]
)
def test_sources_that_may_be(source):
    data.check_source(source)


def test_an_unknown_sample_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match=r"there is no sample 'digit'\. Did you mean 'digits'\? Samples: digits\."):
        data.open_data(Data(source="sample:digit"), seed=0)


def test_a_recipe_without_data_and_none_handed_over():
    with pytest.raises(ConfigError, match=r"the recipe names no data\. Write --data=folder:<dir>, or hand examples"):
        data.open_data(Data(), seed=0)


def test_data_in_the_recipe_and_handed_over():
    examples = (np.zeros((2, 2, 2, 3), np.uint8), [0, 1])
    with pytest.raises(
        ConfigError, match=r"names data 'folder:x', and run was given examples too\. Use one of the two"
    ):
        data.open_data(Data(source="folder:x"), seed=0, data=examples)


def test_arrays_are_opened_with_the_recipe_s_fractions_and_seed():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 2, 2, 3), dtype=np.uint8)
    recipe = Data(validation_fraction=0.2, test_fraction=0.3)
    facts = data.open_data(recipe, seed=5, data=(images, [0, 1] * 10), class_names=["cat", "dog"]).facts
    assert (facts.train_counts, facts.validation_counts, facts.test_counts) == ((5, 5), (2, 2), (3, 3))
    assert facts.split == "by content hash with seed 5, stratified"
    assert facts.class_names == ("cat", "dog")

"""Arrays and records in files, from the shell: trained on, planned with, measured on."""

import gzip
import pathlib

import numpy as np
import pytest
from PIL import Image

from tfxfer.cli.main import main

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture
def here(colours, tmp_path, monkeypatch) -> pathlib.Path:
    """The folder that the test is in, with the three colours, 20 of each, as arrays and as records packed by GZIP."""
    import tensorflow as tf

    monkeypatch.chdir(tmp_path)
    paths = sorted(colours.rglob("*.png"))
    names = [path.parent.name for path in paths]
    np.savez("a.npz", x=np.stack([np.asarray(Image.open(path)) for path in paths]), y=np.array(names))
    with tf.io.TFRecordWriter("records.tfrecord") as writer:
        for path, name in zip(paths, names, strict=True):
            image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.read_bytes()]))
            text = tf.train.Feature(bytes_list=tf.train.BytesList(value=[name.encode()]))
            features = tf.train.Features(feature={"image/encoded": image, "image/class/text": text})
            writer.write(tf.train.Example(features=features).SerializeToString())
    pathlib.Path("records.gz").write_bytes(gzip.compress(pathlib.Path("records.tfrecord").read_bytes()))
    return tmp_path


def said(capsys) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


@pytest.mark.slow
def test_train_on_records_and_evaluate_on_arrays(here, capsys):
    train = ["train", "--data=tfrecord:records.tfrecord", "--backbone=tiny:cnn", "--workdir=run", "--stages=full"]
    assert main(train) == 0
    assert "tfrecord:records.tfrecord: 42 train, 6 validation, 12 test (by content hash with seed 0" in said(capsys)
    assert main(["evaluate", "--bundle=run/bundle", "--data=npz:a.npz"]) == 0
    assert "on 60 examples" in said(capsys)
    assert main([*train, "--config.data.folds=3"]) == 1
    assert "belongs to another recipe" in said(capsys)


def test_the_plan_tells_of_copies_and_of_folds(here, capsys):
    plan = ["plan", "--data=tfrecord:records.gz", "--backbone=tiny:cnn", "--config.data.folds=4"]
    assert main([*plan, "--config.data.fold=3"]) == 0
    text = said(capsys)
    assert "36 train, 12 validation, 12 test" in text
    assert "validation is fold 3 of 4 of what is not for the test" in text
    assert "files packed by GZIP have no random access: their pictures were copied for this run" in text

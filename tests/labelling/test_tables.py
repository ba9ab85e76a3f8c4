"""Answers as lines, CSV, JSON lines and a .npy, worked out by hand."""

import io
import json
import os

import numpy as np
import pytest

from tfxfer.data.finding import Picture
from tfxfer.labelling import tables
from tfxfer.prediction import Answer

NAMES = ("cat", "dog", 'über, "fox"')


def answer(name="a.jpg", probabilities=(0.25, 0.125, 0.625), features=(1.0, 2.0)) -> Answer:
    return Answer(Picture(name, name), np.array(probabilities, np.float32), np.array(features, np.float32))


def unreadable(name="b.jpg") -> Answer:
    return Answer(Picture(name, name), None, None, "empty file")


def written(kind: str, top: int, *answers: Answer) -> bytes:
    parts = []
    table = tables.table_of(kind, parts.append, NAMES, top)
    for one in answers:
        table.add(one)
    return tables.encoded("".join(parts))


def test_lines():
    assert written("lines", 2, answer(), unreadable("b\x1b.jpg")).decode() == (
        'a.jpg: über, "fox" 62.5 %  cat 25.0 %\nb�.jpg: empty file\n'
    )


def test_csv():
    assert written("csv", 2, answer("a,b.jpg"), unreadable()).decode() == (
        "image,label_1,probability_1,label_2,probability_2,error\n"
        '"a,b.jpg","über, ""fox""",0.625000,cat,0.250000,\n'
        "b.jpg,,,,,empty file\n"
    )


def test_json_lines():
    first, second = map(json.loads, written("jsonl", 1, answer(), unreadable()).splitlines())
    assert first == {
        "image": "a.jpg",
        "predictions": [{"label": 'über, "fox"', "probability": 0.625}],
        "error": None,
    }
    assert second == {"image": "b.jpg", "predictions": [], "error": "empty file"}


def test_names_that_are_no_utf8_are_as_they_were():
    name = os.fsdecode(b"caf\xe9.jpg")
    assert b"\ncaf\xe9.jpg," in written("csv", 1, answer(name))
    [line] = written("jsonl", 1, answer(name)).splitlines()
    assert os.fsencode(json.loads(line.decode("utf-8"))["image"]) == b"caf\xe9.jpg"
    assert written("lines", 1, answer(name)).decode("utf-8").startswith("caf�.jpg: ")


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_features_are_an_array_whatever_their_number(rows, tmp_path):
    path = tmp_path / "f.npy"
    with path.open("wb") as stream:
        embeddings = tables.Embeddings(stream, 2)
        for number in range(rows):
            embeddings.add(unreadable() if number == 3 else answer(features=(number, 0.5)))
        embeddings.finish()
    found = np.load(path, mmap_mode="r" if rows else None)
    expected = np.stack([np.arange(rows), np.full(rows, 0.5)], axis=1).astype(np.float32)
    expected[3:4] = np.nan
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_a_file_of_features_that_was_not_finished_is_empty():
    stream = io.BytesIO()
    tables.Embeddings(stream, 2).add(answer())
    assert np.load(io.BytesIO(stream.getvalue())).shape == (0, 2)

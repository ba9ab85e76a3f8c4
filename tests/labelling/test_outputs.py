"""Where answers go is decided from the flags alone; what is there is never overwritten."""

import pathlib

import pytest

from tfxfer.errors import ConfigError, WorkdirError
from tfxfer.labelling.outputs import Outputs, choose_outputs

Path = pathlib.Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("flags", "is_gathered", "expected"),
    [
        ((None, None, None), False, Outputs("lines")),
        ((None, None, None), True, Outputs("csv", Path("predictions.csv"))),
        (("x.CSV", None, None), False, Outputs("csv", Path("x.CSV"))),
        (("x.jsonl", None, None), True, Outputs("jsonl", Path("x.jsonl"))),
        ((None, "csv", None), True, Outputs("csv")),
        ((None, "jsonl", "f.npy"), False, Outputs("jsonl", None, Path("f.npy"))),
        ((None, None, "f.npy"), True, Outputs("csv", Path("f.csv"), Path("f.npy"))),
        (("x.jsonl", None, "f.npy"), False, Outputs("jsonl", Path("x.jsonl"), Path("f.npy"))),
    ],
)
def test_where_answers_go(flags, is_gathered, expected):
    assert choose_outputs(*flags, is_gathered=is_gathered) == expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("x.txt", None, None), "--output=x.txt has another suffix than .csv and .jsonl. Write --output=labels.csv."),
        ((None, "jsn", None), "--format=jsn is no format. Did you mean 'jsonl'? Formats: csv, jsonl."),
        (
            ("x.csv", "csv", None),
            "--format=csv is for standard output, and the suffix of --output=x.csv says what is w",
        ),
        ((None, None, "f.npz"), "--embeddings=f.npz has another suffix than .npy. Write --embeddings=features.npy."),
    ],
)
def test_flags_that_cannot_be(flags, message):
    with pytest.raises(ConfigError) as caught:
        choose_outputs(*flags, is_gathered=False)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "there", "message"),
    [
        (("x.csv", None, None), "x.csv", "x.csv exists and is not overwritten. Choose another --output."),
        ((None, None, None), "predictions.csv", "predictions.csv exists and is not overwritten. Choose another --out"),
        ((None, "csv", "f.npy"), "f.npy", "f.npy exists and is not overwritten. Choose another --embeddings."),
        ((None, None, "f.npy"), "f.csv", "f.csv exists and is not overwritten. Choose another --output."),
    ],
)
def test_what_is_there_is_never_overwritten(flags, there, message):
    for make in (Path.touch, lambda path: path.symlink_to("nowhere"), Path.mkdir):
        make(Path(there))
        with pytest.raises(WorkdirError) as caught:
            choose_outputs(*flags, is_gathered=True)
        assert message in str(caught.value)
        Path(there).rmdir() if Path(there).is_dir() else Path(there).unlink()


def test_a_folder_that_is_not_there_or_not_ours(tmp_path, monkeypatch):
    with pytest.raises(
        WorkdirError, match=r"none/x.csv cannot be written: there is no folder none. Make it, or choose"
    ):
        choose_outputs("none/x.csv", None, None, is_gathered=False)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(WorkdirError, match=r"the folder \. is not yours to write"):
        choose_outputs("x.csv", None, None, is_gathered=False)

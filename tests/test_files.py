"""Files and folders appear whole or not at all, and never in the place of another."""

import hashlib
import os
import pathlib

import pytest

from tfxfer import files
from tfxfer.errors import WorkdirError


class StopError(Exception):
    """What goes wrong in the middle of writing."""


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_into_folders_that_are_made(tmp_path):
    files.write_text(tmp_path / "a" / "b" / "note.txt", "grün\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_text(encoding="utf-8") == "grün\n"
    assert names(tmp_path / "a" / "b") == ["note.txt"]


def test_others_may_read_what_was_written(tmp_path):
    files.write_text(tmp_path / "note.txt", "x")
    with files.new_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "note.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


def test_json_and_back(tmp_path):
    files.write_json(tmp_path / "a.json", {"name": "grün", "list": [1, 2.5, None]})
    assert files.read_json(tmp_path / "a.json") == {"name": "grün", "list": [1, 2.5, None]}
    assert (tmp_path / "a.json").read_text(encoding="utf-8").splitlines()[1] == '  "name": "grün",'


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    files.write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", [float("nan")])
    assert files.read_json(tmp_path / "a.json") == [1]
    assert names(tmp_path) == ["a.json"]


def test_a_file_that_is_interrupted_leaves_the_old_one_and_nothing_else(tmp_path):
    (tmp_path / "model.keras").write_text("old")

    def write_half():
        with files.replacing(tmp_path / "model.keras") as beside:
            beside.write_text("half")
            raise StopError

    with pytest.raises(StopError):
        write_half()
    assert (tmp_path / "model.keras").read_text() == "old"
    assert names(tmp_path) == ["model.keras"]


def test_a_file_is_written_under_its_own_ending(tmp_path):
    """Keras chooses the format by it."""
    with files.replacing(tmp_path / "w.weights.h5") as beside:
        assert beside.name.endswith(".weights.h5")
        assert beside.parent == tmp_path
        beside.write_text("x")
    assert names(tmp_path) == ["w.weights.h5"]


def test_a_folder_appears_whole(tmp_path):
    with files.new_folder(tmp_path / "runs" / "bundle") as beside:
        (beside / "model").write_text("x")
        assert not (tmp_path / "runs" / "bundle").exists()
    assert names(tmp_path / "runs") == ["bundle"]
    assert names(tmp_path / "runs" / "bundle") == ["model"]


def test_a_folder_that_is_interrupted_leaves_nothing(tmp_path):
    def write_half():
        with files.new_folder(tmp_path / "bundle") as beside:
            (beside / "model").write_text("x")
            raise StopError

    with pytest.raises(StopError):
        write_half()
    assert names(tmp_path) == []


def test_a_folder_is_never_put_in_the_place_of_another(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").write_text("x")
    with (
        pytest.raises(WorkdirError, match=r"bundle exists and is not overwritten\. Remove it or choose another folder"),
        files.new_folder(tmp_path / "bundle"),
    ):
        pytest.fail("the block must not run")
    assert names(tmp_path / "bundle") == ["mine"]


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(WorkdirError, match=r"runs cannot be written \(File exists\)\. Choose another folder\."):
        files.write_text(tmp_path / "runs" / "note.txt", "x")
    with pytest.raises(WorkdirError, match=r"runs cannot be written \(File exists\)\. Choose another folder\."):
        files.check_writable(tmp_path / "runs")
    with (
        pytest.raises(WorkdirError, match=r"cannot be written \(Not a directory\)|\(File exists\)"),
        files.new_folder(tmp_path / "runs" / "bundle"),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "runs").read_text() == "mine"


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_appears_meanwhile_stays(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(pathlib.Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
    with files.replacing(tmp_path / "new.csv", overwrite=False) as beside:
        beside.write_text("ours")
    assert (tmp_path / "new.csv").read_text() == "ours"
    with (
        pytest.raises(WorkdirError, match=r"new\.csv has appeared meanwhile and is not overwritten"),
        files.replacing(tmp_path / "new.csv", overwrite=False) as beside,
    ):
        beside.write_text("ours again")
    assert (tmp_path / "new.csv").read_text() == "ours"
    assert names(tmp_path) == ["new.csv"]


def test_a_folder_is_tried_without_leaving_a_trace(tmp_path):
    files.check_writable(tmp_path / "new" / "run")
    assert names(tmp_path / "new" / "run") == []


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_a_file_that_is_no_json(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(WorkdirError, match=r"a\.json cannot be read \("):
        files.read_json(tmp_path / "a.json")


def test_json_that_is_not_there(tmp_path):
    with pytest.raises(WorkdirError, match="No such file"):
        files.read_json(tmp_path / "a.json")


def test_the_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert files.sha256(tmp_path / "a").startswith("ba7816bf")  # the example of FIPS 180


def test_leftovers_that_may_still_be_written_stay(tmp_path):
    old, new = tmp_path / ".tfxfer-old", tmp_path / ".tfxfer-new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    files.remove_leftovers(tmp_path, older_than=3600)
    assert (old.exists(), new.exists()) == (False, True)


def test_what_appears_while_a_folder_is_filled_stays(tmp_path):
    with pytest.raises(OSError, match="not empty"), files.new_folder(tmp_path / "new") as beside:  # noqa: PT012
        (beside / "ours").touch()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "mine").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine"]

"""Files of PyTorch's zip format, written here by hand; its pickles are those of the legacy format."""

import hashlib
import pathlib
import zipfile

import numpy as np
import pytest
from torch_files import Program, name, storage, table, tensor, text, tuple_of

from tfxfer.backbones.state_dicts import read_state_dict
from tfxfer.errors import BackboneError

SIX = np.arange(6, dtype="<f4")
ONE_TENSOR = table(w=tensor(storage("0", "f4", 6), 0, (2, 3), (3, 1)))


def write(path: pathlib.Path, entries: Program = ONE_TENSOR, folder: str = "weights", **members) -> pathlib.Path:
    """Writes the members of a real file; those of `members` instead or beside, by name with `__` for `/`."""
    content = {
        "data.pkl": entries.file(),
        ".format_version": b"1",
        "byteorder": b"little",
        "data/0": SIX.tobytes(),
        "version": b"3\n",
        ".data/serialization_id": b"0" * 40,
        **{key.replace("__", "/"): value for key, value in members.items()},
    }
    with zipfile.ZipFile(path, "w") as out:
        for key, value in content.items():
            if value is not None:
                out.writestr(f"{folder}/{key}", value)
    return path


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    return tmp_path / "weights.pt"


def refusal(path: pathlib.Path, **settings) -> str:
    with pytest.raises(BackboneError) as caught:
        read_state_dict(path, **settings)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("folder", ["weights", "archive", "résumé 2"])
def test_tensors_come_back_by_name(path, folder):
    state = read_state_dict(write(path, folder=folder))
    assert list(state) == ["w"]
    assert state["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not state["w"].flags.owndata


def test_storages_of_several_kinds_and_several_views_of_one(path):
    entries = table(
        turned=tensor(storage("0", "f4", 6), 0, (3, 2), (1, 3)),
        last=tensor(storage("0", "f4", 6), 5, (), ()),
        half=tensor(storage("1", "bf2", 1), 0, (1,), (1,)),
        count=tensor(storage("k", "i8", 1), 0, (), ()),
        none=tensor(storage("2", "f4", 0), 0, (0,), (1,)),
    )
    write(path, entries, data__1=b"\xc0\x3f", data__k=(7).to_bytes(8, "little"), data__2=b"")
    state = read_state_dict(path)
    assert {key: array.tolist() for key, array in state.items()} == {
        "turned": [[0, 3], [1, 4], [2, 5]],
        "last": 5,
        "half": [1.5],
        "count": 7,
        "none": [],
    }


def test_numbers_of_a_machine_with_the_other_byte_order(path):
    state = read_state_dict(write(path, byteorder=b"big", data__0=SIX.byteswap().tobytes()))
    assert state["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_state_dict(write(path, byteorder=None))["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert "no PyTorch state dict (" in refusal(write(path, byteorder=b"middle"))


def test_the_digest(path):
    digest = hashlib.sha256(write(path).read_bytes()).hexdigest()
    assert list(read_state_dict(path, sha256=digest.upper())) == ["w"]
    assert "its sha256 is not 0000" in refusal(path, sha256="0" * 64)


def test_code_is_refused(path, tmp_path):
    evil = name("os", "mkdir") + tuple_of(text(str(tmp_path / "canary"))) + b"R"
    assert "its pickle names os.mkdir, which is no tensor storage" in refusal(write(path, Program(evil)))
    assert not (tmp_path / "canary").exists()


def test_programs_are_refused(path):
    assert "it is a program (TorchScript)" in refusal(write(path, **{"constants.pkl": b""}))


def test_a_member_that_leads_out(path):
    assert "'weights/../../up' leads out of the folder" in refusal(write(path, **{"../../up": b""}))
    # A key is only compared with names of members, never opened as a path.
    entries = table(w=tensor(storage("../../up", "f4", 6), 0, (6,), (1,)))
    assert "the member weights/data/../../up is missing" in refusal(write(path, entries))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"data__0": None}, "the member weights/data/0 is missing"),
        ({"data__0": SIX.tobytes()[:-1]}, "the member weights/data/0 has 23 bytes, not 6 numbers"),
        ({"data__0": SIX.tobytes() + b"\0"}, "the member weights/data/0 has 25 bytes, not 6 numbers"),
        ({"data.pkl": None}, "a zip with 0 members <folder>/data.pkl"),
        ({"data.pkl": ONE_TENSOR.file()[:-9]}, "no PyTorch state dict ("),
        ({"data.pkl": b""}, "no PyTorch state dict ("),
    ],
)
def test_members_that_are_missing_or_of_another_size(path, members, reason):
    assert reason in refusal(write(path, **members))


def test_two_tables(path):
    write(path)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("other/data.pkl", ONE_TENSOR.file())
    assert "a zip with 2 members" in refusal(path)


def test_compressed_members(path):
    write(path, data__0=None)
    with zipfile.ZipFile(path, "a") as out:
        out.writestr("weights/data/0", SIX.tobytes(), zipfile.ZIP_DEFLATED)
    assert "the member weights/data/0 is compressed" in refusal(path)


def test_a_file_cut_at_any_length(path):
    whole = write(path).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert "truncated" in refusal(path)


def test_members_are_not_where_the_list_says(path):
    whole = bytearray(write(path).read_bytes())
    place = whole.index(b"weights/data/0") - 30
    path.write_bytes(whole[:place] + b"????" + whole[place + 4 :])
    assert "is not where the archive says" in refusal(path)
    whole[place + 26 : place + 28] = b"\xff\xff"  # a longer name, and the numbers would lie beyond the end
    path.write_bytes(whole)
    assert "reaches beyond the end of the file" in refusal(path)

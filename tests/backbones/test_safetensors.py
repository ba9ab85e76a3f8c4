"""Files of the safetensors format, written here by hand."""

import json
import pathlib

import numpy as np
import pytest

from tfxfer.backbones import safetensors
from tfxfer.backbones.state_dicts import read_state_dict
from tfxfer.errors import BackboneError


def write(path: pathlib.Path, header: dict | bytes, numbers: bytes = b"") -> pathlib.Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def entry(dtype: str, shape: list, first: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, end]}


SIX = np.arange(6, dtype="<f4")
HONEST = {"__metadata__": {"format": "pt"}, "w": entry("F32", [2, 3], 0, 24)}


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    return tmp_path / "weights.safetensors"


def refusal(path: pathlib.Path) -> str:
    with pytest.raises(BackboneError) as caught:
        read_state_dict(path)
    assert str(caught.value).startswith(f"{path} is truncated or no PyTorch state dict (")
    return str(caught.value)


def test_tensors_come_back_by_name(path):
    state = read_state_dict(write(path, HONEST, SIX.tobytes()))
    assert list(state) == ["w"]
    assert state["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["w"].dtype == np.float32
    assert not state["w"].flags.owndata


def test_a_header_filled_up_with_spaces(path):
    text = json.dumps(HONEST).encode()
    assert list(read_state_dict(write(path, text + b" " * 5, SIX.tobytes()))) == ["w"]


@pytest.mark.parametrize("kind", sorted(set(safetensors._DTYPES) - {"BF16"}))
def test_every_type(path, kind):
    numbers = np.array([1, -2, 3]).astype(safetensors._DTYPES[kind])
    state = read_state_dict(write(path, {"w": entry(kind, [3], 0, numbers.nbytes)}, numbers.tobytes()))
    assert state["w"].tolist() == numbers.tolist()
    assert state["w"].dtype == numbers.dtype


def test_bfloat16_is_widened(path):
    """It is the upper half of a float32: 1.5 is 3fc0, -2 is c000."""
    state = read_state_dict(write(path, {"w": entry("BF16", [2], 0, 4)}, b"\xc0\x3f\x00\xc0"))
    assert state["w"].tolist() == [1.5, -2]
    assert state["w"].dtype == np.float32


def test_scalars_empty_tensors_and_any_order(path):
    header = {
        "b": entry("U8", [], 2, 3),
        "none": entry("F32", [0, 7], 2, 2),
        "a": entry("U8", [2], 0, 2),
    }
    state = read_state_dict(write(path, header, b"\1\2\3"))
    assert {name: array.tolist() for name, array in state.items()} == {"b": 3, "none": [], "a": [1, 2]}
    assert state.shapes == {"b": (), "none": (0, 7), "a": (2,)}


WRONG = {
    "a type that is not read": ({"w": entry("F8_E4M3", [3], 0, 3)}, b"123", "numbers of type 'F8_E4M3'"),
    "no type": ({"w": entry(["F32"], [3], 0, 3)}, b"123", "numbers of type ['F32']"),
    "no offsets": ({"w": {"dtype": "U8", "shape": [3]}}, b"123", "by something else than dtype, shape"),
    "something beside": ({"w": {**entry("U8", [3], 0, 3), "code": "x"}}, b"123", "by something else than"),
    "no entry": ({"w": 3}, b"123", "by something else than"),
    "one offset": ({"w": {"dtype": "U8", "shape": [3], "data_offsets": [3]}}, b"123", "no lists of whole"),
    "a negative offset": ({"w": entry("U8", [3], -3, 0)}, b"123", "no lists of whole"),
    "a fraction": ({"w": entry("U8", [1.5, 2], 0, 3)}, b"123", "no lists of whole"),
    "a truth value": ({"w": entry("U8", [True], 0, 1)}, b"1", "no lists of whole"),
    "a shape of more": ({"w": entry("F32", [4], 0, 12)}, b"1" * 12, "has 12 bytes, which is not its shape [4] of F32"),
    "a shape of less": ({"w": entry("F32", [2], 0, 12)}, b"1" * 12, "has 12 bytes, which is not its shape"),
    "an end before the beginning": ({"w": entry("U8", [3], 3, 0)}, b"123", "has -3 bytes"),
    "an immense shape": ({"w": entry("U8", [2**40, 2**40], 0, 3)}, b"123", "which is not its shape"),
    "beyond the end": ({"w": entry("U8", [4], 0, 4)}, b"123", "tells of 4 bytes of numbers, and there are 3"),
    "bytes of nobody": ({"w": entry("U8", [3], 0, 3)}, b"1234", "tells of 3 bytes of numbers, and there are 4"),
    "a gap": ({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"123", "byte 1 of its numbers is of"),
    "an overlap": ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"123", "byte 1 of its numbers is of"),
    "one place twice": ({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 0, 2)}, b"12", "byte 0 of its"),
    "no tensors": ({"__metadata__": {}}, b"", "it holds no tensors"),
    "a name twice": (b'{"w": 1, "w": 2}', b"", "a name is there twice"),
    "no JSON": (b"{" * 10, b"", "("),
    "endless nesting": (b'{"w":' + b"[" * 100_000, b"", "("),
    "no UTF-8": (b'{"\xff": 1}', b"", "("),
}


@pytest.mark.parametrize("kind", WRONG)
def test_headers_that_do_not_fit(path, kind):
    header, numbers, reason = WRONG[kind]
    assert reason in refusal(write(path, header, numbers))


def test_a_header_longer_than_allowed(path):
    path.write_bytes((100_000_001).to_bytes(8, "little") + b"{")
    assert "a header of 100000001 bytes" in refusal(path)
    path.write_bytes((100_000_000).to_bytes(8, "little") + b"{")
    assert "the file ends within its header" in refusal(path)


def test_a_file_cut_at_any_length(path):
    whole = write(path, HONEST, SIX.tobytes()).read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)

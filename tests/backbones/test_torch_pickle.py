"""Files of PyTorch's legacy format, written here by hand: honest ones are read, hostile ones never run."""

import hashlib
import os
import pathlib
import pickle
import struct

import numpy as np
import pytest

from tfxfer.backbones import torch_pickle
from tfxfer.backbones.torch_pickle import read_state_dict
from tfxfer.errors import BackboneError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage"}


class Program:
    """A piece of pickle, in the text opcodes of protocol 0: what PyTorch writes, and what an attacker would."""

    def __init__(self, text: bytes):
        self.text = text

    def file(self) -> bytes:
        return b"\x80\x02" + self.text + b"."


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def number(value: int) -> bytes:
    return f"L{value}L\n".encode()


def text(value: str) -> bytes:
    return b"V" + value.encode() + b"\n"


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def storage(key: str, kind: str, count: int) -> bytes:
    """Returns a reference by persistent id, as torch/serialization.py writes it."""
    return tuple_of(text("storage"), name("torch", STORAGES[kind]), text(key), text("cpu"), number(count), b"N") + b"Q"


def tensor(place: bytes, offset: int, size, stride) -> bytes:
    """Returns a call of `_rebuild_tensor_v2`, with its last arguments: requires_grad and backward hooks."""
    hooks = name("collections", "OrderedDict") + b")R"
    shape = tuple_of(*map(number, size)), tuple_of(*map(number, stride))
    arguments = tuple_of(place, number(offset), *shape, b"I00\n", hooks)
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def table(**entries: bytes) -> Program:
    """Returns an OrderedDict with the state that PyTorch hangs on it."""
    items = b"".join(text(key) + value for key, value in entries.items())
    metadata = b"}" + text("_metadata") + b"}s"
    return Program(name("collections", "OrderedDict") + b")R(" + items + b"u" + metadata + b"b")


def write(path: pathlib.Path, entries: Program, *storages: tuple[str, np.ndarray]) -> pathlib.Path:
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(PROTOCOL, 2), pickle.dumps({"little_endian": True}, 2)]
    parts += [entries.file(), pickle.dumps([key for key, _ in storages], 2)]
    for _, numbers in storages:
        parts += [struct.pack("<q", numbers.size), numbers.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    return tmp_path / "weights.pth"


def refusal(path: pathlib.Path, **settings) -> str:
    with pytest.raises(BackboneError) as caught:
        read_state_dict(path, **settings)
    return str(caught.value)


SIX = np.arange(6, dtype="<f4")


def test_tensors_come_back_by_name(path):
    write(
        path,
        table(
            **{
                "conv.weight": tensor(storage("1", "f4", 6), 0, (2, 3), (3, 1)),
                "step": tensor(storage("2", "i8", 1), 0, (), ()),
            }
        ),
        ("1", SIX),
        ("2", np.array([7], "<i8")),
    )
    state = read_state_dict(path)
    assert list(state) == ["conv.weight", "step"]
    assert state["conv.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["conv.weight"].dtype == np.float32
    assert (state["step"].shape, int(state["step"])) == ((), 7)


@pytest.mark.parametrize("kind", STORAGES)
def test_every_type_of_storage(path, kind):
    numbers = np.array([1, -2, 3], f"<{kind}")
    write(path, table(w=tensor(storage("1", kind, 3), 0, (3,), (1,))), ("1", numbers))
    state = read_state_dict(path)
    assert state["w"].tolist() == [1, -2, 3]
    assert state["w"].dtype == numbers.dtype


def test_views_of_one_storage(path):
    """A transposed one, one from the middle, and every second number."""
    shared = storage("1", "f4", 6)
    write(
        path,
        table(
            turned=tensor(shared, 0, (3, 2), (1, 3)),
            middle=tensor(shared, 2, (2,), (1,)),
            even=tensor(shared, 0, (3,), (2,)),
        ),
        ("1", SIX),
    )
    state = read_state_dict(path)
    assert state["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert state["middle"].tolist() == [2, 3]
    assert state["even"].tolist() == [0, 2, 4]


@pytest.mark.parametrize(("size", "stride"), [((0,), (1,)), ((0, 5), (5, 1)), ((3, 0), (1, 1))])
def test_tensors_without_numbers(path, size, stride):
    write(path, table(w=tensor(storage("1", "f4", 0), 0, size, stride)), ("1", np.zeros(0, "<f4")))
    assert read_state_dict(path)["w"].shape == size


def test_a_checkpoint_that_holds_its_state_dict_beside_other_things(path):
    inner = table(w=tensor(storage("1", "f4", 6), 0, (6,), (1,))).text
    entries = Program(b"(" + text("epoch") + number(3) + text("state_dict") + inner + b"d")
    write(path, entries, ("1", SIX))
    assert read_state_dict(path)["w"].tolist() == SIX.tolist()


def test_the_digest_is_checked_before_anything_is_read(path):
    write(path, table(w=tensor(storage("1", "f4", 6), 0, (6,), (1,))), ("1", SIX))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(read_state_dict(path, sha256=digest)) == ["w"]
    path.write_bytes(path.read_bytes() + b" ")
    assert refusal(path, sha256=digest) == (
        f"{path} is not the expected file: its sha256 is not {digest}. Install it again."
    )


CALL = "mkdir {canary}"
HOSTILE = {
    "a name": lambda call: name("os", "system") + tuple_of(text(call)) + b"R",
    "a name of builtins": lambda call: (
        name("builtins", "eval") + tuple_of(text(f"__import__('os').system('{call}')")) + b"R"
    ),
    "an instance": lambda call: b"(" + text(call) + b"ios\nsystem\n",
    "names from the stack": lambda call: text("os") + text("system") + b"\x93" + tuple_of(text(call)) + b"R",
    "an object": lambda call: b"(" + name("os", "system") + text(call) + b"o",
    "a class": lambda call: name("torch", "FloatStorage") + tuple_of(text(call)) + b"\x81",
    "a registered extension": lambda call: b"\x82\x01" + tuple_of(text(call)) + b"R",
    "a name behind an allowed one": lambda call: (
        name("collections", "OrderedDict") + b")R0" + name("posix", "system") + tuple_of(text(call)) + b"R"
    ),
    "a method of an allowed name": lambda call: (
        name("collections", "OrderedDict.fromkeys") + tuple_of(text(call)) + b"R"
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_names_anything_but_tensors_is_refused_before_it_runs(path, tmp_path, kind):
    canary = tmp_path / "canary"
    path = write(path, Program(HOSTILE[kind](CALL.format(canary=canary))))
    assert "Loading it could run code. Save the state_dict alone, or as .safetensors." in refusal(path)
    assert not canary.exists()


def test_the_canary_sings_where_python_s_own_unpickler_reads_the_file(tmp_path):
    """Else the test above would prove nothing."""
    canary = tmp_path / "canary"
    pickle.loads(Program(HOSTILE["a name"](CALL.format(canary=canary))).file())
    assert canary.exists()


def test_the_unpickler_itself_refuses_what_the_look_before_would_have_let_pass(path, tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    monkeypatch.setattr(torch_pickle, "_ALLOWED", torch_pickle._ALLOWED | {"os system"})
    write(path, Program(HOSTILE["a name"](CALL.format(canary=canary))))
    assert "(os system is not allowed)" in refusal(path)
    assert not canary.exists()


@pytest.mark.parametrize("part", range(4))
def test_code_in_any_part_of_the_file_is_refused(path, tmp_path, part):
    """Magic number, protocol, system information, and the list of storages behind the table."""
    canary = tmp_path / "canary"
    evil = Program(HOSTILE["a name"](CALL.format(canary=canary))).file()
    parts = [pickle.dumps(MAGIC, 2), pickle.dumps(PROTOCOL, 2), pickle.dumps({}, 2), table().file()]
    path.write_bytes(b"".join([*parts[:part], evil, *parts[part:]]) if part < 3 else b"".join([*parts, evil]))
    assert "its pickle names os.system, which is no tensor storage" in refusal(path)
    assert not canary.exists()


def test_a_pickle_made_by_python_with_a_reduce_method(path, tmp_path):
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(canary),)

    for protocol in (0, 2, 4, 5):
        body = pickle.dumps({"w": Evil()}, protocol)
        path.write_bytes(pickle.dumps(MAGIC, 2) + pickle.dumps(PROTOCOL, 2) + pickle.dumps({}, 2) + body)
        assert " is refused: its pickle " in refusal(path)
        assert not canary.exists()


def test_a_truncated_file_at_every_length(path):
    whole = write(path, table(w=tensor(storage("1", "f4", 6), 0, (6,), (1,))), ("1", SIX)).read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert refusal(path).startswith(f"{path} is ")
    path.write_bytes(whole[:-1])
    assert refusal(path) == f"{path} is truncated or no PyTorch state dict (a storage is shorter than it says)."


@pytest.mark.parametrize("counts", [(6, 5), (6, 7), (5, 6), (-1, -1), (2**40, 2**40)])
def test_a_storage_of_another_length_than_it_says(path, counts):
    """In the table, and before its numbers."""
    said, found = counts
    write(path, table(w=tensor(storage("1", "f4", said), 0, (6,), (1,))), ("1", SIX))
    content = path.read_bytes()
    path.write_bytes(content[: -8 - SIX.nbytes] + struct.pack("<q", found) + SIX.tobytes())
    assert "is truncated or no PyTorch state dict (" in refusal(path)


@pytest.mark.parametrize(
    ("offset", "size", "stride", "reason"),
    [
        (1, (6,), (1,), "a tensor reaches beyond its storage"),
        (6, (), (), "a tensor reaches beyond its storage"),
        (0, (2, 3), (6, 1), "a tensor reaches beyond its storage"),
        (0, (2,), (2**62,), "a tensor reaches beyond its storage"),
        (0, (7,), (0,), "a tensor reaches beyond its storage"),  # within it, but more numbers than it has
        (0, (2**62, 2**62), (0, 0), "a tensor reaches beyond its storage"),
        (-1, (2,), (1,), "a tensor has a negative offset, size or stride"),
        (5, (6,), (-1,), "a tensor has a negative offset, size or stride"),
        (0, (-2, -3), (1, 1), "a tensor has a negative offset, size or stride"),
        (0, (6,), (1, 1), "zip() argument 2 is longer than argument 1"),
    ],
)
def test_a_tensor_that_is_not_within_its_storage(path, offset, size, stride, reason):
    write(path, table(w=tensor(storage("1", "f4", 6), offset, size, stride)), ("1", SIX))
    assert refusal(path) == f"{path} is truncated or no PyTorch state dict ({reason})."


@pytest.mark.parametrize("size", [(0, 2**62, 2**62), (0, 2**70)])
def test_an_empty_tensor_of_an_impossible_shape(path, size):
    write(path, table(w=tensor(storage("1", "f4", 6), 0, size, (1,) * len(size))), ("1", SIX))
    assert "is truncated or no PyTorch state dict (" in refusal(path)


@pytest.mark.parametrize(
    "entries",
    [
        Program(number(3)),
        Program(b"(" + text("w") + number(3) + b"d"),
        Program(b"(" + text("w") + storage("1", "f4", 6) + b"d"),
        Program(b"(" + text("w") + tensor(storage("2", "f4", 6), 0, (6,), (1,)) + b"d"),  # a storage that is not there
        Program(b"(" + text("w") + tensor(number(3), 0, (6,), (1,)) + b"d"),
        Program(text("reference") + b"Q"),
        Program(tuple_of(text("storage"), text("float"), text("1"), text("cpu"), number(6)) + b"Q"),
        Program(b""),
    ],
)
def test_a_table_of_something_else(path, entries):
    write(path, entries, ("1", SIX))
    assert "is truncated or no PyTorch state dict (" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", pickle.dumps(3)])
def test_files_of_another_format(path, content):
    path.write_bytes(content)
    assert refusal(path).startswith((f"{path} is truncated or no PyTorch", f"{path} is no PyTorch file of the legacy"))


def test_the_zip_format_is_named_with_the_way_out(path):
    path.write_bytes(b"PK\x03\x04 a file of the newer format")
    assert "of the zip format" in refusal(path)
    assert "_use_new_zipfile_serialization=False" in refusal(path)

"""Files of PyTorch's legacy format, written here by hand: honest ones are read, hostile ones never run."""

import hashlib
import os
import pathlib
import pickle
import struct

import numpy as np
import pytest
from torch_files import STORAGES, Program, name, number, storage, table, tensor, text, tuple_of

from tfxfer.backbones import torch_pickle
from tfxfer.backbones.state_dicts import read_state_dict
from tfxfer.errors import BackboneError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


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


@pytest.mark.parametrize("kind", sorted(set(STORAGES) - {"bf2"}))
def test_every_type_of_storage(path, kind):
    numbers = np.array([1, -2, 3]).astype(f"<{kind}")
    write(path, table(w=tensor(storage("1", kind, 3), 0, (3,), (1,))), ("1", numbers))
    state = read_state_dict(path)
    assert state["w"].tolist() == numbers.tolist()
    assert state["w"].dtype == numbers.dtype


def test_bfloat16_is_widened(path):
    """It is the upper half of a float32: 1.5 is 3fc0, -2 is c000."""
    entries = table(
        w=tensor(storage("1", "bf2", 4), 0, (2, 2), (1, 2)),
        none=tensor(storage("1", "bf2", 4), 0, (0,), (1,)),
    )
    state = read_state_dict(write(path, entries, ("1", np.array([0x3FC0, 0xC000, 0, 0x3F80], "<u2"))))
    assert state["w"].tolist() == [[1.5, 0], [-2, 1]]
    assert state["w"].dtype == state["none"].dtype == np.float32
    assert state.shapes == {"w": (2, 2), "none": (0,)}


def test_nothing_is_copied_and_nothing_can_be_written(path):
    state = read_state_dict(write(path, table(w=tensor(storage("1", "f4", 6), 0, (3, 2), (1, 3))), ("1", SIX)))
    assert np.shares_memory(state["w"], state["w"])
    with pytest.raises(ValueError, match="read-only"):
        state["w"][0, 0] = 1


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


def table_of(**entries: bytes) -> bytes:
    """Returns a plain dict, which pickles of checkpoints hold."""
    return b"(" + b"".join(text(key) + value for key, value in entries.items()) + b"d"


def test_a_checkpoint_that_holds_its_tensors_beside_other_things(path):
    """Another table has storages too, which are passed over."""
    inner = table_of(w=tensor(storage("2", "f4", 6), 0, (6,), (1,)), version=number(1))
    other = table_of(momentum=tensor(storage("1", "i8", 1), 0, (1,), (1,)))
    for key in ("state_dict", "model", "model_state", "state_dict_ema"):
        entries = {"epoch": number(3), "arch": text("net"), "best": b"F0.5\n", "optimizer": other, key: inner}
        write(path, Program(table_of(**entries)), ("1", np.array([7], "<i8")), ("2", SIX))
        assert {name: array.tolist() for name, array in read_state_dict(path).items()} == {"w": SIX.tolist()}


def test_a_table_in_a_table(path):
    inner = table_of(state_dict=table_of(w=tensor(storage("1", "f4", 6), 0, (6,), (1,))))
    assert list(read_state_dict(write(path, Program(table_of(model=inner)), ("1", SIX)))) == ["w"]


def test_a_table_that_holds_itself(path):
    """`p0` puts it into the memo, `g0` gets it back."""
    entries = Program(b"(dp0\n" + text("model") + b"g0\ns")
    assert "(it holds no table of tensors)" in refusal(write(path, entries))


def test_parameters_are_tensors(path):
    data = tensor(storage("1", "f4", 6), 0, (6,), (1,))
    hooks = name("collections", "OrderedDict") + b")R"
    parameter = name("torch._utils", "_rebuild_parameter") + tuple_of(data, b"I01\n", hooks) + b"R"
    assert read_state_dict(write(path, table(w=parameter), ("1", SIX)))["w"].tolist() == SIX.tolist()
    entries = table(w=name("torch._utils", "_rebuild_parameter") + tuple_of(number(3)) + b"R")
    assert "(a parameter without a tensor)" in refusal(write(path, entries, ("1", SIX)))


def test_the_prefix_of_parallel_training_is_cut_off_if_all_names_have_it(path):
    one = tensor(storage("1", "f4", 6), 0, (6,), (1,))
    assert list(read_state_dict(write(path, table(**{"module.a": one, "module.b": one}), ("1", SIX)))) == ["a", "b"]
    assert list(read_state_dict(write(path, table(**{"module.a": one, "b": one}), ("1", SIX)))) == ["module.a", "b"]


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


@pytest.mark.parametrize(
    "stand_in",
    [
        name("torch", "FloatStorage"),
        name("collections", "OrderedDict"),
        name("torch._utils", "_rebuild_tensor_v2"),
        storage("1", "f4", 6),
        tensor(storage("1", "f4", 6), 0, (6,), (1,)),
    ],
)
def test_what_stands_in_for_pytorch_cannot_be_altered(path, stand_in):
    """`b` sets attributes, of functions too."""
    entries = Program(stand_in + b"(d(" + text("__defaults__") + b"Ndtb")
    assert "no PyTorch state dict (" in refusal(write(path, entries, ("1", SIX)))
    entries = Program(stand_in + b"(" + text("size") + number(3) + b"db")
    assert "(it alters what it should only name)" in refusal(write(path, entries, ("1", SIX)))


def test_a_pickle_that_would_fill_the_memory(path):
    """`r` stores under an index; Python's unpickler makes room for all those below it."""
    index = struct.pack("<I", 2**31 - 1)
    assert "(its pickle uses memory that it does not need)" in refusal(write(path, Program(b"Nr" + index)))


def test_one_storage_described_in_two_ways(path):
    entries = table(
        a=tensor(storage("1", "f4", 6), 0, (6,), (1,)),
        b=tensor(storage("1", "f8", 6), 0, (6,), (1,)),
    )
    assert "(one storage is described in two ways)" in refusal(write(path, entries, ("1", SIX)))


def test_a_view_of_a_storage_is_not_taken_for_the_whole(path):
    """The last of the reference, which files of before 2018 may have."""
    view = tuple_of(text("1"), number(2), number(3))
    place = tuple_of(text("storage"), name("torch", "FloatStorage"), text("1"), text("cpu"), number(6), view) + b"Q"
    assert "(a reference that is no storage)" in refusal(write(path, table(w=tensor(place, 0, (3,), (1,))), ("1", SIX)))


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

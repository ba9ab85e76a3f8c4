"""Pieces of the pickles in PyTorch's files, as torch/serialization.py writes them and as an attacker would."""

STORAGES = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
    "bf2": "BFloat16Storage",
}


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

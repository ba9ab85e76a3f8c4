"""TFRecord files, read without TensorFlow: where each record lies, its checksums compared, compressed ones unpacked."""

import contextlib
import gzip
import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from tfxfer.data import tables
from tfxfer.errors import DataError

# Of one record, in bytes: beyond any picture; a damaged length would ask for exabytes.
MOST_RECORD_BYTES = 512 << 20
_HEADER = struct.Struct("<QI")  # the length, and its checksum
_FOOTER = struct.Struct("<I")
_GZIP = b"\x1f\x8b"
# What TFRecord adds to a checksum (tensorflow/core/lib/hash/crc32c.h).
_MASK_DELTA = 0xA282EAD8


def masked(content: bytes) -> int:
    """Returns the CRC-32C of bytes as TFRecord files store it: turned by 15 bits, and a constant added."""
    value = google_crc32c.value(content)
    return ((value >> 15 | value << 17) + _MASK_DELTA) & 0xFFFFFFFF


def is_compressed(path: pathlib.Path) -> bool:
    """Whether a file is packed by gzip, so that nothing in it can be read before all that stands in front.

    Raises:
        DataError: it cannot be read, or is no regular file.
    """
    with _readable(path), path.open("rb") as stream:
        head = stream.read(_HEADER.size)
    # A length may begin like gzip; its checksum tells.
    return head[:2] == _GZIP and not (len(head) == _HEADER.size and _is_length(head))


def records(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """Yields each record with the byte at which it begins, in the file or in what it unpacks to.

    Raises:
        DataError: no TFRecord file, a damaged one, or one that ends within a record.
    """
    tables.check_regular(path)
    with _readable(path), gzip.open(path) if is_compressed(path) else path.open("rb") as stream:
        number, begin = 0, 0
        while head := stream.read(_HEADER.size):
            number += 1
            where = f"{path}, record {number:,}, byte {begin:,}"
            if len(head) == _HEADER.size and not _is_length(head):
                if number == 1:
                    raise DataError(
                        f"{path} is no TFRecord file: it does not begin with a length and its checksum. Files packed "
                        "by ZLIB are not read: write them with GZIP, or as they are."
                    )
                raise DataError(f"{where}: the checksum of its length is wrong. The file is damaged: get it again.")
            content = _body(head, stream, where)
            yield begin + _HEADER.size, content
            begin += _HEADER.size + len(content) + _FOOTER.size


def _body(head: bytes, stream: BinaryIO, where: str) -> bytes:
    length = _HEADER.unpack(head)[0] if len(head) == _HEADER.size else 0
    if length > MOST_RECORD_BYTES:
        raise DataError(f"{where} has {length:,} bytes, and at most {MOST_RECORD_BYTES:,} are read.")
    content, footer = stream.read(length), stream.read(_FOOTER.size)
    if len(head) < _HEADER.size or len(content) < length or len(footer) < _FOOTER.size:
        raise DataError(f"{where}: the file ends within it. It is truncated: get it again.")
    if _FOOTER.unpack(footer)[0] != masked(content):
        raise DataError(f"{where}: its checksum is wrong. The file is damaged: get it again.")
    return content


def _is_length(head: bytes) -> bool:
    return masked(head[:8]) == _HEADER.unpack(head)[1]


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged: it cannot be unpacked ({error}). Get it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error

"""Packs folders; unpacks archives of strangers: no path out, no link, no more bytes than allowed, all or nothing."""

import contextlib
import dataclasses
import gzip
import os
import pathlib
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from tfxfer import files
from tfxfer.errors import BackboneError, WorkdirError

MOST_BYTES = 8 << 30
MOST_MEMBERS = 100_000

_CHUNK = 1 << 20
# A long name or extended header of a tar, which the standard library reads into memory at once.
_MOST_HEADER_BYTES = 1 << 20
_HEADERS_PER_MEMBER = 4096
_BLOCK = 512
_LOCAL_HEADER = 30
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RecursionError,
    NotImplementedError,
)


def pack(folder: str | os.PathLike, archive: str | os.PathLike) -> None:
    """Writes the files below `folder` to a .tar.gz with its contents at the root, as TF Hub hosts SavedModels.

    Owners, times and order say nothing about this machine, so that the same files make the same bytes
    (tensorflow/docs, site/en/hub/hosting.md). What was at `archive` is replaced.

    Raises:
        WorkdirError: it cannot be written.
    """
    folder = pathlib.Path(folder)

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with (
        files.replacing(archive) as beside,
        beside.open("wb") as stream,
        gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=plain)


def unpack(
    archive: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    most_bytes: int = MOST_BYTES,
    most_members: int = MOST_MEMBERS,
) -> None:
    """Unpacks a .tar, .tar.gz or .zip, told apart by content, into `folder`, which must not exist.

    Everything is written beside `folder` and renamed at the end, so that a refused archive leaves nothing.

    Args:
        archive: the file.
        folder: where to; its parents are made.
        most_bytes: that its files may hold together, counted while they are written.
        most_members: that it may list, folders included.

    Raises:
        BackboneError: the archive is missing, damaged, too large, or has a member that is no plain file or folder
            within it; or `folder` exists or cannot be written.
    """
    archive = pathlib.Path(archive)
    with _damage_named(archive), files.new_folder(folder) as beside:
        budget = _Budget(archive, most_bytes, most_members)
        members = _zip_members(archive, budget) if _is_zip(archive) else _tar_members(archive, budget)
        for path, stream in members:
            place = beside / path
            if stream is None:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "xb") as out:
                while chunk := stream.read(_CHUNK):
                    budget.spend(len(chunk))
                    out.write(chunk)


def check_zip(
    path: str | os.PathLike, *, most_bytes: int = MOST_BYTES, most_members: int = MOST_MEMBERS
) -> tuple[zipfile.ZipInfo, ...]:
    """Returns the files listed in a zip that is read in place, such as .keras and .pt, after `unpack`'s checks.

    No two of them share bytes of the file, and all lie within it. Their sizes are those that the archive states;
    `zipfile` gives no more than these.

    Raises:
        BackboneError: the file is missing, no zip, damaged, too large, or has a member that is no plain file or
            folder within it.
    """
    path = pathlib.Path(path)
    with _damage_named(path), zipfile.ZipFile(path) as opened:
        members = _checked_zip(opened, _Budget(path, most_bytes, most_members))
    return tuple(info for info in members if not info.is_dir())


@dataclasses.dataclass
class _Budget:
    """What an archive may still take, and which names it used."""

    archive: pathlib.Path
    most_bytes: int
    most_members: int

    def __post_init__(self):
        self._bytes = self.most_bytes
        self._files: set[pathlib.PurePosixPath] = set()
        self._folders: set[pathlib.PurePosixPath] = set()
        self._members = 0

    def spend(self, count: int) -> None:
        """Takes `count` bytes, or refuses the archive."""
        self._bytes -= count
        if self._bytes < 0:
            self.refuse_size()

    def refuse_size(self) -> None:
        """Raises the error of an archive that holds too much."""
        raise BackboneError(
            f"{self.archive} is refused: it unpacks to more than {self.most_bytes} bytes, which no model here needs. "
            "Nothing was unpacked."
        )

    def enter(self, name: str, *, is_folder: bool) -> pathlib.PurePosixPath:
        """Returns the path of a member, or refuses the archive for it."""
        self._members += 1
        if self._members > self.most_members:
            raise BackboneError(f"{self.archive} is refused: it has more than {self.most_members} members.")
        path = pathlib.PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or pathlib.PureWindowsPath(name).drive:
            self.refuse(name, "leads out of the folder it is unpacked to")
        if not name.isprintable() or not (path.parts or is_folder):
            self.refuse(name, "is no name of a file")
        above = set(path.parents)
        if path in self._files or above & self._files or (not is_folder and path in self._folders):
            self.refuse(name, "is there twice")
        (self._folders if is_folder else self._files).add(path)
        self._folders |= above
        return path

    def refuse(self, name: str, reason: str) -> None:
        """Raises the error of a member that is not to be unpacked."""
        raise BackboneError(f"{self.archive} is refused: its member {name!r} {reason}. Nothing was unpacked.")


def _is_zip(path: pathlib.Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextlib.contextmanager
def _damage_named(archive: pathlib.Path) -> Iterator[None]:
    """Turns what the standard library raises into one kind of error."""
    if not archive.is_file():
        raise BackboneError(f"there is no file {archive}. Give the path of a .tar, .tar.gz or .zip.")
    try:
        yield
    except BackboneError:
        raise
    except WorkdirError as error:
        raise BackboneError(f"{archive} cannot be unpacked: {error}") from error
    except _DAMAGE as error:
        raise BackboneError(
            f"{archive} is truncated, damaged or no archive ({error or type(error).__name__}). Get it again."
        ) from error
    except OSError as error:
        raise BackboneError(f"{archive} cannot be unpacked ({error.strerror or error}).") from error


def _zip_members(archive: pathlib.Path, budget: _Budget) -> Iterator[tuple[pathlib.PurePosixPath, BinaryIO | None]]:
    with zipfile.ZipFile(archive) as opened:
        for info in _checked_zip(opened, budget):
            path = pathlib.PurePosixPath(info.filename)
            if info.is_dir():
                yield path, None
            else:
                with opened.open(info) as stream:
                    yield path, stream


def _checked_zip(opened: zipfile.ZipFile, budget: _Budget) -> list[zipfile.ZipInfo]:
    infos = opened.infolist()
    room = budget.most_bytes
    for info in infos:
        # `filename` is already mended by the standard library; what the archive says decides.
        budget.enter(info.orig_filename, is_folder=info.is_dir())
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            budget.refuse(info.filename, "is a link or device")
        if info.flag_bits & 1:
            budget.refuse(info.filename, "is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            budget.refuse(info.filename, f"is compressed by method {info.compress_type}, which models do not use")
        room -= info.file_size
    if room < 0:
        budget.refuse_size()
    _check_apart(infos, opened.start_dir)
    return infos


def _check_apart(infos: Iterable[zipfile.ZipInfo], end: int) -> None:
    """Refuses members that share bytes, by which a small file unpacks to a huge one."""
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        if info.header_offset < 0 or info.header_offset + _LOCAL_HEADER + info.compress_size > end:
            raise zipfile.BadZipFile(f"member {info.filename!r} overlaps what follows it")
        end = info.header_offset


def _tar_members(archive: pathlib.Path, budget: _Budget) -> Iterator[tuple[pathlib.PurePosixPath, BinaryIO | None]]:
    with open(archive, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = _Bounded(gzip.GzipFile(fileobj=raw) if packed else raw, budget)
        with tarfile.open(fileobj=stream, mode="r:") as opened:
            while (info := opened.next()) is not None:
                path = budget.enter(info.name, is_folder=info.isdir())
                if info.isdir():
                    yield path, None
                elif info.isreg() and not info.issparse():
                    yield path, opened.extractfile(info)
                else:
                    budget.refuse(info.name, "is a link or device")
            _check_end(stream, opened.offset)


def _check_end(stream: "_Bounded", offset: int) -> None:
    """Refuses a tar that ends without its mark: `tarfile` takes a cut or a damaged header for the end."""
    stream.seek(offset)
    if stream.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it ends in the middle")
    while stream.read(_CHUNK):  # to the checksum of gzip
        pass


class _Bounded:
    """A stream that refuses to be read in huge pieces, or far beyond what the budget allows."""

    def __init__(self, stream: BinaryIO, budget: _Budget):
        self._stream = stream
        self._budget = budget
        self._end = budget.most_bytes + _HEADERS_PER_MEMBER * budget.most_members
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= max(_CHUNK, _MOST_HEADER_BYTES):
            raise tarfile.HeaderError(f"a header of {size} bytes")
        self._check(self._stream.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int) -> int:
        self._check(position)
        return self._stream.seek(position)

    def _check(self, position: int) -> None:
        if position > self._end + _CHUNK:
            self._budget.refuse_size()

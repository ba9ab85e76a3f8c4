"""Locks between processes, which the system takes back from a process however it ends."""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Callable, Iterator

from tfxfer.activations.regular_files import open_regular

# Held by each process that has a store open, so that nobody removes it.
IN_USE = "in_use.lock"
# Held by the process that fills a store.
FILLING = "filling.lock"


def hold_in_use(folder: pathlib.Path) -> int | None:
    """Returns a descriptor whose closing lets go of the store, None where no lock can be had (read-only folders).

    Raises:
        FileNotFoundError: there is no such folder (any more).
    """
    while True:
        try:
            handle = _open(folder / IN_USE)
        except FileNotFoundError:
            if folder.is_dir():
                return None
            raise
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            # Between the two lines above the folder may have been removed, and the lock with it.
            if os.path.samestat(os.fstat(handle), os.stat(folder / IN_USE)):
                return handle
        except FileNotFoundError:
            pass
        except OSError:
            os.close(handle)
            return None
        os.close(handle)


@contextlib.contextmanager
def only_filler(folder: pathlib.Path, waits: Callable[[], None]) -> Iterator[None]:
    """Keeps others from filling a store during the block.

    Args:
        folder: of the store.
        waits: is called if another process is filling it, before this one waits for it.

    Raises:
        OSError: the folder cannot be written, or its file system has no locks.
    """
    handle = open_regular(folder / FILLING, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def nobody_else(folder: pathlib.Path) -> Iterator[bool]:
    """Tells whether nobody has a store open, and keeps it so during the block.

    Raises:
        OSError: the folder cannot be written, or its file system has no locks.
    """
    handle = open_regular(folder / IN_USE, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(handle)


def _open(path: pathlib.Path) -> int:
    try:
        return open_regular(path, os.O_RDWR | os.O_CREAT)
    except PermissionError:
        return open_regular(path, os.O_RDONLY)
    except OSError as error:
        if error.errno == errno.EROFS:
            return open_regular(path, os.O_RDONLY)
        raise

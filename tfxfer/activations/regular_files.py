"""Opens files in folders that others may write as well."""

import errno
import os
import pathlib
import stat


def open_regular(path: pathlib.Path, flags: int) -> int:
    """Returns a descriptor of a regular file; follows no symbolic link and waits for no pipe.

    Raises:
        OSError: it is no regular file, or cannot be opened.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
    return handle

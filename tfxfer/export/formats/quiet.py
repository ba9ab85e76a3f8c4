"""Keeps what converters write to the terminal, from native code and from Python, out of the user's way."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it nothing reaches the process's standard output and error; an exception gets it as a note.

    Nor do warnings: converters warn of what they use themselves, which whoever exports cannot change.
    """
    _flush()
    terminals = {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as notes:
        try:
            for number in terminals:
                os.dup2(notes.fileno(), number)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                yield
        except Exception as error:
            _flush()
            notes.seek(0)
            written = [notes.read().decode(errors="replace").strip(), *(str(each.message) for each in warned)]
            if any(written):
                error.add_note("Meanwhile was written:\n" + "\n".join(filter(None, written)))
            raise
        finally:
            _flush()
            for number, terminal in terminals.items():
                os.dup2(terminal, number)
                os.close(terminal)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()

"""Lets what must not be cut short end first when the process is asked to stop."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], bool]]:
    """Only notes that SIGINT or SIGTERM came, as long as the block lasts; a second one stops at once.

    >>> with noted() as is_asked:
    ...     while not is_asked():
    ...         step()

    Gives a function that tells whether the process is asked to stop. Outside the main thread, where Python has no
    signals, nobody asks. Whoever is asked and has tidied up raises KeyboardInterrupt; the end of the block does so
    where nobody has.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []

    def note(number, _frame):
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = [(number, signal.signal(number, note)) for number in _SIGNALS]
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt

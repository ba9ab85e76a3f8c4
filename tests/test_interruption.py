"""What must not be cut short ends first when the process is asked to stop."""

import os
import signal
import threading

import pytest

from tfxfer import interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_raised_at_the_end_of_the_block(number):
    done = []

    def work():
        with interruption.noted() as is_asked:
            done.append(is_asked())
            os.kill(os.getpid(), number)
            done.append(is_asked())

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [False, True]


def test_a_second_one_stops_at_once():
    done = []

    def work():
        with interruption.noted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("first")
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("second")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["first"]


def test_handlers_are_put_back_also_behind_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ValueError, match="mine"), interruption.noted():
        raise ValueError("mine")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_in_another_thread_nobody_asks():
    asked = []

    def work():
        with interruption.noted() as is_asked:
            asked.append(is_asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]

"""Starts several workers of one command on this machine, to try or test what trains on several.

    python tools/run_local_cluster.py --workers=2 -- tfxfer train --data=folder:photos --workdir=runs/photos

Each worker is the command itself with `--workers` and `--task_index` behind it, on free ports of the loopback, so that
nothing outside reaches them; `{worker}` in it, or in a variable of the environment, becomes the number of each. What
they say stands behind that number. The exit code is the first of theirs that is not 0; when one ends badly the others
get two minutes to end, too.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

# From the first bad end on; TensorFlow finds out within ten seconds that a worker is gone.
_GRACE_SECONDS = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2, help="how many, ≥ 1")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds from the start of one to that of the next")
    parser.add_argument("command", nargs="+", help="behind `--`")
    given = parser.parse_args()
    if given.workers < 1:
        parser.error(f"--workers={given.workers} must be at least 1")
    with started(given.command, free_addresses(given.workers), delay=given.delay) as processes:
        printing = [threading.Thread(target=_print, args=(number, one)) for number, one in enumerate(processes)]
        for thread in printing:
            thread.start()
        signal.signal(signal.SIGTERM, lambda number, _: [one.send_signal(number) for one in processes])
        try:
            codes = ended(processes)
        except KeyboardInterrupt:  # the terminal has sent it to all of them
            codes = ended(processes, grace=_GRACE_SECONDS)
        for thread in printing:
            thread.join()
    return next((code for code in codes if code), 0)


@contextlib.contextmanager
def started(
    command: Sequence[str], addresses: Sequence[str], *, delay: float = 0.0, **settings
) -> Iterator[list[subprocess.Popen]]:
    """Gives the processes of a command, one for each address; ends those that are left behind the block.

    Args:
        command: that takes `--workers` and `--task_index`; `{worker}` in it is the number of each.
        addresses: `host:port` of each.
        delay: seconds from the start of one to that of the next.
        settings: of `subprocess.Popen`; by default output and errors are one text to be read.
    """
    program = shutil.which(command[0]) or str(pathlib.Path(sys.executable).with_name(command[0]))
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"} | settings
    environment = {"PYTHONUNBUFFERED": "1"} | os.environ | settings.pop("env", {})
    environment.pop("TF_CONFIG", None)
    processes: list[subprocess.Popen] = []
    try:
        for number in range(len(addresses)):
            flags = [f"--workers={','.join(addresses)}", f"--task_index={number}"]
            own = [program, *(part.replace("{worker}", str(number)) for part in command[1:]), *flags]
            variables = {name: text.replace("{worker}", str(number)) for name, text in environment.items()}
            processes.append(subprocess.Popen(own, env=variables, **settings))
            if number < len(addresses) - 1:
                time.sleep(delay)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def ended(processes: Sequence[subprocess.Popen], *, grace: float | None = None) -> list[int]:
    """Waits for all, once one has ended badly no longer than two minutes, and returns their exit codes.

    Args:
        processes: of `started`.
        grace: seconds from now on that they have; None: as many as they need.
    """
    limit = None if grace is None else time.monotonic() + grace
    while any(process.poll() is None for process in processes):
        if limit is None and any(process.poll() for process in processes):
            limit = time.monotonic() + _GRACE_SECONDS
        if limit is not None and time.monotonic() > limit:
            for process in processes:
                process.kill()
        time.sleep(0.05)
    return [process.returncode for process in processes]


def free_addresses(count: int) -> list[str]:
    """Returns so many free ports of the loopback as `host:port`."""
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def _print(number: int, process: subprocess.Popen) -> None:
    for line in process.stdout:
        print(f"[{number}] {line}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())

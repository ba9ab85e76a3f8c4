"""The program `tfxfer`: finds the sub-command, parses its flags, runs it, and turns errors into exit codes.

Exit codes: 0 done, 1 the user's input or data, 2 flags and config, 3 a quality bar missed, 70 a bug of ours,
75 stopped and resumable.
"""

import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence

from absl import flags

from tfxfer.cli.command import Command
from tfxfer.errors import ConfigError, TfxferError, suggest

_BUG, _STOPPED = 70, 75
_COMMANDS = {
    "train": "fine-tune a pretrained network on labelled images, measure it, write a bundle",
    "plan": "show what train would do, without training",
    "advise": "measure what transfer learning is worth on some images, before anything trains",
    "compare": "train pretrained against from scratch, or any recipes, on the same examples with several seeds",
    "lr-find": "suggest a learning rate for a stage of the plan",
    "evaluate": "measure a bundle on labelled images",
    "predict": "label images with a bundle",
    "export": "write a bundle again, in more formats",
    "backbones": "list the pretrained networks there are, or show the layer groups of one",
    "cache": "list what was computed once for frozen layers and is kept on disk, or remove some",
    "data": "check the examples for what is damaged, there twice, rare or in two splits, or show them",
}


def console() -> None:
    """Runs the program and leaves the process with its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs one command line, without the program's name, and returns its exit code."""
    try:
        return _run(list(arguments))
    except TfxferError as error:
        if error.exit_code == _BUG:
            return _bug()
        print(f"error: {_clean(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return _STOPPED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # nobody reads on; nothing more to say
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(_clean(f"error: {place}{error.strerror or error}."), file=sys.stderr)
        return 1
    except Exception:
        return _bug()


def _clean(text: str) -> str:
    """Returns `text` without control characters, which names of files carry into a terminal; lines stay.

    Bytes of names that are no UTF-8 are surrogates here, which standard error shows as what they are.
    """
    return "".join(
        letter if letter == "\n" or letter.isprintable() or "\ud800" <= letter <= "\udfff" else "�" for letter in text
    )


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "--helpfull", "help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"tfxfer {version('tfxfer')}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in _COMMANDS:
        raise ConfigError(f"there is no command {name!r}.{suggest(name, _COMMANDS)} Commands: {', '.join(_COMMANDS)}.")
    command: Command = importlib.import_module(f"tfxfer.cli.{name.replace('-', '_')}").COMMAND
    if any(argument in ("-h", "--help", "--helpfull") for argument in rest):
        print(command.help(name, _COMMANDS[name]))
        return 0
    try:
        return command.run(rest)
    except KeyboardInterrupt:
        print(command.when_stopped, file=sys.stderr)
        return _STOPPED
    except flags.Error as error:
        # absl writes "Unknown command line flag 'workdri'. Did you mean: workdir ?"
        text = re.sub(r"Did you mean: (.*?) \?", r"Did you mean \1?", str(error)).rstrip(".")
        raise ConfigError(
            f"{text} See: tfxfer {name} --help" if text.endswith("?") else f"{text}. See: tfxfer {name} --help"
        ) from error


def _overview() -> str:
    commands = "\n".join(f"  {name:<9} {what}" for name, what in _COMMANDS.items())
    return (
        "tfxfer: transfer learning for Keras and TensorFlow\n\n"
        f"commands:\n{commands}\n\n"
        "example:\n  tfxfer train --data=folder:photos --workdir=runs/photos\n\n"
        "tfxfer <command> --help shows the flags of one."
    )


def _bug() -> int:
    traceback.print_exc()
    print("\nThis is a bug of tfxfer, not of yours. Please report it with the lines above.", file=sys.stderr)
    return _BUG


def _stop(_signal, _frame) -> None:
    raise KeyboardInterrupt

"""The errors that tfxfer raises on purpose, each with the exit code that the commands give it.

A message says what was given, what was expected and what to type instead. Whatever is not one of these
is a bug of ours and ends a command with a traceback and exit code 70.
"""

import difflib
from collections.abc import Iterable

# So many names are listed even where one of them is near.
_FEW = 8


class TfxferError(Exception):
    """Base of the errors below. `exit_code` is the status of a command that ends with it."""

    exit_code = 1


class ConfigError(TfxferError, ValueError):
    """A recipe, flag or override that says something impossible."""

    exit_code = 2


class DataError(TfxferError, ValueError):
    """Examples that cannot be learned from as they are."""


class BadImagesError(DataError):
    """Images that cannot be read; `images` has the name and the reason of each."""

    def __init__(self, message: str, images: Iterable[tuple[str, str]]):
        """Takes all of them, of which the message shows the first."""
        super().__init__(message)
        self.images = tuple(images)


class BackboneError(TfxferError, ValueError):
    """A backbone that does not exist, cannot be loaded or does not fit the recipe."""


class WorkdirError(TfxferError, ValueError):
    """A directory that cannot be written, or that holds something else than expected."""


class BundleError(TfxferError, ValueError):
    """A bundle that is incomplete, altered or not a bundle."""


class FormatError(TfxferError, ValueError):
    """A network that a file format cannot hold, or a file of it that holds another one."""


class AccuracyError(TfxferError, RuntimeError):
    """A network below the accuracy from which on it was to be exported."""

    exit_code = 3


class CacheError(TfxferError, RuntimeError):
    """Cached activations that cannot be kept or read. What was to use them can go on without."""


class TrainingError(TfxferError, RuntimeError):
    """Training that cannot go on, since its loss is no number."""


class WorkerError(TfxferError, RuntimeError):
    """Another process of the run is gone, or has failed: where it is 75, the same command on all of them goes on."""

    exit_code = 75

    def __init__(self, message: str, *, exit_code: int = 75):
        """Takes the exit code of the other process, where it has said one."""
        super().__init__(message)
        self.exit_code = exit_code


class OutOfMemoryError(TfxferError, RuntimeError):
    """A device whose memory does not hold a batch."""


class VerificationError(TfxferError, RuntimeError):
    """A promise of ours that a check found broken: nothing the user did, so it counts as a bug."""

    exit_code = 70


def suggest(given: str, valid: Iterable[str]) -> str:
    """Returns ` Did you mean 'x'?` for the nearest of `valid`, or an empty string."""
    names = {name.lower(): name for name in valid}
    near = difflib.get_close_matches(given.lower(), names, n=1, cutoff=0.6)
    return f" Did you mean {names[near[0]]!r}?" if near else ""


def choices(given: str, valid: Iterable[str], words: str, otherwise: str = "") -> str:
    """Returns ` Did you mean 'x'?`, and all of `valid` where they are few or none is near.

    Args:
        given: what was typed.
        valid: what may be.
        words: before the list, such as "It has:".
        otherwise: where the list is left out: a sentence on where it is.
    """
    names = tuple(valid)
    near = suggest(given, names)
    if near and len(names) > _FEW:
        return f"{near}{' ' if otherwise else ''}{otherwise}"
    return f"{near} {words} {', '.join(names)}."

"""`tfxfer cache`."""

import math
import pathlib
import sys

from tfxfer.cli.command import Command, Values
from tfxfer.errors import ConfigError, suggest

# Which stores go: exactly one of them is given.
_CHOICES = ("older_than_days", "to_gb", "all")


def _cache(values: Values) -> int:
    actions = {"ls": _list, "prune": _prune}
    if len(values.paths) != 1:
        raise ConfigError("say what to do. Write tfxfer cache ls, or tfxfer cache prune --older_than_days=30.")
    (what,) = values.paths
    if what not in actions:
        raise ConfigError(f"there is nothing called {what!r}.{suggest(what, actions)} Write tfxfer cache ls or prune.")
    return actions[what](values)


def _list(values: Values) -> int:
    for name in _CHOICES:
        if name in values.given:
            raise ConfigError(f"--{name} is for removing. Write tfxfer cache prune --{name}.")
    from tfxfer.activations import inventory  # which loads NumPy

    root = _root(values)
    print(inventory.listing_text(inventory.stores(root), root), end="")
    return 0


def _prune(values: Values) -> int:
    everything = values.is_on("all")
    days, gigabytes = _number(values, "older_than_days"), _number(values, "to_gb")
    if (days is not None) + (gigabytes is not None) + everything != 1:
        raise ConfigError("say what goes, in one way: --older_than_days=30, --to_gb=10 or --all.")
    from tfxfer.activations import inventory

    root = _root(values)
    to_bytes = 0.0 if everything else None if gigabytes is None else gigabytes * 1e9
    pruned = inventory.prune(root, older_than_days=days, to_bytes=to_bytes)
    print(inventory.pruned_text(pruned, root), end="")
    for store, reason in pruned.failed:
        print(f"error: {store.folder} stays: {reason}.", file=sys.stderr)
    return 1 if pruned.failed else 0


def _root(values: Values) -> pathlib.Path:
    from tfxfer.activations import inventory

    given = values.given.get("cache_dir")
    return pathlib.Path(given).expanduser() if given else inventory.root()


def _number(values: Values, flag: str) -> float | None:
    if flag not in values.given:
        return None
    try:
        number = float(values.given[flag])
    except ValueError:
        number = math.nan
    if not (number >= 0 and math.isfinite(number)):
        raise ConfigError(f"--{flag}={values.given[flag]} is no number from 0 up. Write --{flag}=10.")
    return number


COMMAND = Command(
    usage="ls | prune [flags]",
    own_flags={
        "older_than_days": ("N", "prune: what was not used for so many days"),
        "to_gb": ("GB", "prune: what was not used for longest, until the rest takes no more"),
        "all": ("true|false", "prune: everything that no process is using"),
        "cache_dir": ("DIR", "the folder; default: $TFXFER_CACHE_DIR, or that of your caches"),
    },
    action=_cache,
    example="tfxfer cache prune --to_gb=10",
    takes_paths=True,
    when_stopped="stopped.",
)

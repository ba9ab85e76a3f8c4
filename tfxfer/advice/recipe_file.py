"""Writes a recipe as a config file: Python with what differs from the defaults."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from tfxfer import files, objectives
from tfxfer.errors import ConfigError, WorkdirError
from tfxfer.recipes import Recipe


def write_recipe(recipe: Recipe, path: pathlib.Path, why: Sequence[str] = ()) -> None:
    """Writes a recipe so that `tfxfer train --config=<path>` takes it.

    Args:
        recipe: to write.
        path: of a Python file that does not exist.
        why: lines of its docstring.

    Raises:
        ConfigError: it is called otherwise.
        WorkdirError: it exists, or cannot be written.
    """
    check_new(path)
    files.write_text(path, config_text(recipe, why))


def check_new(path: pathlib.Path) -> None:
    """Refuses a file that exists, or that no config file is called as.

    Raises:
        ConfigError: it does not end in `.py`.
        WorkdirError: it exists.
    """
    if path.suffix != ".py":
        raise ConfigError(f"--write={path} is no Python file. Write --write=recipe.py.")
    if path.exists():
        raise WorkdirError(f"{path} exists and is not overwritten. Choose another --write.")


def config_text(recipe: Recipe, why: Sequence[str] = ()) -> str:
    """Returns the text of a config file; `why` stands in comments, where no text of others can become code."""
    homes: dict[str, set[str]] = {}
    code = _code(recipe, homes)
    comments = [_comment(line) for line in why]
    imports = [f"from {home} import {', '.join(sorted(names))}" for home, names in sorted(homes.items())]
    lines = ['"""Advised by `tfxfer advise`; change what you know better."""', "", *comments, *([""] if why else [])]
    return "\n".join([*lines, *_registered(recipe), *imports, "", "", "def get_config():", f"    return {code}", ""])


def _comment(line: str) -> str:
    return f"# {''.join(c if c.isprintable() else ' ' for c in line)}".rstrip()


def _registered(recipe: Recipe) -> list[str]:
    """Returns a comment where something can be made only of what a program registers, which is not written down."""
    made = [one for one in (recipe.loss, *recipe.metrics) if isinstance(one, objectives.Written)]
    names = [one.name for one in made if not objectives.of_keras(one)]
    told = f"Of your own program: {', '.join(names)}. Import here what registers that, or training refuses it."
    return [_comment(told)] if names else []


def _code(value: Any, homes: dict[str, set[str]], indent: int = 4) -> str:
    """Returns a value as Python code, and notes in `homes` which names it takes from which module."""
    if isinstance(value, tuple):
        items = [_code(item, homes, indent) for item in value]
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
    if not dataclasses.is_dataclass(value):
        return repr(value)
    kind = type(value)
    homes.setdefault(".".join(kind.__module__.split(".")[:2]), set()).add(kind.__name__)
    given = [
        f"{field.name}={_code(getattr(value, field.name), homes, indent + 4)}"
        for field in dataclasses.fields(value)
        if field.init and getattr(value, field.name) != _default(field)
    ]
    if indent > 4:
        return f"{kind.__name__}({', '.join(given)})"
    inner = "".join(f"{' ' * (indent + 4)}{one},\n" for one in given)
    return f"{kind.__name__}(\n{inner}{' ' * indent})" if given else f"{kind.__name__}()"


def _default(field: dataclasses.Field) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default

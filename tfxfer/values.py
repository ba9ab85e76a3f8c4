"""Frozen dataclasses as typed values: to JSON, from JSON, from text, and replaced along a dotted path.

The declared type of a field decides what is accepted, everywhere: in Python, in a JSON file and in an
override such as `stages[1].epochs=3`. Supported are `bool int float str`, `None`, `Literal`, unions,
`tuple[T, ...]`, `tuple[T, U]`, and dataclasses of these; where a field may hold one of several dataclasses,
the JSON object carries its class name under `"kind"`, unless the class says `unnamed: ClassVar[bool] = True`.
"""

import dataclasses
import functools
import hashlib
import json
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, Union

from tfxfer.errors import ConfigError, choices, suggest

_PLURALS = {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts"}
_PATH_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Returns the resolved type of each field of dataclass `cls`, in order of declaration."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def check_fields(value: Any) -> list[str]:
    """Returns a sentence for each field of dataclass `value` that is not of its declared type."""
    problems = []
    for name, kind in field_types(type(value)).items():
        given = getattr(value, name)
        if not _matches(given, kind):
            problems.append(f"{name}={given!r} is not {describe(kind)}")
    return problems


def refuse(value: Any, problems: Sequence[str]) -> None:
    """Raises ConfigError with all problems of dataclass `value`, if there are any."""
    if problems:
        text = "; ".join(problems)
        raise ConfigError(f"{type(value).__name__}: {text}{'' if text.endswith('?') else '.'}")


def to_json(value: Any, kind: Any = Any) -> Any:
    """Returns `value`, declared as `kind`, as JSON types: dataclasses become objects, tuples lists."""
    if dataclasses.is_dataclass(value):
        kinds = field_types(type(value))
        fields = {name: to_json(getattr(value, name), kinds[name]) for name in kinds}
        several = sum(dataclasses.is_dataclass(option) for option in _options(kind)) > 1
        return {"kind": type(value).__name__, **fields} if several and not _is_unnamed(type(value)) else fields
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def from_json(cls: type, data: Any, where: str = "") -> Any:
    """Returns the `cls` that `to_json` wrote as `data`.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a missing one, or a value of another type.
    """
    return _convert(data, cls, where or cls.__name__)


def digest(value: Any) -> str:
    """Returns the first 16 hex digits of the SHA-256 of the JSON of `value`."""
    text = json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_text(text: str, kind: Any, where: str) -> Any:
    """Returns what `text` means as a value of type `kind`; `where` names it in errors.

    Alternatives of a union are tried from the narrowest: a literal or `None` first, `str` last.

    Raises:
        ConfigError: `text` means no value of that type.
    """
    for option in sorted(_options(kind), key=_width):
        found, value = _read(text.strip(), option, where)
        if found:
            return value
    raise ConfigError(f"{where}={text!r} is not {describe(kind)}." + _suggest_literal(text, kind))


@dataclasses.dataclass(frozen=True)
class Change:
    """A field that is to hold another value.

    Attributes:
        path: such as `stages[1].epochs`.
        text: the value, read by the declared type of the field.
        typed: what the user typed, for errors.
    """

    path: str
    text: str
    typed: str

    @functools.cached_property
    def steps(self) -> tuple[str | int, ...]:
        """Names and indices that lead to the field."""
        steps, position = [], 0
        while position < len(self.path) or not steps:
            match = _PATH_STEP.match(self.path, position)
            if not match:
                raise self.error(f"{self.path!r} is no path to a field. Write it like stages[0].epochs.")
            steps.append(match[1] if match[1] else int(match[2]))
            position = match.end()
        return tuple(steps)

    def error(self, message: str) -> ConfigError:
        """Returns the error that names what the user typed."""
        return ConfigError(f"{self.typed}: {message}")


def replace(value: Any, changes: Sequence[Change]) -> Any:
    """Returns a copy of dataclass `value` with all of `changes`, the later of two to one field.

    Each dataclass is made anew once, with all its changes: fields that exclude each other can change places.

    Raises:
        ConfigError: no such field (with the nearest one and the list), no such index, a text of another type,
            or values that do not go together.
    """
    return _replace(value, type(value), [(change.steps, change) for change in changes], "")


def describe(kind: Any) -> str:
    """Returns the type in words: `a whole number`, `one of 'a', 'b'`, …"""
    options = _options(kind)
    if len(options) > 1:
        return " or ".join(describe(option) for option in options)
    origin = typing.get_origin(kind)
    if origin is Literal:
        names = ", ".join(repr(name) for name in typing.get_args(kind))
        return names if len(typing.get_args(kind)) == 1 else f"one of {names}"
    if origin is tuple:
        items = [describe(argument) for argument in typing.get_args(kind) if argument is not Ellipsis]
        if Ellipsis not in typing.get_args(kind):
            return f"a list of {len(items)} ({', '.join(items)})"
        return f"a list of {_PLURALS.get(items[0], items[0])}"
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        type(None): "none",
    }
    return names.get(kind) or f"{kind.__name__}(…)"


def _options(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, types.UnionType) else (kind,)


def _width(kind: Any) -> int:
    order = {type(None): 0, Literal: 1, bool: 2, int: 3, float: 4, tuple: 6, str: 9}
    return order.get(typing.get_origin(kind) or kind, 5)


def _matches(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    if len(_options(kind)) > 1:
        return any(_matches(value, option) for option in _options(kind))
    origin = typing.get_origin(kind)
    if origin is Literal:
        return any(value == name and type(value) is type(name) for name in typing.get_args(kind))
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        inner = typing.get_args(kind)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return all(_matches(item, inner[0]) for item in value)
        return len(value) == len(inner) and all(map(_matches, value, inner))
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _read(text: str, kind: Any, where: str) -> tuple[bool, Any]:
    """Returns whether `text` means a value of the single type `kind`, and that value."""
    origin = typing.get_origin(kind)
    if kind is type(None):
        return text.lower() == "none", None
    if origin is Literal:
        return text in typing.get_args(kind), text
    if kind is bool:
        return text.lower() in ("true", "false"), text.lower() == "true"
    if kind in (int, float):
        try:
            return True, kind(text)
        except ValueError:
            return False, None
    if kind is str:
        return True, text
    if origin is tuple:
        inner = typing.get_args(kind)
        if any(dataclasses.is_dataclass(item) for item in inner):
            return False, None
        parts = [part for part in text.strip("()[]").split(",") if part.strip()]
        kinds = [inner[0]] * len(parts) if inner[-1] is Ellipsis else inner
        if len(kinds) != len(parts):
            return False, None
        return True, tuple(parse_text(part, item, where) for part, item in zip(parts, kinds, strict=True))
    if dataclasses.is_dataclass(kind):
        return (
            text.lower() == kind.__name__.lower(),
            kind() if text.lower() == kind.__name__.lower() else None,
        )
    return False, None


def _suggest_literal(text: str, kind: Any) -> str:
    names = [n for o in _options(kind) if typing.get_origin(o) is Literal for n in typing.get_args(o)]
    names += [o.__name__ for o in _options(kind) if dataclasses.is_dataclass(o)]
    return suggest(text, [str(name) for name in names])


def _convert(data: Any, kind: Any, where: str) -> Any:
    if kind is Any:
        return data
    options = _options(kind)
    if isinstance(data, dict):
        classes = {o.__name__: o for o in options if dataclasses.is_dataclass(o)}
        if classes:
            without_kind = [cls for cls in classes.values() if len(classes) == 1 or _is_unnamed(cls)]
            named = "kind" in data and len(classes) > 1
            cls = classes.get(data.get("kind"), without_kind[0] if without_kind and not named else None)
            if cls is None:
                raise ConfigError(f"{where} has kind={data.get('kind')!r}, expected one of {sorted(classes)}.")
            return _convert_object(data, cls, where)
    if isinstance(data, list):
        for option in options:
            if typing.get_origin(option) is tuple:
                inner = typing.get_args(option)
                kinds = [inner[0]] * len(data) if inner[-1] is Ellipsis else inner
                if len(kinds) == len(data):
                    return tuple(
                        _convert(v, k, f"{where}[{i}]") for i, (v, k) in enumerate(zip(data, kinds, strict=True))
                    )
    for option in options:
        origin = typing.get_origin(option)
        if origin is dict and isinstance(data, dict):
            return data
        if _matches(data, option):
            return data
    raise ConfigError(f"{where}={data!r} is not {describe(kind)}.")


def _is_unnamed(cls: type) -> bool:
    """Whether objects of a class are written without their kind, as they were before there were other classes."""
    return getattr(cls, "unnamed", False)


def _convert_object(data: dict, cls: type, where: str) -> Any:
    known = field_types(cls)
    for key in data:
        if key not in known and key != "kind":
            raise ConfigError(_unknown_field(key, cls, where))
    needed = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
    if missing := sorted(needed - data.keys()):
        raise ConfigError(f"{where} lacks {', '.join(missing)}.")
    return cls(**{k: _convert(v, known[k], f"{where}.{k}") for k, v in data.items() if k in known})


def _replace(value: Any, kind: Any, changes: list[tuple[tuple, Change]], where: str) -> Any:
    """Returns `value`, declared as `kind`, with `changes`, each with the steps that lead on from here."""
    inner: dict[str | int, list[tuple[tuple, Change]]] = {}
    for steps, change in changes:
        if steps:
            inner.setdefault(steps[0], []).append((steps[1:], change))
        else:  # the whole of it: what was said about its fields before is void
            value, inner = _parse_change(change, kind, where), {}
    if not inner:
        return value
    new = {}
    for step, rest in inner.items():
        item, item_kind, place = _field(value, kind, step, where, rest[0][1])
        new[step] = _replace(item, item_kind, rest, place)
    if isinstance(value, tuple):
        return tuple(new.get(index, item) for index, item in enumerate(value))
    try:
        return dataclasses.replace(value, **new)
    except ConfigError as error:
        every = [(steps, change) for rest in inner.values() for steps, change in rest]
        # What lies deeper was checked there.
        typed = [change.typed for steps, change in every if not steps] or [change.typed for _, change in every]
        raise ConfigError(f"{' '.join(typed)}: {error}") from error


def _parse_change(change: Change, kind: Any, where: str) -> Any:
    try:
        return parse_text(change.text, kind, where)
    except ConfigError as error:
        raise change.error(str(error)) from error


def _field(value: Any, kind: Any, step: str | int, where: str, change: Change) -> tuple[Any, Any, str]:
    """Returns what stands at `step` of `value`, its declared type and its place in words."""
    if isinstance(step, int):
        if not isinstance(value, tuple):
            raise change.error(
                f"{where} is {value!r} and has no item [{step}]. Give it as a list in a config file first."
            )
        if step >= len(value):
            raise change.error(f"{where} has no item [{step}]: it has {len(value)}, counted from 0.")
        kinds = next(typing.get_args(option) for option in _options(kind) if typing.get_origin(option) is tuple)
        return value[step], kinds[0] if kinds[-1] is Ellipsis else kinds[step], f"{where}[{step}]"
    if isinstance(value, tuple):
        raise change.error(f"{where} is a list. Write {where}[0].{step} for its first item.")
    if not dataclasses.is_dataclass(value):
        raise change.error(f"{where} is {value!r} and has no field {step!r}.")
    known = field_types(type(value))
    if step not in known:
        raise change.error(_unknown_field(step, type(value), where))
    return getattr(value, step), known[step], f"{where}.{step}".lstrip(".")


def _unknown_field(name: str, cls: type, where: str) -> str:
    known = list(field_types(cls))
    place = f"{where}.{name}".lstrip(".")
    return f"{place} does not exist.{choices(name, known, f'{cls.__name__} has:')}"

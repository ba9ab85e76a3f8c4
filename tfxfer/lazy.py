"""Public names that load their module when they are first used, so that importing a package costs nothing."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def attributes(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a package whose names live in other modules.

    Args:
        package: its `__name__`.
        homes: for each public name, the module that has it; a module itself is named `module:`.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        return (
            importlib.import_module(home[:-1]) if home.endswith(":") else getattr(importlib.import_module(home), name)
        )

    return get, lambda: sorted(homes)

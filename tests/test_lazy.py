"""Public names load their module at first use, and every one of them is where it is said to be."""

import ast
import pathlib
import sys

import pytest

import tfxfer
from tfxfer import activations, advice, backbones, comparison, lazy

ROOT = pathlib.Path(tfxfer.__file__).parent
HOMES = [("tfxfer", name, home) for name, home in tfxfer._HOMES.items()]
HOMES += [("tfxfer.backbones", name, home) for name, home in backbones._HOMES.items()]
HOMES += [("tfxfer.advice", name, home) for name, home in advice._HOMES.items()]
HOMES += [("tfxfer.comparison", name, home) for name, home in comparison._HOMES.items()]
HOMES += [("tfxfer.activations", name, home) for name, home in activations._HOMES.items()]


def test_a_name_is_loaded_at_its_first_use_and_not_before(tmp_path, monkeypatch):
    (tmp_path / "late_module.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    get, listed = lazy.attributes("package", {"answer": "late_module", "late_module": "late_module:"})
    assert listed() == ["answer", "late_module"]
    assert "late_module" not in sys.modules
    assert get("answer") == 42
    assert get("late_module") is sys.modules.pop("late_module")


def test_an_unknown_name_is_an_attribute_error():
    get, _ = lazy.attributes("package", {})
    with pytest.raises(AttributeError, match="module 'package' has no attribute 'other'"):
        get("other")
    with pytest.raises(AttributeError, match="module 'tfxfer' has no attribute 'rum'"):
        tfxfer.rum  # noqa: B018


@pytest.mark.parametrize(("package", "name", "home"), HOMES, ids=lambda value: value)
def test_every_public_name_is_where_it_is_said_to_be(package, name, home):
    """Read, not imported: several of these modules load TensorFlow."""
    place = ROOT.joinpath(*home.removesuffix(":").split(".")[1:])
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    if home.endswith(":"):
        assert home.removesuffix(":").split(".")[-1] == name
        return
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    # A package gives the names of its modules on.
    defined |= {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    defined |= {key for given, key, _ in HOMES if given == home}
    assert name in defined


def test_no_module_bears_the_name_of_a_public_function():
    """`import tfxfer.run` would hide `tfxfer.run`."""
    modules = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}
    assert modules & {name for name, home in tfxfer._HOMES.items() if not home.endswith(":")} == set()


def test_all_public_names_are_listed():
    assert tfxfer.__all__ == dir(tfxfer) == sorted(tfxfer._HOMES)

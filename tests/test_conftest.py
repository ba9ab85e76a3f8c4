"""The order in which files of tests are handed out."""

import pathlib
import types

import conftest

HERE = pathlib.Path(__file__).resolve().parent


def test_the_longest_files_come_first_and_are_there():
    paths = [HERE / "test_values.py", HERE / conftest.LONGEST[1], HERE / "a.py", HERE / conftest.LONGEST[0]]
    items = [types.SimpleNamespace(path=path) for path in paths]
    conftest.pytest_collection_modifyitems(items)
    assert [item.path for item in items] == [paths[3], paths[1], paths[0], paths[2]]
    assert [name for name in conftest.LONGEST if not (HERE / name).is_file()] == []

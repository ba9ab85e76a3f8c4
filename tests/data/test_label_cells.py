"""Columns of labels of any task: what they become, and each slip with its row and what to write instead."""

import pathlib

import numpy as np
import pytest

from tfxfer.data import conversion, manifest
from tfxfer.errors import DataError
from tfxfer.recipes import Data


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find(content: str, **asked):
    pathlib.Path("t.csv").write_text(content)
    recipe = Data(source="csv:t.csv", **asked)
    return conversion.as_asked(manifest.find_csv("t.csv", recipe), recipe)


def refusal(content: str, **asked) -> str:
    with pytest.raises(DataError) as caught:
        find(content, **asked)
    return str(caught.value)


SETS = {"label_separator": "|"}
FLAGS = {"label_column": "cat,dog"}
NUMBERS = {"label_column": "age", "task": "regression"}


def test_cells_with_a_separator_are_sets_of_labels():
    found = find("image,label\na,dog|cat\nb, cat \nc,\nd,dog | cat|\ne,fox\n", **SETS)
    assert (found.kind, found.class_names) == ("multi_label", ("cat", "dog", "fox"))
    assert found.labels.dtype == np.uint8
    assert found.labels.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_a_separator_may_be_a_blank():
    assert find("image,label\na,cat dog\nb,dog\n", label_separator=" ").labels.tolist() == [[1, 1], [0, 1]]


def test_columns_of_0_and_1_are_labels_in_the_order_asked_for():
    found = find("image,cat,dog\na,1,0\nb,0.0,TRUE\nc,0,0\n", label_column="dog,cat")
    assert (found.kind, found.class_names) == ("multi_label", ("dog", "cat"))
    assert found.labels.tolist() == [[0, 1], [1, 0], [0, 0]]


def test_columns_of_numbers_are_targets():
    found = find("image,x,y\na,1,-2.5\nb,3e1,.5\n", label_column="x,y", task="regression")
    assert (found.kind, found.class_names) == ("regression", ("x", "y"))
    assert found.labels.dtype == np.float32
    assert found.labels.tolist() == [[1, -2.5], [30, 0.5]]


def test_one_target_is_in_the_column_of_labels():
    found = find("image,label\na,1\nb,2\n", task="regression")
    assert (found.class_names, found.labels.tolist()) == (("label",), [[1], [2]])


def test_numbers_are_classes_in_their_order_also_halves():
    found = find("image,label\na,10\nb,9\nc,2.5\n", task="ordinal")
    assert (found.kind, found.class_names) == ("ordinal", ("2.5", "9", "10"))
    assert found.labels.tolist() == [2, 1, 0]


def test_words_are_classes_in_the_order_that_is_said():
    found = find("image,label\na,good\nb,bad\nc,fair\n", task="ordinal", class_order=("bad", "fair", "good"))
    assert (found.class_names, found.labels.tolist()) == (("bad", "fair", "good"), [2, 0, 1])


def test_parquet_columns_of_truth_and_of_floats_are_read_too():
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"image": ["a", "b"], "cat": [True, False], "dog": [0, 1], "age": [1.5, 30.25]}
    parquet.write_table(pyarrow.table(columns), "t.parquet")
    found = manifest.find_parquet("t.parquet", Data(source="parquet:t.parquet", **FLAGS))
    assert found.labels.tolist() == [[1, 0], [0, 1]]
    found = manifest.find_parquet("t.parquet", Data(source="parquet:t.parquet", **NUMBERS))
    assert found.labels.tolist() == [[1.5], [30.25]]


@pytest.mark.parametrize(
    ("content", "asked", "message"),
    [
        ("image,label\na,cat\nb,dog\n", SETS, "label_separator='|' is in none of the cells, such as 'cat'"),
        ("image,label\na,|\nb,\n", SETS, "no row has a label. Write them, such as cat|dog"),
        ("image,label\na,cat|Cat\nb,dog\n", SETS, "labels differ by case or blanks only"),
        (
            "image,label\na,cat|dog\na,dog\n",
            SETS,
            "a is 'dog' here and 'cat|dog' in row 2. Write all labels of an image",
        ),
        ("image,cat,dog\na,1,0\nb,2,0\n", FLAGS, "row 3: column cat: '2' is neither 0 nor 1. Write one of them"),
        ("image,cat,dog\na,1,0\nb,1,\n", FLAGS, "row 3: column dog: the cell is empty. Write 0 or 1"),
        ("image,cat\na,1\n", FLAGS, "t.csv has no column 'dog'"),
        (
            "image,age\na,1\nb,nan\n",
            NUMBERS,
            "row 3: column age: nan is no finite number. Write one, or remove the row",
        ),
        ("image,age\na,1\nb,-inf\n", NUMBERS, "row 3: column age: -inf is no finite number"),
        ("image,age\na,1\nb,old\n", NUMBERS, "row 3: column age: 'old' is no number. Write one, such as 3.5"),
        ('image,age\na,1\nb,"3,5"\n', NUMBERS, "'3,5' is no number. Write one with a point, such as 3.5"),
        ("image,age\na,1\nb,1e39\n", NUMBERS, "row 3: column age: 1e39 is beyond float32"),
        ("image,age\na,1\nb,\n", NUMBERS, "row 3: column age: the cell is empty. Write a number, or remove the row"),
        ("image,age\na,1\na,2\n", NUMBERS, "a is 2 here and 1 in row 2. Keep one row for each image"),
        ("image,label\na,0.5\nb,0.25\n", {}, "To learn the numbers themselves, write --task=regression."),
        (
            "image,label\na,good\nb,bad\n",
            {"task": "ordinal"},
            "Say the order: --config.data.class_order=<lowest>,…,<highest>",
        ),
        ("image,label\na,1\nb,1.0\n", {"task": "ordinal"}, "classes that are one number: 1 and 1.0"),
        (
            "image,label\na,good\nb,bed\n",
            {"task": "ordinal", "class_order": ("bad", "good")},
            "has besides bed, and lacks bad. Did you mean 'bad'?",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_row(content, asked, message):
    assert message in refusal(content, **asked)


def test_all_rows_are_told_at_once():
    said = refusal("image,age\na,x\nb,2\nc,\nd,inf\n", **NUMBERS)
    assert said.startswith("t.csv has 3 rows that cannot be used:")
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:]] == ["row 2", "row 4", "row 5"]


def test_a_folder_of_numbers_is_regression_too_and_no_source_of_several_labels(colours, tmp_path):
    from tfxfer.data import folder

    for number, name in enumerate(("blue", "green", "red")):
        (tmp_path / f"{number}.5").symlink_to(colours / name)
    found = folder.find(str(tmp_path))
    asked = Data(source=f"folder:{tmp_path}", task="regression")
    assert sorted(set(conversion.as_asked(found, asked).labels[:, 0].tolist())) == [0.5, 1.5, 2.5]
    with pytest.raises(DataError, match=r"task=regression, and folder:.* has 'blue', which is no finite number"):
        conversion.as_asked(folder.find(str(colours)), asked)
    with pytest.raises(DataError, match=r"task=multi_label, and each image of folder:.* is of one class"):
        conversion.as_asked(found, Data(task="multi_label"))

"""Labels and pictures in Parquet files; pyarrow comes with tensorflow_datasets."""

import concurrent.futures
import pathlib
import sys
import time

import pytest

from tfxfer import data
from tfxfer.data import images, manifest, parquet
from tfxfer.errors import ConfigError, DataError
from tfxfer.framing import Framing
from tfxfer.recipes import Data
from tfxfer.testing.pictures import write_colours

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")


def find(columns: dict, *, rows_together: int = 1024, **asked):
    from pyarrow import parquet as files

    files.write_table(pyarrow.table(columns), "labels.parquet", row_group_size=rows_together)
    return manifest.find_parquet("labels.parquet", Data(source="parquet:labels.parquet", **asked))


def refusal(columns: dict, **asked) -> str:
    with pytest.raises(DataError) as caught:
        find(columns, **asked)
    return str(caught.value)


@pytest.fixture
def paths(tmp_path, monkeypatch) -> list[pathlib.Path]:
    """Six pictures of each of three colours."""
    monkeypatch.chdir(tmp_path)
    return sorted(write_colours(pathlib.Path("colours"), each=6, size=8).rglob("*.png"))


def test_paths_labels_splits_and_groups(paths):
    found = find(
        {"path": ["b.jpg", "a.jpg"], "Class": ["dog", "cat"], "split": ["val", "train"], "group": [7, 9], "x": [1, 2]}
    )
    assert (found.source, found.class_names, found.labels.tolist()) == (
        "parquet:labels.parquet",
        ("cat", "dog"),
        [1, 0],
    )
    assert (found.splits.tolist(), found.groups.names) == ([1, 0], ["7", "9"])
    assert [found.pictures.name(index) for index in range(2)] == ["b.jpg, row 1", "a.jpg, row 2"]


@pytest.mark.parametrize(
    "column",
    [
        lambda contents: pyarrow.array(contents, pyarrow.binary()),
        lambda contents: pyarrow.array(contents, pyarrow.large_binary()),
        lambda contents: pyarrow.array([{"bytes": content, "path": "a.png"} for content in contents]),
    ],
    ids=["binary", "large binary", "bytes in a structure, as Hugging Face writes"],
)
def test_pictures_in_the_file_are_those_of_the_folder(paths, column):
    labels = pyarrow.array([path.parent.name for path in paths]).dictionary_encode()
    found = find({"image": column([path.read_bytes() for path in paths]), "label": labels}, rows_together=4)
    assert found.pictures.name(17) == "row 18"
    assert [found.pictures.content(index) for index in (17, 0, 5, 4)] == [paths[i].read_bytes() for i in (17, 0, 5, 4)]
    one = data.open_data(Data(source="parquet:labels.parquet"), seed=0)
    assert one.facts.fingerprint == data.open_data(Data(source="folder:colours"), seed=0).facts.fingerprint
    assert one.pixels(8, Framing()).shape == (18, 8, 8, 3)


def test_pictures_that_the_file_keeps_all_together_are_copied_and_the_plan_says_so(paths, monkeypatch):
    contents = [path.read_bytes() for path in paths]
    cells = [{"bytes": content, "path": None} for content in contents]
    columns = {"image": cells, "image.extra": [b"x" * 99] * 18, "label": [path.parent.name for path in paths]}
    assert find(columns).notes == ()
    monkeypatch.setattr(parquet, "_MOST_TOGETHER", sum(map(len, contents)) // 2)
    assert find(columns, rows_together=3).notes == ()
    found = find(columns)
    assert [found.pictures.content(index) for index in range(18)] == contents
    assert found.pictures.name(17) == "row 18"
    assert found.notes == ("the file keeps too many images together to read one alone: they were copied for this run",)
    cells[3] = None
    find(columns)
    with pytest.raises(DataError, match=r"1 of 18 images cannot be read:\n  row 4: empty file"):
        data.open_data(Data(source="parquet:labels.parquet"), seed=0)


def test_pictures_are_read_by_many_threads_at_once(paths, monkeypatch):
    """Each thread asks for another part of the file, and waits between finding its rows and taking one."""
    found = find({"image": [path.read_bytes() for path in paths], "label": ["a", "b"] * 9}, rows_together=1)
    read = parquet.File.row_group

    def slowly(self, number, heading):
        column = read(self, number, heading)
        time.sleep(0.002 * (number % 3))
        return column

    monkeypatch.setattr(parquet.File, "row_group", slowly)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        contents = list(pool.map(found.pictures.content, list(range(18)) * 5))
    assert contents == [path.read_bytes() for path in paths] * 5


def test_pictures_that_are_damaged_or_not_there_have_their_rows(paths):
    contents = [path.read_bytes() for path in paths]
    contents[3], contents[8] = None, b"<html>"
    find({"image": pyarrow.array(contents, pyarrow.binary()), "label": [path.parent.name for path in paths]})
    with pytest.raises(DataError) as caught:
        data.open_data(Data(source="parquet:labels.parquet"), seed=0)
    assert str(caught.value).splitlines()[:3] == [
        "2 of 18 images cannot be read:", "  row 4: the cell is empty", "  row 9: no picture of a known format",
    ]  # fmt: skip
    assert data.open_data(Data(source="parquet:labels.parquet", on_bad_image="skip"), seed=0).facts.examples == 16


def test_whole_numbers_and_truths_are_names_of_classes(paths):
    assert find({"image": ["a", "b"], "label": [10, 9]}).class_names == ("10", "9")
    assert find({"image": ["a", "b"], "label": [1.0, 2.0]}).class_names == ("1", "2")
    assert find({"image": ["a", "b"], "label": [True, False]}).class_names == ("false", "true")


def test_labels_that_are_no_classes(paths):
    assert "row 2, column label: the labels are numbers such as 0.5" in refusal(
        {"image": ["a", "b"], "label": [1, 0.5]}
    )
    assert refusal({"image": ["a"], "label": [[1, 2]]}) == (
        "the column 'label' of labels.parquet holds list<element: int64>, expected texts or numbers. Name another one."
    )


@pytest.mark.parametrize("nothing", [None, "", float("nan")])
def test_cells_in_which_nothing_stands(paths, nothing):
    said = refusal({"image": ["a", "b"], "label": [nothing, 1.0 if nothing != "" else "x"]})
    assert said == (
        "labels.parquet has a row that cannot be used:\n  row 1: column label: the cell is empty. Write the class, or "
        "remove the row"
    )


def test_columns_that_are_not_there(paths):
    assert refusal({"image": ["a"], "breed": ["pug"]}, label_column="bred") == (
        "labels.parquet has no column 'bred'. Did you mean 'breed'? Columns: 'image', 'breed'."
    )
    for empty in (pyarrow.string(), pyarrow.binary()):
        assert "names no images" in refusal({"image": pyarrow.array([], empty), "label": pyarrow.array([], "int8")})


@pytest.mark.parametrize("content", [b"", b"image,label\na.jpg,cat\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_what_is_no_parquet(paths, content):
    pathlib.Path("labels.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"^labels.parquet cannot be read as Parquet \(.*\)\.$"):
        manifest.find_parquet("labels.parquet", Data(source="parquet:labels.parquet"))


def test_a_file_that_breaks_after_it_was_opened_makes_pictures_unreadable(paths):
    found = find({"image": [path.read_bytes() for path in paths], "label": ["a", "b"] * 9}, rows_together=3)
    whole = bytearray(pathlib.Path("labels.parquet").read_bytes())
    whole[8:1500] = bytes(1492)
    pathlib.Path("labels.parquet").write_bytes(whole)
    with pytest.raises(images.UnreadableImageError):
        found.pictures.look(0)


def test_without_pyarrow_the_answer_is_what_to_type(monkeypatch):
    data.check_source("parquet:labels.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError) as caught:
        data.check_source("parquet:labels.parquet")
    assert str(caught.value) == "parquet: needs pyarrow, which is not installed. Type: pip install 'tfxfer[parquet]'"
    assert "[parquet]" in parquet.INSTALL


def test_weights_of_any_kind_of_number(paths):
    about = {"path": ["b.jpg", "a.jpg"], "label": ["dog", "cat"]}
    assert find(about | {"weight": [2, 1]}).weights.tolist() == [2, 1]
    assert find(about | {"weight": [1e-5, 0.1]}).weights.tolist() == [1e-5, 0.1]
    assert find(about | {"weight": ["3", "0.5"]}).weights.tolist() == [3, 0.5]
    assert "row 2: column weight: the cell is empty." in refusal(about | {"weight": [1.0, float("nan")]})
    assert "row 1: column weight: '-1' is no number above 0." in refusal(about | {"weight": [-1.0, 2.0]})

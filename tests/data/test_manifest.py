"""Labels in a CSV file: which image is of which class, split and group, and what is refused with its row."""

import os
import pathlib
import time

import numpy as np
import pytest

from tfxfer import data
from tfxfer.data import manifest, splits, tables
from tfxfer.errors import ConfigError, DataError
from tfxfer.framing import Framing
from tfxfer.recipes import Data
from tfxfer.testing.pictures import write_colours


@pytest.fixture
def here(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find(content: str | bytes, **asked):
    """Returns what `labels.csv` of this content says."""
    pathlib.Path("labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return manifest.find_csv("labels.csv", Data(source="csv:labels.csv", **asked))


def refusal(content: str | bytes, **asked) -> str:
    with pytest.raises(DataError) as caught:
        find(content, **asked)
    return str(caught.value)


def classes_of(found) -> dict[str, str]:
    return {found.pictures.names[i]: found.class_names[label] for i, label in enumerate(found.labels)}


def test_a_row_is_an_image_and_its_class(here):
    found = find("image,label\nb.jpg,dog\na.jpg,cat\nc.jpg,dog\n")
    assert (found.source, found.class_names, found.splits, found.groups) == (
        "csv:labels.csv",
        ("cat", "dog"),
        None,
        None,
    )
    assert found.labels.dtype == np.int32
    assert found.labels.tolist() == [1, 0, 1]
    assert [found.pictures.name(i) for i in range(3)] == ["b.jpg, row 2", "a.jpg, row 3", "c.jpg, row 4"]


@pytest.mark.parametrize("image", tables.IMAGE_HEADINGS)
@pytest.mark.parametrize("label", manifest.LABEL_HEADINGS)
def test_columns_are_found_by_their_names(here, image, label):
    found = find(f"id;{label.upper()};{image}\n1;cat;a.jpg\n2;dog;b.jpg\n")
    assert classes_of(found) == {"a.jpg": "cat", "b.jpg": "dog"}


def test_columns_of_other_names_are_said(here):
    found = find(
        "photo,breed,label,fold,patient\na.jpg,pug,x,train,p1\nb.jpg,corgi,x,test,p2\n",
        image_column="photo", label_column="Breed", split_column="fold", group_column="patient",
    )  # fmt: skip
    assert classes_of(found) == {"a.jpg": "pug", "b.jpg": "corgi"}
    assert found.splits.tolist() == [splits.TRAIN, splits.TEST]
    assert (found.groups.names, found.groups.by) == (["p1", "p2"], "the column 'patient'")


def test_splits_go_by_any_of_the_names_that_folders_go_by(here):
    names = [*splits.BY_NAME, "Train", "VAL"]
    found = find("image,label,split\n" + "".join(f"{number}.jpg,cat,{name}\n" for number, name in enumerate(names)))
    assert found.splits.tolist() == [*splits.BY_NAME.values(), splits.TRAIN, splits.VALIDATION]
    assert found.splits.dtype == np.int8


def test_splits_and_groups_of_the_table_can_be_left_out(here):
    rows = "image,label,split,group\na.jpg,cat,nonsense,\nb.jpg,dog,,\n"
    found = find(rows, split_column=None, group_column=None)
    assert (found.splits, found.groups) == (None, None)


def test_classes_that_look_like_numbers_stay_texts_in_the_order_of_texts(here):
    found = find("image,label\na.jpg,10\nb.jpg,9\nc.jpg,010\nd.jpg,2.0\n")
    assert found.class_names == ("010", "10", "2.0", "9")
    assert found.labels.tolist() == [1, 3, 0, 2]


def test_blanks_around_cells_do_not_count(here):
    assert classes_of(find("image, label\na.jpg, cat\nb.jpg , dog\n")) == {"a.jpg": "cat", "b.jpg": "dog"}


def test_paths_are_relative_to_the_table(here, monkeypatch, tmp_path_factory):
    write_colours(here / "colours", each=1, size=8)
    (here / "labels.csv").write_text(f"image,label\ncolours/red/000.png,red\n{here}/colours/blue/000.png,blue\n")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    pictures = manifest.find_csv(str(here / "labels.csv"), Data(source="csv:x")).pictures
    looks = [pictures.look(i) for i in range(2)]
    assert [(look.height, look.width) for look in looks] == [(8, 8), (8, 8)]
    assert pictures.draw(0, 5, Framing()).shape == (5, 5, 3)
    assert pictures.content(1) == (here / "colours" / "blue" / "000.png").read_bytes()
    assert pictures.file_name(1) == "000.png"


def listing(folder: pathlib.Path) -> str:
    return "image,label\n" + "".join(f"{path},{path.parent.name}\n" for path in sorted(folder.rglob("*.png")))


def test_a_table_and_a_folder_of_the_same_images_are_the_same_data(here):
    folder = write_colours(pathlib.Path("colours"), each=6, size=8)
    (here / "labels.csv").write_text(listing(folder))
    one = data.open_data(Data(source="csv:labels.csv"), seed=0)
    other = data.open_data(Data(source="folder:colours"), seed=0)
    assert one.facts.fingerprint == other.facts.fingerprint
    assert one.splits.tolist() == other.splits.tolist()


def test_images_that_are_not_there_are_refused_with_their_rows_or_skipped(here):
    folder = write_colours(pathlib.Path("colours"), each=6, size=8)
    (here / "labels.csv").write_text(listing(folder) + "gone.png,red\ncolours,red\n")
    with pytest.raises(DataError) as caught:
        data.open_data(Data(source="csv:labels.csv"), seed=0)
    assert str(caught.value) == (
        "2 of 20 images cannot be read:\n  gone.png, row 20: cannot be read (No such file or directory)\n  colours, "
        "row 21: a folder\nRemove or replace them, or leave them out with --on_bad_image=skip."
    )
    facts = data.open_data(Data(source="csv:labels.csv", on_bad_image="skip"), seed=0).facts
    assert (facts.examples, [bad.name for bad in facts.skipped]) == (18, ["gone.png, row 20", "colours, row 21"])


def test_copies_in_two_splits_of_a_table_are_named_with_their_rows(here):
    folder = write_colours(pathlib.Path("colours"), each=6, size=8)
    rows = listing(folder).replace("label\n", "label,split\n").replace("\n", ",train\n").replace("split,train", "split")
    (here / "labels.csv").write_text(rows + "colours/red/000.png,red,test\n")
    with pytest.raises(
        DataError, match=r"colours/red/000.png, row 14 \(train\) = colours/red/000.png, row 20 \(test\)"
    ):
        data.open_data(Data(source="csv:labels.csv"), seed=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "image,lable\na.jpg,cat\n",
            "labels.csv has the columns 'image', 'lable', none of them called label, class, class_name or category. "
            "Say which holds the labels: --label_column=lable.",
        ),
        (
            "photo,label\na.jpg,cat\n",
            "labels.csv has the columns 'photo', 'label', none of them called image, path, file or filename. Say which "
            "holds the paths: --image_column=photo.",
        ),
        (
            "image,label,class\na.jpg,1,cat\n",
            "labels.csv has the columns 'label', 'class', and each may hold the labels. Say which: "
            "--label_column=label.",
        ),
        ("image,label,label\na.jpg,cat,cat\n", "labels.csv has 2 columns called 'label'. Rename all but one."),
        (
            "a.jpg,cat\nb.jpg,dog\n",
            "the first line of labels.csv is an image, 'a.jpg', where its heading should be. Write a line image,label "
            "above it.",
        ),
        ("image,label\n", "labels.csv names no images: it has headings and no rows."),
        ("", "labels.csv is empty. Its first line names the columns: image,label"),
    ],
)
def test_a_table_that_says_no_classes(here, content, message):
    assert refusal(content) == message


def test_all_columns_that_are_not_there_are_told_at_once(here):
    said = refusal("image,breed\na.jpg,pug\n", label_column="bred", split_column="fold", group_column="imag")
    assert said.splitlines() == [
        "labels.csv has no column 'bred'. Did you mean 'breed'? Columns: 'image', 'breed'.",
        "labels.csv has no column 'fold'. Columns: 'image', 'breed'.",
        "labels.csv has no column 'imag'. Did you mean 'image'? Columns: 'image', 'breed'.",
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.jpg,,train,p1", "column label: the cell is empty. Write the class, or remove the row"),
        ("a.jpg,  ,train,p1", "column label: the cell is empty. Write the class, or remove the row"),
        (",cat,train,p1", "column image: the cell is empty. Write the path of the image, or remove the row"),
        ("a.jpg,cat,,p1", "column split: the cell is empty. Write train, validation or test"),
        ("a.jpg,cat,train,", "column group: the cell is empty. Write a name of its own for an image that stands alone"),
        (
            "a.jpg,cat,trian,p1",
            "column split: 'trian' is no split. Did you mean 'train'? Write train, validation or test",
        ),
        (
            "a\0.jpg,cat,train,p1",
            "column image: 'a�.jpg' holds NUL (�), which no name can. Write the table again without it",
        ),
        (
            "a.jpg,c\0t,train,p1",
            "column label: 'c�t' holds NUL (�), which no name can. Write the table again without it",
        ),
        ('a.jpg,"c\nat",train,p1', "column label: 'c\\nat' has several lines. Write the class in one"),
        ("a.jpg,cat,train", "3 cells, and the table has 4 columns. Put quotes around a comma"),
        ("a,b.jpg,cat,train,p1", "5 cells, and the table has 4 columns. Put quotes around a comma"),
    ],
)
def test_a_row_that_cannot_be_used(here, row, problem):
    said = refusal(f"image,label,split,group\nb.jpg,dog,test,p2\n{row}\n")
    assert said == f"labels.csv has a row that cannot be used:\n  row 3: {problem}"


def test_all_rows_that_cannot_be_used_are_counted(here):
    said = refusal("image,label\n" + "a.jpg,\n" * 12)
    assert said.startswith("labels.csv has 12 rows that cannot be used:\n  row 2: column label: the cell is empty.")
    assert said.endswith("\n  and 2 more")


def test_labels_that_are_no_utf8_are_refused_and_names_of_files_that_are_there_are_not(here):
    (here / os.fsdecode(b"caf\xe9.jpg")).touch()
    assert len(find(b"image,label\ncaf\xe9.jpg,cat\n").pictures) == 1
    said = refusal(b"image,label\ngar\xe7on.jpg,cat\ncaf\xe9.jpg,caf\xe9\n")
    advice = "is no UTF-8. Save the table as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 old.csv > new.csv"
    assert said.splitlines()[1:] == [
        f"  row 2: column image: 'gar\\udce7on.jpg' {advice}",
        f"  row 3: column label: 'caf\\udce9' {advice}",
    ]


def test_labels_that_differ_by_case_or_blanks_only_are_refused_in_both_spellings(here):
    said = refusal("image,label\na.jpg,Cat\nb.jpg,dog\nc.jpg,cat\nd.jpg,guinea  pig\ne.jpg,guinea pig\n")
    assert said == (
        "labels.csv, column label: labels differ by case or blanks only, and would be classes of their own: 'Cat' (row "
        "2) and 'cat' (row 4); 'guinea  pig' (row 5) and 'guinea pig' (row 6). Spell each class in one way; if they "
        "are two, give them names that differ by more."
    )
    assert find("image,label\na.jpg,cat \nb.jpg, cat\nc.jpg,dog\n").class_names == ("cat", "dog")


def test_accents_that_are_stored_in_two_ways_are_shown_apart(here):
    said = refusal("image,label\na.jpg,caf\u00e9\nb.jpg,cafe\u0301\n")
    assert "'café' (row 2) and 'cafe\\u0301' (row 3)" in said


@pytest.mark.parametrize("labels", [("0.5", "0.25"), ("1", "1e-3"), ("-3", "+.5")])
def test_fractions_are_no_classes(here, labels):
    first, second = labels
    at, row = (first, 2) if float(first) % 1 else (second, 3)
    assert refusal(f"image,label\na.jpg,{first}\nb.jpg,{second}\n") == (
        f"labels.csv, row {row}, column label: the labels are numbers such as {at}, expected classes: names or whole "
        f"numbers. Name the column of the classes, --label_column=…, or write a word into them, such as v{at}. To "
        "learn the numbers themselves, write --task=regression."
    )
    assert len(find(f"image,label\na.jpg,{first}\nb.jpg,{second}\nc.jpg,cat\n").class_names) == 3


def test_an_image_with_two_classes_is_refused(here):
    said = refusal("image,label\na.jpg,cat\nb.jpg,dog\na.jpg,dog\na.jpg,cat\n")
    assert said == (
        "labels.csv has a row that cannot be used:\n  row 4: a.jpg is 'dog' here and 'cat' in row 2. An image has one "
        "class: remove one of the rows"
    )


def test_a_class_that_only_the_test_has(here):
    folder = write_colours(pathlib.Path("colours"), each=6, size=8)
    rows = listing(folder).replace("label\n", "label,split\n").replace("\n", ",train\n").replace("split,train", "split")
    rows = "".join(line.replace(",train", ",test") if "red" in line else line for line in rows.splitlines(True))
    (here / "labels.csv").write_text(rows)
    with pytest.raises(DataError, match=r"csv:labels.csv has no image to train on for class red. Add some."):
        data.open_data(Data(source="csv:labels.csv"), seed=0)


def test_a_class_that_the_network_does_not_know(here):
    (here / "labels.csv").write_text("image,label\na.jpg,Dog\n")
    with pytest.raises(DataError, match=r"the network does not know: Dog. Did you mean 'dog'\? It knows: cat, dog."):
        data.open_labelled(Data(source="csv:labels.csv"), ("cat", "dog"))


def test_what_is_no_csv_is_told_where_to_find_its_kind(here):
    (here / "photos").mkdir()
    with pytest.raises(
        DataError, match=r"photos is a folder. Write folder:photos for a folder that has one sub-folder"
    ):
        manifest.find_csv("photos", Data(source="csv:photos"))
    (here / "labels.csv").touch()
    with pytest.raises(DataError, match=r"the folder labels.csv is a file.*Did you mean csv:labels.csv\?"):
        data.open_data(Data(source="folder:labels.csv"), seed=0)
    with pytest.raises(ConfigError, match=r"names no kind of source; write csv:labels.csv for a table"):
        Data(source="labels.csv")
    with pytest.raises(ConfigError, match="label_column='breed' is of csv: and parquet:, and the source is folder:x"):
        Data(source="folder:x", label_column="breed")


def test_a_manifest_of_100_000_rows_opens_in_no_time(here):
    (here / "labels.csv").write_text("image,label\n" + "".join(f"{n}.jpg,class{n % 100}\n" for n in range(100_000)))
    start = time.monotonic()
    found = manifest.find_csv("labels.csv", Data(source="csv:labels.csv"))
    assert (len(found.pictures), len(found.class_names)) == (100_000, 100)
    assert time.monotonic() - start < 10


def test_weights_are_numbers_above_0(here):
    found = find("image,label,weight\na.jpg,cat,1\nb.jpg,dog, 2.5e-3\n")
    assert found.weights.tolist() == [1, 0.0025]
    assert found.weights.dtype == np.float64
    assert find("image,label,importance\na.jpg,cat,3\nb.jpg,dog,1\n").weights is None
    named = find("image,label,importance\na.jpg,cat,3\nb.jpg,dog,1\n", weight_column="Importance")
    assert named.weights.tolist() == [3, 1]
    assert find("image,label,weight\na.jpg,cat,heavy\nb.jpg,dog,\n", weight_column=None).weights is None


@pytest.mark.parametrize("weight", ["heavy", "nan", "inf", "1e999", "-1", "0", "0.0", "1e-999", "1,5", "1_000", "½"])
def test_weights_that_cannot_be_are_named_with_their_rows(here, weight):
    said = refusal(f"image;label;weight\na.jpg;cat;1\nb.jpg;dog;{weight}\n").splitlines()
    assert said == [
        "labels.csv has a row that cannot be used:",
        f"  row 3: column weight: {weight!r} is no number above 0. Write 1 for an example that counts as much as "
        "others do, remove the row of one that is not to count, or leave all weights out: "
        "--config.data.weight_column=none",
    ]


def test_a_weight_that_is_not_there(here):
    assert "row 2: column weight: the cell is empty. Write 1 for an example that counts as much" in refusal(
        "image,label,weight\na.jpg,cat,\n"
    )
    assert refusal("image,label\na.jpg,cat\n", weight_column="weight") == (
        "labels.csv has no column 'weight'. Columns: 'image', 'label'."
    )

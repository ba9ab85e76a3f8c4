"""What belongs together never stands in two splits: groups of a column, and groups that names of files tell."""

import pathlib

import numpy as np
import pytest

from tfxfer import data
from tfxfer.data import groups, manifest, splits
from tfxfer.data.pictures import Arrays
from tfxfer.errors import ConfigError, DataError
from tfxfer.recipes import Data
from tfxfer.testing.pictures import write_colours


def assign(members, labels, *, keys=None, seed=0, validation_fraction=0.1, test_fraction=0.2):
    labels = np.asarray(labels)
    names = [f"class{label}" for label in range(labels.max() + 1)]
    keys = keys or [f"picture {number}" for number in range(len(labels))]
    return splits.assign(
        keys, labels, names, seed=seed, validation_fraction=validation_fraction, test_fraction=test_fraction,
        groups=members,
    )  # fmt: skip


def splits_of(members, decided) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for group, split in zip(members, decided.tolist(), strict=True):
        found.setdefault(group, set()).add(split)
    return found


def test_a_group_stands_in_one_split_whatever_the_seed():
    members = [f"group {number % 30}" for number in range(300)]
    labels = np.arange(300) // 100  # every group in every class
    for seed in range(20):
        decided = assign(members, labels, seed=seed)
        assert all(len(each) == 1 for each in splits_of(members, decided).values())
        for label in range(3):
            assert np.bincount(decided[labels == label], minlength=3).min() > 0


def test_without_groups_they_would_be_torn():
    members = [f"group {number % 30}" for number in range(300)]
    assert any(len(each) > 1 for each in splits_of(members, assign(None, np.arange(300) // 100)).values())


def test_shares_are_met_to_one_group():
    """Of each class 100 examples in 20 groups of 5: 4 groups for the test, 2 for validation."""
    labels = np.repeat([0, 1], 100)
    decided = assign([f"{label}-{number // 5}" for number, label in enumerate(labels)], labels)
    for label in (0, 1):
        assert np.bincount(decided[labels == label]).tolist() == [70, 10, 20]


def test_what_is_added_to_a_class_moves_no_group_of_another():
    labels = np.repeat([0, 1], 100)
    members = [f"{label}-{number // 5}" for number, label in enumerate(labels)]
    decided = assign(members, labels)
    more = assign([*members, "1-new", "1-new", "1-27"], np.append(labels, [1, 1, 1]))
    assert more[:100].tolist() == decided[:100].tolist()


def test_what_is_added_moves_at_most_the_groups_at_the_two_thresholds():
    labels = np.zeros(200, int)
    members = [f"group {number // 5}" for number in range(200)]
    decided = assign(members, labels)
    for number in range(30):
        more = assign([*members, f"new {number}"], np.append(labels, 0))
        moved = {members[index] for index in np.flatnonzero(more[:200] != decided)}
        assert len(moved) <= 2


def test_what_has_no_group_goes_by_its_content():
    keys = [*[f"picture {number}" for number in range(40)], "picture 3"]
    decided = assign([*["one"] * 5, *[None] * 36], np.zeros(41, int), keys=keys)
    assert len(set(decided[:5].tolist())) == 1
    assert decided[40] == assign([None] * 41, np.zeros(41, int), keys=keys)[3]
    alone = assign([None] * 41, np.zeros(41, int), keys=keys)
    assert alone.tolist() == assign(None, np.zeros(41, int), keys=keys).tolist()


def test_a_class_in_too_few_groups_is_named():
    with pytest.raises(DataError) as caught:
        assign([*"aaabbb", *"cdefgh"], [0] * 6 + [1] * 6)
    assert str(caught.value) == (
        "too few different groups to split, at least 3 a class are needed: class0 (2). Add images of other groups, or "
        "remove the class."
    )


def test_groups_in_several_classes_that_leave_a_split_without_a_class_are_refused():
    """Three groups in each of two classes, two of them shared: for some seeds the thresholds of one empty the other."""
    members, labels = [*"aabcc", *"bbccd"], [0] * 5 + [1] * 5
    said = []
    for seed in range(30):
        try:
            decided = assign(members, labels, seed=seed)
        except DataError as error:
            said.append(str(error))
        else:
            for label in (0, 1):
                assert np.bincount(decided[np.array(labels) == label], minlength=3).min() > 0
    assert 0 < len(said) < 30
    for message in said:
        assert "leaves these classes without an example in a split: class" in message
        assert "Take another --seed, add groups, or give a column split of your own." in message


@pytest.fixture
def rows(tmp_path, monkeypatch) -> list[tuple[str, str]]:
    """Twelve pictures of each of three colours: path and class."""
    monkeypatch.chdir(tmp_path)
    folder = write_colours(pathlib.Path("colours"), each=12, size=8)
    return [(str(path), path.parent.name) for path in sorted(folder.rglob("*.png"))]


def write(rows, *more: list, headings="image,label") -> None:
    lines = [",".join([*row, *(column[index] for column in more)]) for index, row in enumerate(rows)]
    pathlib.Path("labels.csv").write_text("\n".join([headings, *lines]))


def test_a_column_of_a_table_makes_groups_and_the_plan_says_so(rows):
    members = [f"p{index // 2}" for index in range(36)]
    write(rows, members, headings="image,label,group")
    opened = data.open_data(Data(source="csv:labels.csv"), seed=3)
    assert opened.facts.split == "by hash of the column 'group', 18 groups, with seed 3, stratified"
    assert all(len(each) == 1 for each in splits_of(members, opened.splits).values())
    assert opened.facts.test_counts == (2, 2, 2)  # of 12 a fifth is 2.4, and groups are of two


def test_copies_across_groups_are_a_leak(rows):
    """As without groups: the other group may fall on the other side."""
    members = [f"p{index}" for index in range(36)]
    write([*rows, *[rows[0]] * 20], [*members, *[f"copy{index}" for index in range(20)]], headings="image,label,group")
    with pytest.raises(DataError, match=r"image\(s\) stand in two splits, .*colours/blue/000.png, row 2 "):
        data.open_data(Data(source="csv:labels.csv"), seed=0)


def test_a_group_in_two_splits_of_the_table_is_refused(rows):
    members = [f"p{index // 2}" for index in range(36)]
    ready = ["train" if index % 12 < 8 else "test" for index in range(36)]
    ready[1] = "test"
    write(rows, members, ready, headings="image,label,group,split")
    with pytest.raises(DataError) as caught:
        data.open_data(Data(source="csv:labels.csv"), seed=0)
    assert str(caught.value) == (
        "1 group(s), by the column 'group', stand in two splits, so the measured accuracy would be too high: 'p0': "
        "colours/blue/000.png, row 2 (train), colours/blue/001.png, row 3 (test). Put each group into one split, or "
        "leave the groups out: --config.data.group_column=none, and no group_by."
    )
    facts = data.open_data(Data(source="csv:labels.csv", group_column=None), seed=0).facts
    assert facts.split == "the source's own; validation taken from train by content hash with seed 0"


def test_what_the_splits_of_a_table_lack_is_taken_by_groups(rows):
    members = [f"p{index // 2}" for index in range(36)]
    write(
        rows,
        members,
        ["train" if index % 12 < 8 else "test" for index in range(36)],
        headings="image,label,group,split",
    )
    opened = data.open_data(Data(source="csv:labels.csv"), seed=0)
    assert opened.facts.split == (
        "the source's own; validation taken from train by hash of the column 'group', 18 groups, with seed 0"
    )
    assert opened.facts.validation_counts == (2, 2, 2)
    assert all(len(each) == 1 for each in splits_of(members, opened.splits).values())


def test_names_of_files_make_groups_in_folders_and_tables(rows):
    """As TF's `_nohash_`: what stands before it is the group, whatever the folder."""
    for path, label in rows:
        number = int(pathlib.Path(path).stem)
        if number < 10:
            pathlib.Path(path).rename(f"colours/{label}/leaf{number // 2}_nohash_{number}.png")
    expression = "(.*)_nohash_"
    opened = data.open_data(Data(source="folder:colours", group_by=expression), seed=0)
    names = [pathlib.Path(opened.pictures.name(index)).name for index in range(36)]
    by_leaf: dict[str, set[int]] = {}
    for name, split in zip(names, opened.splits.tolist(), strict=True):
        if "leaf" in name:
            by_leaf.setdefault(name.partition("_")[0], set()).add(split)
    assert len(by_leaf) == 5
    assert all(len(each) == 1 for each in by_leaf.values())
    assert opened.facts.split == (
        "by hash of what '(.*)_nohash_' finds in names of files, 5 groups, with seed 0, stratified"
    )
    write([(str(path), path.parent.name) for path in sorted(pathlib.Path("colours").rglob("*.png"))])
    listed = data.open_data(Data(source="csv:labels.csv", group_by=expression), seed=0)
    assert listed.facts.fingerprint == opened.facts.fingerprint


def test_an_expression_that_is_found_nowhere_is_refused(rows):
    with pytest.raises(DataError) as caught:
        data.open_data(Data(source="folder:colours", group_by="(.*)_nohash_"), seed=0)
    assert str(caught.value) == (
        "data.group_by='(.*)_nohash_' is found in none of the 36 names of files, such as '000.png'."
    )
    with pytest.raises(DataError, match="looks into names of files, and the images of arrays: have none"):
        groups.by_file_name(Arrays([np.zeros((2, 2, 3), np.uint8)]), "(a)", "arrays:")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"group_by": "(a"},
            "group_by='(a' is no regular expression (missing ), unterminated subpattern at position 0)",
        ),
        ({"group_by": "a"}, "group_by='a' has 0 groups in parentheses and must have one, such as '(.*)_nohash_'"),
        ({"group_by": "(a)(b)"}, "group_by='(a)(b)' has 2 groups in parentheses and must have one"),
        ({"group_by": "(a)", "group_column": "g"}, "group_by and group_column='g' both make groups; give one"),
    ],
)
def test_expressions_that_cannot_be(settings, message):
    with pytest.raises(ConfigError) as caught:
        Data(source="csv:x", **settings)
    assert message in str(caught.value)


def test_an_expression_takes_the_place_of_a_column_that_is_there(rows):
    write(rows, [""] * 36, headings="image,label,group")
    found = manifest.find_csv("labels.csv", Data(source="csv:labels.csv", group_by="(.)"))
    assert found.groups is None

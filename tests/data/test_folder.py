"""Folders as users have them: what is a class, what is a split, what is passed over. Nothing is decoded here."""

import numpy as np
import pytest

from tfxfer.data import folder, images
from tfxfer.errors import DataError


@pytest.fixture
def photos(tmp_path):
    """Makes empty files below a folder: `photos("cat/1.jpg", …)`."""
    root = tmp_path / "photos"
    root.mkdir()

    def make(*paths: str):
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
        return root

    return make


def found_in(root) -> dict[str, str]:
    """Returns the class of each file."""
    found = folder.find(str(root))
    return {found.pictures.name(i): found.class_names[label] for i, label in enumerate(found.labels)}


def refusal(root) -> str:
    with pytest.raises(DataError) as caught:
        folder.find(str(root))
    return str(caught.value)


def test_each_sub_folder_is_a_class_in_the_order_of_the_alphabet(photos):
    found = folder.find(str(photos("dog/1.jpg", "cat/2.png", "cat/1.png")))
    assert found.class_names == ("cat", "dog")
    assert [found.pictures.name(i) for i in range(3)] == ["cat/1.png", "cat/2.png", "dog/1.jpg"]
    assert found.labels.tolist() == [0, 0, 1]
    assert found.labels.dtype == np.int32
    assert found.splits is None


def test_pictures_may_lie_deeper_in_their_class(photos):
    assert found_in(photos("cat/2023/may/1.jpg", "dog/1.jpg")) == {"cat/2023/may/1.jpg": "cat", "dog/1.jpg": "dog"}


def test_hidden_files_and_folders_notes_and_indexes_are_passed_over(photos):
    root = photos(
        *("cat/1.jpg", "cat/.1.jpg", "cat/.thumbs/1.jpg", ".git/objects/1.jpg", "cat/notes.txt", "dog/1.jpg"),
        *("dog/Thumbs.db", "dog/desktop.INI", "dog/labels.csv", "README.md"),
    )
    assert found_in(root) == {"cat/1.jpg": "cat", "dog/1.jpg": "dog"}


def test_every_other_file_is_meant_to_be_a_picture(photos):
    """An unusual ending may be a picture, and a wrong one is to be named, not overlooked."""
    root = photos("cat/1.JPG", "cat/2.jfif", "cat/photo", "dog/1.docx")
    assert set(found_in(root)) == {"cat/1.JPG", "cat/2.jfif", "cat/photo", "dog/1.docx"}


def test_a_class_without_pictures_is_kept_to_be_named_later(photos):
    root = photos("cat/1.jpg", "dog/notes.txt")
    assert folder.find(str(root)).class_names == ("cat", "dog")


def test_a_link_to_a_folder_above_does_not_go_round_in_circles(photos):
    root = photos("cat/1.jpg", "dog/1.jpg")
    (root / "cat" / "again").symlink_to(root, target_is_directory=True)
    assert found_in(root) == {"cat/1.jpg": "cat", "dog/1.jpg": "dog"}


def test_a_class_may_be_a_link_to_a_folder_elsewhere(photos, tmp_path):
    root = photos("cat/1.jpg")
    (tmp_path / "dogs").mkdir()
    (tmp_path / "dogs" / "1.jpg").touch()
    (root / "dog").symlink_to(tmp_path / "dogs", target_is_directory=True)
    assert found_in(root) == {"cat/1.jpg": "cat", "dog/1.jpg": "dog"}


def test_a_home_folder_may_be_written_with_a_tilde(photos, monkeypatch):
    root = photos("cat/1.jpg", "dog/1.jpg")
    monkeypatch.setenv("HOME", str(root.parent))
    assert len(folder.find("~/photos").labels) == 2


def test_a_folder_that_does_not_exist(tmp_path):
    assert refusal(tmp_path / "none") == (
        f"the folder {tmp_path}/none does not exist. Give a folder that has one sub-folder for each class."
    )


def test_a_file_in_place_of_a_folder(photos):
    path = photos("cat/1.jpg") / "cat" / "1.jpg"
    assert refusal(path) == f"the folder {path} is a file. Give a folder that has one sub-folder for each class."


def test_an_empty_folder(photos):
    root = photos()
    assert refusal(root) == (
        f"{root} has no images (.bmp .gif .jpeg .jpg .png .tif .tiff .webp). Make one sub-folder for each class, with "
        "images in it."
    )


def test_classes_without_any_picture(photos):
    root = photos("cat/notes.txt", "dog/notes.txt")
    assert refusal(root).startswith(f"{root} has no images (")


def test_pictures_without_sub_folders(photos):
    root = photos("1.jpg", "2.jpg")
    assert refusal(root) == (
        f"{root} has images but no sub-folders. Put the images of each class into a folder of its name."
    )


@pytest.mark.parametrize(
    "names", [("train", "validation", "test"), ("Training", "val", "testing"), ("TRAIN", "valid", "Test")]
)
def test_ready_splits_are_known_by_any_of_their_names(photos, names):
    root = photos(*(f"{split}/{label}/{number}.jpg" for split in names for label in ("cat", "dog") for number in "12"))
    found = folder.find(str(root))
    assert found.class_names == ("cat", "dog")
    splits = {found.pictures.name(i).split("/")[0]: int(code) for i, code in enumerate(found.splits)}
    assert splits == dict(zip(names, (0, 1, 2), strict=True))
    assert found.splits.dtype == np.int8
    assert len(found.labels) == 12


def test_two_ready_splits_are_enough(photos):
    found = folder.find(str(photos("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/2.jpg", "test/dog/2.jpg")))
    assert sorted(set(found.splits.tolist())) == [0, 2]


def test_the_classes_of_ready_splits_are_those_of_any_split(photos):
    found = folder.find(str(photos("train/cat/1.jpg", "train/dog/1.jpg", "test/dog/2.jpg", "test/fox/2.jpg")))
    assert found.class_names == ("cat", "dog", "fox")
    by_name = {found.pictures.name(i): int(label) for i, label in enumerate(found.labels)}
    assert by_name == {"train/cat/1.jpg": 0, "train/dog/1.jpg": 1, "test/dog/2.jpg": 1, "test/fox/2.jpg": 2}


def test_ready_splits_without_any_picture(photos):
    root = photos("train/cat/notes.txt", "test/cat/notes.txt")
    assert refusal(root).startswith(f"{root} has no images (")


def test_a_class_that_happens_to_be_called_test_is_a_class(photos):
    root = photos("test/1.jpg", "test/deeper/2.jpg", "exam/1.jpg")
    assert found_in(root) == {"exam/1.jpg": "exam", "test/1.jpg": "test", "test/deeper/2.jpg": "test"}


def test_ready_splits_beside_a_folder_of_something_else_are_not_taken_for_classes(photos):
    root = photos("train/cat/1.jpg", "val/cat/2.jpg", "unlabelled/3.jpg")
    assert refusal(root) == (
        f"{root} has the splits train, val, and images in unlabelled beside them. Move these out of the way, or into a "
        "split; if all are classes, rename the former."
    )


def test_classes_called_like_splits_without_folders_in_them_stay_classes(photos):
    root = photos("train/1.jpg", "test/2.jpg", "bus/3.jpg")
    assert set(found_in(root).values()) == {"train", "test", "bus"}


def test_links_that_lead_round_in_circles_are_told_and_not_followed(photos):
    root = photos("cat/1.jpg", "dog/1.jpg")
    (root / "cat" / "loop.jpg").symlink_to("loop.jpg")
    (root / "dog" / "above").symlink_to(root)
    (root / "cow").symlink_to("cow")  # a class that leads to itself is none
    found = folder.find(str(root))
    assert found.class_names == ("cat", "dog")
    names = [found.pictures.name(index) for index in range(len(found.labels))]
    assert names == ["cat/1.jpg", "cat/loop.jpg", "dog/1.jpg"]
    with pytest.raises(images.UnreadableImageError, match=r"cannot be read \(Too many levels of symbolic links\)"):
        found.pictures.content(1)


def test_ready_splits_without_classes_are_not_taken_for_classes(photos):
    root = photos("train/1.jpg", "test/1.jpg")
    assert refusal(root) == (
        f"{root} has the splits test, train, but no folders of classes in them. Put the images of each class into a "
        "folder of its name, such as train/cat/."
    )


def test_files_of_a_folder_for_prediction_come_sorted(photos):
    root = photos("b.jpg", "a/2.jpg", "a/1.jpg", "notes.txt", ".hidden.jpg")
    assert [str(path.relative_to(root)) for path in folder.files_in(root)] == ["b.jpg", "a/1.jpg", "a/2.jpg"]


def test_a_folder_without_pictures_beside_ready_splits_is_passed_over(photos):
    root = photos("train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "val/dog/2.png", "annotations/all.json")
    found = folder.find(str(root))
    assert found.class_names == ("cat", "dog")
    assert found.splits.tolist() == [0, 0, 1, 1]

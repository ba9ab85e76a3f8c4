"""From pictures with labels to examples with splits and facts: what is refused, what is left out, what is counted."""

import dataclasses
import itertools
import pathlib

import numpy as np
import PIL.Image
import pytest

from tfxfer import data, recipes
from tfxfer.data import examples, folder, pictures, splits
from tfxfer.data.examples import Examples
from tfxfer.data.found import Found
from tfxfer.data.pictures import Arrays
from tfxfer.errors import DataError
from tfxfer.framing import Framing

HTML = b"<html>404</html>"


def draw(path: pathlib.Path, seed: int, size=(8, 6)) -> None:
    """Writes a picture of noise; equal seeds and sizes give equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path)


def draw_all(root: pathlib.Path, first_seed: int = 0, **counts: int) -> pathlib.Path:
    """Writes so many different pictures of each class: `draw_all(root, cat=10, dog=10)`."""
    for number, (label, count) in enumerate(counts.items()):
        for index in range(count):
            draw(root / label / f"{index:02}.png", first_seed + 1000 * number + index)
    return root


def settle(found: Found | pathlib.Path, **changes) -> Examples:
    settings = {"on_bad_image": "error", "seed": 0, "validation_fraction": 0.1, "test_fraction": 0.2, **changes}
    return examples.settle(found if isinstance(found, Found) else folder.find(str(found)), **settings)


def refusal(found, **changes) -> str:
    with pytest.raises(DataError) as caught:
        settle(found, **changes)
    return str(caught.value)


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    """Ten cats and ten dogs."""
    return draw_all(tmp_path / "photos", cat=10, dog=10)


def test_the_facts_are_counted_by_class_and_split(photos):
    settled = settle(photos)
    facts = settled.facts
    assert facts.source == f"folder:{photos}"
    assert facts.class_names == ("cat", "dog")
    assert (facts.train_counts, facts.validation_counts, facts.test_counts) == ((7, 7), (1, 1), (2, 2))
    assert (facts.train_examples, facts.examples) == (14, 20)
    assert (facts.height, facts.width, facts.channels) == (8, 6, 3)
    assert facts.split == "by content hash with seed 0, stratified"
    assert facts.skipped == ()


def test_the_positions_of_the_splits_are_disjoint_and_cover_everything(photos):
    settled = settle(photos)
    positions = [settled.indices(split).tolist() for split in (splits.TRAIN, splits.VALIDATION, splits.TEST)]
    assert [len(each) for each in positions] == [14, 2, 4]
    assert sorted(itertools.chain(*positions)) == list(range(20))


def test_the_size_of_a_jpeg_is_its_own_not_the_reduced_one_it_was_checked_at(tmp_path):
    """400×300 pixels decoded at an eighth have 50×38, which would make the plan see small pictures."""
    for label in ("cat", "dog"):
        for number in range(3):
            (tmp_path / label).mkdir(exist_ok=True)
            image = PIL.Image.new("RGB", (400, 300), (80 * number, 255 if label == "cat" else 0, 0))
            image.save(tmp_path / label / f"{number}.jpg")
    facts = settle(tmp_path).facts
    assert (facts.height, facts.width) == (300, 400)


def test_the_median_size_is_told_of_pictures_of_many_sizes(tmp_path):
    for number, size in enumerate([(10, 20), (30, 20), (500, 20)] * 2):
        draw(tmp_path / ("cat" if number < 3 else "dog") / f"{number}.png", number, size)
    facts = settle(tmp_path).facts
    assert (facts.height, facts.width) == (30, 20)


def test_moving_and_renaming_files_changes_neither_splits_nor_fingerprint(photos, tmp_path):
    moved = tmp_path / "moved"
    for number, path in enumerate(sorted(photos.rglob("*.png"), key=lambda path: path.read_bytes())):
        (moved / path.parent.name / "deeper").mkdir(parents=True, exist_ok=True)
        (moved / path.parent.name / "deeper" / f"{number}.png").write_bytes(path.read_bytes())
    one, other = settle(photos), settle(moved)
    assert one.facts.fingerprint == other.facts.fingerprint

    def by_content(settled):
        return {settled.pictures.look(i).key: int(split) for i, split in enumerate(settled.splits)}

    assert by_content(one) == by_content(other)


def test_the_fingerprint_sees_contents_labels_and_splits(photos):
    before = settle(photos).facts.fingerprint
    assert settle(photos, seed=1).facts.fingerprint != before
    (photos / "cat" / "00.png").rename(photos / "dog" / "was_a_cat.png")
    relabelled = settle(photos).facts.fingerprint
    assert relabelled != before
    draw(photos / "dog" / "was_a_cat.png", 77)
    assert settle(photos).facts.fingerprint not in (before, relabelled)


@pytest.mark.parametrize("content", [HTML, b"", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_is_named_with_its_reason_and_what_to_do(photos, content):
    (photos / "cat" / "bad.jpg").write_bytes(content)
    (photos / "dog" / "cut.png").write_bytes((photos / "dog" / "00.png").read_bytes()[:80])
    first, cat, dog, advice = refusal(photos).splitlines()
    assert first == "2 of 22 images cannot be read:"
    assert cat.startswith("  cat/bad.jpg: ")
    assert cat.endswith({HTML: "no picture of a known format", b"": "empty file"}.get(content, ""))
    assert dog.startswith("  dog/cut.png: cannot be decoded (")
    assert advice == "Remove or replace them, or leave them out with --on_bad_image=skip."
    assert DataError.exit_code == 1


def test_a_long_list_of_unreadable_images_is_cut_short(photos):
    for number in range(13):
        (photos / "cat" / f"bad{number:02}.jpg").write_bytes(HTML)
    lines = refusal(photos).splitlines()
    assert lines[0] == "13 of 33 images cannot be read:"
    assert lines[10] == "  cat/bad09.jpg: no picture of a known format"
    assert lines[11] == "  and 3 more"


def test_a_link_to_nothing_is_an_unreadable_image(photos):
    (photos / "cat" / "gone.png").symlink_to(photos / "nowhere.png")
    assert "  cat/gone.png: cannot be read (No such file or directory)" in refusal(photos)


def test_skipped_images_are_left_out_and_listed(photos):
    whole = settle(photos)
    (photos / "cat" / "05bad.jpg").write_bytes(HTML)
    (photos / "dog" / "empty.png").write_bytes(b"")
    settled = settle(photos, on_bad_image="skip")
    assert [(bad.name, bad.reason) for bad in settled.facts.skipped] == [
        ("cat/05bad.jpg", "no picture of a known format"),
        ("dog/empty.png", "empty file"),
    ]
    assert settled.facts.examples == len(settled.pictures) == len(settled.labels) == 20
    assert "cat/05bad.jpg" not in [settled.pictures.name(i) for i in range(20)]
    assert dataclasses.replace(settled.facts, skipped=()) == whole.facts
    np.testing.assert_array_equal(settled.pixels(8, Framing()), whole.pixels(8, Framing()))


def test_a_class_that_skipping_leaves_empty(photos):
    for number in range(2):
        (photos / "fox").mkdir(exist_ok=True)
        (photos / "fox" / f"{number}.jpg").write_bytes(HTML)
    assert refusal(photos, on_bad_image="skip") == (
        f"folder:{photos} has no image of class fox after 2 unreadable image(s) were left out. Remove the class."
    )


def test_nothing_is_left_when_all_are_skipped(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(HTML)
    said = refusal(tmp_path, on_bad_image="skip")
    assert said == f"folder:{tmp_path} has no images after 1 unreadable image(s) were left out."


def test_an_empty_class_is_named(photos):
    (photos / "fox").mkdir()
    assert refusal(photos) == f"folder:{photos} has no image of class fox. Remove the class."


def test_one_class_only(tmp_path):
    draw_all(tmp_path, cat=5)
    assert refusal(tmp_path) == (
        f"folder:{tmp_path} has one class only, 'cat': there is nothing to tell apart. Make one folder for each class, "
        "or write the class of each image into the column of labels."
    )


def test_a_class_too_small_to_split(tmp_path):
    draw_all(tmp_path, cat=5, dog=2)
    assert refusal(tmp_path) == (
        "too few different images to split, at least 3 a class are needed: dog (2). Add images, or remove the class."
    )


def ready(root: pathlib.Path, **splits_) -> pathlib.Path:
    """Writes pictures of cats and dogs into ready splits: `ready(root, train=5, test=2)`, all different."""
    for number, (split, count) in enumerate(splits_.items()):
        draw_all(root / split, 100 * number, cat=count, dog=count)
    return root


def test_ready_splits_are_kept(tmp_path):
    facts = settle(ready(tmp_path, train=5, validation=2, test=3)).facts
    assert (facts.train_counts, facts.validation_counts, facts.test_counts) == ((5, 5), (2, 2), (3, 3))
    assert facts.split == "the source's own"


def test_what_ready_splits_lack_is_taken_from_training_and_the_test_stays_whole(tmp_path):
    settled = settle(ready(tmp_path, train=20, test=3))
    facts = settled.facts
    assert (facts.train_counts, facts.validation_counts, facts.test_counts) == ((18, 18), (2, 2), (3, 3))
    assert facts.split == "the source's own; validation taken from train by content hash with seed 0"
    tested = {settled.pictures.name(i) for i in settled.indices(splits.TEST)}
    assert all(name.startswith("test/") for name in tested)


def test_training_and_validation_without_a_test(tmp_path):
    facts = settle(ready(tmp_path, train=10, val=3)).facts
    assert (facts.train_counts, facts.validation_counts, facts.test_counts) == ((8, 8), (3, 3), (2, 2))


@pytest.mark.parametrize("others", [{"test": 3}, {"test": 3, "validation": 3}])
def test_ready_splits_without_training(tmp_path, others):
    said = refusal(ready(tmp_path, **others))
    assert said == (
        f"the split train of folder:{tmp_path} has no images. Put them into train/<class>/, or write train into the "
        "column of splits."
    )


def test_a_class_that_only_the_test_has(tmp_path):
    ready(tmp_path, train=5, validation=2, test=3)
    draw(tmp_path / "test" / "fox" / "1.png", 999)
    assert refusal(tmp_path) == f"folder:{tmp_path} has no image to train on for class fox. Add some."


def leaky(root: pathlib.Path) -> pathlib.Path:
    """Writes ready splits in which one training cat and one validation dog stand in the test too."""
    ready(root, train=5, validation=3, test=3)
    for split, label in (("train", "cat"), ("validation", "dog")):
        (root / "test" / label / "copy.png").write_bytes((root / split / label / "00.png").read_bytes())
    return root


def test_a_picture_in_two_ready_splits_is_a_leak(tmp_path):
    said = refusal(leaky(tmp_path))
    assert said.startswith("2 image(s) stand in two splits, so the measured accuracy would be too high: ")
    assert "test/cat/copy.png (test) = train/cat/00.png (train)" in said
    assert "test/dog/copy.png (test) = validation/dog/00.png (validation)" in said


def test_leaks_may_be_dropped_from_the_side_of_training(tmp_path):
    settled = settle(leaky(tmp_path), on_duplicate="drop")
    facts = settled.facts
    assert (facts.train_counts, facts.validation_counts, facts.test_counts) == ((4, 5), (3, 2), (4, 4))
    assert facts.split == ("the source's own; 2 copies of validation or test images left out of the splits before")
    names = [settled.pictures.name(i) for i in range(len(settled.labels))]
    assert "test/cat/copy.png" in names
    assert "train/cat/00.png" not in names


def test_dropping_leaves_data_without_leaks_as_it_is(photos):
    assert settle(photos, on_duplicate="drop").facts == settle(photos).facts


def test_a_class_whose_training_images_are_all_dropped(tmp_path):
    ready(tmp_path, train=2, validation=2, test=2)
    for number in range(2):
        copy = (tmp_path / "train" / "cat" / f"0{number}.png").read_bytes()
        (tmp_path / "test" / "cat" / f"copy{number}.png").write_bytes(copy)
    said = refusal(tmp_path, on_duplicate="drop")
    assert said == f"folder:{tmp_path} has no image to train on for class cat. Add some."


def test_a_draw_leaves_validation_and_test_as_they_are(photos):
    whole, drawn = settle(photos), settle(photos, examples_per_class=3)
    facts = drawn.facts
    assert (facts.train_counts, facts.validation_counts, facts.test_counts) == ((3, 3), (1, 1), (2, 2))
    assert facts.split == (
        "by content hash with seed 0, stratified; 3 training examples of each class drawn by content hash with seed 0, "
        "of 14"
    )
    assert facts.fingerprint != whole.facts.fingerprint
    assert len(drawn.pictures) == len(drawn.keys) == 12

    def names(settled, split):
        return {settled.pictures.name(index) for index in settled.indices(split)}

    assert names(drawn, splits.TRAIN) < names(whole, splits.TRAIN)
    for split in (splits.VALIDATION, splits.TEST):
        assert names(drawn, split) == names(whole, split)
    whole_pixels, names_of = whole.pixels(8, Framing()), [whole.pictures.name(index) for index in range(20)]
    for index, pixels in enumerate(drawn.pixels(8, Framing())):
        np.testing.assert_array_equal(pixels, whole_pixels[names_of.index(drawn.pictures.name(index))])


def test_a_draw_of_more_than_there_are(photos):
    assert "fewer different images to train on: cat (7), dog (7)." in refusal(photos, examples_per_class=8)


def test_what_was_skipped_and_dropped_goes_before_the_draw(tmp_path):
    (leaky(tmp_path) / "train" / "cat" / "bad.png").write_bytes(HTML)
    settled = settle(tmp_path, on_duplicate="drop", on_bad_image="skip", examples_per_class=4)
    assert settled.facts.train_counts == (4, 4)
    assert settled.facts.split.endswith("of 9")
    assert len(settled.facts.skipped) == 1


def test_decisions_need_no_look_at_pictures(photos):
    """What decides takes a survey, made up here: files that are gone are not missed."""
    found = folder.find(str(photos))
    seen = pictures.survey(found.pictures)
    for path in photos.rglob("*.png"):
        path.unlink()
    settings = {"on_bad_image": "error", "on_duplicate": "error", "seed": 0}
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.2}
    facts = examples.decide(found, seen, fractions=fractions, **settings).facts
    assert (facts.train_examples, facts.examples) == (14, 20)


def test_copies_within_a_class_stay_in_one_split(photos):
    for number in range(3):
        (photos / "cat" / f"copy{number}.png").write_bytes((photos / "cat" / "00.png").read_bytes())
    settled = settle(photos)
    found_in = {
        int(split)
        for i, split in enumerate(settled.splits)
        if "copy" in settled.pictures.name(i) or settled.pictures.name(i) == "cat/00.png"
    }
    assert len(found_in) == 1
    assert settled.facts.examples == 23


def test_pixels_are_all_examples_at_one_size(photos):
    settled = settle(photos)
    pixels = settled.pixels(8, Framing())
    assert (pixels.shape, pixels.dtype) == ((20, 8, 8, 3), np.uint8)
    with PIL.Image.open(photos / "cat" / "00.png") as image:
        expected = np.asarray(image.resize((8, 8), PIL.Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(pixels[0], expected)


def test_pixels_on_disk_are_those_in_memory(photos, tmp_path):
    settled = settle(photos)
    stored = settled.pixels(8, Framing(resize="crop"), tmp_path / "cache" / "pixels.npy")
    assert isinstance(stored, np.memmap)
    np.testing.assert_array_equal(stored, settled.pixels(8, Framing(resize="crop")))
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["pixels.json", "pixels.npy"]


def test_a_picture_that_breaks_after_it_was_checked(photos, tmp_path):
    settled = settle(photos)
    (photos / "cat" / "00.png").write_bytes(HTML)
    with pytest.raises(
        DataError, match=r"an image changed since it was checked: cat/00.png: no picture.*Run the command again\."
    ):
        settled.pixels(8, Framing(), tmp_path / "pixels.npy")
    assert not (tmp_path / "pixels.npy").exists()


def test_rows_are_the_labelled_examples_of_a_split(photos):
    settled = settle(photos)
    rows = settled.rows(settled.pixels(8, Framing()), splits.TEST)
    assert (len(rows), rows.classes) == (4, 2)
    assert rows.labels.tolist() == [0, 0, 1, 1]


def test_batches_have_one_size_and_say_how_many_rows_count(photos):
    settled = settle(photos)
    pixels = np.arange(20)
    rows = settled.rows(pixels, splits.TRAIN)
    batches = list(rows.padded_batches(6))
    assert [(len(batch), count) for batch, count in batches] == [(6, 6), (6, 6), (6, 2)]
    counted = np.concatenate([batch[:count] for batch, count in batches])
    assert counted.tolist() == settled.indices(splits.TRAIN).tolist()


def found_arrays(class_names=("cat", "dog"), labels=(0, 1, 1)) -> Found:
    pixels = np.arange(len(labels) * 48, dtype=np.uint8).reshape(-1, 4, 4, 3)
    return Found("arrays:", Arrays(pixels), np.array(labels, np.int32), class_names)


def test_for_a_test_all_examples_count_and_classes_are_matched_by_name():
    measured = examples.for_test(found_arrays(), ("fox", "dog", "cat"), on_bad_image="error")
    assert measured.labels.tolist() == [2, 1, 1]
    assert measured.facts.class_names == ("fox", "dog", "cat")
    assert (measured.facts.train_examples, measured.facts.test_counts) == (0, (0, 2, 1))
    assert measured.indices(splits.TEST).tolist() == [0, 1, 2]


def test_for_a_test_an_unknown_class_is_named_with_those_that_are_known():
    with pytest.raises(DataError) as caught:
        examples.for_test(found_arrays(("cat", "wolf")), ("cat", "dog"), on_bad_image="error")
    assert str(caught.value) == (
        "arrays: has classes that the network does not know: wolf. It knows: cat, dog. Rename or remove them."
    )


def test_for_a_test_unreadable_images_are_refused_or_skipped(photos):
    (photos / "cat" / "bad.jpg").write_bytes(HTML)
    with pytest.raises(DataError, match=r"^1 of 21 images cannot be read"):
        examples.for_test(folder.find(str(photos)), ("cat", "dog"), on_bad_image="error")
    measured = examples.for_test(folder.find(str(photos)), ("cat", "dog"), on_bad_image="skip")
    assert (measured.facts.examples, len(measured.facts.skipped)) == (20, 1)


def noise(count: int) -> Arrays:
    return Arrays(list(np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)))


def weighted(weights, **changes) -> Examples:
    labels = np.arange(20, dtype=np.int32) % 2
    return settle(Found("arrays:", noise(20), labels, ("a", "b"), weights=np.array(weights, float)), **changes)


def test_weights_have_a_mean_of_1_in_training_and_the_same_scale_elsewhere():
    given = np.arange(1, 21) * 1e300  # whose sum no number holds
    settled = weighted(given)
    train = settled.indices(splits.TRAIN)
    assert settled.weights.dtype == np.float32
    assert settled.weights[train].mean() == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(settled.weights / settled.weights[0], given / given[0], rtol=1e-6)
    rows = settled.rows(settled.pixels(4, Framing()), splits.TEST)
    np.testing.assert_array_equal(rows.weights, settled.weights[settled.indices(splits.TEST)])
    own = settled.weights[train]
    assert settled.facts.weight_range == (own.min(), own.max())
    sums = [own[settled.labels[train] == label].sum() for label in range(2)]
    assert settled.facts.train_weights == pytest.approx(sums, rel=1e-6)
    assert sum(settled.facts.train_weights) == pytest.approx(len(train), rel=1e-6)


def test_weights_belong_to_what_the_data_is():
    labels = np.arange(20, dtype=np.int32) % 2
    without = settle(Found("arrays:", noise(20), labels, ("a", "b")))
    assert (without.weights, without.facts.train_weights, without.facts.weight_range) == (None, (), (1.0, 1.0))
    prints = [weighted(one).facts.fingerprint for one in ([1.0] * 20, [1.0] * 19 + [2.0], [1.0] * 20)]
    assert prints[0] == prints[2]
    assert len({*prints, without.facts.fingerprint}) == 3


def test_weights_stay_with_pictures_that_remain():
    given = np.arange(1.0, 21)
    settled = weighted(given, examples_per_class=3)
    names = [int(settled.pictures.name(index).split()[1]) for index in range(len(settled.labels))]
    np.testing.assert_allclose(settled.weights / settled.weights[0], given[names] / given[names[0]], rtol=1e-6)


def test_what_the_pixels_of_files_are_is_counted(tmp_path):
    modes = ("RGB", "L", "CMYK", "P", "1", "RGBA", "I;16", "LA", "RGB", "RGB")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number, mode in enumerate(modes):
            suffix = "tif" if mode == "CMYK" else "png"
            PIL.Image.new(mode, (8 + number, 9 + (name == "cat"))).save(tmp_path / name / f"{number}.{suffix}")
    facts = data.open_data(recipes.Data(source=f"folder:{tmp_path}"), seed=0).facts
    assert facts.modes[0] == ("RGB", 6)
    assert sorted(facts.modes[1:]) == [("1", 2), ("CMYK", 2), ("I;16", 2), ("L", 2), ("LA", 2), ("P", 2), ("RGBA", 2)]
    arrays = (np.random.default_rng(0).integers(0, 256, (20, 2, 2, 3), dtype=np.uint8), [0, 1] * 10)
    assert data.open_data(recipes.Data(), seed=0, data=arrays).facts.modes == (("array", 20),)

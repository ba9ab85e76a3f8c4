"""Examples: labelled pictures with their splits, by index, and as one array of pixels of a given size."""

import dataclasses
import hashlib
import pathlib

import numpy as np

from tfxfer import files
from tfxfer.data import images, pictures, splits
from tfxfer.data.rows import Rows
from tfxfer.errors import DataError, WorkdirError
from tfxfer.facts import BadImage, DataFacts


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source found, before splits are decided.

    Attributes:
        source: as the recipe names it.
        pictures: all of them.
        labels: int32 `[pictures]`, positions in `class_names`.
        class_names: in the order of the logits.
        splits: int8 `[pictures]` where the source has splits of its own (0 train, 1 validation, 2 test), else
            None.
    """

    source: str
    pictures: pictures.Pictures
    labels: np.ndarray
    class_names: tuple[str, ...]
    splits: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled pictures.

    Attributes:
        facts: what is known about them.
        pictures: the readable ones.
        labels: int32 `[examples]`, positions in `facts.class_names`.
        splits: int8 `[examples]`: 0 train, 1 validation, 2 test.
        keys: hex SHA-256 of each picture's content.
    """

    facts: DataFacts
    pictures: pictures.Pictures
    labels: np.ndarray
    splits: np.ndarray
    keys: tuple[str, ...]

    def indices(self, split: int) -> np.ndarray:
        """Returns the positions of the examples of a split, int64, ascending."""
        return np.flatnonzero(self.splits == split)

    def rows(self, pixels: np.ndarray, split: int) -> Rows:
        """Returns the examples of a split as rows of `pixels`, the array that the method of that name made."""
        at = self.indices(split)
        keys = tuple(self.keys[index] for index in at)
        return Rows(pixels, self.labels[at], at, len(self.facts.class_names), keys)

    def pixels(self, size: int, policy: str, store: pathlib.Path | None = None) -> np.ndarray:
        """Returns all examples as uint8 `[examples, size, size, 3]`, RGB.

        Args:
            size: height and width in pixels.
            policy: "squash" or "crop".
            store: a file to keep them in, memory-mapped; None: in memory.

        Raises:
            DataError: a picture has become unreadable since it was checked.
            WorkdirError: there is no room for `store`.
        """
        shape = (len(self.labels), size, size, 3)
        try:
            if store is None:
                out = np.empty(shape, np.uint8)
                pictures.render(self.pictures, size, policy, out)
                return out
            with files.replacing(store) as beside:
                out = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
                pictures.render(self.pictures, size, policy, out)
                out.flush()
            return np.load(store, mmap_mode="r")
        except images.UnreadableImageError as error:
            raise DataError(f"an image changed while it was used: {error}. Run the command again.") from error
        except OSError as error:
            if isinstance(error, WorkdirError):
                raise
            raise WorkdirError(f"the decoded images could not be stored in {store} ({error.strerror}).") from error


def settle(
    found: Found,
    *,
    on_bad_image: str,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    on_duplicate: str = "error",
) -> Examples:
    """Checks every picture, decides the splits and gathers the facts.

    Raises:
        DataError: unreadable pictures (unless `on_bad_image` is "skip"), fewer than two classes, a class too
            small to split, or one picture in two splits (unless `on_duplicate` is "drop").
    """
    seen, kept = _readable(found, on_bad_image)
    _check_classes(found, found.labels[kept], skipped=len(seen.bad))
    keys = [seen.keys[index] for index in kept]
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    ready = None if found.splits is None else found.splits[kept]
    decided, how = _decide_splits(keys, found.labels[kept], found.class_names, ready, seed, fractions)
    if on_duplicate == "error":
        splits.check_no_leak(keys, [found.pictures.name(index) for index in kept], decided)
    else:
        remain = splits.without_leaks(keys, decided)
        if len(remain) < len(kept):
            how += f"; {len(kept) - len(remain)} copies of validation or test images left out of the splits before"
        kept, decided, keys = kept[remain], decided[remain], [keys[index] for index in remain]
    labels = found.labels[kept]
    _check_training(found, labels[decided == splits.TRAIN])
    facts = _facts(found, labels, decided, how, keys, seen.sizes[kept], tuple(seen.bad.values()))
    return Examples(facts, _Subset(found.pictures, kept), labels, decided, tuple(keys))


def for_test(found: Found, class_names: tuple[str, ...], *, on_bad_image: str) -> Examples:
    """Checks every picture and makes all of them test examples of a network with these classes.

    Raises:
        DataError: unreadable pictures (unless `on_bad_image` is "skip"), none at all, or a class that is not
            among `class_names`.
    """
    unknown = [name for name in found.class_names if name not in class_names]
    if unknown:
        raise DataError(
            f"{found.source} has classes that the network does not know: {', '.join(unknown)}. It knows: "
            f"{', '.join(class_names)}. Rename or remove their folders."
        )
    seen, kept = _readable(found, on_bad_image)
    if len(kept) == 0:
        raise DataError(f"{found.source} has no images that can be read.")
    positions = np.array([class_names.index(name) for name in found.class_names], np.int32)
    labels = positions[found.labels[kept]]
    decided = np.full(len(kept), splits.TEST, np.int8)
    keys = [seen.keys[index] for index in kept]
    renamed = dataclasses.replace(found, class_names=class_names)
    facts = _facts(renamed, labels, decided, "all for the test", keys, seen.sizes[kept], tuple(seen.bad.values()))
    return Examples(facts, _Subset(found.pictures, kept), labels, decided, tuple(keys))


def _readable(found: Found, on_bad_image: str) -> tuple[pictures.Survey, np.ndarray]:
    """Returns the survey of all pictures and the positions of the readable ones.

    Raises:
        DataError: unreadable ones, unless they are to be skipped.
    """
    seen = pictures.survey(found.pictures)
    if seen.bad and on_bad_image == "error":
        raise DataError(_bad_images(list(seen.bad.values()), len(found.pictures)))
    return seen, np.array([index for index in range(len(found.pictures)) if index not in seen.bad], np.int64)


@dataclasses.dataclass(frozen=True)
class _Subset:
    """Some pictures of another collection."""

    all: pictures.Pictures
    kept: np.ndarray

    def __len__(self) -> int:
        return len(self.kept)

    def name(self, index: int) -> str:
        return self.all.name(self.kept[index])

    def content(self, index: int) -> bytes:
        return self.all.content(self.kept[index])

    def check(self, index: int) -> tuple[int, int]:
        return self.all.check(self.kept[index])

    def decode(self, index: int, least_size: int | None) -> np.ndarray:
        return self.all.decode(self.kept[index], least_size)


def _check_classes(found: Found, labels: np.ndarray, skipped: int) -> None:
    without = f" after {skipped} unreadable image(s) were left out" if skipped else ""
    if len(labels) == 0:
        raise DataError(f"{found.source} has no images{without}.")
    counts = np.bincount(labels, minlength=len(found.class_names))
    empty = [name for name, count in zip(found.class_names, counts, strict=True) if count == 0]
    if empty:
        raise DataError(f"{found.source} has no image of class {', '.join(empty)}{without}. Remove the class.")
    if len(found.class_names) < 2:
        raise DataError(
            f"{found.source} has one class only, {found.class_names[0]!r}: there is nothing to tell apart. Make "
            "one folder for each class."
        )


def _check_training(found: Found, labels: np.ndarray) -> None:
    if len(labels) == 0:
        raise DataError(f"the split train of {found.source} has no images. Put them into train/<class>/.")
    untrained = [name for label, name in enumerate(found.class_names) if label not in labels]
    if untrained:
        raise DataError(f"{found.source} has no image to train on for class {', '.join(untrained)}. Add some.")


def _decide_splits(keys, labels, class_names, ready, seed, fractions) -> tuple[np.ndarray, str]:
    """Returns the splits and, in words, where they come from: whatever the source lacks is taken from training."""
    if ready is None:
        decided = splits.assign(keys, labels, class_names, seed=seed, **fractions)
        return decided, f"by content hash with seed {seed}, stratified"
    missing = [name for code, name in enumerate(splits.NAMES) if code and not (ready == code).any()]
    if not missing or not (ready == splits.TRAIN).any():
        return ready, "the source's own"
    decided = ready.copy()
    train = np.flatnonzero(ready == splits.TRAIN)
    wanted = {
        f"{name}_fraction": fractions[f"{name}_fraction"] if name in missing else 0.0 for name in splits.NAMES[1:]
    }
    taken = splits.assign([keys[i] for i in train], labels[train], class_names, seed=seed, **wanted)
    decided[train] = taken
    return (
        decided,
        f"the source's own; {' and '.join(missing)} taken from train by content hash with seed {seed}",
    )


def _facts(found, labels, decided, how, keys, sizes, bad) -> DataFacts:
    def counts(split: int) -> tuple[int, ...]:
        return tuple(np.bincount(labels[decided == split], minlength=len(found.class_names)).tolist())

    names = np.array(found.class_names)[labels]
    lines = sorted(f"{key} {name} {split}" for key, name, split in zip(keys, names, decided, strict=True))
    height, width = np.median(sizes, axis=0).astype(int).tolist()
    return DataFacts(
        source=found.source,
        class_names=found.class_names,
        train_counts=counts(splits.TRAIN),
        validation_counts=counts(splits.VALIDATION),
        test_counts=counts(splits.TEST),
        height=height,
        width=width,
        channels=3,
        split=how,
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16],
        skipped=bad,
    )


def _bad_images(bad: list[BadImage], total: int) -> str:
    shown = "\n".join(f"  {image.name}: {image.reason}" for image in bad[:10])
    rest = f"\n  and {len(bad) - 10} more" if len(bad) > 10 else ""
    return (
        f"{len(bad)} of {total} images cannot be read:\n{shown}{rest}\nRemove or replace them, or leave them out "
        "with --on_bad_image=skip."
    )

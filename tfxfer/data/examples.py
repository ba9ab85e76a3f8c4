"""Examples: labelled pictures with their splits, by index, and as one array of pixels of a given size."""

import dataclasses
import pathlib

import numpy as np

from tfxfer.data import deciding, gathering, images, pictures, pixel_store, splits, targets
from tfxfer.data.found import Found, as_known, readable, some_of, subset
from tfxfer.data.rows import Rows
from tfxfer.errors import DataError, WorkdirError
from tfxfer.facts import DataFacts
from tfxfer.framing import Framing
from tfxfer.tasks import SINGLE_LABEL, Task


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled pictures.

    Attributes:
        facts: what is known about them.
        pictures: the readable ones.
        labels: as in `tasks.Task`: int32 `[examples]`, positions in `facts.class_names`, where each is of one class.
        splits: int8 `[examples]`: 0 train, 1 validation, 2 test.
        keys: hex SHA-256 of each picture's content.
        weights: float32 `[examples]`, above 0, the mean of those to train on being 1; None: all 1.
        groups: of each example the name of what must stay together, None where it stands alone; None: all do.
    """

    facts: DataFacts
    pictures: pictures.Pictures
    labels: np.ndarray
    splits: np.ndarray
    keys: tuple[str, ...]
    weights: np.ndarray | None = None
    groups: tuple[str | None, ...] | None = None

    def indices(self, split: int) -> np.ndarray:
        """Returns the positions of the examples of a split, int64, ascending."""
        return np.flatnonzero(self.splits == split)

    def some(self, at: np.ndarray) -> "Examples":
        """Returns the examples at these positions, int64, in this order; the facts stay those of all."""
        return dataclasses.replace(
            self,
            pictures=subset(self.pictures, at),
            labels=self.labels[at],
            splits=self.splits[at],
            keys=tuple(self.keys[index] for index in at),
            weights=None if self.weights is None else self.weights[at],
            groups=None if self.groups is None else tuple(self.groups[index] for index in at),
        )

    def rows(self, pixels: np.ndarray, split: int) -> Rows:
        """Returns the examples of a split as rows of `pixels`, the array that the method of that name made."""
        at = self.indices(split)
        keys = tuple(self.keys[index] for index in at)
        weights = None if self.weights is None else self.weights[at]
        names = self.facts.class_names
        return Rows(pixels, self.labels[at], at, len(names), keys, weights=weights, task=self.facts.task)

    def pixels(self, size: int, framing: Framing, store: pathlib.Path | None = None) -> np.ndarray:
        """Returns all examples as uint8 `[examples, size, size, 3]`, RGB.

        Args:
            size: height and width in pixels.
            framing: how pictures become squares.
            store: a `.npy` file to keep them in, memory-mapped, taken as it is where it holds them already; None: in
                memory.

        Raises:
            DataError: a picture has become unreadable since it was checked.
            WorkdirError: there is no room for `store`.
        """
        shape = (len(self.labels), size, size, 3)
        try:
            if store is None:
                out = np.empty(shape, np.uint8)
                pictures.render(self.pictures, size, framing, out)
                return out
            made_of = pixel_store.origin(self.keys, size, framing)
            return pixel_store.stored(
                store, made_of, shape, lambda out: pictures.render(self.pictures, size, framing, out)
            )
        except images.UnreadableImageError as error:
            raise DataError(f"an image changed since it was checked: {error}. Run the command again.") from error
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
    examples_per_class: int | None = None,
    rule: splits.Rule = splits.STRATIFIED,
) -> Examples:
    """Checks every picture, decides the splits and gathers the facts.

    Args:
        found: by a source.
        on_bad_image: "error" or "skip".
        seed: of the splits, and of the draw of training examples.
        validation_fraction: share of each class where the source has no split; `test_fraction` likewise.
        test_fraction: see there.
        on_duplicate: "error" or "drop".
        examples_per_class: how many training examples of each class are drawn; None: all.
        rule: how the shares become splits, and folds.

    Raises:
        DataError: unreadable pictures (unless `on_bad_image` is "skip"), fewer than two classes, a class too
            small to split or to draw from, or one picture (unless `on_duplicate` is "drop") or one group in two splits.
    """
    seen = pictures.survey(found.pictures)
    fractions = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    return decide(
        found,
        seen,
        on_bad_image=on_bad_image,
        on_duplicate=on_duplicate,
        seed=seed,
        fractions=fractions,
        examples_per_class=examples_per_class,
        rule=rule,
    )


def decide(
    found: Found,
    seen: pictures.Survey,
    *,
    on_bad_image: str,
    on_duplicate: str,
    seed: int,
    fractions: dict[str, float],
    examples_per_class: int | None = None,
    rule: splits.Rule = splits.STRATIFIED,
) -> Examples:
    """Does what `settle` does once every picture has been looked at; nothing is read here."""
    kept = readable(found, seen, on_bad_image)
    deciding.check_classes(found, found.labels[kept], skipped=len(seen.bad))
    found, seen = some_of(found, seen, kept)
    if found.kind == "regression":
        targets.check_varies(found.labels, found.class_names, found.source)
    decided, how = deciding.where_each_stands(found, seen.keys, seed, fractions, rule)
    if on_duplicate == "error":
        splits.check_no_leak(seen.keys, found.pictures.name, decided)
    else:
        remain = splits.without_leaks(seen.keys, decided)
        if len(remain) < len(decided):
            how += f"; {len(decided) - len(remain)} copies of validation or test images left out of the splits before"
            (found, seen), decided = some_of(found, seen, remain), decided[remain]
    deciding.check_training(found, found.labels[decided == splits.TRAIN])
    if examples_per_class is not None:
        remain, told = deciding.draw(found, seen, decided, seed, examples_per_class)
        how += told
        (found, seen), decided = some_of(found, seen, remain), decided[remain]
    weights = None if found.weights is None else gathering.normalised(found.weights, decided == splits.TRAIN)
    facts = gathering.gather(found, seen, decided, how, weights)
    groups = None if found.groups is None else tuple(found.groups.names)
    return Examples(facts, found.pictures, found.labels, decided, seen.keys, weights, groups)


def splits_of(
    found: Found, seen: pictures.Survey, *, seed: int, fractions: dict[str, float], rule: splits.Rule
) -> tuple[np.ndarray, str]:
    """Returns where each picture stands before copies are looked for, int8, -1 for an unreadable one, and why there.

    Raises:
        DataError: see `decide`.
    """
    kept = readable(found, seen, "skip")
    where = np.full(len(found.labels), -1, np.int8)
    some, those = some_of(found, seen, kept)
    where[kept], how = deciding.where_each_stands(some, those.keys, seed, fractions, rule)
    return where, how


def for_test(found: Found, class_names: tuple[str, ...], *, on_bad_image: str, task: Task = SINGLE_LABEL) -> Examples:
    """Checks every picture and makes all of them test examples of a network with these classes.

    Args:
        found: by a source, for the kind of `task`.
        class_names: of the network: classes, labels or targets.
        on_bad_image: "error" or "skip".
        task: of the network.

    Raises:
        DataError: unreadable pictures (unless `on_bad_image` is "skip"), none at all, or a class that is not
            among `class_names`.
    """
    found = as_known(found, class_names)
    seen = pictures.survey(found.pictures)
    found, seen = some_of(found, seen, readable(found, seen, on_bad_image))
    if len(found.labels) == 0:
        raise DataError(f"{found.source} has no images that can be read.")
    decided = np.full(len(found.labels), splits.TEST, np.int8)
    facts = gathering.gather(found, seen, decided, "all for the test", task=task)
    return Examples(facts, found.pictures, found.labels, decided, seen.keys)

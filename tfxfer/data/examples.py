"""Examples: labelled pictures with their splits, by index, and as one array of pixels of a given size."""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from tfxfer.data import images, pictures, pixel_store, splits, strata, targets
from tfxfer.data.groups import Groups
from tfxfer.data.rows import Rows
from tfxfer.errors import BadImagesError, DataError, WorkdirError, suggest
from tfxfer.facts import BadImage, DataFacts
from tfxfer.framing import Framing
from tfxfer.tasks import SINGLE_LABEL, Kind, Task

# Over the mean: a larger one makes a loss look like one that is no number; a smaller one would be 0 in float32, which
# stands for no example.
_MOST_WEIGHT, _LEAST_WEIGHT = 10_000, 1e-30
# What `Rule.proportions` does, in words.
_STRATIFIED = {
    "class": "stratified",
    "total": "stratified, with exact shares of all",
    "hash": "with fixed shares of hashes",
}


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source found, before splits are decided.

    Attributes:
        source: as the recipe names it.
        pictures: all of them.
        labels: as in `tasks.Task`: int32 `[pictures]`, positions in `class_names`; of other kinds uint8 or float32
            `[pictures, names]`.
        class_names: in the order of the logits; names of labels, or of the targets of regression.
        splits: int8 `[pictures]` where the source has splits of its own (0 train, 1 validation, 2 test), else
            None.
        groups: which pictures must stand in one split; None: each may stand anywhere.
        weights: float64 `[pictures]`, finite, above 0, by which they count in the loss; None: all alike.
        notes: what else the plan is to say about them.
        kind: of the task that the labels are for.
    """

    source: str
    pictures: pictures.Pictures
    labels: np.ndarray
    class_names: tuple[str, ...]
    splits: np.ndarray | None = None
    groups: Groups | None = None
    weights: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    kind: Kind = "single_label"


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
            pictures=_Subset(self.pictures, at),
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
    kept = _readable(found, seen, on_bad_image)
    _check_classes(found, found.labels[kept], skipped=len(seen.bad))
    found, seen = _at(found, seen, kept)
    if found.kind == "regression":
        targets.check_varies(found.labels, found.class_names, found.source)
    decided, how = _decide_splits(found, seen.keys, seed, fractions, rule)
    if on_duplicate == "error":
        splits.check_no_leak(seen.keys, found.pictures.name, decided)
    else:
        remain = splits.without_leaks(seen.keys, decided)
        if len(remain) < len(decided):
            how += f"; {len(decided) - len(remain)} copies of validation or test images left out of the splits before"
            (found, seen), decided = _at(found, seen, remain), decided[remain]
    _check_training(found, found.labels[decided == splits.TRAIN])
    if examples_per_class is not None:
        remain, told = _draw(found, seen, decided, seed, examples_per_class)
        how += told
        (found, seen), decided = _at(found, seen, remain), decided[remain]
    weights = None if found.weights is None else normalised(found.weights, decided == splits.TRAIN)
    facts = _facts(found, seen, decided, how, weights)
    groups = None if found.groups is None else tuple(found.groups.names)
    return Examples(facts, found.pictures, found.labels, decided, seen.keys, weights, groups)


def splits_of(
    found: Found, seen: pictures.Survey, *, seed: int, fractions: dict[str, float], rule: splits.Rule
) -> tuple[np.ndarray, str]:
    """Returns where each picture stands before copies are looked for, int8, -1 for an unreadable one, and why there.

    Raises:
        DataError: see `decide`.
    """
    kept = _readable(found, seen, "skip")
    where = np.full(len(found.labels), -1, np.int8)
    readable, those = _at(found, seen, kept)
    where[kept], how = _decide_splits(readable, those.keys, seed, fractions, rule)
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
    found = _as_known(found, class_names)
    seen = pictures.survey(found.pictures)
    found, seen = _at(found, seen, _readable(found, seen, on_bad_image))
    if len(found.labels) == 0:
        raise DataError(f"{found.source} has no images that can be read.")
    decided = np.full(len(found.labels), splits.TEST, np.int8)
    facts = _facts(found, seen, decided, "all for the test", task=task)
    return Examples(facts, found.pictures, found.labels, decided, seen.keys)


def _as_known(found: Found, class_names: tuple[str, ...]) -> Found:
    """Returns the same examples with targets in the order of a network's outputs.

    Raises:
        DataError: classes or labels that it does not know, or other targets than it has.
    """
    what = {"multi_label": "labels", "regression": "targets"}.get(found.kind, "classes")
    if found.kind == "regression" and len(class_names) == 1 == len(found.class_names):
        return dataclasses.replace(found, class_names=class_names)  # one number is the one, whatever it is called
    places = {name: place for place, name in enumerate(class_names)}
    unknown = [name for name in found.class_names if name not in places]
    if unknown:
        near = suggest(unknown[0], class_names)
        raise DataError(
            f"{found.source} has {what} that the network does not know: {', '.join(unknown)}.{near} It knows: "
            f"{', '.join(class_names)}. Rename or remove them."
        )
    positions = np.array([places[name] for name in found.class_names], np.int32)
    if found.labels.ndim == 1:
        return dataclasses.replace(found, class_names=class_names, labels=positions[found.labels])
    if found.kind == "regression" and len(positions) < len(class_names):
        lacking = ", ".join(name for name in class_names if name not in found.class_names)
        raise DataError(f"{found.source} lacks targets that the network tells: {lacking}. Name all in label_column.")
    labels = np.zeros((len(found.labels), len(class_names)), found.labels.dtype)
    labels[:, positions] = found.labels
    return dataclasses.replace(found, class_names=class_names, labels=labels)


def _readable(found: Found, seen: pictures.Survey, on_bad_image: str) -> np.ndarray:
    """Returns the positions of the readable pictures.

    Raises:
        BadImagesError: unreadable ones, unless they are to be skipped.
    """
    if seen.bad and on_bad_image == "error":
        bad = list(seen.bad.values())
        raise BadImagesError(_bad_images(bad, len(found.pictures)), ((image.name, image.reason) for image in bad))
    return np.setdiff1d(np.arange(len(found.pictures)), np.fromiter(seen.bad, np.int64, len(seen.bad)))


def _at(found: Found, seen: pictures.Survey, kept: np.ndarray) -> tuple[Found, pictures.Survey]:
    """Returns what is known of some of the pictures; the unreadable ones stay listed."""
    if len(kept) == len(found.labels):
        return found, seen
    some = dataclasses.replace(
        found,
        pictures=_Subset(found.pictures, kept),
        labels=found.labels[kept],
        splits=None if found.splits is None else found.splits[kept],
        groups=None if found.groups is None else found.groups.at(kept),
        weights=None if found.weights is None else found.weights[kept],
    )
    keys = tuple(seen.keys[index] for index in kept)
    modes = tuple(seen.modes[index] for index in kept)
    return some, dataclasses.replace(seen, keys=keys, sizes=seen.sizes[kept], modes=modes)


@dataclasses.dataclass(frozen=True)
class _Subset:
    """Some pictures of another collection."""

    all: pictures.Pictures
    kept: np.ndarray

    def __len__(self) -> int:
        return len(self.kept)

    def name(self, index: int) -> str:
        return self.all.name(self.kept[index])

    def file_name(self, index: int) -> str:
        return self.all.file_name(self.kept[index])

    def look(self, index: int) -> pictures.Look:
        return self.all.look(self.kept[index])

    def draw(self, index: int, size: int, framing: Framing) -> np.ndarray:
        return self.all.draw(self.kept[index], size, framing)


def _check_classes(found: Found, labels: np.ndarray, skipped: int) -> None:
    without = f" after {skipped} unreadable image(s) were left out" if skipped else ""
    if len(labels) == 0:
        raise DataError(f"{found.source} has no images{without}.")
    counts = targets.count(labels, found.kind, len(found.class_names))
    empty = [name for name, count in zip(found.class_names, counts, strict=True) if count == 0]
    if empty:
        what = "label" if found.kind == "multi_label" else "class"
        raise DataError(f"{found.source} has no image of {what} {', '.join(empty)}{without}. Remove the {what}.")
    if found.kind in ("single_label", "ordinal") and len(found.class_names) < 2:
        raise DataError(
            f"{found.source} has one class only, {found.class_names[0]!r}: there is nothing to tell apart. Make "
            "one folder for each class, or write the class of each image into the column of labels."
        )


def _check_training(found: Found, labels: np.ndarray) -> None:
    if len(labels) == 0:
        how = "Put them into train/<class>/, or write train into the column of splits."
        if found.source.startswith("tfds:"):
            how = f"Name a part to train on: {found.source.partition('?')[0]}?train=train[:90%]&test=…"
        raise DataError(f"the split train of {found.source} has no images. {how}")
    counts = targets.count(labels, found.kind, len(found.class_names))
    untrained = [found.class_names[label] for label in np.flatnonzero(counts == 0)]
    if untrained:
        what = "label" if found.kind == "multi_label" else "class"
        raise DataError(f"{found.source} has no image to train on for {what} {', '.join(untrained)}. Add some.")
    if found.kind == "regression":
        targets.check_varies(labels, found.class_names, f"the split train of {found.source}")


def _decide_splits(
    found: Found, keys: Sequence[str], seed: int, fractions: dict[str, float], rule: splits.Rule
) -> tuple[np.ndarray, str]:
    """Returns the splits and, in words, where they come from: whatever the source lacks is taken from training."""
    groups = found.groups
    by = "content hash" if groups is None else f"hash of {groups.by}, {groups.count:,} groups,"
    ready = found.splits
    if rule.folds is not None:
        told = f"validation is fold {rule.fold} of {rule.folds} of what is not for the test"
        if ready is not None:  # what the source has for validation goes into the folds
            ready = np.where(ready == splits.VALIDATION, splits.TRAIN, ready).astype(np.int8)
    if ready is None:
        decided = _assigned(found, keys, np.arange(len(keys)), seed, fractions, rule)
        how = f"by {by} with seed {seed}, {_STRATIFIED[rule.proportions]}{_STRATA.get(found.kind, '')}"
        return decided, f"{how}; {told}{_lacking(found, decided)}" if rule.folds is not None else how
    if groups is not None:
        splits.check_groups(groups.names, found.pictures.name, ready, groups.by)
    missing = [name for code, name in enumerate(splits.NAMES) if code and not (ready == code).any()]
    if not missing or not (ready == splits.TRAIN).any():
        return ready, "the source's own" + _lacking(found, ready)
    decided = ready.copy()
    train = np.flatnonzero(ready == splits.TRAIN)
    _check_training(found, found.labels[train])
    wanted = {
        f"{name}_fraction": fractions[f"{name}_fraction"] if name in missing else 0.0 for name in splits.NAMES[1:]
    }
    decided[train] = _assigned(found, keys, train, seed, wanted, rule)
    how = f"the source's own; {' and '.join(missing)} taken from train by {by} with seed {seed}"
    if rule.folds is not None:
        how += f"; {told}"
    return decided, how + _lacking(found, decided)


def _lacking(found: Found, decided: np.ndarray) -> str:
    """Returns in words which classes a source leaves out of a split that is there: measured there is the rest alone."""
    told, what = "", "label" if found.kind == "multi_label" else "class"
    for code, name in enumerate(splits.NAMES):
        counts = targets.count(found.labels[decided == code], found.kind, len(found.class_names))
        empty = [found.class_names[label] for label in np.flatnonzero(counts == 0)]
        if code != splits.TRAIN and empty and (decided == code).any():
            told += f"; no {name} example of {what} {splits.some(empty)}: add some, or nothing is measured of it"
    return told


def _assigned(
    found: Found, keys: Sequence[str], at: np.ndarray, seed: int, fractions: dict[str, float], rule: splits.Rule
) -> np.ndarray:
    """Returns the splits of the examples at these positions, by strata of their targets.

    With folds these are the same for each fold: labels are brought into the test alone, from all that is not for it.

    Raises:
        DataError: a stratum is too small to be in every split, or a label is missing in one other than a fold.
    """
    groups = None if found.groups is None else found.groups.at(at).names
    some = [keys[index] for index in at]
    together = some if groups is None else [group or key for group, key in zip(groups, some, strict=True)]
    labels, names = found.labels[at], found.class_names
    parts = strata.parts(rule, fractions["test_fraction"])
    strata_of, called = strata.strata(labels, names, found.kind, together, parts)
    are_classes = found.kind in ("single_label", "ordinal")
    decided = splits.assign(
        some, strata_of, called, seed=seed, groups=groups, rule=rule, are_classes=are_classes, **fractions
    )
    if found.kind == "multi_label":
        wanted = [split for split, name in enumerate(splits.NAMES) if fractions.get(f"{name}_fraction", 0) > 0]
        pool = (splits.TRAIN,)
        if rule.folds is not None:
            wanted, pool = [split for split in wanted if split == splits.TEST], (splits.TRAIN, splits.VALIDATION)
        decided = strata.with_every_label(decided, labels, together, wanted, seed=seed, pool=pool)
        if lacking := strata.lacking(decided, labels, names, (splits.TRAIN, *wanted)):
            raise DataError(
                "labels without an example in a split, where they could not be learned or measured: "
                f"{splits.some(lacking)}. Add images that have them, leave these labels out, or give a column split of "
                "your own."
            )
    return decided


# What splits are stratified by, where that is not the class.
_STRATA = {"multi_label": " by the rarest label of each image", "regression": " by bins of the targets"}


def _draw(found: Found, seen: pictures.Survey, decided: np.ndarray, seed: int, each: int) -> tuple[np.ndarray, str]:
    """Returns the positions of what remains when so many training examples of each class are drawn, and says so."""
    train = np.flatnonzero(decided == splits.TRAIN)
    keys = [seen.keys[index] for index in train]
    drawn = train[splits.draw(keys, found.labels[train], found.class_names, seed=seed, each=each)]
    remain = np.sort(np.concatenate([drawn, np.flatnonzero(decided != splits.TRAIN)]))
    told = f"; {each} training examples of each class drawn by content hash with seed {seed}, of {len(train):,}"
    return remain, told


def normalised(weights: np.ndarray, in_training: np.ndarray) -> np.ndarray:
    """Returns weights as float32, above 0, the mean of those in training being 1.

    Args:
        weights: float64, finite, above 0.
        in_training: bool, likewise one for each example, of which some are.

    Raises:
        DataError: one counts so much that the loss of its step would look like one that is no number.
    """
    weights = weights / weights[in_training].max()  # else a sum could have no end
    weights = weights / weights[in_training].mean()
    if weights.max() > _MOST_WEIGHT:
        raise DataError(
            f"an example has {weights.max():.3g} times the mean weight of the training examples, at most "
            f"{_MOST_WEIGHT:,} times can be learned from. Give weights that lie nearer to each other."
        )
    return np.maximum(weights, _LEAST_WEIGHT).astype(np.float32)


def _facts(
    found: Found,
    seen: pictures.Survey,
    decided: np.ndarray,
    how: str,
    weights: np.ndarray | None = None,
    task: Task | None = None,
) -> DataFacts:
    """Returns the facts; `task`: None where the training split tells its numbers."""

    def counts(split: int) -> tuple[int, ...]:
        return tuple(targets.count(found.labels[decided == split], found.kind, len(found.class_names)).tolist())

    several = found.labels.ndim == 2
    if task is None:
        means, deviations = (), ()
        if found.kind == "regression":
            means, deviations = targets.standards(found.labels[decided == splits.TRAIN])
        task = Task(kind=found.kind, means=means, deviations=deviations)
    height, width = np.median(seen.sizes, axis=0).astype(int).tolist()
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
        fingerprint=_fingerprint(found, seen.keys, decided),
        skipped=tuple(seen.bad.values()),
        **({} if weights is None else _weight_facts(found, weights, decided == splits.TRAIN)),
        notes=found.notes,
        modes=tuple(collections.Counter(seen.modes).most_common()),
        task=task,
        sizes=tuple(np.bincount(decided, minlength=len(splits.NAMES)).tolist()) if several else None,
        unlabelled=int((~found.labels.any(axis=1)).sum()) if found.kind == "multi_label" else 0,
    )


def _weight_facts(found: Found, weights: np.ndarray, in_training: np.ndarray) -> dict[str, tuple[float, ...]]:
    own, labels = weights[in_training].astype(np.float64), found.labels[in_training]
    if found.kind == "multi_label":
        sums = own @ labels
    elif found.kind == "regression":
        sums = np.full(len(found.class_names), own.sum())
    else:
        sums = np.bincount(labels, own, minlength=len(found.class_names))
    return {"train_weights": tuple(sums.tolist()), "weight_range": (float(own.min()), float(own.max()))}


def _fingerprint(found: Found, keys: Sequence[str], decided: np.ndarray) -> str:
    """Returns 16 hex digits that stand for contents, labels, splits and weights, in whatever order."""
    weights = [""] * len(keys) if found.weights is None else [f" {weight!r}" for weight in found.weights.tolist()]
    labels = found.labels.tolist() if found.labels.ndim == 1 else found.labels
    each = zip(keys, labels, decided.tolist(), weights, strict=True)
    names = found.class_names
    lines = sorted(f"{key} {targets.told(label, names)} {split}{weight}" for key, label, split, weight in each)
    digest = hashlib.sha256()
    for number, line in enumerate(lines):  # never joined: of a million examples that would be 200 MB more
        digest.update(f"\n{line}".encode() if number else line.encode())
    return digest.hexdigest()[:16]


def _bad_images(bad: list[BadImage], total: int) -> str:
    shown = "\n".join(f"  {image.name}: {image.reason}" for image in bad[:10])
    rest = f"\n  and {len(bad) - 10} more" if len(bad) > 10 else ""
    return (
        f"{len(bad)} of {total} images cannot be read:\n{shown}{rest}\nRemove or replace them, or leave them out "
        "with --on_bad_image=skip."
    )

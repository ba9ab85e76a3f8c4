"""What a source found, before it is decided which pictures count and where each stands."""

import dataclasses

import numpy as np

from tfxfer.data import pictures
from tfxfer.data.groups import Groups
from tfxfer.errors import BadImagesError, DataError, suggest
from tfxfer.facts import BadImage
from tfxfer.framing import Framing
from tfxfer.tasks import Kind


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


def as_known(found: Found, class_names: tuple[str, ...]) -> Found:
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


def readable(found: Found, seen: pictures.Survey, on_bad_image: str) -> np.ndarray:
    """Returns the positions of the readable pictures.

    Raises:
        BadImagesError: unreadable ones, unless they are to be skipped.
    """
    if seen.bad and on_bad_image == "error":
        bad = list(seen.bad.values())
        raise BadImagesError(_bad_images(bad, len(found.pictures)), ((image.name, image.reason) for image in bad))
    return np.setdiff1d(np.arange(len(found.pictures)), np.fromiter(seen.bad, np.int64, len(seen.bad)))


def some_of(found: Found, seen: pictures.Survey, kept: np.ndarray) -> tuple[Found, pictures.Survey]:
    """Returns what is known of some of the pictures; the unreadable ones stay listed."""
    if len(kept) == len(found.labels):
        return found, seen
    some = dataclasses.replace(
        found,
        pictures=subset(found.pictures, kept),
        labels=found.labels[kept],
        splits=None if found.splits is None else found.splits[kept],
        groups=None if found.groups is None else found.groups.at(kept),
        weights=None if found.weights is None else found.weights[kept],
    )
    keys = tuple(seen.keys[index] for index in kept)
    modes = tuple(seen.modes[index] for index in kept)
    return some, dataclasses.replace(seen, keys=keys, sizes=seen.sizes[kept], modes=modes)


def subset(of: pictures.Pictures, kept: np.ndarray) -> pictures.Pictures:
    """Returns the pictures at these positions, int64, in this order; nothing is read."""
    return _Subset(of, kept)


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


def _bad_images(bad: list[BadImage], total: int) -> str:
    shown = "\n".join(f"  {image.name}: {image.reason}" for image in bad[:10])
    rest = f"\n  and {len(bad) - 10} more" if len(bad) > 10 else ""
    return (
        f"{len(bad)} of {total} images cannot be read:\n{shown}{rest}\nRemove or replace them, or leave them out "
        "with --on_bad_image=skip."
    )

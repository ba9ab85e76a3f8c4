"""What is wrong with a set of pictures, or may be: a pure function of what was found out about it."""

import unicodedata
from collections.abc import Iterator

from tfxfer import recipes
from tfxfer.inspection import target_findings
from tfxfer.inspection.finding import Finding, first
from tfxfer.inspection.inspected import ClassCounts, Inspected, Pairs, Place

# Fewer images of a class than this are told: with the default shares 2 would be for validation and 4 for the test.
FEW = 20
# The largest class over the smallest, from which on accuracy is a matter of the large ones.
IMBALANCE = 10
_SHORT_SIDE = 32
_ADJUST = "--config.imbalance.logit_adjustment=1."
# Of each task how pictures differ, or agree, that are one and the same.
_APART = {
    "single_label": "in two classes",
    "ordinal": "in two classes",
    "multi_label": "with different labels",
    "regression": "with different numbers",
}
_ALIKE = {
    "single_label": "in one class",
    "ordinal": "in one class",
    "multi_label": "with the same labels",
    "regression": "with the same numbers",
}
_NO_LETTERS = frozenset("_-. ")


def findings(inspected: Inspected, asked: recipes.Data) -> tuple[Finding, ...]:
    """Returns what is wrong or may be, errors first.

    Args:
        inspected: what was found out.
        asked: how the recipe treats unreadable pictures and copies.
    """
    found = [
        *_refused(inspected),
        *_unreadable(inspected, asked),
        *_copies(inspected, asked),
        *_near(inspected),
        *_names(inspected),
        *_sizes_of_classes(inspected),
        *_lacking(inspected),
        *target_findings.labels(inspected),
        *target_findings.numbers(inspected),
        *_pixels(inspected),
        *(Finding(severity="note", what=note) for note in inspected.notes),
    ]
    order = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _refused(inspected: Inspected) -> Iterator[Finding]:
    if inspected.refused:
        yield Finding(severity="error", what=inspected.refused)


def _unreadable(inspected: Inspected, asked: recipes.Data) -> Iterator[Finding]:
    bad = inspected.unreadable
    if bad:
        skips = asked.on_bad_image == "skip"
        yield Finding(
            severity="warning" if skips else "error",
            what=f"{len(bad):,} of {inspected.images:,} images cannot be read" + (" and are left out" if skips else ""),
            where=first([f"{image.name}: {image.reason}" for image in bad], len(bad)),
            fix="Remove or replace them" + ("." if skips else ", or leave them out with --on_bad_image=skip."),
        )


def _copies(inspected: Inspected, asked: recipes.Data) -> Iterator[Finding]:
    copies = inspected.copies
    if copies.across_splits.count:
        drops = asked.on_duplicate == "drop"
        yield Finding(
            severity="warning" if drops else "error",
            what=f"{_count(copies.across_splits)} in two splits, so the measured accuracy would be too high"
            + ("; the copy on the side of training is left out" if drops else ""),
            where=_shown(copies.across_splits),
            fix="Remove one of each pair"
            + ("." if drops else ", or leave out the copies with --config.data.on_duplicate=drop."),
        )
    if copies.across_classes.count:
        yield Finding(
            severity="warning",
            what=f"{_count(copies.across_classes)} {_APART[inspected.kind]}",
            where=_shown(copies.across_classes),
            fix="Remove the one in the wrong class: what is learned as two classes is none."
            if inspected.kind in ("single_label", "ordinal")
            else "Remove the one that is wrong: what one picture is to say twice cannot be learned.",
        )
    if copies.within.count:
        yield Finding(
            severity="note",
            what=f"{_count(copies.within)} {_ALIKE[inspected.kind]} and one split, each of which counts",
            where=_shown(copies.within),
        )


def _near(inspected: Inspected) -> Iterator[Finding]:
    near = inspected.near
    if near.across_splits.count:
        yield Finding(
            severity="warning",
            what=f"{near.across_splits.count:,} pair(s) of nearly the same images stand in two splits, so the measured "
            "accuracy may be too high",
            where=_shown(near.across_splits),
            fix="Keep what belongs together in one split: give it a group, --config.data.group_column or "
            "--config.data.group_by, or remove one of each pair.",
        )
    if near.across_classes.count:
        yield Finding(
            severity="warning",
            what=f"{near.across_classes.count:,} pair(s) of nearly the same images stand {_APART[inspected.kind]}",
            where=_shown(near.across_classes),
            fix="Look at them: one of the labels may be wrong.",
        )
    if near.within.count:
        yield Finding(
            severity="note",
            what=f"{near.within.count:,} pair(s) of nearly the same images are {_ALIKE[inspected.kind]} and one split",
            where=_shown(near.within),
        )
    if not inspected.compared_all:
        yield Finding(
            severity="note", what="too many images look alike for all to be compared; there may be more near-duplicates"
        )


def _names(inspected: Inspected) -> Iterator[Finding]:
    called, names = _called(inspected)[1], [one.name for one in (*inspected.classes, *inspected.targets)]
    alike: dict[str, list[str]] = {}
    for one in names:
        alike.setdefault(_simplified(one), []).append(one)
    twins = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    if twins:
        yield Finding(
            severity="warning",
            what=f"{called} differ by case, blanks or hyphens only",
            where=first(twins, len(twins)),
            fix="If they are one and the same, join them; if not, give them names that differ by more.",
        )
    odd = [repr(name) for name in names if name != name.strip() or not name.isprintable()]
    if odd:
        yield Finding(
            severity="warning",
            what=f"names of {called} begin or end with a blank, or hold characters that cannot be seen",
            where=first(odd, len(odd)),
            fix="Rename them: whoever types the name leaves these out.",
        )


def _called(inspected: Inspected) -> tuple[str, str]:
    """Returns what the names stand for: of an unknown number of them, and of several."""
    if inspected.kind == "multi_label":
        return "label(s)", "labels"
    return ("target(s)", "targets") if inspected.kind == "regression" else ("class(es)", "classes")


def _simplified(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(letter for letter in folded if letter not in _NO_LETTERS and letter.isprintable()) or name


def _sizes_of_classes(inspected: Inspected) -> Iterator[Finding]:
    classes, (one_of_them, several) = inspected.classes, _called(inspected)
    few = [f"{one.name} ({one.images:,})" for one in classes if one.images < FEW]
    if few:
        yield Finding(
            severity="warning",
            what=f"{len(few):,} {one_of_them} have fewer than {FEW} images: what is measured of them says little",
            where=first(few, len(few)),
            fix=f"Add images, or join {several}.",
        )
    if inspected.kind == "multi_label":  # each label has a loss of its own, in which it is compared with nothing else
        return
    largest, smallest = max(classes, key=_images, default=None), min(classes, key=_images, default=None)
    if largest and smallest and largest.images >= IMBALANCE * max(1, smallest.images):
        times = f"{largest.images / smallest.images:,.0f} times" if smallest.images else "infinitely"
        yield Finding(
            severity="warning",
            what=f"the largest class has {times} as many images as the smallest: {largest.name} "
            f"({largest.images:,}) and {smallest.name} ({smallest.images:,})",
            fix="Look at the balanced accuracy and the recall of each class, and try "
            + ("--config.imbalance.class_weights=inverse." if inspected.kind == "ordinal" else _ADJUST),
        )


def _images(one: ClassCounts) -> int:
    return one.images


def _lacking(inspected: Inspected) -> Iterator[Finding]:
    for split in ("train", "validation", "test"):
        counts = {one.name: getattr(one, split) for one in inspected.classes}
        empty = [name for name, count in counts.items() if not count]
        if empty and len(empty) < len(counts):
            yield Finding(
                severity="error" if split == "train" else "warning",
                what=f"the split {split} has no image of {len(empty):,} {_called(inspected)[0]}",
                where=first(empty, len(empty)),
                fix="Add some: what is not there is not learned."
                if split == "train"
                else f"Add some, or the {split} tells nothing about them.",
            )


def _pixels(inspected: Inspected) -> Iterator[Finding]:
    readable = inspected.images - len(inspected.unreadable)
    dark = (
        "are nearly black: no level above 15 of 255",
        "Were they saved on a scale of 0 to 1, or with 12 bits in 16? Save them again on the full scale.",
    )
    blank = ("are of one colour all over", "Remove them if nothing was photographed.")
    small = (f"have a side of less than {_SHORT_SIDE} pixels", "Look for thumbnails and icons among them.")
    for count, names, (what, fix) in (
        (inspected.dark, inspected.first_dark, dark),
        (inspected.blank, inspected.first_blank, blank),
        (inspected.small, inspected.smallest, small),
    ):
        if count:
            told = f"{count:,} of {readable:,} images {what}"
            yield Finding(severity="warning", what=told, where=first(names, count), fix=fix)
    grey = sum(count for mode, count in inspected.modes if mode in ("L", "1", "I;16", "LA", "I"))
    if grey and grey < readable:
        yield Finding(
            severity="note",
            what=f"{grey:,} of {readable:,} images are grey and the others coloured: see that it is not the classes "
            "that differ by it",
        )


def _count(pairs: Pairs) -> str:
    return f"{pairs.count:,} exact cop{'y' if pairs.count == 1 else 'ies'}"


def _shown(pairs: Pairs) -> tuple[str, ...]:
    return first([f"{_told(one)} = {_told(other)}" for one, other in pairs.first], pairs.count)


def _told(place: Place) -> str:
    return f"{place.name} ({place.split + ', ' if place.split else ''}{place.class_name})"

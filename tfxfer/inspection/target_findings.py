"""What is wrong, or may be, with labels that stand together and with numbers: a pure function of what was found out."""

from collections.abc import Iterator

from tfxfer.inspection.finding import Finding, first
from tfxfer.inspection.inspected import Inspected

# A label of so many of the images tells nothing apart; so many images without any are most likely forgotten.
_NEARLY_ALL, _MANY = 0.99, 0.5
# Numbers of which so many are one and the same.
_HEAP = 0.5


def labels(inspected: Inspected) -> Iterator[Finding]:
    """Yields what is to be said of labels."""
    facts = inspected.labels
    if facts is None:
        return
    readable = inspected.images - len(inspected.unreadable)
    everywhere = [f"{one.name} ({one.images:,} of {readable:,})" for one in inspected.classes
                  if readable and one.images >= _NEARLY_ALL * readable]  # fmt: skip
    if everywhere:
        yield Finding(
            severity="warning",
            what=f"{len(everywhere):,} label(s) that nearly all images have, which tell nothing apart",
            where=first(everywhere, len(everywhere)),
            fix="Leave them out.",
        )
    if facts.same:
        pairs = [f"{one} and {other}" for one, other in facts.same]
        yield Finding(
            severity="warning",
            what=f"{len(pairs):,} pair(s) of labels always stand together: nothing can be learned that is of one alone",
            where=first(pairs, len(pairs)),
            fix="Join them, or add images that have one of them.",
        )
    if facts.unlabelled:
        many = facts.unlabelled > _MANY * readable
        yield Finding(
            severity="warning" if many else "note",
            what=f"{facts.unlabelled:,} of {readable:,} images have no label, and are learned as having none",
            fix="Label them, or leave them out, if something is on them." if many else "",
        )


def numbers(inspected: Inspected) -> Iterator[Finding]:
    """Yields what is to be said of targets of regression."""
    readable = inspected.images - len(inspected.unreadable)
    for one in inspected.targets:
        if one.far:
            low, high = one.quartiles[1], one.quartiles[3]
            yield Finding(
                severity="warning",
                what=f"{one.far:,} of {readable:,} numbers of {one.name} lie far out: half of all are {low:g} to "
                f"{high:g}, and these three times that distance beyond",
                where=first(one.first_far, one.far),
                fix="Look for slips and other units: they stretch the standard deviation, by which all are scaled. Of "
                "what is right, beyond one of them, the loss grows linearly where you have not asked for another.",
            )
        value, count = one.commonest
        if readable and _HEAP * readable <= count < readable:
            yield Finding(
                severity="note",
                what=f"{count:,} of {readable:,} numbers of {one.name} are {value:g}: see that it stands for a "
                "measurement, and not for none",
            )
    for one, other, correlation in inspected.same_targets:
        yield Finding(
            severity="warning",
            what=f"{one} and {other} are the same but for scale and offset (correlation {correlation:.5f})",
            fix="Leave one of them out of label_column: it counts twice, and tells nothing more.",
        )

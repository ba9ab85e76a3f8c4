"""Decides what is done to training pictures: the preset by the number of examples, and what classes do not allow."""

import dataclasses
import re
from collections.abc import Sequence

from tfxfer import augmentation
from tfxfer.augmentation import Augment
from tfxfer.facts import DataFacts

# Training examples in a class of middle size over which the number of views is so many (see `choose_views`).
_EXAMPLES_FOR_VIEWS, _MOST_VIEWS = 400, 8
# Views where something is asked for by name: four bring 90 % of what many do.
_VIEWS_ASKED = 4
# A view that is turned further may show another class: 6 and 9, left and up.
_LARGE_ROTATION = 45
# Of TrivialAugment, in degrees; the other policies stay below the limit.
_TRIVIAL_ROTATION = 135
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIDES = ({"left", "right"}, {"clockwise", "counterclockwise", "anticlockwise"}, {"east", "west"})
_HEIGHTS = ({"up", "down"}, {"top", "bottom"}, {"upper", "lower"}, {"north", "south"})
_COLOURS = {"red", "green", "blue", "yellow", "orange", "purple", "violet", "pink", "brown", "cyan", "magenta"}


def choose_augment(asked: Augment, data: DataFacts) -> tuple[Augment, tuple[str, ...]]:
    """Returns what is done to pictures, with no field "auto" but the number of views, and sentences on why.

    Args:
        asked: of the recipe.
        data: the examples.
    """
    reasons = []
    preset = asked.preset
    if preset == "auto":
        preset, why = _preset(asked, middle(data.train_counts))
        reasons += [f"augmentation {preset}: {why}"] if preset != "none" else []
        asked = dataclasses.replace(asked, flip="none") if asked.flip == "auto" else asked
    forbidden = label_changes(data.class_names)
    mirrors = augmentation.PRESETS[preset]["flip"]
    if asked.flip == "auto" and mirrors in forbidden:
        reasons.append(f"augmentation {preset} without mirroring: {forbidden[mirrors]}")
        asked = dataclasses.replace(asked, flip="none")
    chosen = augmentation.settled(asked, preset)
    if asked.views == "auto":
        is_varied = augmentation.described(chosen) != "nothing"
        chosen = dataclasses.replace(chosen, views="auto" if is_varied else 1)
    return chosen, (*reasons, *_warnings(chosen, forbidden))


def choose_views(views: int | str, live: bool, counts: Sequence[int], epochs: int, *, least: int = 1) -> int:
    """Returns how many views each picture has in a stage.

    Where the recipe leaves it open: 400 over the number of training examples in a class of middle size, at least 1 and
    at most 8 (measured on digits: with 100, 300 and 1,000 examples 4 views brought 90 % of what 16 did), and at most
    half the epochs, since each view is computed as often as an epoch without a cache would.

    Args:
        views: as in the recipe.
        live: whether each epoch has views of its own.
        counts: training examples in each class.
        epochs: of the stage, begun ones included.
        least: of them, where the recipe leaves it open and the epochs allow it.
    """
    if live:
        return max(1, epochs)
    if views != "auto":
        return int(views)
    return max(1, min(_MOST_VIEWS, max(least, _for_size(middle(counts))), epochs // 2))


def least_views(asked: Augment) -> int:
    """Returns how many views there are at least where something is asked for that views differ in."""
    by_name = asked.preset not in ("auto", "none")
    return _VIEWS_ASKED if by_name or set(asked.changed).intersection(augmentation.VIEW_FIELDS) else 1


def middle(counts: Sequence[int]) -> int:
    """Returns the number of training examples in a class of middle size."""
    return sorted(counts)[len(counts) // 2]


def label_changes(class_names: Sequence[str]) -> dict[str, str]:
    """Returns what would change the class of some pictures, by their names, and in words why.

    Returns:
        Of "horizontal", "vertical", "both", "rotation" and "colour" those that would, each with its sentence.
    """
    found: dict[str, str] = {}
    characters = [name for name in class_names if _is_character(name)]
    if len(characters) > 1 and 2 * len(characters) > len(class_names):
        why = f"classes such as {characters[0]!r} and {characters[1]!r} look like digits or letters"
        found |= dict.fromkeys(("horizontal", "vertical", "both", "rotation"), why)
    words = {name: set(re.findall("[a-z]+", name.lower())) for name in class_names}
    for kinds, groups in ((("horizontal", "both", "rotation"), _SIDES), (("vertical", "both", "rotation"), _HEIGHTS)):
        for group in groups:
            named = {word: name for name, own in words.items() if len(own & group) == 1 for word in own & group}
            if len(named) > 1:
                one, other = list(named.values())[:2]
                found |= dict.fromkeys(kinds, f"classes such as {one!r} and {other!r} name directions")
    coloured = [name for name, own in words.items() if own & _COLOURS]
    if len(coloured) > 1:
        found["colour"] = f"classes such as {coloured[0]!r} and {coloured[1]!r} name colours"
    return found


def _preset(asked: Augment, examples: int) -> tuple[str, str]:
    if asked.views == "auto" and asked.live is not True and _for_size(examples) <= 1:
        return "none", f"{examples} training examples in a class of middle size are enough"
    why = f"{examples} training examples in a class of middle size; without mirroring, which only you can allow"
    return "light", f"{why} (augment.flip=horizontal)" if asked.flip == "auto" else why.partition(";")[0]


def _for_size(examples: int) -> int:
    return round(_EXAMPLES_FOR_VIEWS / max(1, examples))


def _is_character(name: str) -> bool:
    """Returns whether a class is a digit or a letter: `7`, `seven`, `b`, `digit_7`, `letter-b`."""
    *before, last = re.split(r"[\s_\-.:]+", name.strip().lower())
    is_told = (len(last) == 1 and last.isalnum()) or last in _DIGITS
    return is_told and all(word in ("digit", "letter", "number", "character") for word in before)


def _warnings(chosen: Augment, forbidden: dict[str, str]) -> list[str]:
    """Returns a sentence for each thing that may change the class of a picture."""
    turned = _TRIVIAL_ROTATION if chosen.policy == "trivialaugment" else chosen.rotation
    told = []
    if chosen.flip in forbidden:
        told.append(f"warning: {forbidden[chosen.flip]}, and augment.flip={chosen.flip} mirrors them. Write none.")
    if turned > _LARGE_ROTATION and "rotation" in forbidden:
        asked = "augment.policy=trivialaugment" if turned > chosen.rotation else f"augment.rotation={chosen.rotation:g}"
        told.append(f"warning: {forbidden['rotation']}, and {asked} turns them by up to {turned:g} degrees.")
    recoloured = [name for name in ("hue", "grey") if getattr(chosen, name)]
    if recoloured and "colour" in forbidden:
        told.append(f"warning: {forbidden['colour']}, and augment.{recoloured[0]} changes colours. Write 0.")
    return told

"""Draws what a network sees of training pictures, so that one looks before training: as they are, as views, mixed."""

import dataclasses
import pathlib

import matplotlib
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from tfxfer import answers, augmentation, backbones, checks, data, files, plans, recipes
from tfxfer.augmentation import Augment
from tfxfer.data import batches, mixing, views
from tfxfer.data.rows import Rows, evenly
from tfxfer.display import clean
from tfxfer.tasks import Task

# Of the pictures on the sheet, in pixels: small ones are enlarged by a whole number, large ones made smaller.
_LEAST, _MOST = 96, 160
_GAP, _CAPTION, _LINE, _FONT = 6, 110, 15, 12
_BATCHES = 2
# Names of classes are cut to so many characters; a share below is not told.
_LONGEST, _LEAST_SHARE = 18, 0.005
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


@dataclasses.dataclass(frozen=True)
class Strip:
    """A row of the sheet.

    Attributes:
        caption: what it shows.
        pictures: float `[columns, size, size, 3]`, 0..255.
        labels: a text below each picture, of one line or several; none for no texts.
    """

    caption: str
    pictures: np.ndarray
    labels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What was drawn.

    Attributes:
        strips: from top to bottom.
        augment: what is done to pictures, settled.
        reasons: sentences on why, and warnings.
    """

    strips: tuple[Strip, ...]
    augment: Augment
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        mixed = augmentation.described(self.augment, ("mixup", "cutmix"))
        lines = [
            f"views: {augmentation.described(self.augment)}",
            f"mixed: {mixed}" + (" (mixup of activations, where they are computed once)" if self.augment.mixup else ""),
        ]
        return "\n".join([*lines, *(f"· {clean(reason)}" for reason in self.reasons)])


def draw(recipe: recipes.Recipe, output: pathlib.Path, *, columns: int = 8, shown: int = 5, overwrite=False) -> Sheet:
    """Writes a PNG of some training pictures: a row as they are, one for each view, and batches as they are mixed.

    Args:
        recipe: the data, the backbone, which decides on the size, and what is done to pictures.
        output: the file, which must not exist.
        columns: pictures in a row, ≥ 1.
        shown: views of each, ≥ 1.
        overwrite: whether it may.

    Raises:
        WorkdirError: there is a file, or it cannot be written.
        TfxferError: of the data or the recipe.
    """
    files.check_new(output, overwrite=overwrite)
    checks.check_recipe(recipe)
    examples = data.open_data(recipe.data, seed=recipe.split_seed)
    card = backbones.inspect(
        recipe.backbone.handle,
        weights=recipe.weights,
        output=recipe.backbone.output,
        allow_unsafe_model_code=recipe.backbone.allow_unsafe_model_code,
    )
    size, _ = plans.choose_image_size(recipe, examples.facts, card)
    augment, reasons = plans.choose_augment(recipe.augment, examples.facts)
    train = examples.indices(data.TRAIN)
    some = examples.some(train[evenly(len(train), _BATCHES * columns)])
    rows = some.rows(some.pixels(size, recipe.data.framing), data.TRAIN)
    strips = tuple(_strips(rows, examples.facts.class_names, augment, recipe.seed, columns, shown))
    with files.replacing(output, overwrite=overwrite) as beside:
        arranged(strips).save(beside, "PNG")
    return Sheet(strips, augment, reasons)


def _strips(rows: Rows, class_names: tuple[str, ...], augment: Augment, seed: int, columns: int, shown: int):
    """Yields the rows of the sheet; its columns are every other one of the pictures that are mixed."""
    positions = np.unique(evenly(len(rows), columns))
    names = tuple(_told(target, rows.task, class_names) for target in rows.labels[positions])
    yield Strip("as they are", rows.take(positions), names)
    differs = augmentation.described(augment) != "nothing"
    with_views = views.with_views(rows, shown + 1 if differs else 1, augment, seed=seed)
    for number in range(1, with_views.views):
        which = positions, np.full_like(positions, number)
        pixels = with_views.decode(with_views.take(*which), with_views.parameters_of(*which))
        yield Strip(f"view {number}", pixels.numpy())
    mix = mixing.mixer(augment, seed=seed, stage=0, cached=False)
    if mix is None:
        return
    steps = min(_BATCHES, -(-len(rows) // columns))
    mixed = batches.training_batches(with_views, batch_size=columns, start=0, steps=steps, seed=seed, stage=0, mix=mix)
    for number, (pixels, labels, *_weights) in enumerate(mixed, start=1):
        if rows.task.kind == "regression":
            names = tuple(_told(target, rows.task, class_names) for target in answers.meant(labels.numpy(), rows.task))
        else:
            names = tuple(_shares(row, class_names) for row in labels.numpy())
        yield Strip(f"mixed batch {number}", pixels.numpy(), names)


def arranged(strips: tuple[Strip, ...]) -> PIL.Image.Image:
    """Returns the rows of a sheet below each other."""
    size = strips[0].pictures.shape[1]
    edge = size * max(1, _LEAST // size) if size < _LEAST else min(size, _MOST)
    columns = max(len(strip.pictures) for strip in strips)
    heights = [edge + _LINE * max([text.count("\n") + 1 for text in strip.labels], default=0) for strip in strips]
    width = _CAPTION + columns * (edge + _GAP) + _GAP
    sheet = PIL.Image.new("RGB", (width, sum(heights) + _GAP * (len(strips) + 1)), _PAPER)
    pen = PIL.ImageDraw.Draw(sheet)
    # Matplotlib brings a font with more letters than Pillow's own.
    font = PIL.ImageFont.truetype(pathlib.Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", _FONT)
    top = _GAP
    for strip, height in zip(strips, heights, strict=True):
        pen.text((_GAP, top + edge // 2), strip.caption, _INK, font, anchor="lm")
        for column, picture in enumerate(strip.pictures):
            left = _CAPTION + column * (edge + _GAP)
            sheet.paste(_tile(picture, edge), (left, top))
            if strip.labels:
                text = "\n".join(_fitting(line, font, edge) for line in strip.labels[column].split("\n"))
                pen.multiline_text((left, top + edge), text, _INK, font, spacing=_LINE - _FONT)
        top += height + _GAP
    return sheet


def _tile(picture: np.ndarray, edge: int) -> PIL.Image.Image:
    image = PIL.Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8))
    larger = edge >= picture.shape[0]
    return image.resize((edge, edge), PIL.Image.Resampling.NEAREST if larger else PIL.Image.Resampling.BOX)


def _told(target: np.ndarray, task: Task, names: tuple[str, ...]) -> str:
    """Returns the target of one example in words: its class, its labels or its numbers, one a line."""
    if task.has_classes:
        return _short(names[target])
    if task.kind == "regression":
        return "\n".join(f"{number:.4g} {_short(name)}" for number, name in zip(target, names, strict=True))
    return "\n".join(_short(names[index]) for index in np.flatnonzero(target)) or "none"


def _shares(labels: np.ndarray, class_names: tuple[str, ...]) -> str:
    """Returns the shares of classes or labels in words, the largest first, one a line."""
    told = [index for index in np.argsort(-labels, kind="stable") if labels[index] >= _LEAST_SHARE]
    return "\n".join(f"{100 * labels[index]:.0f} % {_short(class_names[index])}" for index in told) or "none"


def _short(name: str) -> str:
    name = clean(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _fitting(text: str, font: PIL.ImageFont.FreeTypeFont, width: int) -> str:
    """Returns as much of a line as is not wider than so many pixels."""
    while font.getlength(text) > width and len(text) > 1:
        text = f"{text[:-2]}…"
    return text

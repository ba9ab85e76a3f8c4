"""Tiny labelled pictures: a colour is a class."""

import pathlib

import numpy as np
import PIL.Image

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 70), "red": (210, 50, 40)}


def write_colours(folder: pathlib.Path, *, each: int = 20, size: int = 24, seed: int = 0) -> pathlib.Path:
    """Writes `each` noisy PNG pictures of `size`×`size` pixels for each of three colours; returns `folder`."""
    generator = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            noise = generator.normal(0, 25, (size, size, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            PIL.Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder

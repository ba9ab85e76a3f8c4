"""Pictures that a small network tells apart and a linear classifier of pixels does not."""

import pathlib

import numpy as np
import PIL.Image


def stripes(examples: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Stripes across, down and aslant at any phase in noise: no pixel by itself tells which.

    Returns:
        uint8 `[examples, 24, 24, 3]`, and labels 0 to 2, int64 `[examples]`.
    """
    generator = np.random.default_rng(0)
    labels = np.arange(examples) % 3
    x, y = np.meshgrid(np.arange(24), np.arange(24))
    along = np.stack([x, y, x + y])[labels]
    waves = np.sin(2 * np.pi * (along + generator.integers(0, 6, (examples, 1, 1))) / 6)
    pictures = np.clip(128 + 60 * waves + generator.normal(0, 40, waves.shape), 0, 255).astype(np.uint8)
    return np.repeat(pictures[..., None], 3, axis=3), labels


def write_pictures(folder: pathlib.Path, pictures: np.ndarray, labels: np.ndarray, splits=None) -> pathlib.Path:
    """Writes a folder for each class, a to c, below one for each split where there are some (0 train, 1, 2 test)."""
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        split = "" if splits is None else ("train", "validation", "test")[splits[index]]
        place = folder / split / "abc"[label]
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(picture).save(place / f"{index}.png")
    return folder

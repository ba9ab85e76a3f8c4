"""What is found out about pictures that are all alike."""

import numpy as np
import PIL.Image

from tfxfer import recipes
from tfxfer.data import looks, near_duplicates
from tfxfer.inspection import findings, inspect
from tfxfer.inspection.inspected import Place


def _frames(folder, count: int) -> recipes.Data:
    """Frames of a video, each nearly the next; classes take turns, and the first two are the same file."""
    coarse = np.random.default_rng(0).integers(30, 220, (6, 8, 3), dtype=np.uint8)
    scene = np.asarray(PIL.Image.fromarray(coarse).resize((64, 48), PIL.Image.Resampling.BICUBIC))
    for number in range(count):
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        varied = scene + np.random.default_rng(number // 2 if number < 2 else number).integers(0, 9, scene.shape)
        PIL.Image.fromarray(varied.clip(0, 255).astype(np.uint8)).save(folder / "ab"[number % 2] / f"{number}.png")
    return recipes.Data(source=f"folder:{folder}", on_duplicate="drop")


def test_every_pair_is_counted_and_the_first_are_shown(tmp_path):
    seen, found = inspect(_frames(tmp_path, 40), seed=0)
    assert seen.compared_all
    assert seen.copies.across_splits.count + seen.copies.across_classes.count == 1
    kinds = (seen.near.across_splits, seen.near.across_classes, seen.near.within)
    assert all(len(one.first) == min(one.count, 24) > 0 for one in kinds)
    every = looks.look(found.pictures, ()).pairs.tolist()
    assert sum(one.count for one in kinds) + 1 == len(every)  # the copy is one of them
    within = [[one.index, other.index] for one, other in seen.near.within.first]
    same = [pair for pair in every if found.labels[pair[0]] == found.labels[pair[1]]]
    assert within == [pair for pair in same if pair in within][:24]
    for one, other in seen.near.across_classes.first:
        assert isinstance(one, Place)
        assert one.split == other.split
        assert one.class_name != other.class_name
        assert one.name == found.pictures.name(one.index)


def test_too_many_pairs_are_said_to_be_some(tmp_path, monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 10)
    monkeypatch.setattr(near_duplicates, "_AT_ONCE", 10)
    seen, _ = inspect(_frames(tmp_path, 40), seed=0)
    assert not seen.compared_all
    told = [one.what for one in findings(seen, recipes.Data(source=seen.source, on_duplicate="drop"))]
    assert any("too many images look alike for all to be compared" in what for what in told)

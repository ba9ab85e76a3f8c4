"""Features that predict kept find what a hash does not, and are refused where they are of something else."""

import numpy as np
import PIL.Image
import pytest

from tfxfer import recipes
from tfxfer.cli.main import main
from tfxfer.data import near_duplicates
from tfxfer.errors import DataError
from tfxfer.inspection import inspect

NAMES = [f"{name}/{number}.png" for name in ("a", "b") for number in range(5)]


@pytest.fixture
def photos(tmp_path):
    """Ten pictures of noise, of which no hash finds two alike."""
    generator = np.random.default_rng(0)
    for name in NAMES:
        place = tmp_path / "photos" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = PIL.Image.fromarray(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8))
        coarse.resize((48, 48), PIL.Image.Resampling.BICUBIC).save(place)
    return tmp_path / "photos"


def kept(folder, features, names, header="image,label"):
    np.save(folder / "features.npy", features)
    rows = [header, *(f"{name},x" for name in names)]
    (folder / "features.csv").write_text("\n".join(rows) + "\n")
    return folder / "features.npy"


def features_of(pairs, count=10, width=64):
    """Features of which no two point the same way, but for these pairs."""
    features = np.random.default_rng(1).normal(size=(count, width)).astype(np.float32)
    for one, other in pairs:
        features[other] = features[one] * 3
    return features


def test_pairs_that_only_features_find_are_told_in_any_order_of_rows(photos, tmp_path):
    data = recipes.Data(source=f"folder:{photos}")
    assert inspect(data, seed=0)[0].near.within.count == 0
    order = np.random.default_rng(2).permutation(10)
    features = features_of([(0, 1), (2, 7)])
    path = kept(tmp_path, features[order], [f"elsewhere/photos/{NAMES[place]}" for place in order])
    seen, _ = inspect(data, seed=0, embeddings=path)
    pairs = [*seen.near.across_splits.first, *seen.near.across_classes.first, *seen.near.within.first]
    assert sorted((one.name, other.name) for one, other in pairs) == [("a/0.png", "a/1.png"), ("a/2.png", "b/2.png")]
    assert seen.notes[-1] == (
        "compared by a perceptual hash and by the features of 10 of 10 images, which found 2 of 2 pairs alone"
    )


def test_pictures_without_features_are_compared_by_the_hash(photos, tmp_path):
    features = features_of([(0, 1)])
    features[0] = np.nan
    path = kept(tmp_path, features[:9], [f"photos/{name}" for name in NAMES[:9]])
    seen, _ = inspect(recipes.Data(source=f"folder:{photos}"), seed=0, embeddings=path)
    assert "features of 8 of 10 images" in seen.notes[-1]
    assert seen.near.within.count == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda place: place / "none.npy", "none.npy cannot be read as an array"),
        (lambda place: kept(place, np.zeros(10), NAMES), "is no array of fractions"),
        (lambda place: kept(place, np.zeros((10, 4), np.int32), NAMES), "is no array of fractions"),
        (lambda place: kept(place, np.array([[{}]], object), ["a/0.png"]), "cannot be read as an array"),
        (lambda place: kept(place, features_of([]), NAMES[:9]), "has 10 rows and .*csv 9: they are not of one run"),
        (lambda place: kept(place, features_of([]), NAMES, header="picture,label"), "has no column image"),
        (lambda place: kept(place, features_of([]), [f"c/{n}" for n in range(10)]), "none of the images .* is one of"),
        (lambda place: kept(place, features_of([], count=0), []), "has no rows"),
    ],
)
def test_what_is_of_something_else_is_refused(photos, tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        inspect(recipes.Data(source=f"folder:{photos}"), seed=0, embeddings=make(tmp_path))


def test_a_table_that_is_not_there(photos, tmp_path):
    path = kept(tmp_path, features_of([]), NAMES)
    path.with_suffix(".csv").unlink()
    with pytest.raises(DataError, match="which tells whose features these are, cannot be read"):
        inspect(recipes.Data(source=f"folder:{photos}"), seed=0, embeddings=path)


def test_from_the_shell(photos, tmp_path, capsys):
    path = kept(tmp_path, features_of([(0, 9)]), [f"photos/{name}" for name in NAMES])
    assert main(["data", "check", f"--data=folder:{photos}", f"--embeddings={path}"]) == 0
    assert "which found 1 of 1 pairs alone" in " ".join(capsys.readouterr().out.split())


def test_of_many_features_blocks_find_the_same_pairs(monkeypatch):
    features = features_of([(3, 40), (3, 77), (50, 51)], count=90)
    features[60] = np.nan
    every = near_duplicates.pairs_of_features(features)
    assert every[0].tolist() == [[3, 40], [3, 77], [40, 77], [50, 51]]
    monkeypatch.setattr(near_duplicates, "_ROWS_AT_ONCE", 7)
    assert near_duplicates.pairs_of_features(features)[0].tolist() == every[0].tolist()
    monkeypatch.setattr(near_duplicates, "MOST_FEATURES", 45)
    found, compared_all = near_duplicates.pairs_of_features(features)
    assert (found.tolist(), compared_all) == ([[3, 40]], False)


def test_features_that_are_all_the_same_tell_nothing():
    assert near_duplicates.pairs_of_features(np.ones((5, 3), np.float32))[0].tolist() == []
    assert near_duplicates.pairs_of_features(np.full((2, 3), np.nan, np.float32))[0].tolist() == []

"""The experiment on digits and clothes: both configs become plans, and say what is to be done before."""

import ast
import pathlib
import re
import runpy

import numpy as np
import pytest

from tfxfer import comparison, config
from tfxfer.data import npz
from tfxfer.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[1]
DIGITS, CLOTHES = (ROOT / "configs" / name for name in ("small_digits.py", "compare_fashion.py"))
ASSETS = runpy.run_path(str(ROOT / "tools" / "fetch_assets.py"))


@pytest.fixture
def no_assets(tmp_path, monkeypatch) -> pathlib.Path:
    """An empty working folder, and an empty one where the assets would be."""
    (tmp_path / "assets").mkdir()
    monkeypatch.setenv("TFXFER_ASSETS", str(tmp_path / "assets"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def idx(folder: pathlib.Path, pictures: int = 10_000) -> None:
    """Writes what stands for Debian's files: pictures of their number, and the labels 0 to 9 in turn."""
    own = folder / "assets" / f"dataset-fashion-mnist-{ASSETS['ASSETS']['dataset-fashion-mnist'].version}"
    own.mkdir()
    numbers = np.arange(pictures, dtype=np.uint64) % 256
    images = np.repeat(numbers.astype(np.uint8), 28 * 28)
    (own / "t10k-images-idx3-ubyte").write_bytes(bytes(16) + images.tobytes())
    (own / "t10k-labels-idx1-ubyte").write_bytes(bytes(8) + (np.arange(10_000) % 10).astype(np.uint8).tobytes())


def test_without_clothes_or_network_the_answer_is_what_to_type(no_assets):
    with pytest.raises(
        ConfigError, match=r"fashion-10k-.*npz is not there\. Type: python tools/fetch_assets.py fashion$"
    ):
        config.read_recipe(str(CLOTHES))
    ASSETS["fashion_place"]().touch()
    with pytest.raises(
        ConfigError, match=r"Type: tfxfer train --config=configs/small_digits.py --workdir=runs/small_d"
    ):
        config.read_recipe(str(CLOTHES))


def test_both_sides_differ_by_their_weights_alone(no_assets):
    """The stage of the config is that of `presets.scratch`, for as many epochs."""
    from tfxfer import presets

    ASSETS["fashion_place"]().touch()
    network = pathlib.Path("runs/small_digits/bundle/model.keras")
    network.parent.mkdir(parents=True)
    network.touch()
    recipe = config.read_recipe(str(CLOTHES))
    (stage,) = recipe.stages
    assert presets.scratch(epochs=stage.epochs) == recipe.stages
    assert list(comparison.contenders_of(recipe)) == ["pretrained", "from scratch"]
    digits = config.read_recipe(str(DIGITS))
    assert (digits.weights, digits.image_size) == ("random", recipe.image_size)


def test_the_clothes_become_an_npz_that_is_read(no_assets):
    idx(no_assets)
    place = ASSETS["fashion"]()
    found = npz.find(str(place))
    assert found.class_names == ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
                                 "bag", "ankle boot")  # fmt: skip
    assert found.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    with np.load(place, allow_pickle=False) as arrays:
        assert arrays["x"].shape == (10_000, 28, 28)
        assert arrays["x"][[0, 1, 257], 27, 27].tolist() == [0, 1, 1]


def test_other_files_of_clothes_are_refused_and_leave_nothing(no_assets):
    idx(no_assets, pictures=9_999)
    with pytest.raises(ValueError, match="has 7839232 and 10008 bytes of pictures and labels"):
        ASSETS["fashion"]()
    assert not ASSETS["fashion_place"]().exists()


def test_readme_has_the_figures_of_the_docstring():
    """Whoever measures anew writes them down in one place and is told of the other."""
    text = ast.get_docstring(ast.parse(CLOTHES.read_text()))
    paragraph = next(one for one in (ROOT / "README.md").read_text().split("\n\n") if "is the experiment of the" in one)
    readme = " ".join(paragraph.split())
    levels = re.search(r"steps to ([\d.]+) %\s+to ([\d.]+) %", text).groups()
    digits, random = (
        re.search(rf"{name} +([\d.]+) % .*?\) +(\d+) +(\d+)", text).groups() for name in ("digits", "random")
    )
    points, low, high = re.search(r"difference +([\d.]+) points \(([\d.]+) to ([\d.]+)\)", text).groups()
    for told in (
        f"{levels[0]} % of the validation examples are right after {digits[1]} steps instead of {random[1]}",
        f"{levels[1]} % after {digits[2]} instead of {random[2]}",
        f"{digits[0]} % instead of {random[0]} %",
        f"difference {points} points, 95 % interval {low} to {high}",
    ):
        assert told in readme

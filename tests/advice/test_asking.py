"""Advice as people ask for it: the program, and `tfxfer.advise`."""

import dataclasses
import pathlib

import numpy as np
import PIL.Image
import pytest

import tfxfer
from tfxfer import values
from tfxfer.advice import advised, concluding, measuring
from tfxfer.advice.html_page import html_page
from tfxfer.advice.result import Advice
from tfxfer.cli.main import main
from tfxfer.data import pictures
from tfxfer.errors import ConfigError, DataError
from tfxfer.recipes import Backbone
from tfxfer.tasks import Task

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture
def ask(colours, capsys):
    """Asks for advice on the colours; returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["advise", f"--data=folder:{colours}", "--backbone=tiny:cnn", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_it_tells_what_was_measured_and_writes_a_recipe_that_is_taken(ask, tmp_path, capsys):
    written = tmp_path / "advised.py"
    code, shown, errors = ask(f"--write={written}")
    assert (code, errors) == (0, "")
    assert "… computing features of 42 pictures at every depth" in shown
    assert "3 classes; 14 examples each on average, fewest 14" in shown
    assert "p = 0.001 for labels without meaning" in shown
    assert f"recipe: tfxfer train --config={written}" in shown
    assert main(["plan", f"--config={written}"]) == 0
    assert "tiny:cnn" in capsys.readouterr().out


def test_a_file_that_exists_is_refused_before_anything_is_measured(ask, tmp_path):
    (tmp_path / "mine.py").write_text("")
    code, shown, errors = ask(f"--write={tmp_path / 'mine.py'}")
    assert (code, shown) == (1, "")
    assert "exists and is not overwritten" in errors


def test_it_writes_a_page_where_there_is_none(ask, tmp_path):
    page = tmp_path / "advice.html"
    code, shown, errors = ask(f"--html={page}")
    assert (code, errors) == (0, "")
    assert f"page: {page}" in shown
    assert "<h2>What to do</h2>" in page.read_text()
    page.write_text("mine")
    code, shown, errors = ask(f"--html={page}")
    assert (code, shown, page.read_text()) == (1, "", "mine")
    assert "exists and is not overwritten. Write --overwrite" in errors
    assert ask("--html=advice.txt")[2].strip().endswith("is no HTML file. Write --html=report.html.")
    assert ask(f"--html={page}", "--overwrite")[0] == 0
    assert "<h2>What to do</h2>" in page.read_text()


def _arrays(meaning: bool, examples: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of two brightnesses; the labels are these, or have nothing to do with them."""
    generator = np.random.default_rng(0)
    bright = np.arange(examples) % 2
    pictures = generator.integers(0, 100, (examples, 24, 24, 3)) + 120 * bright[:, None, None, None]
    return pictures.astype(np.uint8), bright if meaning else generator.permutation(bright)


def _advise(examples, **settings) -> Advice:
    recipe = tfxfer.Recipe(backbone="tiny:cnn", image_size=24, **settings)
    return tfxfer.advise(recipe, data=examples)


def test_noise_is_said_to_be_noise():
    found = _advise(_arrays(meaning=False))
    assert found.verdict == "nothing_learnable"
    assert found.measured.learnable.p_value > 0.01
    assert f"p = {found.measured.learnable.p_value:.2g}" in str(found)
    assert found.stages == ""
    assert advised(tfxfer.Recipe(), found) == tfxfer.Recipe()


def test_any_method_will_do_where_pixels_tell_it_all():
    found = _advise(_arrays(meaning=True))
    assert found.measured.pixels.value == 1.0
    assert found.verdict == "easy"
    assert (found.at, found.stages) == ("", "feature_extraction")
    assert advised(tfxfer.Recipe(), found).stages == "feature_extraction"


def test_advice_is_a_value():
    found = _advise(_arrays(meaning=True))
    assert values.from_json(Advice, values.to_json(found)) == found


def test_copies_do_not_give_each_other_away():
    """Each picture of noise is there twice with one label: the copy alone would tell it."""
    generator = np.random.default_rng(0)
    pictures = np.repeat(generator.integers(0, 256, (60, 24, 24, 3)), 2, axis=0).astype(np.uint8)
    labels = np.repeat(generator.permutation(np.arange(60) % 2), 2)
    found = _advise((pictures, labels))
    assert found.measured.depth(found.measured.best).linear.low < 0.6


def test_labels_of_copies_do_not_look_learnable():
    generator = np.random.default_rng(0)
    pictures = np.repeat(generator.integers(0, 256, (60, 24, 24, 3)), 2, axis=0).astype(np.uint8)
    found = _advise((pictures, np.repeat(generator.permutation(np.arange(60) % 2), 2)))
    assert found.verdict == "nothing_learnable"
    assert found.measured.examples == found.data.train_examples - found.copies < 60
    assert f"{found.copies} of them copies of others, which were left out" in str(found)


def _scenes(folder: pathlib.Path, per_scene: int = 3) -> tfxfer.Data:
    """60 scenes of noise, one after another of class a or b, each with pictures that are nearly the same."""
    generator = np.random.default_rng(0)
    for scene in range(60):
        picture = generator.integers(0, 250, (24, 24, 3))
        (folder / "ab"[scene % 2]).mkdir(exist_ok=True)
        for number in range(per_scene):
            varied = (picture + generator.integers(0, 3, picture.shape)).astype(np.uint8)
            PIL.Image.fromarray(varied).save(folder / "ab"[scene % 2] / f"scene{scene}_{number}.png")
    return tfxfer.Data(source=f"folder:{folder}", group_by="(.*)_")


def test_groups_do_not_give_each_other_away(tmp_path):
    recipe = tfxfer.Recipe(data=_scenes(tmp_path), backbone="tiny:cnn", image_size=24)
    found = tfxfer.advise(recipe)
    assert found.verdict == "nothing_learnable"
    assert max(depth.neighbours.value for depth in found.measured.depths) < 0.75
    assert found.measured.curve[-1].value < 0.75
    assert f"groups      {found.measured.groups}, each left out as one" in str(found)
    assert found.measured.groups == found.measured.examples / 3
    assert found.measured.expected is None


def test_one_group_is_refused_with_what_to_type(tmp_path):
    data = dataclasses.replace(_scenes(tmp_path, per_scene=1), group_by="(scene)")
    for split in ("train", "validation", "test"):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
    for path in tmp_path.glob("[ab]/*.png"):
        number = int(path.stem.removeprefix("scene").partition("_")[0])
        split = ("validation", "test", "train")[min(number // 4, 2)]
        name = path.name if split == "train" else f"{split}{number}.png"
        path.rename(tmp_path / split / path.parent.name / name)
    for label in "ab":
        (tmp_path / label).rmdir()
    with pytest.raises(DataError, match=r"training examples are of one group, 'scene'.*group_column=none"):
        tfxfer.advise(tfxfer.Recipe(data=data, backbone="tiny:cnn", image_size=24))


def test_a_ready_split_with_one_training_example_of_a_class_is_advised_about(tmp_path):
    generator = np.random.default_rng(0)
    for split, each in {"train": 30, "validation": 4, "test": 4}.items():
        for label, bright in {"dark": 0, "light": 120, "rare": 60}.items():
            (tmp_path / split / label).mkdir(parents=True)
            for number in range(1 if (split, label) == ("train", "rare") else each):
                picture = (generator.integers(0, 100, (24, 24, 3)) + bright).astype(np.uint8)
                PIL.Image.fromarray(picture).save(tmp_path / split / label / f"{number}.png")
    found = tfxfer.advise(tfxfer.Recipe(data=f"folder:{tmp_path}", backbone="tiny:cnn", image_size=24))
    assert (found.measured.examples, found.verdict) == (61, "easy")
    assert "20 examples each on average, fewest 1, of rare" in str(found)
    assert found.measured.at_best.value > 0.9


def test_what_is_not_looked_at_is_not_decoded(monkeypatch):
    monkeypatch.setattr(measuring, "MOST_EXAMPLES", 30)
    decoded = []
    render = pictures.render
    monkeypatch.setattr(pictures, "render", lambda some, *rest: (decoded.append(len(some)), render(some, *rest)))
    found = _advise(_arrays(meaning=True))
    assert decoded == [found.measured.examples] == [30]
    assert "of which 30 were drawn" in str(found)


def test_few_examples_have_no_curve():
    pictures, labels = _arrays(meaning=True, examples=20)
    found = _advise((pictures, labels))
    assert found.measured.forecasts == ()
    assert found.measured.curve_depths == ()
    assert "fitted to" not in str(found)


def test_what_was_chosen_is_expected_to_be_worse_than_it_looks():
    found = _advise(_arrays(meaning=False))
    measured = found.measured
    best = measured.depth(measured.best).linear
    assert measured.at_best == measured.expected
    assert measured.expected.value < best.value
    told = f"on other examples {measured.best} is expected to have {measured.expected} right: chosen for being the best"
    assert told in " ".join(str(found).split())
    assert told in " ".join(html_page(found).split())
    alone = dataclasses.replace(found, measured=dataclasses.replace(measured, expected=None))
    assert alone.measured.at_best == best
    assert "on other examples" not in str(alone)
    assert "on other examples" not in html_page(alone)


def test_the_curve_names_the_depths_that_it_is_of():
    found = _advise(_arrays(meaning=True))
    several = found.measured.curve_depths
    assert found.measured.best in several
    assert len(several) > 1  # brightness is told at each
    assert list(several) == [depth.name for depth in found.measured.depths if depth.name in several]
    told = f"on features of {', '.join(several[:-1])} and {several[-1]}, the mean of their accuracies"
    assert told in " ".join(str(found).split())


@pytest.mark.parametrize(
    "recipe",
    [
        tfxfer.Recipe(backbone="tiny:cnn", stages="scratch"),
        tfxfer.Recipe(backbone=Backbone(handle="tiny:cnn", weights="random")),
    ],
)
def test_random_weights_are_refused(recipe):
    with pytest.raises(ConfigError, match=r"what pretrained weights are worth.*leave backbone\.weights and stages"):
        tfxfer.advise(recipe, data=_arrays(meaning=True))


def test_one_class_is_refused():
    with pytest.raises(DataError, match="one class only"):
        _advise((_arrays(meaning=True)[0], np.zeros(90, int)))


def _numbers(meaning: bool = True, examples: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of some brightness: two targets, brightness in units of its own and noise."""
    generator = np.random.default_rng(0)
    bright = generator.uniform(0, 150, examples)
    pictures = generator.integers(0, 100, (examples, 24, 24, 3)) + bright[:, None, None, None]
    if not meaning:
        bright = generator.permutation(bright)
    return pictures.astype(np.uint8), np.stack([5000 + 10 * bright, generator.normal(size=examples)], axis=1)


def test_numbers_are_told_by_ridge_alone_in_the_units_of_the_user():
    found = _advise(_numbers(), data=tfxfer.Data(task="regression"))
    measured = found.measured
    bright, noise = measured.targets
    assert (measured.metric, measured.forecasts, measured.depths[0].neighbours) == ("r_squared", (), None)
    assert bright.score.value > 0.9 > noise.score.value
    assert bright.mean_error == pytest.approx(375, rel=0.15)  # a quarter of the range of 1,500
    assert bright.error.high < 0.4 * bright.mean_error
    assert measured.learnable.p_value == 1 / 1000
    shown = str(found)
    assert "told by ridge regression alone: nearest neighbours and forecasts are for classes" in shown
    assert f": off by {bright.error.value:.4g}" in shown
    assert measured.expected.value <= measured.depth(measured.best).linear.value
    assert "5 neighbours" not in shown
    assert values.from_json(Advice, values.to_json(found)) == found


def test_numbers_do_not_race():
    told = []
    recipe = tfxfer.Recipe(backbone="tiny:cnn", image_size=24, data=tfxfer.Data(task="regression"), budget=5.0)
    assert tfxfer.advise(recipe, data=_numbers(examples=60), show=told.append).race is None
    assert "no race: it compares shares of right answers, which are for classes" in told


def test_numbers_without_meaning_are_said_to_be_noise():
    found = _advise(_numbers(meaning=False), data=tfxfer.Data(task="regression"))
    assert (found.verdict, found.stages) == ("nothing_learnable", "")
    assert found.measured.learnable.p_value > 0.01
    assert "numbers correlate with those of nearest neighbours by" in found.conclusions[0].reason


def test_labels_are_told_by_ridge_alone():
    generator = np.random.default_rng(0)
    labels = (generator.random((90, 3)) < (0.5, 0.3, 0.04)).astype(np.uint8)
    labels[:2, 2] = 1
    pictures = generator.integers(0, 100, (90, 24, 24, 3))
    pictures[..., 0] += 100 * labels[:, 0, None, None]
    pictures[..., 1] += 100 * labels[:, 1, None, None]
    found = _advise((pictures.astype(np.uint8), labels), data=tfxfer.Data(task="multi_label"))
    measured = found.measured
    assert measured.metric == "average_precision"
    assert [one.score.value > 0.95 for one in measured.targets] == [True, True, False]
    assert measured.targets[0].share == pytest.approx(0.5, abs=0.15)
    assert measured.learnable.p_value == 1 / 1000
    assert "average precision" in str(found)
    assert "told by ridge regression alone: nearest neighbours and forecasts are for classes" in str(found)
    assert found.verdict in ("undecided", "transfer_helps", "transfer_does_not_help", "easy")


def test_numbers_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="pictures have the same numbers: there is nothing to tell apart"):
        measuring.measure(None, np.zeros((5, 8, 8, 3), np.uint8), np.full((5, 2), 3.0), task=Task(kind="regression"))


def test_pictures_that_are_all_alike_in_features_are_said_to_tell_nothing():
    """Constant features: one picture, but for a single pixel each."""
    pictures = np.full((60, 24, 24, 3), 90, np.uint8)
    pictures[np.arange(60), np.arange(60) // 24, np.arange(60) % 24] = 91
    found = _advise((pictures, np.random.default_rng(0).integers(0, 2, 60)))
    assert found.verdict == "nothing_learnable"
    assert np.isfinite([depth.linear.value for depth in found.measured.depths]).all()


def test_one_example_in_a_class_and_more_classes_than_examples_are_measured():
    pictures, labels = _arrays(meaning=True, examples=80)
    rare = labels.copy()
    rare[0] = 2
    found = measuring.measure(_tiny(), pictures, rare)
    assert found.frequent == pytest.approx(0.5, abs=0.02)
    assert 0 < found.learnable.p_value <= 1
    many = measuring.measure(_tiny(), pictures[:12], np.arange(12) * 3)  # 34 classes, of which 12 have an example
    assert found.depths[-1].balanced is not None
    assert many.depths[-1].linear.value == 0
    assert many.learnable.p_value == 1
    assert not many.has_pairs
    assert concluding.verdict_of(many) == "undecided"
    assert found.has_pairs


def test_one_example_in_a_class_is_refused_with_what_to_do():
    pictures, labels = _arrays(meaning=True)
    labels[0] = 2
    with pytest.raises(DataError, match="at least 3"):
        _advise((pictures, labels))


def test_labels_that_a_network_does_not_see_are_not_called_noise():
    """Constant features, and pixels that tell all: what is at fault is the network."""
    blind = _tiny()
    for variable in blind.model.variables:
        variable.assign(np.zeros(variable.shape))
    pictures, labels = _arrays(meaning=True)
    found = measuring.measure(blind, pictures, labels)
    assert found.learnable.p_value == 1 / 1000
    assert (found.pixels.value, found.depths[-1].linear.value < 0.7) == (1.0, True)
    assert concluding.verdict_of(found) == "transfer_does_not_help"


def test_forecasts_are_for_more_than_there_are_where_some_were_drawn(monkeypatch):
    monkeypatch.setattr(measuring, "MOST_EXAMPLES", 60)
    pictures, labels = _arrays(meaning=True, examples=128)
    found = _advise((pictures, labels)).measured
    assert (found.examples, found.available) == (60, 90)
    assert [one.examples for one in found.forecasts] == [180]  # four times 90 are more than four times 60


def _tiny():
    return tfxfer.load_backbone("tiny:cnn", image_size=24)


def test_labels_that_none_or_all_have_count_for_nothing():
    generator = np.random.default_rng(0)
    pictures, _ = _arrays(meaning=True, examples=60)
    labels = np.stack([np.arange(60) % 2, np.zeros(60), np.ones(60), generator.integers(0, 2, 60)], axis=1)
    found = measuring.measure(_tiny(), pictures, labels.astype(np.uint8), task=Task(kind="multi_label"))
    assert [round(one.score.value, 3) for one in found.targets[:3]] == [1, 0, 1]
    assert found.frequent == pytest.approx((0.5 + 0 + 1 + labels[:, 3].mean()) / 4)
    assert found.depths[-1].linear.value == pytest.approx(np.mean([1, 1, found.targets[3].score.value]), abs=0.15)
    assert found.learnable.p_value == 1 / 1000


def test_groups_of_numbers_do_not_give_each_other_away():
    """Twenty pictures of noise, three times each with one number, which has nothing to do with them."""
    generator = np.random.default_rng(0)
    scene = np.repeat(np.arange(20), 3)
    pictures = generator.integers(0, 250, (20, 24, 24, 3))[scene] + generator.integers(0, 3, (60, 24, 24, 3))
    numbers = generator.normal(size=(20, 1))[scene]
    alone, together = (
        measuring.measure(_tiny(), pictures.astype(np.uint8), numbers, task=Task(kind="regression"), groups=groups)
        for groups in (None, scene)
    )
    assert alone.pixels.value > 0.9
    assert together.pixels.value < 0.5
    assert together.groups == 20
    assert together.learnable.p_value > 0.01 > alone.learnable.p_value

"""Networks of which it is known what they see are ranked by it; what fails is named, and what is a slip is refused."""

import dataclasses
import re

import numpy as np
import pytest
import zoo_source

import tfxfer
from tfxfer import values
from tfxfer.advice import advised_by_ranking, ranking_check
from tfxfer.advice.ranking_result import Ranking
from tfxfer.cli.main import main
from tfxfer.errors import BackboneError, ConfigError, WorkdirError

RECIPE = tfxfer.Recipe()


pytestmark = pytest.mark.usefixtures("zoo")


def _rank(*names: str, **settings) -> Ranking:
    settings = {"data": zoo_source.stripes(), **settings}
    return tfxfer.rank(settings.pop("recipe", RECIPE), backbones=[f"zoo:{name}" for name in names], **settings)


@pytest.fixture(scope="module")
def ranking(zoo) -> Ranking:
    return _rank("blind", "absent", "seeing", "seeing_large", "text", "crashing", "silent")


def _row(ranking: Ranking, handle: str):
    return next(row for row in ranking.rows if row.handle == handle)


def test_the_one_that_sees_wins_whatever_was_published_of_the_other(ranking):
    blind, seeing = _row(ranking, "zoo:blind"), _row(ranking, "zoo:seeing")
    assert seeing.accuracy.low > 0.9 > blind.accuracy.high
    assert blind.top1 > seeing.top1
    assert (blind.is_tied, seeing.is_tied) == (False, True)
    assert blind.against_best.second_is_better > 0.999
    assert ranking.rows[-1] is blind


def test_equal_ones_are_tied_and_the_smallest_is_taken(ranking):
    assert [row.handle for row in ranking.tied] == ["zoo:seeing_large", "zoo:seeing"]  # by what was published
    assert ranking.chosen.handle == "zoo:seeing"
    small, large = _row(ranking, "zoo:seeing"), _row(ranking, "zoo:seeing_large")
    # A kernel of 3×3×3×4 and a bias of 4; a kernel of 4×64 more.
    assert (small.megabytes, large.megabytes) == (4 * 112 / 1e6, 4 * (112 + 256) / 1e6)
    assert ranking.advice.backbone == "zoo:seeing"
    assert advised_by_ranking(RECIPE, ranking).backbone.handle == "zoo:seeing"


def test_what_cannot_be_ranked_is_named_with_its_reason(ranking):
    assert {one.handle: one.reason for one in ranking.left_out}.keys() == {
        "zoo:absent",
        "zoo:text",
        "zoo:crashing",
        "zoo:silent",
    }
    reasons = {one.handle: one.reason for one in ranking.left_out}
    assert reasons["zoo:absent"] == "the weights of zoo:absent are not installed. Type: pip install zoo."
    assert "takes text, not pictures" in reasons["zoo:text"]
    assert reasons["zoo:crashing"] == "RuntimeError: index 3 is out of range"
    assert "NaN or infinite" in reasons["zoo:silent"]


def test_the_page_has_it_all(ranking):
    page = str(ranking)
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert max(map(len, page.splitlines())) <= 110
    assert [line[:1] for line in page.splitlines() if "zoo:" in line and "%" in line and "(" in line][:3] == list("== ")
    assert any(line.startswith("= zoo:seeing_large 100.0 %") and " 80.0 0.0 " in line for line in lines)
    assert "Take zoo:seeing (--backbone=zoo:seeing): of 2 that are tied it is the smallest" in " ".join(lines)
    assert "Where size does not matter, rather zoo:seeing_large: its published top-1 of 80.0 %" in " ".join(lines)
    assert "zoo:crashing: RuntimeError: index 3 is out of range" in lines
    assert "with zoo:seeing:" in lines


def test_a_ranking_is_a_value(ranking):
    assert values.from_json(Ranking, values.to_json(ranking)) == ranking


def test_each_saw_the_same_as_in_advice(ranking):
    alone = tfxfer.advise(dataclasses.replace(RECIPE, backbone="zoo:blind"), data=zoo_source.stripes())
    timeless = {"seconds": 0.0, "scoring_seconds": 0.0}
    found = _row(ranking, "zoo:blind").measured
    assert dataclasses.replace(found, **timeless) == dataclasses.replace(alone.measured, **timeless)
    assert _row(ranking, "zoo:blind").seconds > 0


def test_scores_that_are_asked_for_and_what_has_none():
    found = _rank("seeing", "blind", scores=("leep", "logme", "nce", "hscore"))
    seeing, blind = (_row(found, f"zoo:{name}").scores for name in ("seeing", "blind"))
    assert seeing.logme > blind.logme
    assert 1 >= seeing.hscore > blind.hscore  # of two classes, 1 at most
    # The most probable of its own classes says the label each time: nothing is open.
    assert seeing.nce == pytest.approx(0.0, abs=1e-9)
    assert -np.log(2) < seeing.leep < 0
    assert (blind.leep, blind.nce) == (None, None)
    assert blind.why_none == "blind comes without its pretrained head; load_backbone gives its features."
    page = str(found)
    assert page.index("LEEP") < page.index("LogME")
    assert "zoo:blind has not all scores: blind comes without its pretrained head" in " ".join(page.split())


def test_labels_that_are_noise_have_no_winner():
    pictures, labels = zoo_source.stripes()
    found = _rank("seeing", "blind", data=(pictures, np.random.default_rng(1).permutation(labels)))
    assert {row.verdict for row in found.rows} == {"nothing_learnable"}
    assert len(found.tied) == 2
    assert "Take " not in str(found)
    assert "Nothing is learnable from these features" in str(found)
    assert found.advice.stages == ""


def test_none_that_can_be_loaded_is_an_error_with_all_reasons():
    with pytest.raises(BackboneError, match=r"none of the backbones can be ranked:\n  zoo:absent: .*\n  zoo:text: "):
        _rank("absent", "text")


def test_a_size_below_the_least_is_the_reason_of_that_one():
    with pytest.raises(BackboneError, match="image_size=16 is below the 24 pixels that zoo:seeing needs at least"):
        _rank("seeing", recipe=dataclasses.replace(RECIPE, image_size=16))


@pytest.mark.parametrize(
    ("handles", "settings", "message"),
    [
        (("zoo:seeing", "zoo:blind", "zoo:seeing"), {}, r"named twice: zoo:seeing\. Name each once"),
        (("zoo:seing",), {}, r"zoo has no backbone 'seing'\. Did you mean 'seeing'\?"),
        (("seeing",), {}, "'seeing' names no source"),
        ((), {}, "there is no backbone to rank"),
        ("zoo:seeing", {}, r"must be several handles: backbones=\('zoo:seeing',\), or 'present'"),
        (("zoo:seeing",), {"scores": ("logm",)}, r"there is no score 'logm'\. Did you mean 'logme'\?"),
        (("zoo:seeing",), {"scores": "logme"}, r"scores=\('logme',\)"),
    ],
)
def test_a_slip_is_refused_before_anything_is_opened(handles, settings, message):
    with pytest.raises(ConfigError, match=message):
        tfxfer.rank(tfxfer.Recipe(data="folder:nowhere"), backbones=handles, **settings)


def test_all_that_is_wrong_is_said_at_once():
    recipe = dataclasses.replace(RECIPE, backbone=tfxfer.recipes.Backbone(at="stem", weights="random"))
    with pytest.raises(ConfigError) as caught:
        tfxfer.rank(recipe, backbones=("zoo:a", "zoo:b"), scores=("x",))
    for part in ("backbone.at='stem' is for one network", "they are 'random'", "no score 'x'", "'a'", "'b'"):
        assert part in str(caught.value)


def test_a_race_is_for_one_network_and_a_task_without_classes_for_none():
    with pytest.raises(ConfigError, match=r"budget=60 is for a race of strategies on one network: rank first"):
        _rank("seeing", recipe=dataclasses.replace(RECIPE, budget=60.0))
    pictures, labels = zoo_source.stripes(40)
    recipe = dataclasses.replace(RECIPE, data=tfxfer.Data(task="regression"))
    with pytest.raises(ConfigError, match="ranked by one class for each picture, and the task is regression"):
        _rank("seeing", recipe=recipe, data=(pictures, labels * 1.5 + np.arange(40) / 7))


def test_present_are_those_whose_weights_are_here(monkeypatch):
    listed = ranking_check.present()
    assert "zoo:seeing" in listed
    assert "zoo:absent" not in listed
    monkeypatch.setattr(ranking_check, "present", lambda: ())
    with pytest.raises(ConfigError, match=r"no backbone's pretrained weights are on this machine\. Type: pip install"):
        tfxfer.rank(RECIPE)


def test_the_page_has_the_rows_of_the_terminal_and_all_about_the_chosen_one(ranking, tmp_path):
    place = tmp_path / "ranking.html"
    ranking.save_page(place)
    page = place.read_text()
    rows = re.findall(r"<tr[^>]*>\s*(<td.*?)</tr>", page.split("<h2>Backbones</h2>")[1].split("</table>")[0], re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    assert [row[1] for row in cells] == [row.handle for row in ranking.rows]
    for row, one in zip(cells, ranking.rows, strict=True):
        line = next(line for line in str(ranking).splitlines() if re.match(rf"[= ] {one.handle} ", line))
        assert " ".join(row).split() == line.split()
    assert "not ranked: zoo:absent: " in page
    assert "What follows is about zoo:seeing." in page
    assert "Which case this is" in page
    with pytest.raises(WorkdirError, match="not overwritten"):
        ranking.save_page(place)


def test_from_a_shell_with_the_recipe_of_the_chosen_one(colours, tmp_path, capsys):
    written = tmp_path / "advised.py"
    line = ["advise", f"--data=folder:{colours}", "--backbones=zoo:seeing, zoo:blind", "--scores=logme"]
    page = tmp_path / "advised.html"
    assert main([*line, f"--write={written}", f"--html={page}"]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(f"page: {page}\n")
    assert "<h2>Backbones</h2>" in page.read_text()
    assert "… zoo:seeing at 24×24 pixels" in shown
    assert "LogME" in shown
    assert f"recipe: tfxfer train --config={written}" in shown
    assert main(["plan", f"--config={written}"]) == 0
    assert "zoo:blind" in capsys.readouterr().out  # which sees colours


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backbones=zoo:blind", "--backbone=zoo:blind"], "--backbone and --backbones exclude each other"),
        (["--scores=logme"], "Name backbones, too: --backbones=present"),
    ],
)
def test_flags_that_do_not_go_together(colours, capsys, flags, message):
    assert main(["advise", f"--data=folder:{colours}", *flags]) == 2
    assert message in capsys.readouterr().err

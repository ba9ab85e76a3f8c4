"""The page of advice in HTML: what stands in it, that it holds nothing of others as code, and its drawings."""

import dataclasses
import html.parser
import io
import re

import numpy as np
import PIL.Image
import pytest
import sample_facts
import sample_measurements as made_up

from tfxfer.advice import concluding, html_page, plots
from tfxfer.advice.result import Advice, Candidate, LeftOut, Race, Target
from tfxfer.errors import ConfigError, WorkdirError
from tfxfer.scores import Divergence


def _advice(data=None, **changes) -> Advice:
    measured = made_up.measured(**changes)
    return Advice(
        data=data or sample_facts.data_facts(),
        backbone="tiny:net",
        measured=measured,
        verdict=concluding.verdict_of(measured),
        quarter=concluding.quarter_of(measured),
        conclusions=concluding.conclude(measured),
        at=concluding.cut_of(measured),
        stages=concluding.stages_of(measured),
    )


def _divergence(value: float) -> Divergence:
    return Divergence(all=value, early=value, middle=value, late=value, layers=(value,))


def _here(page: str) -> list[str]:
    """Returns the marked cells of the table of four cases."""
    return [cell.removeprefix("▶ ") for cell in re.findall(r'<td class="here">(.*?)</td>', page)]


class _Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.sources, self.names = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        if tag not in ("meta", "img", "html"):
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        if tag != "html":
            assert self.open.pop() == tag


def test_it_says_what_was_measured_and_what_to_do():
    advice = _advice()
    page = html_page.html_page(advice)
    text_of_page = html.unescape(page)
    for text in (
        "90.0 % (88.0 to 92.0 %)",
        "3 classes; 70 examples each on average, fewest 70, of cat",
        "p = 0.001 for labels without meaning",
        "the most frequent class is 40.0 %",
        "+200 labels:\n+1.0 points (0.8 to\n1.5)",
        "0.40 nats a channel",
        "← best ✂ cut",
        "<p>Of a linear classifier on features of block1.</p>",
        *(one.advice for one in advice.conclusions),
        *(one.reason for one in advice.conclusions),
    ):
        assert text in text_of_page
    assert page.count("data:image/png;base64,") == 3


def test_nothing_is_outside_it_and_every_tag_is_closed():
    tags = _Tags()
    tags.feed(html_page.html_page(_advice()))
    assert tags.open == []
    assert all(source.startswith("data:image/png;base64,") for source in tags.sources)
    assert not tags.names & {"script", "link", "iframe"}


@pytest.mark.parametrize(
    ("gain", "divergence", "words"),
    [
        (0.03, 0.2, "train the head alone"),
        (0.03, 0.4, "train the head and the later groups"),
        (0.0, 0.2, "train everything, starting from the weights"),
        (0.0, 0.4, "train everything; textbooks begin with random weights"),
    ],
)
def test_its_cell_is_marked_in_the_table(gain, divergence, words):
    forecast = made_up.measured().forecasts[0]
    found = dataclasses.replace(forecast, gain=made_up.estimate(gain))
    advice = _advice(forecasts=(found,), similarity=_divergence(divergence))
    assert _here(html_page.html_page(advice)) == [words]
    # The cell is what is advised, too.
    assert words.startswith(f"train {concluding.TRAINED[advice.stages]}")


def test_both_cells_of_a_row_are_marked_where_similarity_is_not_known():
    page = html_page.html_page(_advice(similarity=None))
    assert len(_here(page)) == 2
    assert "similarity to what the network was pretrained on is not known: one of the marked cells" in page
    assert page.count("data:image/png;base64,") == 2  # no scale


def test_at_another_size_nothing_is_compared():
    page = html_page.html_page(_advice(image_size=32))
    assert "Nothing was measured near 32 pixels to compare it with" in page
    assert len(_here(page)) == 2


HOSTILE = '<script>alert("x")</script>$\\frac{\x1b[31m'


def test_names_of_others_are_no_code(tmp_path):
    depths = tuple(dataclasses.replace(one, name=f"{HOSTILE}{one.name}") for one in made_up.measured().depths)
    data = sample_facts.data_facts(source=HOSTILE, class_names=(HOSTILE, "b", "c"))
    advice = _advice(data, depths=depths, best=depths[1].name)
    page = html_page.html_page(advice)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    advice.plot(tmp_path / "depths.png")  # `$` would begin a formula


def test_numbers_and_labels_have_a_line_each_and_no_forecast():
    depths = tuple(dataclasses.replace(one, balanced=None, neighbours=None) for one in made_up.measured().depths)
    number = Target(score=made_up.estimate(0.9), error=made_up.estimate(2.5), mean_error=10.0)
    changes = {"depths": depths, "sizes": (), "curve": (), "forecasts": ()}
    page = html_page.html_page(_advice(metric="r_squared", targets=(number,) * 3, frequent=0.0, **changes))
    assert "off by 2.5 (2.48 to 2.52) on average, the mean of all by 10; R² 0.90 (0.88 to 0.92)" in page
    assert "R², left out" in page
    assert "neighbours</th>" not in page
    assert len(_here(page)) == 2  # small or large was not measured
    label = Target(score=made_up.estimate(0.9), share=0.125)
    page = html_page.html_page(_advice(metric="average_precision", targets=(label,) * 3, **changes))
    assert "average precision 90.0 % (88.0 to 92.0 %); 12.5 % have it" in page


def _race() -> Race:
    one = Candidate(
        name="head", words="the head", change="--stages=<b>", accuracy=made_up.estimate(0.9), seconds=3.0,
        whole_seconds=30.0, share=0.5, rung=2, reason="small", why_not="",
    )  # fmt: skip
    other = dataclasses.replace(one, name="full", why_not="behind at the first rung")
    return Race(
        candidates=(one, other), left_out=(LeftOut(name="scratch", reason="70 examples"),), winner="head",
        runner_up="full", runner_up_is_better=0.25, examples=60, trained_on=150, shares=(0.25, 0.5), budget=20.0,
        seconds=7.0, predicted_seconds=9.0, ended="the winner is clear",
    )  # fmt: skip


def test_a_race_is_told_where_there_was_one():
    page = html_page.html_page(dataclasses.replace(_advice(), race=_race()))
    for text in (
        "head: the head",
        "--stages=&lt;b&gt;",
        "← won",
        "behind at the first rung",
        "did not run: 70 examples",
        "full is better than head with probability\n0.25",
        "the winner is clear",
    ):
        assert text in page
    assert "<h3>Race" not in html_page.html_page(_advice())


def test_it_is_written_once(tmp_path):
    advice = _advice()
    advice.save_page(tmp_path / "advice.html")
    first = (tmp_path / "advice.html").read_text()
    assert first == html_page.html_page(advice)
    with pytest.raises(WorkdirError, match="exists and is not overwritten"):
        advice.save_page(tmp_path / "advice.html")
    with pytest.raises(ConfigError, match=r"advice\.pdf is no HTML file\. Write --html=report\.html"):
        advice.save_page(tmp_path / "advice.pdf")
    (tmp_path / "advice.html").write_text("mine")
    advice.save_page(tmp_path / "advice.html", overwrite=True)
    assert (tmp_path / "advice.html").read_text() == first
    advice.plot(tmp_path / "depths.png")
    with pytest.raises(WorkdirError, match="exists and is not overwritten"):
        advice.plot(tmp_path / "depths.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["advice.html", "depths.png"]


def test_drawings_are_pictures_with_something_in_them():
    advice = _advice()
    for png in (plots.depths(advice), plots.curve(advice.measured), plots.similarity(advice.measured)):
        picture = np.asarray(PIL.Image.open(io.BytesIO(png)).convert("L"))
        assert picture.shape[1] > 500
        assert picture.std() > 10
    assert plots.curve(made_up.measured(forecasts=(), sizes=(), curve=())) == b""
    assert plots.curve(made_up.measured(forecasts=())).startswith(b"\x89PNG")
    assert plots.similarity(made_up.measured(similarity=None)) == b""

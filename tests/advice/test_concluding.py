"""Which advice follows from which measurements: made up here, one reason at a time."""

import dataclasses

import pytest
import sample_facts
import sample_measurements as made_up
from sample_measurements import compared, estimate

from tfxfer.advice import concluding, references, wording
from tfxfer.advice.page import page
from tfxfer.advice.result import Advice, Measurements
from tfxfer.scores import Divergence, Estimate, Forecast, Learnable


def _forecast(gain: float) -> Forecast:
    return Forecast(
        examples=400, accuracy=estimate(0.9 + gain), gain=Estimate(value=gain, low=0.8 * gain, high=1.5 * gain)
    )


def _divergence(value: float, early: float = 1.0, late: float = 1.0) -> Divergence:
    return Divergence(all=value, early=early * value, middle=value, late=late * value, layers=(value,))


def _advice(measured: Measurements) -> list[str]:
    return [one.advice for one in concluding.conclude(measured)]


def test_transfer_helps_with_a_cut_where_the_end_is_worse():
    measured = made_up.measured()
    first, cut, stages = concluding.conclude(measured)
    assert first.advice == "Transfer helps: start from the pretrained weights."
    assert "90.0 % (88.0 to 92.0 %) right, on 16×16 pixels 60.0 %" in first.reason
    assert cut.advice == (
        "Cut the network behind block1 (--config.backbone.at=block1): it gets smaller (3.0 instead of 9.0 MB of "
        "weights) and better."
    )
    assert "30 are right there alone, 3 at the end alone" in cut.reason
    assert stages.advice == "Train everything (--stages=full)."
    assert concluding.cut_of(measured) == "block1"


def test_a_tie_with_the_end_is_no_cut():
    measured = made_up.measured(best_against_last=compared(0.01, 0.9))
    assert concluding.cut_of(measured) == ""
    smaller = "(3.0 instead of 9.0 MB of weights)"
    assert f"Use the whole network; cut it only to make it smaller {smaller}." in _advice(measured)
    assert "Use the whole network." in _advice(made_up.measured(best="block2", best_against_last=compared(0.0, 0.5)))


def test_labels_that_are_noise_are_named_with_the_p_value_and_nothing_else_is_said():
    measured = made_up.measured(learnable=Learnable(p_value=0.37, agreement=0.31, by_chance=0.3, permutations=999))
    [only] = concluding.conclude(measured)
    assert only.advice.startswith("Nothing is learnable from these features: the labels look like noise.")
    assert "p = 0.37" in only.reason
    assert concluding.verdict_of(measured) == "nothing_learnable"


def test_transfer_does_not_help_where_pixels_are_as_good():
    measured = made_up.measured(best_against_pixels=compared(0.01, 0.7))
    assert concluding.verdict_of(measured) == "transfer_does_not_help"
    first, second = concluding.conclude(measured)
    assert first.advice.startswith("Transfer does not help here")
    assert "probability 0.70" in first.reason
    # What a recipe has that is written from this stands there, too.
    assert second.advice == "If you train this network all the same, train everything (--stages=full)."
    assert concluding.stages_of(measured) == "full"


def test_a_network_that_is_certainly_worse_than_pixels_is_no_reason_to_take_any_method():
    worse = made_up.measured(
        pixels=estimate(0.99),
        frequent=0.3,
        best_against_pixels=compared(-0.4, 0.001),
        balanced_against_pixels=estimate(-0.4),
    )
    assert concluding.verdict_of(worse) == "transfer_does_not_help"
    assert concluding.conclude(worse)[0].advice.startswith("Transfer does not help here")


def test_one_example_of_each_class_is_not_called_noise():
    alone = Learnable(p_value=1.0, agreement=0.0, by_chance=0.0, permutations=999)
    measured = made_up.measured(learnable=alone, forecasts=(_forecast(0.0),))
    assert concluding.verdict_of(measured) == "undecided"
    first, last = concluding.conclude(measured)
    assert first.advice.startswith("Each class has one example: nothing could be measured.")
    assert concluding.is_small(measured)
    assert "too few for a forecast" in last.reason


def test_labels_are_asked_for_beyond_those_that_there_are():
    """500 of 200 looked at: 400 in all would be fewer than there are."""
    twice = dataclasses.replace(_forecast(0.05), examples=1000)
    measured = made_up.measured(all_examples=500, forecasts=(twice,))
    assert any(one.advice.startswith("You need labels, not tuning: 500 more") for one in concluding.conclude(measured))


def test_more_examples_than_a_forecast_reaches_are_large_data():
    measured = made_up.measured(all_examples=50_000, forecasts=())
    assert not concluding.is_small(measured)
    assert "large data" in concluding.quarter_of(measured)
    told = concluding.conclude(measured)
    assert not any("You need labels" in one.advice for one in told)
    assert "large data (too much for a forecast)" in told[-1].reason
    assert "no forecast: the curve ends at 200 of 50,000 examples" in wording.beyond(measured)
    assert wording.beyond(made_up.measured(forecasts=(), sizes=(), curve=())) == ""  # too few


def test_what_the_table_says_is_what_textbooks_say():
    small, large = (_forecast(0.05),), (_forecast(0.01),)
    for forecasts, distance, expected in (
        (small, 0.04, "small data (twice the labels would bring 2 points), similar to what the network was pretrained "
         "on: the textbook's table says so"),
        (large, 0.04, "the textbook's table says so"),
        (large, 0.4, "textbooks train everything there, too, but from random weights"),
    ):  # fmt: skip
        told = concluding.conclude(made_up.measured(forecasts=forecasts, similarity=_divergence(distance)))[-1].reason
        assert expected in told
    unknown = concluding.conclude(
        made_up.measured(metric="r_squared", forecasts=(), sizes=(), curve=(), similarity=None)
    )
    assert "whether more data would help is not known, and it is taken for small" in unknown[-1].reason
    assert "similarity is not known, and it is taken for different" in unknown[-1].reason


def test_where_pixels_tell_classes_apart_any_method_will_do():
    measured = made_up.measured(pixels=estimate(0.99), frequent=0.3, best_against_pixels=compared(0.0, 0.5))
    assert concluding.verdict_of(measured) == "easy"
    [only] = concluding.conclude(measured)
    assert only.advice.startswith("These classes are easy to tell apart: any method will do.")
    assert concluding.stages_of(measured) == "feature_extraction"


def test_nothing_is_like_photographs_at_a_size_at_which_none_were_measured():
    measured = made_up.measured(similarity=_divergence(0.04), image_size=32)
    assert (concluding.quarter_of(measured), concluding.is_similar(measured)) == ("", False)
    assert "similarity is not known" in concluding.conclude(measured)[-1].reason
    assert concluding.is_similar(made_up.measured(similarity=_divergence(0.04), image_size=96))


def test_few_examples_do_not_show_that_transfer_does_not_help():
    measured = made_up.measured(best_against_pixels=compared(0.04, 0.9))  # up to 6 points may be gained
    assert concluding.verdict_of(measured) == "undecided"
    first, *_ = concluding.conclude(measured)
    assert first.advice.startswith("Too few examples to tell whether transfer helps")
    assert "2.0 to 6.0 points more" in first.reason
    assert concluding.stages_of(measured) == "full"


def _rare(balanced: Estimate | None) -> Measurements:
    """One class has 96 % of the examples, so no classifier has much more right than that."""
    return made_up.measured(
        frequent=0.96, pixels=estimate(0.96), best_against_pixels=compared(0.0, 0.5), balanced_against_pixels=balanced
    )


def test_accuracy_alone_does_not_say_that_transfer_does_not_help_a_rare_class():
    measured = _rare(Estimate(value=0.1, low=-0.05, high=0.25))
    assert concluding.verdict_of(measured) == "undecided"
    first, *_ = concluding.conclude(measured)
    assert first.advice.startswith("Too few examples of each class to tell whether transfer helps")
    assert "the most frequent class is 96.0 %" in first.reason
    assert "-5.0 to 25.0 points more" in first.reason
    assert concluding.stages_of(measured) == "full"
    sure, *_ = concluding.conclude(_rare(Estimate(value=0.3, low=0.1, high=0.4)))
    assert sure.advice.startswith("Transfer helps where each class weighs the same")
    assert concluding.verdict_of(_rare(None)) == "undecided"


def test_transfer_does_not_help_where_it_does_not_by_classes_either():
    measured = _rare(Estimate(value=0.0, low=-0.03, high=0.03))
    assert concluding.verdict_of(measured) == "transfer_does_not_help"


def test_you_need_labels_where_the_curve_rises():
    first, *_ = concluding.conclude(made_up.measured(forecasts=(_forecast(0.05),)))
    assert first.advice == ("You need labels, not tuning: 200 more are expected to bring +5.0 points (4.0 to 7.5).")
    assert "a linear classifier on features of block1, still rises: 70.0 % with 20, 90.0 % with 199" in first.reason
    several = made_up.measured(forecasts=(_forecast(0.05),), curve_depths=("stem", "block1", "block2"))
    told = concluding.conclude(several)[0].reason
    assert "on features of stem, block1 and block2, the mean of their accuracies, still rises: 70.0 % with 20" in told


@pytest.mark.parametrize(
    ("gain", "divergence", "quarter", "stages"),
    [
        (0.025, 0.04, "small data, similar to", "feature_extraction"),
        (0.025, 0.4, "small data, different from", "partial"),
        (0.01, 0.04, "large data, similar to", "full"),
        (0.01, 0.4, "large data, different from", "full"),
    ],
)
def test_the_four_cases(gain, divergence, quarter, stages):
    measured = made_up.measured(forecasts=(_forecast(gain),), similarity=_divergence(divergence))
    assert concluding.quarter_of(measured) == f"{quarter} what the network was pretrained on"
    assert concluding.stages_of(measured) == stages


def test_what_is_not_known_is_said():
    measured = made_up.measured(similarity=None, forecasts=(), sizes=(), curve=())
    assert concluding.quarter_of(measured) == ""
    assert concluding.is_small(measured)
    assert "similarity is not known" in concluding.conclude(measured)[-1].reason


def test_where_it_differs_is_said():
    early, late = (made_up.measured(similarity=_divergence(0.4, **one)) for one in ({"early": 2.0}, {"late": 2.0}))
    assert "most of all in early layers (how pictures look)" in concluding.conclude(early)[-1].reason
    assert "most of all in late layers (what they show)" in concluding.conclude(late)[-1].reason


def test_references_ascend_and_are_read_at_the_nearest_size():
    for size, scale in references.REFERENCES.items():
        values = [value for _, value in scale]
        assert values == sorted(values)
        for name, value in scale:
            assert references.nearest(value, size) == name
    assert references.scale(140) == references.REFERENCES[128]
    assert references.is_similar(0.2, 128)
    assert not references.is_similar(0.3, 128)
    assert references.nearest(0.0, 128) == "photographs"


def test_the_page_has_every_figure_and_fits_a_terminal():
    measured = made_up.measured(forecasts=(_forecast(0.05),))
    data = dataclasses.replace(sample_facts.data_facts(), class_names=("cat", "dog\x1b[31m", "fox"))
    shown = page(
        Advice(
            data=data,
            backbone="tiny:net",
            measured=measured,
            verdict="transfer_helps",
            quarter=concluding.quarter_of(measured),
            conclusions=concluding.conclude(measured),
            at="block1",
            stages="partial",
        )
    )
    assert "210 training examples, of which 200 were drawn" in shown
    assert "block1" in next(line for line in shown.splitlines() if "← best" in line)
    assert "+200 labels: +5.0 points (4.0 to 7.5) by a curve through these" in shown
    assert "→ this data 0.40 ←" in " ".join(shown.split())
    assert "1. You need labels, not tuning" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 125

"""Weights, draws and shares of classes, worked out by hand."""

import dataclasses
import math

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import augmentation, plans, values
from tfxfer.augmentation import Augment
from tfxfer.errors import ConfigError
from tfxfer.imbalance import Imbalance
from tfxfer.plans.imbalance import NOTHING, ImbalancePlan, draws, resolve_imbalance
from tfxfer.recipes import Recipe, Stage


def planned(counts, **settings) -> ImbalancePlan:
    weights = settings.pop("train_weights", ())
    return resolve_imbalance(Imbalance(**settings), data_facts(train_counts=counts, train_weights=weights))[0]


def plan(counts=(70, 70, 70), **settings) -> plans.Plan:
    recipe = Recipe(stages=(Stage(epochs=3),), **settings)
    return plans.resolve(recipe, data_facts(train_counts=counts), backbone_facts(), machine_facts())


def test_inverse_weights_give_each_class_the_same_sum_and_examples_a_mean_of_1():
    weights = planned((80, 15, 5), class_weights="inverse").class_weights
    # 100 / 3 for each class
    assert weights == pytest.approx((100 / 240, 100 / 45, 100 / 15))
    assert sum(n * w for n, w in zip((80, 15, 5), weights, strict=True)) == pytest.approx(100)


def test_effective_numbers_by_hand():
    # With beta 1/2: 1 − 1/2 = 1/2, 1 − 1/4 = 3/4, 1 − 1/8 = 7/8 are the effective numbers, but for a factor of 2.
    weights = planned((1, 2, 3), class_weights="effective", beta=0.5).class_weights
    raw = (2, 4 / 3, 8 / 7)
    scale = 6 / (2 + 2 * 4 / 3 + 3 * 8 / 7)
    assert weights == pytest.approx([scale * one for one in raw])


def test_effective_numbers_lie_between_counts_and_none():
    assert planned((900, 90, 10), class_weights="effective", beta=1e-9).class_weights == pytest.approx((1, 1, 1))
    nearly = planned((900, 90, 10), class_weights="effective", beta=1 - 1e-12).class_weights
    assert nearly == pytest.approx(planned((900, 90, 10), class_weights="inverse").class_weights, rel=1e-6)


def test_where_examples_have_weights_the_sums_of_these_count():
    sums = (60.0, 30.0, 10.0)  # of 50, 40 and 10 examples
    weights = planned((50, 40, 10), class_weights="inverse", train_weights=sums).class_weights
    assert [s * w for s, w in zip(sums, weights, strict=True)] == pytest.approx([100 / 3] * 3)
    assert planned((50, 40, 10), logit_adjustment=1.0, train_weights=sums).priors == pytest.approx((0.6, 0.3, 0.1))
    weights = planned((50, 40, 10), class_weights="effective", train_weights=sums).class_weights
    assert sum(s * w for s, w in zip(sums, weights, strict=True)) == pytest.approx(100)


def test_logits_are_shifted_by_the_logarithm_of_the_share():
    found = planned((900, 90, 10), logit_adjustment=0.5)
    assert found.priors == pytest.approx((0.9, 0.09, 0.01))
    assert found.shifts == pytest.approx((0.5 * math.log(0.9), 0.5 * math.log(0.09), 0.5 * math.log(0.01)))
    assert NOTHING.shifts == ()


@pytest.mark.parametrize(
    ("counts", "sampling", "each"),
    [
        ((90, 9, 1), "balanced", (34, 33, 33)),
        ((100, 25, 4), "square_root", (76, 38, 15)),  # 129 · 10/17, 5/17, 2/17: 75.88, 37.94, 15.18
        ((5, 5, 5), "square_root", (5, 5, 5)),
        ((4, 1), "balanced", (3, 2)),
        ((1, 1), "square_root", (1, 1)),
    ],
)
def test_draws_by_hand(counts, sampling, each):
    assert draws(counts, sampling) == each


def test_draws_are_as_many_as_examples_and_never_none():
    for counts in ((1,) * 7, (1000, 1), (1, 999_999, 1, 5), tuple(range(1, 300)), (10**6, *([1] * 50))):
        for sampling in ("balanced", "square_root"):
            each = draws(counts, sampling)
            assert sum(each) == sum(counts)
            assert min(each) >= 1


def test_a_class_without_examples_and_one_with_too_few_are_refused():
    with pytest.raises(ConfigError, match=r"logit_adjustment=1 needs training examples of each class, and there is "
                                          r"none of dog\. Add some"):  # fmt: skip
        planned((5, 0, 5), logit_adjustment=1.0)
    with pytest.raises(ConfigError, match="none of dog"):
        planned((5, 0, 5), focal_gamma=1.0)
    with pytest.raises(ConfigError, match=r"an example of fox count 33,334 times .*\(1 of 100,001 training examples\)"):
        planned((50_000, 50_000, 1), class_weights="inverse")


def test_a_run_that_asks_nothing_has_the_digest_that_it_had_before():
    without = plan()
    told = values.to_json(without.what)
    del (
        told["imbalance"],
        told["background"],
        told["task"],
        told["loss"],
        told["metrics"],
    )  # later fields, all as they were before
    told["augment"] = augmentation.counted(without.what.augment)
    assert without.digest == values.digest(told)
    assert plan(imbalance=Imbalance(focal_gamma=2.0)).digest != without.digest
    written = values.to_json(without)
    del written["what"]["imbalance"]
    assert values.from_json(plans.Plan, written) == without


def test_each_option_has_a_digest_of_its_own():
    asked = [
        {"class_weights": "inverse"}, {"class_weights": "effective"}, {"class_weights": "effective", "beta": 0.9},
        {"sampling": "balanced"}, {"sampling": "square_root"}, {"focal_gamma": 1.0}, {"logit_adjustment": 1.0},
    ]  # fmt: skip
    digests = {plan((90, 60, 60), imbalance=Imbalance(**one)).digest for one in asked}
    assert len(digests) == len(asked)


def hints(counts, **settings) -> list[str]:
    return [reason for reason in plan(counts, **settings).reasons if reason.startswith("imbalance")]


def test_an_imbalance_about_which_nothing_is_done_is_told_and_changes_nothing():
    (hint,) = hints((700, 100, 70))
    assert hint == (
        "imbalance: 10 times as many training examples of cat (700) as of fox (70), and each counts alike. What is "
        "rare is then missed more often; if it matters as much, write --config.imbalance.logit_adjustment=1"
    )
    assert plan((700, 100, 70)).what.imbalance == NOTHING
    assert hints((699, 100, 70)) == []
    assert hints((700, 100, 70), imbalance=Imbalance(sampling="balanced")) == []


def test_live_views_are_as_many_as_the_rarest_example_is_shown():
    live = Augment(live=True)
    counts = (60, 30, 6)  # each 32 an epoch: an example of the third 5⅓ times, in three epochs 16 times
    assert plan(counts, augment=live).what.stages[0].views == 3
    assert plan(counts, augment=live, imbalance=Imbalance(sampling="balanced")).what.stages[0].views == 16
    assert ImbalancePlan(drawn=(32, 32, 32)).turns(counts, 3) == 16
    few = Augment(views=2)
    assert plan(counts, augment=few, imbalance=Imbalance(sampling="balanced")).what.stages[0].views == 2


def test_the_value_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NOTHING.focal_gamma = 1.0

"""Which cut, which store, how many views: worked out by hand on a backbone of four groups."""

import dataclasses

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import plans
from tfxfer.augmentation import Augment
from tfxfer.facts import Costs
from tfxfer.plans import costs as foretelling
from tfxfer.plans.augmentation import choose_views
from tfxfer.recipes import Recipe, Stage
from tfxfer.reuse import Cache

# 210 pictures to train on and 30 to validate on.
ROWS = 240
ONE_VIEW = Augment(views=1)


@pytest.fixture(autouse=True)
def no_constants(monkeypatch):
    """Leaves the seconds that were measured, without those that every stage, epoch and part takes."""
    for name in ("_EPOCH_SECONDS", "_LEAST_LAYERS", "_LEAST_FILL"):
        monkeypatch.setattr(foretelling, name, 0.0)
    monkeypatch.setattr(foretelling, "_FOLDED", 1.0)


def costs(**changes) -> Costs:
    """A millisecond for each group and picture, two more for training it; the head is the fifth group."""
    settings = {
        "forward": (1e-3,) * 5,
        "backward": (2e-3,) * 5,
        "layers": (3,) * 5,
        "step": 0.0,
        "update": 0.0,
        "trace": 0.0,
        "gather": 0.0,
    }
    return Costs(**(settings | changes))


def resolve(*stages: Stage, measured=None, backbone=None, machine=None, **settings) -> plans.Plan:
    recipe = Recipe(stages=stages, **{"augment": ONE_VIEW, **settings})
    return plans.resolve(recipe, data_facts(), backbone or backbone_facts(), machine or machine_facts(), measured)


def with_sizes(*sizes: int):
    """The backbone with other numbers at its cuts."""
    groups = [
        dataclasses.replace(group, output_size=size, legal_cut=bool(size))
        for group, size in zip(backbone_facts().groups, sizes, strict=True)
    ]
    return backbone_facts(groups=tuple(groups))


@pytest.mark.parametrize(("precision", "size"), [("float32", 40), ("float16", 24), ("bfloat16", 24), ("uint8", 16)])
def test_rows_are_whole_words_of_each_precision(precision, size):
    (cache,) = resolve(Stage(epochs=2), cache=Cache(precision=precision)).how.caches
    assert (cache.row_bytes, cache.bytes, cache.precision) == (size, ROWS * size, precision)


def test_each_view_of_a_training_picture_is_kept_and_of_the_others_one():
    (cache,) = resolve(Stage(epochs=5), augment=Augment(views=4)).how.caches
    assert cache.bytes == (210 * 4 + 30) * 24


def test_nothing_is_kept_where_every_view_is_shown_but_once():
    assert resolve(Stage(epochs=4), augment=Augment(views=4)).how.caches == ()
    assert resolve(Stage(epochs=1)).how.caches == ()
    assert len(resolve(Stage(steps=8)).how.caches) == 1  # an epoch of 7 steps, and one of one


def test_memory_comes_first_then_the_disk_then_nothing_and_that_is_said():
    """The rows behind block2 take 240 · 400 = 96,000 bytes."""
    stage = Stage(train=1, epochs=2)
    for memory, disk, store in ((97_000, 1.0, "memory"), (96_000, 97e-6, "disk"), (95_000, 96e-6, None)):
        plan = resolve(stage, cache=Cache(memory_gb=memory / 1e9, disk_gb=disk))
        assert [cache.store for cache in plan.how.caches] == ([store] if store else [])
        said = [reason for reason in plan.reasons if "computes what is frozen in every epoch" in reason]
        assert said == (
            []
            if store
            else [
                "stage 1 1 computes what is frozen in every epoch: activations take 96 kB, and there is room for "
                "96 kB; cache.memory_gb or cache.disk_gb can be set higher"
            ]
        )


def test_a_store_that_is_asked_for_is_the_only_one():
    assert resolve(Stage(epochs=2), cache=Cache(store="disk")).how.caches[0].store == "disk"
    assert resolve(Stage(epochs=2), cache=Cache(store="memory", memory_gb=1e-6)).how.caches == ()


def test_a_cut_nearer_to_the_input_is_taken_where_only_that_fits():
    backbone = with_sizes(40, 0, 4000, 160)
    (cache,) = resolve(Stage(train=1, epochs=2), backbone=backbone).how.caches
    assert cache.cut == "block2"
    small = Cache(store="memory", memory_gb=1e-3)
    (cache,) = resolve(Stage(train=1, epochs=2), backbone=backbone, cache=small).how.caches
    assert (cache.cut, cache.bytes) == ("stem", ROWS * 80)


def test_a_cut_nearer_to_the_input_is_taken_where_it_is_clearly_faster():
    """Gathering block2's rows of 80 kB takes 80 ms; those of the stem are gathered at once, and cost 2 ms more."""
    backbone = with_sizes(40, 0, 40_000, 160)
    stage = Stage(train=1, epochs=20)
    for gather, cut in ((1e-6, "stem"), (1e-12, "block2")):
        (cache,) = resolve(stage, backbone=backbone, measured=costs(gather=gather)).how.caches
        assert cache.cut == cut


def test_a_measurement_that_is_a_little_off_changes_no_cut():
    """Else two runs of one recipe would round in other places."""
    stage = Stage(train=1, epochs=20)
    for share in (0.8, 1.0, 1.2):
        measured = costs(forward=(1e-3, 1e-3 * share, 1e-5 * share, 1e-3, 1e-3), gather=1e-8 * share)
        assert [cache.cut for cache in resolve(stage, measured=measured).how.caches] == ["block2"]


def test_nothing_is_kept_where_that_is_clearly_slower():
    assert resolve(Stage(train=1, epochs=2), measured=costs(gather=1e-4)).how.caches == ()
    assert len(resolve(Stage(train=1, epochs=2), measured=costs(trace=1.0)).how.caches) == 1


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"cache": Cache(store="off")}, "cache.store is off"),
        ({"augment": Augment(live=True)}, "augment.live shows new views in every epoch"),
    ],
)
def test_what_is_turned_off_is_told_with_what_that_costs(settings, why):
    plan = resolve(Stage(epochs=10), **settings)
    assert plan.how.caches == ()
    assert f"stage 1 head computes what is frozen in every epoch: {why}" in plan.reasons
    # One pass over 240 pictures, or two over 210 and one over 30, instead of ten; 70 a class would have 5 views.
    saved = {"cache": 9 * 240 * 4e-3, "augment": (5 * 210 + 9 * 30) * 4e-3}[next(iter(settings))]
    (reason,) = [r for r in resolve(Stage(epochs=10), measured=costs(), **settings).reasons if why in r]
    assert reason.endswith(f"in every epoch, which costs about {saved:.0f} s: {why}")


def test_a_later_stage_s_cut_is_filled_first_and_an_earlier_one_s_derived_from_it():
    plan = resolve(*(Stage(train=train, epochs=2) for train in ("head", 1, 3)))
    assert [(cache.cut, cache.source) for cache in plan.how.caches] == [
        ("features", "stem"),
        ("block2", "stem"),
        ("stem", "pixels"),
    ]


def test_an_earlier_cut_below_which_something_moves_in_between_is_no_source():
    plan = resolve(Stage(epochs=2), Stage(train=("stem",), epochs=2), Stage(train=1, epochs=2))
    assert [(cache.cut, cache.source) for cache in plan.how.caches] == [("features", "pixels"), ("block2", "pixels")]


def test_seconds_of_each_stage_and_what_is_saved():
    """One epoch of 210 pictures and 30 more; a head step takes 1 + 2 ms a picture, a pass below it 4 ms."""
    stage = Stage(epochs=10)
    on, off = (resolve(stage, measured=costs(), cache=Cache(store=store)) for store in ("memory", "off"))
    (with_cache,), (without,) = on.how.stage_seconds, off.how.stage_seconds
    behind = 10 * (210 * 3e-3 + 30 * 1e-3)
    below = 240 * 4e-3
    assert without - with_cache == pytest.approx(9 * below)
    assert with_cache == pytest.approx(behind + below)
    assert on.how.caches[0].seconds_saved == pytest.approx(9 * below)
    assert resolve(stage).how.stage_seconds == (0.0,)


def test_a_pass_with_batch_norm_folded_is_shorter(monkeypatch):
    monkeypatch.setattr(foretelling, "_FOLDED", 0.5)
    folded, exact = (
        resolve(Stage(epochs=10), measured=costs(), cache=Cache(precision=precision)).how.stage_seconds[0]
        for precision in ("float16", "float32")
    )
    assert exact - folded == pytest.approx(0.5 * 240 * 4e-3)


def test_a_derived_stage_pays_for_what_is_filled_first_and_the_next_one_finds_it():
    stages = [Stage(train=train, epochs=2) for train in ("head", 3)]
    both = resolve(*stages, measured=costs()).how
    alone = [resolve(stage, measured=costs()).how.stage_seconds[0] for stage in stages]
    assert [cache.source for cache in both.caches] == ["stem", "pixels"]
    assert both.stage_seconds[0] == pytest.approx(alone[0])  # stem from pixels, the rest from there
    assert both.stage_seconds[1] == pytest.approx(alone[1] - 240 * 1e-3)


@pytest.mark.parametrize(
    ("counts", "epochs", "views"),
    [
        ((100, 100, 100), 20, 4),
        ((1000, 1000), 20, 1),  # 0.4, and at least the picture itself
        ((10, 10), 40, 8),
        ((10, 10), 6, 3),  # at most half the epochs
        ((10, 10), 1, 1),
        ((5, 100, 100), 20, 4),  # of the class in the middle
    ],
)
def test_views_by_the_size_of_a_class(counts, epochs, views):
    assert choose_views("auto", False, counts, epochs) == views


def test_views_that_are_given_are_taken_and_live_ones_are_new_in_each_epoch():
    assert choose_views(7, False, (10,), 2) == 7
    assert choose_views("auto", True, (10,), 12) == 12
    assert choose_views(3, True, (10,), 0) == 1

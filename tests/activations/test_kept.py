"""Stages trained on kept activations: the same result, less work, and a way on where they cannot be kept."""

import dataclasses

import numpy as np
import pytest

import tfxfer
from tfxfer import activations, data, pipeline, training
from tfxfer.activations import filling
from tfxfer.activations.disk import DiskStore
from tfxfer.activations.store import CacheFullError, MemoryStore
from tfxfer.framing import Framing

STAGES = (tfxfer.Stage(train="head", epochs=3), tfxfer.Stage(train="stage3.block1", epochs=3, learning_rate=0.05))
FLOAT32 = tfxfer.Cache(precision="float32")


@pytest.fixture
def fitted(plugin, colours, tmp_path):
    """A function that trains stages and returns the history, the weights, what was noted, and the plan."""

    def fit(stages=STAGES, *, cache=FLOAT32, views=1, folder="run", **augment):
        recipe = tfxfer.Recipe(
            data=f"folder:{colours}",
            backbone="tiny:cnn",
            stages=stages,
            batch_size=8,
            augment=tfxfer.Augment(views=views, **augment),
            cache=cache,
        )
        ready = pipeline.prepare(recipe, with_seconds=False)
        model = tfxfer.swap_head(ready.backbone, ready.plan.what.head)
        pixels = ready.examples.pixels(24, Framing())
        noted = []
        history = training.fit(
            model, ready.examples, pixels, ready.plan, tmp_path / folder, tell=lambda *_: None, note=noted.append
        )
        return history, [weight.numpy() for weight in model.weights], noted, ready.plan

    return fit


def losses(history):
    return [epoch.loss for stage in history.stages for epoch in stage.epochs]


@pytest.fixture
def passes(monkeypatch):
    """A list with the name and the number of batches of each part that was computed."""
    done = []
    original = filling._fill

    def fill(store, prefix, examples, names, lacking, own, batch_size, text, workers):
        done.append((text.rpartition(" ")[2], len(lacking)))
        return original(store, prefix, examples, names, lacking, own, batch_size, text, workers)

    monkeypatch.setattr(filling, "_fill", fill)
    return done


@pytest.mark.parametrize("views", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_result_is_that_of_computing_everything_in_every_epoch(fitted, views):
    kept = fitted(views=views, flip=True, folder="kept")
    anew = fitted(views=views, flip=True, folder="anew", cache=tfxfer.Cache(store="off"))
    assert [cache.stage for cache in kept[3].how.caches] == [stage.name for stage in kept[3].what.stages]
    assert not anew[3].how.caches
    assert kept[3].digest == anew[3].digest
    np.testing.assert_allclose(losses(kept[0]), losses(anew[0]), rtol=1e-4)
    for ours, theirs in zip(kept[1], anew[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_views_by_a_policy_are_the_same_kept_and_made_in_every_epoch(fitted):
    asked = {"views": 3, "preset": "strong", "live": False, "cutmix": 0.0, "mixup": 0.0}
    kept = fitted(STAGES[1:], folder="kept", **asked)
    anew = fitted(STAGES[1:], folder="anew", cache=tfxfer.Cache(store="off"), **asked)
    assert len(kept[3].how.caches) == 0  # as many epochs as views
    longer = (dataclasses.replace(STAGES[1], epochs=5),)
    kept, anew = (
        fitted(longer, folder="kept2", **asked),
        fitted(longer, folder="anew2", cache=tfxfer.Cache(store="off"), **asked),
    )
    assert len(kept[3].how.caches) == 1
    np.testing.assert_allclose(losses(kept[0]), losses(anew[0]), rtol=1e-4)


def test_views_change_what_is_learned(fitted):
    assert losses(fitted(folder="one")[0]) != losses(fitted(views=3, folder="three")[0])


def test_the_later_cut_is_derived_from_the_earlier_one(fitted, passes):
    *_, plan = fitted()
    first, second = plan.how.caches
    assert (first.cut, first.source, second.source) == ("features", second.cut, "pixels")
    train, held_out = 42, 6
    assert passes == [(second.cut, train), (second.cut, held_out), ("features", train), ("features", held_out)]


def test_without_a_later_stage_nothing_is_derived(fitted, passes):
    *_, plan = fitted(STAGES[:1])
    assert [cache.source for cache in plan.how.caches] == ["pixels"]
    assert {cut for cut, _ in passes} == {"features"}


def test_a_stage_that_trains_below_a_cut_has_it_computed_anew(fitted, passes):
    low = tfxfer.Stage(train=("stage2.block1",), epochs=3, learning_rate=0.05)
    *_, plan = fitted((STAGES[1], low, STAGES[1]))
    assert [cache.cut for cache in plan.how.caches][::2] == [plan.how.caches[0].cut] * 2
    assert [cut for cut, count in passes if count == 42].count(plan.how.caches[0].cut) == 2


def test_other_runs_use_what_is_on_disk(fitted, passes, tmp_path, monkeypatch):
    monkeypatch.setenv("TFXFER_CACHE_DIR", str(tmp_path / "cache"))
    disk = tfxfer.Cache(store="disk", precision="float32")
    first = fitted(STAGES[:1], cache=disk, folder="first")
    assert len(passes) == 2
    second = fitted(STAGES[:1], cache=disk, folder="second")
    assert len(passes) == 2
    assert losses(first[0]) == losses(second[0])


def test_a_full_disk_is_told_and_training_goes_on(fitted, monkeypatch):
    def full(self, wanted):
        raise CacheFullError("the disk is full.")

    monkeypatch.setattr(DiskStore, "_check_room", full)
    history, _, noted, _ = fitted(STAGES[:1], cache=tfxfer.Cache(store="disk"))
    assert len(history.stages[0].epochs) == 3
    assert noted == ["stage 1 head  the disk is full. What is frozen is computed in every epoch instead."]


def test_activations_beyond_float16_are_kept_as_float32_and_that_is_told(fitted, monkeypatch):
    stores = []
    original = MemoryStore.__init__

    def make(self, precision, shape, **settings):
        stores.append(precision)
        original(self, precision, shape, **settings)

    monkeypatch.setattr(MemoryStore, "__init__", make)
    original_computing = filling.computing

    def large(store, prefix, decode=None):
        compute = original_computing(store, prefix, decode)
        return lambda *given: compute(*given) * 1e6

    monkeypatch.setattr(filling, "computing", large)
    history, _, noted, _ = fitted(STAGES[:1], cache=tfxfer.Cache(precision="float16"))
    assert stores == ["float16", "float32"]
    assert noted[0].startswith("float16 cannot hold activations")
    assert noted[0].endswith("That is done now.")
    assert len(history.stages[0].epochs) == 3


@pytest.mark.slow
def test_fewer_bits_learn_nearly_the_same(fitted):
    exact = fitted(STAGES[:1], folder="exact")
    for precision in ("float16", "bfloat16", "uint8"):
        coarse = fitted(STAGES[:1], cache=tfxfer.Cache(precision=precision), folder=precision)
        np.testing.assert_allclose(losses(coarse[0]), losses(exact[0]), rtol=0.1, err_msg=precision)
        assert coarse[3].how.caches[0].bytes < exact[3].how.caches[0].bytes, precision


def test_stores_close_behind_the_last_stage_that_needs_them(plugin, colours):
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=STAGES, batch_size=8)
    plan = pipeline.prepare(recipe, with_seconds=False).plan
    cache = dataclasses.replace(plan.how.caches[0], source="pixels")
    ready = pipeline.prepare(recipe, with_seconds=False)
    model = tfxfer.swap_head(ready.backbone, ready.plan.what.head)
    rows = ready.examples.rows(ready.examples.pixels(24, Framing()), data.TRAIN)
    with activations.Kept(plan.what, disk_bytes=10**9, tell=print) as kept:
        kept.rows(model, cache, (rows,))
        assert set(kept._held) == {"features"}
        kept.let_go_but(("stem",))
        assert not kept._held

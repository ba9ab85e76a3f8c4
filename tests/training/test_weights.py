"""Weights reach the loss and nothing else: on one device and on two, cached and not, within a stage that goes on."""

import dataclasses

import numpy as np
import pytest
from one_run import assert_epochs_alike, fitted, stopped_behind

import tfxfer
from tfxfer import data, pipeline
from tfxfer.data import batches
from tfxfer.framing import Framing
from tfxfer.recipes import Running
from tfxfer.training import stage as stages
from tfxfer.training import trainees
from tfxfer.training.stage_data import StageData

HEAD = tfxfer.Stage(train="head", epochs=4, learning_rate=0.05)
ALL = tfxfer.Stage(train="all", steps=12, learning_rate=0.01, head_to_body=1.0, batch_norm="frozen")


def pictures(counts=(30, 12, 6)):
    """Noisy pictures whose classes overlap, of three levels of grey, with so many of each."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), counts)
    levels = np.array([90, 120, 150])[labels][:, None, None, None]
    images = np.clip(levels + generator.normal(0, 40, (len(labels), 24, 24, 3)), 0, 255).astype(np.uint8)
    return images, labels, np.where(labels == 2, 4.0, 0.5) * generator.uniform(0.5, 1.5, len(labels))


@pytest.fixture
def run(plugin, tmp_path):
    """A function that trains one stage on the pictures, with their weights or without; returns model and history."""

    def run(stage=HEAD, strategy=None, *, weights=True, folder="run", note=lambda _: None, **settings):
        images, labels, own = pictures()
        recipe = tfxfer.Recipe(
            backbone="tiny:cnn", stages=(stage,), running=Running(checkpoint_seconds=0), **{"batch_size": 7, **settings}
        )
        given = (images, labels, own) if weights is True else (images, labels)
        return fitted(recipe, tmp_path / folder, strategy, data=given, note=note)

    return run


def kernels(model):
    return [variable.numpy() for variable in model.variables if "seed" not in variable.path]


def same(one, other) -> bool:
    pairs = list(zip(kernels(one), kernels(other), strict=True))
    return all(np.abs(a - b).max() <= max(1e-5 * np.abs(a).max(), 1e-8) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [HEAD, ALL])
def test_two_replicas_with_weights_end_in_the_weights_of_one_device(run, mirrored, stage):
    imbalance = tfxfer.Imbalance(class_weights="inverse", focal_gamma=1.0)
    alone, told = run(stage, folder="one", imbalance=imbalance)
    together, history = run(stage, mirrored, folder="two", imbalance=imbalance)
    assert same(alone, together)
    assert_epochs_alike(told, history)


def test_weights_that_are_left_out_would_be_noticed(run, monkeypatch):
    """The canary: weights reach the loss, cached and on replicas alike, and dropping them anywhere shows."""
    with_weights, _ = run()
    without, _ = run(weights=False, folder="without")
    assert not same(with_weights, without)
    plain = trainees.Trainee._examples
    monkeypatch.setattr(
        trainees.Trainee, "_examples", lambda self, labels, weights=None: (None, *plain(self, labels)[1:])
    )
    dropped, _ = run(folder="dropped")
    assert not same(with_weights, dropped)
    # The order and the splits are the same, so that what remains without weights is the run that has none.
    assert same(dropped, without)


@pytest.mark.slow
def test_cached_and_uncached_training_weigh_alike(run):
    cached, _ = run(cache=tfxfer.Cache(precision="float32"))
    uncached, _ = run(cache=tfxfer.Cache(store="off"), folder="uncached")
    for one, other in zip(kernels(cached), kernels(uncached), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_accuracy_counts_examples_alike(run):
    """Keras's `weighted_metrics` would weigh them: the recorded accuracy is a share of whole examples."""
    _, history = run()
    facts = data.open_data(tfxfer.Data(), seed=0, data=pictures()).facts
    for epoch in history.stages[0].epochs:
        right = epoch.accuracy * facts.train_examples, epoch.validation_accuracy * sum(facts.validation_counts)
        assert right == pytest.approx(tuple(map(round, right)), abs=1e-3)


def test_a_weighted_step_is_the_sum_of_weight_times_loss_over_the_count(plugin):
    images, labels, weights = pictures()
    recipe = tfxfer.Recipe(backbone="tiny:cnn", stages=(HEAD,), batch_size=9)
    ready = pipeline.prepare(recipe, data=(images, labels, weights), with_seconds=False)
    rows = ready.examples.rows(ready.examples.pixels(24, Framing()), data.TRAIN)
    assert rows.weights.mean() == pytest.approx(1, rel=1e-6)
    batch = next(iter(batches.training_batches(rows, batch_size=9, start=0, steps=1, seed=0, stage=0)))
    trainee = stages.prepared(ready.model, 0, ready.plan.what.stages[0], ready.plan.what)
    logits = np.random.default_rng(1).normal(size=(9, 3)).astype(np.float32)
    right = (logits * batch[1].numpy()).sum(1) - np.log(np.exp(logits).sum(1))
    given, here, everywhere = trainee._examples(*batch[1:])
    loss = trainee.compute_loss(*batch[:2], logits, given)
    assert float(loss) == pytest.approx(-(batch[2].numpy() * right).sum() / 9, rel=1e-5)
    assert (float(here), float(everywhere)) == (9, 9)


@pytest.mark.parametrize("sampling", ["balanced", "square_root"])
def test_validation_is_weighed_as_training_draws(plugin, sampling):
    images, labels, _ = pictures()
    recipe = tfxfer.Recipe(
        backbone="tiny:cnn", stages=(HEAD,), batch_size=7, imbalance=tfxfer.Imbalance(sampling=sampling)
    )
    ready = pipeline.prepare(recipe, data=(images, labels), with_seconds=False)
    what, pixels = ready.plan.what, ready.examples.pixels(24, Framing())
    train, validation = (ready.examples.rows(pixels, split) for split in (data.TRAIN, data.VALIDATION))
    held = StageData(number=0, stage=what.stages[0], what=what, train=train, validation=validation, cached=False)
    counts = np.bincount(train.labels)
    for _, one_hot, given in held.held_out():
        at = one_hot.numpy().argmax(1)
        np.testing.assert_allclose(given, np.array(what.imbalance.drawn)[at] / counts[at], rtol=1e-6)
    assert validation.weights is None, "what was given stays as it was"
    own = dataclasses.replace(
        held, validation=dataclasses.replace(validation, weights=np.full(len(validation), 2, "f"))
    )
    first, second = (next(iter(one.held_out()))[2].numpy() for one in (held, own))
    np.testing.assert_allclose(second, 2 * first)


def test_without_weights_and_draws_a_batch_is_a_pair(plugin):
    images, labels, _ = pictures()
    ready = pipeline.prepare(
        tfxfer.Recipe(backbone="tiny:cnn", stages=(HEAD,), batch_size=7, imbalance=tfxfer.Imbalance(focal_gamma=1.0)),
        data=(images, labels), with_seconds=False,
    )  # fmt: skip
    rows = ready.examples.rows(ready.examples.pixels(24, Framing()), data.TRAIN)
    assert rows.weights is None
    assert {len(batch) for batch in batches.ordered_batches(rows, batch_size=5)} == {2}


@pytest.mark.slow
@pytest.mark.parametrize(
    "imbalance",
    [{"sampling": "balanced"}, {"logit_adjustment": 1.0}, {"class_weights": "effective", "focal_gamma": 2.0}],
)
def test_a_stopped_run_goes_on_to_the_same_weights(run, monkeypatch, imbalance):
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)
    settings = {"imbalance": tfxfer.Imbalance(**imbalance), "augment": tfxfer.Augment(views=2, mixup=0.3)}
    whole, _ = run(**settings)
    with stopped_behind(7):
        run(folder="stopped", **settings)
    lines = []
    again, _ = run(folder="stopped", note=lines.append, **settings)
    assert any("goes on behind step" in line for line in lines)
    for one, other in zip(kernels(whole), kernels(again), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"logit_adjustment": 1.0}, {"class_weights": "inverse"}, {"sampling": "balanced"}])
def test_rare_classes_are_found_more_often(run, asked):
    """On classes that overlap, five to one: the recall of the rarest is higher than without, in the network itself."""
    images, labels, _ = pictures()

    def recall(model):
        found = model.predict(images.astype("float32"), verbose=0).argmax(1)
        return (found[labels == 2] == 2).mean()

    stage = dataclasses.replace(HEAD, epochs=10)
    plain, _ = run(stage, weights=False, folder="plain")
    helped, _ = run(stage, weights=False, folder="helped", imbalance=tfxfer.Imbalance(**asked))
    assert recall(helped) > recall(plain)


@pytest.mark.slow
def test_whatever_looks_on_in_a_stage_bears_weights(run):
    stage = dataclasses.replace(
        ALL, batch_norm="train", group_rates="auto_rgn", restore_best_weights=True, clip_norm=0.5
    )
    for weights in (True, False):
        _, history = run(
            stage, weights=weights, folder=f"run {weights}", imbalance=tfxfer.Imbalance(sampling="balanced")
        )
        record = history.stages[0]
        assert record.best_epoch
        assert record.refreshed.layers
        assert record.drift


@pytest.mark.slow
def test_half_precision_bears_shares_and_weights(run):
    stage = dataclasses.replace(ALL, steps=8)
    imbalance = tfxfer.Imbalance(logit_adjustment=1.0, focal_gamma=2.0)
    _, history = run(stage, precision="mixed_float16", imbalance=imbalance)
    assert all(np.isfinite([epoch.loss, epoch.validation_loss]).all() for epoch in history.stages[0].epochs)


@pytest.mark.slow
def test_a_rate_can_be_looked_for_with_weights_and_draws(plugin):
    from tfxfer.lr_finder.of_stage import sweep_stage

    asked = {"backbone": "tiny:cnn", "stages": (HEAD,), "batch_size": 7}
    recipe = tfxfer.Recipe(**asked, imbalance=tfxfer.Imbalance(sampling="balanced"))
    assert len(sweep_stage(recipe, data=pictures()).sweep.losses) > 5

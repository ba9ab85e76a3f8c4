"""One stage: freeze, compile, verify, fit — one step, never apart."""

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable

import keras
import numpy as np

from tfxfer import activations, graph, models
from tfxfer.data import batches
from tfxfer.data.rows import Rows
from tfxfer.errors import VerificationError
from tfxfer.plans import StagePlan, What
from tfxfer.training import display
from tfxfer.training.optimizer import stage_callbacks, stage_optimizer
from tfxfer.training.records import EpochRecord, StageRecord

# Batches that the head's logits are measured on before they are scaled, and those that AutoRGN looks at in each epoch.
_BATCHES_TO_RESCALE, _BATCHES_TO_MEASURE = 16, 5


def run_stage(
    model: keras.Model,
    number: int,
    stage: StagePlan,
    what: What,
    train: Rows,
    validation: Rows,
    *,
    cached: bool,
    tell: Callable[[int, EpochRecord], None],
) -> StageRecord:
    """Runs one stage of a plan on `model`, in place.

    Args:
        model: of `swap_head`, with the weights that the stage before left.
        number: of the stage, counted from 0.
        stage: what to do.
        what: the plan that it belongs to.
        train: uint8 pictures of the training split; `validation` is looked at after each epoch.
        validation: not trained on.
        cached: whether what is frozen is computed once, and kept in memory.
        tell: called after each epoch with its number, counted from 1, and its record.

    Raises:
        VerificationError: other variables would move, or have moved, than the plan says.
    """
    start = time.monotonic()
    trainee = prepared(model, number, stage, what)
    if cached:
        cut = activations.cut_tensors(trainee, stage.trained)
        train, validation = (
            activations.extract(trainee, cut, split, batch_size=what.batch_size) for split in (train, validation)
        )
        trainee = compiled(activations.suffix(trainee, cut), model, stage)
    if stage.rescale_head:
        some = itertools.islice(train.padded_batches(what.batch_size), _BATCHES_TO_RESCALE)
        models.rescale_head(trainee, (batch[:count] for batch, count in some))
    whole = models.Proof(model)
    with _statistics_in_time(trainee, stage):
        epochs = _fit(trainee, number, stage, what, train, validation, tell)
    moved = whole.check(steps=stage.steps)
    return StageRecord(
        name=stage.name,
        epochs=epochs,
        frozen_digest=whole.digest,
        moved=moved,
        seconds=time.monotonic() - start,
        idle=whole.idle,
    )


def prepared(model: keras.Model, number: int, stage: StagePlan, what: What) -> keras.Model:
    """Returns a model that shares the layers of `model`, frozen, compiled and verified for a stage, on pixels.

    Args:
        model: of `swap_head`, whose flags are set; it stays uncompiled, since the one that ships carries no
            optimizer of ours.
        number: of the stage, counted from 0.
        stage: what to do.
        what: the plan that it belongs to.

    Raises:
        VerificationError: other variables would move than the plan says.
    """
    _seed_dropout(model, what.seed, number)
    trainee = models.with_stored_statistics(model) if stage.batch_norm == "affine" and stage.trained else model
    # With several names `train` means exactly these, and with none the head.
    models.freeze(trainee, train=stage.trained or "head", batch_norm=stage.batch_norm)
    return compiled(keras.Model(graph.input_of(trainee), trainee.output), model, stage)


def compiled(trainee: keras.Model, model: keras.Model, stage: StagePlan) -> keras.Model:
    """Compiles a frozen model that shares the variables of `model` for a stage, verifies it, and returns it.

    Raises:
        VerificationError: other variables would move than the plan says.
    """
    shares = planned_shares(model, stage)
    verify_trainable(trainee, stage, shares)
    optimizer = stage_optimizer(stage, shares)
    optimizer.build(trainee.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=stage.label_smoothing)
    trainee.compile(optimizer, loss=loss, metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")])
    return trainee


def planned_shares(model: keras.Model, stage: StagePlan) -> dict[int, float]:
    """Returns, for the `id` of each variable that the plan trains, its share of the learning rate."""
    *body, head = graph.layer_groups(model)
    shares = {id(v): 1.0 for v in head.trainable_variables}
    rates = dict(zip(stage.trained, stage.rates, strict=True))
    for group in body:
        if group.name not in rates:
            continue
        held = {id(v) for v in group.batch_norm_variables} if stage.batch_norm == "frozen" else ()
        shares.update({id(v): rates[group.name] for v in group.trainable_variables if id(v) not in held})
    return shares


def verify_trainable(model: keras.Model, stage: StagePlan, shares: dict[int, float]) -> None:
    """Checks that the variables that the optimizer will move are exactly those of the plan.

    Raises:
        VerificationError: one more or one less; the message names it.
    """
    actual = {id(v): v.path for v in model.trainable_variables}
    extra = [path for key, path in actual.items() if key not in shares]
    if extra or len(actual) != len(shares):
        raise VerificationError(
            f"stage {stage.name} would train {len(actual)} variables, the plan says {len(shares)}"
            + (f"; not planned: {', '.join(extra[:5])}" if extra else "")
        )
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    if (weights, len(actual)) != (stage.trainable_weights, stage.trainable_tensors):
        raise VerificationError(
            f"stage {stage.name} would train {weights} weights in {len(actual)} variables, the plan says "
            f"{stage.trainable_weights} in {stage.trainable_tensors}."
        )


def _statistics_in_time(trainee: keras.Model, stage: StagePlan) -> contextlib.AbstractContextManager:
    """Returns a context in which moving statistics follow fast enough for the length of a stage's epochs."""
    if stage.batch_norm != "train":
        return contextlib.nullcontext()
    return models.set_batch_norm_momentum(trainee, models.batch_norm_momentum(stage.steps_per_epoch))


def _fit(model, number, stage, what, train, validation, tell) -> tuple[EpochRecord, ...]:
    held_out = batches.ordered_batches(validation, batch_size=what.batch_size)
    recorder = display.Recorder(stage, tell)
    first = batches.training_batches(
        train, batch_size=what.batch_size, start=0, steps=_BATCHES_TO_MEASURE, seed=what.seed, stage=number
    )
    acting = stage_callbacks(stage, first)
    # `fit` counts whole epochs; steps that do not fill one are a shorter epoch of their own at the end.
    whole, rest = divmod(stage.steps, stage.steps_per_epoch)
    for start, epochs, steps in ((0, whole, stage.steps_per_epoch), (stage.steps - rest, 1, rest)):
        if not epochs or not steps:
            continue
        dataset = batches.training_batches(
            train, batch_size=what.batch_size, start=start, steps=epochs * steps, seed=what.seed, stage=number
        )
        model.fit(
            dataset,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=held_out,
            verbose=0,
            shuffle=False,
            callbacks=[*acting, recorder],
        )
    return tuple(recorder.epochs)


def _seed_dropout(model: keras.Model, seed: int, stage: int) -> None:
    """Sets the state of every random layer, a function of seed, stage and layer name."""
    for layer in model.layers:
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            key = hashlib.sha256(f"dropout:{seed}:{stage}:{layer.name}".encode()).digest()
            generator.state.assign([int.from_bytes(key[:4]) // 2, 0])

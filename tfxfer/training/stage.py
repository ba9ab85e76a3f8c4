"""One stage: freeze, compile, verify, fit — one step, never apart."""

import hashlib
import time
from collections.abc import Callable

import keras
import numpy as np

from tfxfer import activations, graph, models
from tfxfer.backbones.loading import weights_digest
from tfxfer.data import batches
from tfxfer.data.rows import Rows
from tfxfer.errors import VerificationError
from tfxfer.plans import StagePlan, What
from tfxfer.training import display
from tfxfer.training.records import EpochRecord, StageRecord


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
    _seed_dropout(model, what.seed, number)
    trainee = models.with_stored_statistics(model) if stage.batch_norm == "affine" and stage.trained else model
    models.freeze(trainee, train=len(stage.trained) or "head", batch_norm=stage.batch_norm)
    shares = planned_shares(model, stage)
    if cached:
        cut = activations.cut_tensors(trainee, stage.trained)
        train, validation = (
            activations.extract(trainee, cut, split, batch_size=what.batch_size) for split in (train, validation)
        )
        trainee = activations.suffix(trainee, cut)
    else:
        # A model of its own, so that the one that ships carries no optimizer of ours.
        trainee = keras.Model(graph.input_of(trainee), trainee.output)
    _compile(trainee, stage, shares)
    verify_trainable(trainee, stage, shares)
    frozen = frozen_variables(model, stage, shares)
    moving = [v for v in model.variables if id(v) in shares]
    before, digests = weights_digest(frozen), [weights_digest([v]) for v in moving]
    epochs = _fit(trainee, number, stage, what, train, validation, tell)
    if weights_digest(frozen) != before:
        raise VerificationError(f"stage {stage.name}: variables that the plan freezes have moved.")
    moved = sum(old != weights_digest([v]) for old, v in zip(digests, moving, strict=True))
    return StageRecord(
        name=stage.name, epochs=epochs, frozen_digest=before, moved=moved, seconds=time.monotonic() - start
    )


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


def frozen_variables(model: keras.Model, stage: StagePlan, shares: dict[int, float]) -> list[keras.Variable]:
    """Returns the variables of `model` that must stand still, bit for bit, in a stage.

    All that do not train, but for the state of random layers, and for the statistics of trained groups in
    batch-norm mode `train`.
    """
    groups = graph.layer_groups(model)
    head = groups[-1].name
    free = {head, *(stage.trained if stage.batch_norm == "train" else ())}
    moving = {id(v) for group in groups if group.name in free for v in group.statistics} | set(shares)
    return [v for v in model.variables if id(v) not in moving and "float" in v.dtype]


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


def _compile(model: keras.Model, stage: StagePlan, shares: dict[int, float]) -> None:
    rate = models.warmup_cosine(stage.learning_rate, stage.steps, stage.warmup_steps)
    optimizer = models.DifferentialSGD(rate, shares, decay=stage.weight_decay, clip_norm=stage.clip_norm)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=stage.label_smoothing)
    model.compile(optimizer, loss=loss, metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")])


def _fit(model, number, stage, what, train, validation, tell) -> tuple[EpochRecord, ...]:
    held_out = batches.ordered_batches(validation, batch_size=what.batch_size)
    recorder = display.Recorder(stage, tell)
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
            callbacks=[recorder],
        )
    return tuple(recorder.epochs)


def _seed_dropout(model: keras.Model, seed: int, stage: int) -> None:
    """Sets the state of every random layer, a function of seed, stage and layer name."""
    for layer in model.layers:
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            key = hashlib.sha256(f"dropout:{seed}:{stage}:{layer.name}".encode()).digest()
            generator.state.assign([int.from_bytes(key[:4]) // 2, 0])

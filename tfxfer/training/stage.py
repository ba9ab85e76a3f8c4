"""One stage: freeze, compile, verify, fit — one step, never apart."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfxfer import activations, graph, models, optimizers, runtime
from tfxfer.addressing import Places
from tfxfer.data import batches, views
from tfxfer.data.rows import Rows
from tfxfer.errors import BackboneError, CacheError, TrainingError, VerificationError
from tfxfer.plans import StageCache, StagePlan, What
from tfxfer.training import objectives, seeds, statistics, trainees
from tfxfer.training.checkpoints import StageCheckpoints
from tfxfer.training.course import explained, fit_stage
from tfxfer.training.optimizer import is_bias, stage_optimizer
from tfxfer.training.records import EpochRecord, RefreshRecord, StageRecord
from tfxfer.training.stage_data import StageData

# Batches that the head's logits are measured on before they are scaled.
_BATCHES_TO_RESCALE = 16


def run_stage(
    model: keras.Model,
    number: int,
    stage: StagePlan,
    what: What,
    train: Rows,
    validation: Rows,
    *,
    cache: StageCache | None,
    kept: activations.Kept,
    checkpoints: StageCheckpoints | None = None,
    watching: Sequence[keras.callbacks.Callback] = (),
    jit_compile: bool = False,
    validate_every: int = 0,
    tell: Callable[[int, EpochRecord], None],
    note: Callable[[str], None] = print,
) -> StageRecord:
    """Runs one stage of a plan on `model`, in place.

    Args:
        model: of `swap_head`, with the weights that the stage before left.
        number: of the stage, counted from 0.
        stage: what to do.
        what: the plan that it belongs to.
        train: uint8 pictures of the training split; `validation` is looked at after each epoch.
        validation: not trained on.
        cache: how the activations of what is frozen are kept; None: they are computed in every epoch.
        kept: where they are kept from stage to stage.
        checkpoints: of this stage; with the newest it goes on. None: nothing is kept.
        watching: callbacks of its `fit`, which change nothing.
        jit_compile: whether XLA compiles its steps.
        validate_every: optimizer steps from one look at validation within an epoch to the next; 0: there are none.
        tell: called after each epoch with its number, counted from 1, and its record.
        note: called with a line for each change of what trains within the stage, and with warnings.

    Raises:
        VerificationError: other variables would move, or have moved, than the plan says, or one that was to move has
            not though it had a gradient.
        TrainingError: the loss of a step is no number, or far too large.
        DataError: the statistics of batch norm, measured anew, would be NaN or infinite.
        BackboneError: brightness needs cached activations, and a layer below what trains is random.
    """
    with models.steady(model, awake=stage.trained) as random:
        if cache is not None and random:
            why = f"{', '.join(random)} below what trains is random, and has no rate that could be set to 0 meanwhile."
            if what.augment.brightness:
                raise BackboneError(f"{why} Take it out of the network, or write augment.brightness=0.")
            note(f"stage {stage.name}  {why} What is frozen is computed in every epoch instead.")
            cache = None
        looks_on = (checkpoints or StageCheckpoints(), tuple(watching), tell, note)

        def attempt(now: StagePlan) -> StageRecord:
            return _run_stage(
                model, number, now, what, train, validation, cache, kept, *looks_on, jit_compile, validate_every
            )

        return _with_rollbacks(attempt, model, stage, looks_on[0], note)


def _with_rollbacks(attempt: Callable[[StagePlan], StageRecord], model, stage: StagePlan, checkpoints, note):
    """Runs a stage, and where its loss is no number again with half the rate, as often as its plan says."""
    start = [(v, v.numpy()) for v in model.variables] if stage.rollbacks else []
    rates = _rates_left(stage, checkpoints)
    while True:
        now = dataclasses.replace(stage, learning_rate=rates.pop(0))
        try:
            return attempt(now)
        except TrainingError as error:
            if not rates:
                raise
            # The newest may be on its way there already; where the one before did not help, none does.
            again = now.learning_rate < stage.learning_rate
            back = "by a checkpoint" if checkpoints.drop(keep=not again) else "to its beginning"
            checkpoints.lower_rate(rates[0])
            note(f"{error} It goes back {back} and on with half the rate, {rates[0]:g}.")
        for variable, value in start:
            variable.assign(value)


def _run_stage(
    model,
    number,
    stage: StagePlan,
    what: What,
    train,
    validation,
    cache,
    kept,
    checkpoints,
    watching,
    tell,
    note,
    jit,
    every,
) -> StageRecord:
    trainee = prepared(model, number, stage, what, jit_compile=jit)
    # Not compiled: it only says what names mean, and what is frozen.
    whole = keras.Model(graph.input_of(trainee), trainee.output)
    train = views.with_views(train, stage.views, what.augment, seed=what.seed)
    # What one computes for itself differs from the chief's by rounding; of what is kept, each computes a part.
    workers = runtime.workers_of(model.distribute_strategy)
    workers.follow_chief(whole.variables)
    rows = None if cache is None else _kept_rows(trainee, stage, what, train, validation, cache, kept, note)
    if rows is not None:
        train, validation = rows
        behind = activations.suffix(trainee, activations.cut_at(trainee, cache.cut))
        trainee = compiled(behind, model, stage, what, jit_compile=jit)
    if stage.rescale_head:
        some = batches.ordered_batches(train, batch_size=what.batch_size).take(_BATCHES_TO_RESCALE)
        models.rescale_head(trainee, (batch for batch, *_ in some))
        workers.follow_chief(whole.variables)
    proof = models.Proof(whole)
    data = StageData(number=number, stage=stage, what=what, train=train, validation=validation, cached=rows is not None)
    with _statistics_in_time(trainee, stage), statistics.together(trainee, synchronised=what.synchronise_batch_norm):
        course = fit_stage(trainee, whole, data, checkpoints, proof.still, tell, note, watching, every)
    shares = planned_shares(model, awake_stage(stage, course.awake))
    _verify_slots(trainee, stage, shares)
    proof.narrow(shares.keys())
    # Where float16 may lose all gradients of a group, that it stood still is told, and is no fault.
    moved = proof.check(steps=0 if what.precision == "mixed_float16" else course.steps_since_waking)
    still = explained(trainee, proof.idle_variables, stage, shares, course, data.some())
    if course.best is not None:  # only now: in an early epoch what wakes later had not moved
        course.best.restore()
    refreshed = RefreshRecord()
    if stage.refresh_statistics:
        refreshed = statistics.refreshed(trainee, whole, data.one_pass(), data.held_out())
    return StageRecord(
        name=stage.name,
        epochs=course.epochs,
        frozen_digest=proof.digest,
        moved=moved,
        seconds=checkpoints.stage_seconds,
        idle=tuple(map(str, still)),
        wakings=course.wakings,
        drift=course.drift,
        drift_warning=course.drift_warning,
        refreshed=refreshed,
        best_epoch=course.best.epoch if course.best is not None else 0,
        looks=course.looks,
    )


def _kept_rows(trainee, stage: StagePlan, what: What, train, validation, cache, kept, note) -> tuple[Rows, Rows] | None:
    """Returns the activations of what is frozen; None where they cannot be kept.

    Raises:
        CacheError: they cannot be kept, and the stage cannot go on without.
    """
    try:
        return kept.rows(trainee, cache, (train, validation))
    except CacheError as error:  # all workers have one if one has
        if what.augment.brightness:
            raise
        note(f"stage {stage.name}  {error} What is frozen is computed in every epoch instead.")
        return None


def _rates_left(stage: StagePlan, checkpoints: StageCheckpoints) -> list[float]:
    """Returns the rates that a stage may still go through, in order, from the one that it has come down to."""
    rates = [stage.learning_rate / 2**halvings for halvings in range(stage.rollbacks + 1)]
    lowered = checkpoints.rate if stage.rollbacks else None
    return [rate for rate in rates if lowered is None or rate <= lowered]


def awake_stage(stage: StagePlan, awake: tuple[str, ...]) -> StagePlan:
    """Returns a stage as if it trained just these of its groups."""
    kept = [stage.trained.index(name) for name in awake]
    return dataclasses.replace(
        stage,
        trained=awake,
        trained_layers=tuple(stage.trained_layers[at] for at in kept),
        rates=tuple(stage.rates[at] for at in kept),
    )


def prepared(
    model: keras.Model, number: int, stage: StagePlan, what: What, *, jit_compile: bool = False
) -> keras.Model:
    """Returns a model that shares the layers of `model`, frozen, compiled and verified for a stage, on pixels.

    Args:
        model: of `swap_head`, whose flags are set; it stays uncompiled, since the one that ships carries no
            optimizer of ours.
        number: of the stage, counted from 0.
        stage: what to do.
        what: the plan that it belongs to.
        jit_compile: whether XLA compiles its steps.

    Raises:
        VerificationError: other variables would move than the plan says.
    """
    seeds.seed(model, what.seed, stage=number)
    trainee = models.with_stored_statistics(model) if stage.batch_norm == "affine" else model
    # With several names `train` means exactly these, and with none the head.
    models.freeze(trainee, train=stage.addresses() or "head", batch_norm=stage.batch_norm)
    return compiled(trainee, model, stage, what, jit_compile=jit_compile)


def compiled(
    frozen: keras.Model,
    model: keras.Model,
    stage: StagePlan,
    what: What,
    *,
    jit_compile: bool = False,
) -> trainees.Trainee:
    """Returns what trains the layers of a frozen model in a stage: verified, compiled, all its variables made.

    Args:
        frozen: shares the variables of `model`, from pixels or from activations.
        model: of `swap_head`.
        stage: what to do.
        what: the plan that it belongs to.
        jit_compile: whether XLA compiles its steps.

    Raises:
        VerificationError: other variables would move than the plan says.
    """
    strategy = model.distribute_strategy
    trainee = trainees.trainee_of(frozen, strategy)
    shares = planned_shares(model, stage)
    verify_trainable(trainee, stage, shares)
    with strategy.scope():
        optimizer = stage_optimizer(stage, shares, precision=what.precision)
        optimizer.build(trainee.trainable_variables)
    with strategy.scope():
        # Keras would decide on both by rules of its own, and the plan has.
        decided = {"jit_compile": jit_compile, "auto_scale_loss": False}
        # Weighted: a replica without a share of a batch sees examples that count nothing.
        shown = objectives.metrics_of(what.task, what.metrics)
        loss = objectives.loss_of(stage, what.imbalance, what.task, what.loss)
        trainee.compile(optimizer, loss=loss, weighted_metrics=shown, **decided)
    trainees.build_metrics(trainee, what.task)
    return trainee


def planned_shares(model: keras.Model, stage: StagePlan) -> dict[int, float]:
    """Returns, for the `id` of each variable that the plan trains, its share of the learning rate.

    The head's is 1; biases have `bias_rate` as much as the other variables of their group.
    """
    places = Places(model)
    rates = dict(zip(stage.trained, stage.rates, strict=True)) | {places.groups[-1].name: 1.0}
    meant = [place for place in places.places if place.group == places.groups[-1].name]
    meant += [place for address in stage.addresses() for place in places.at(address)]
    held = models.held_batch_norm(places, stage.batch_norm)
    return {
        id(place.variable): rates[place.group] * (stage.bias_rate if is_bias(place.variable) else 1.0)
        for place in meant
        if id(place.variable) not in held
    }


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


def _verify_slots(trainee: keras.Model, stage: StagePlan, shares: dict[int, float]) -> None:
    """Checks at the end of a stage that the optimizer's variables are exactly those that are to train by then.

    Raises:
        VerificationError: one more or one less; the message names it.
    """
    known = {id(variable): variable.path for variable in optimizers.of(trainee).trained_variables}
    paths = known | {id(variable): variable.path for variable in trainee.variables}
    apart = sorted(paths.get(key, "?") for key in known.keys() ^ shares.keys())
    if apart:
        raise VerificationError(
            f"stage {stage.name} ended with an optimizer of {len(known)} variables, the plan says {len(shares)}; "
            f"apart: {', '.join(apart[:5])}"
        )

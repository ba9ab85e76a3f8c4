"""The model of a stage: many steps in one call, stopped and continued at any step, the same under every strategy.

`fit` of Keras 3.15 has one number of steps for a call, cannot begin within an epoch, weighs unequal shares of a batch
alike, and reduces its results in a way that fails across machines. What it calls for a step may be overridden
(`make_train_function`, `make_test_function`), and is, here.
"""

import dataclasses
import time
from collections.abc import Callable

import keras
import tensorflow as tf

from tfxfer import graph, models, runtime
from tfxfer.optimizers import loss_scaling
from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training import divergence

# One call of the train function lasts about so long: after it `fit` may write a checkpoint, or stop.
_CALL_SECONDS = 0.5
# A look at the clock takes a call of Python, about 0.1 ms, so it is spared where a step is shorter than this.
_LOOKS_FROM = 0.01
# From one call to the next it has at most so many times as many steps.
_GROWTH = 4


@dataclasses.dataclass
class Calls:
    """How many steps of an epoch, or of an evaluation, are made, and how many one call runs.

    Attributes:
        stop: steps that there are; None where nobody says: then one call is one step, as in Keras.
        done: of them are made.
        asked: for so many Keras has asked.
        together: steps of the next call.
    """

    stop: int | None = None
    done: int = 0
    asked: int = 0
    together: int = 1

    def begin(self, steps: int | None, done: int = 0) -> None:
        """Begins an epoch or an evaluation of `steps`, of which `done` were made before."""
        self.stop, self.done, self.asked = steps, done, 0

    def next_steps(self, limit: int | None = None) -> int:
        """Returns how many steps are to be run for the one that is asked for; 0 if it was made already."""
        if self.stop is None:
            return 1
        if self.asked < self.done or self.done >= self.stop:
            return 0
        limits = [self.together, self.stop - self.done, *([] if limit is None else [limit])]
        return max(1, min(limits))

    @property
    def is_caught_up(self) -> bool:
        """Whether what Keras asked for is all that was made: the only moments between two calls."""
        return self.stop is None or self.asked >= self.done

    def took(self, steps: int, seconds: float) -> None:
        """Notes that a call is over, and chooses the length of the next one by the time that it took."""
        self.done += steps
        wanted = int(_CALL_SECONDS * steps / max(seconds, 1e-9))
        self.together = max(1, min(wanted, _GROWTH * self.together))


@dataclasses.dataclass
class Pace:
    """How far an epoch or an evaluation is; set by `Pacer`, read by `Trainee` and by callbacks.

    Attributes:
        train: of the epoch.
        test: of the evaluation.
        step_seconds: of a step in the last call, 0 before it; `waited` of them it waited for data, None where a step
            is too short for a look at the clock.
        limit: returns the most steps that the next call may run, or None.
    """

    train: Calls = dataclasses.field(default_factory=Calls)
    test: Calls = dataclasses.field(default_factory=Calls)
    step_seconds: float = 0.0
    waited: float | None = None
    limit: Callable[[], int | None] | None = None

    @property
    def done(self) -> int:
        """Steps of the epoch that are made."""
        return self.train.done

    @property
    def is_caught_up(self) -> bool:
        """Whether `fit` stands between two calls."""
        return self.train.is_caught_up


class Trainee(keras.Model):
    """A functional model that trains as a stage does; made by `trainee_of`."""

    def make_train_function(self, force=False):
        """Sets what `fit` calls for each step: it runs several at once, and answers for those it has run."""
        if self.train_function is not None and not force:
            return
        run = _looped(self, self._move)
        pace, workers = self.pace, runtime.workers_of(self.distribute_strategy)
        logs: dict[str, float] = {}

        def function(iterator):
            nonlocal logs
            steps = pace.train.next_steps(pace.limit and pace.limit())
            if steps:
                steps = workers.of_chief(steps)  # each process has a clock of its own
                looks, start = pace.step_seconds > _LOOKS_FROM, time.monotonic()
                waited, results = self._run(run, iterator, steps, looks)
                logs = {name: float(result) for name, result in results.items()}
                seconds = time.monotonic() - start
                pace.step_seconds, pace.waited = seconds / steps, float(waited) / steps if looks else None
                pace.train.took(steps, seconds)
            pace.train.asked += 1
            if not logs:  # all that was asked for was made by another process
                logs = {name: float(result) for name, result in self.get_metrics_result().items()}
            return logs

        self.train_function = function

    def _run(self, run, iterator, steps: int, looks: bool):
        """Runs steps and returns the seconds waited and the metrics.

        Raises:
            DivergedError: the loss of one is beyond all bounds.
        """
        try:
            sane, waited, results = run(iterator, tf.constant(steps), tf.constant(looks))
        except tf.errors.OpError as error:
            if not divergence.is_told_by(error):
                raise
            sane = False
            has_moved = False
        else:
            has_moved = True
        if not sane:
            taken = loss_scaling.steps_taken(self.optimizer)
            raise divergence.DivergedError(taken - has_moved, has_moved=has_moved)
        if loss_scaling.is_lost(self.optimizer):
            fault = "gradients that float16 holds at no scale of the loss. Write --precision=mixed_bfloat16"
            raise divergence.DivergedError(loss_scaling.steps_taken(self.optimizer) - 1, has_moved=True, fault=fault)
        return waited, results

    def make_test_function(self, force=False):
        """Sets what `evaluate` calls for each step: several at once where their number is known."""
        if self.test_function is not None and not force:
            return
        run = _looped(self, self._test)
        calls, workers = self.pace.test, runtime.workers_of(self.distribute_strategy)
        logs: dict[str, float] = {}

        def function(iterator):
            nonlocal logs
            steps = calls.next_steps()
            if steps:
                steps, start = workers.of_chief(steps), time.monotonic()
                _, _, results = run(iterator, tf.constant(steps), tf.constant(False))
                logs = {name: float(result) for name, result in results.items()}
                calls.took(steps, time.monotonic() - start)
            calls.asked += 1
            return logs

        self.test_function = function

    @property
    def _looks_behind(self) -> bool:
        """Whether a bad loss is told behind its step only: replicas would wait for who stops, XLA drops asserts."""
        return self.distribute_strategy.num_replicas_in_sync > 1 or self.jit_compile

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Private: under a strategy Keras 3.15 reduces the first batch here, which fails where shares are unequal and
        # across machines. All that it builds is built by `build_metrics`, the layers and the optimizer.
        pass

    def _move(self, data) -> tf.Tensor:
        """Makes one step and returns this replica's part of the batch's mean loss."""
        inputs, labels, *given = data
        weights, here, everywhere = self._examples(labels, *given)
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=True)
            loss = self.compute_loss(inputs, labels, outputs, weights, training=True)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        with divergence.before_anything_moves(loss, asserts=not self._looks_behind):
            gradients = tf.nest.map_structure(tf.identity, gradients, expand_composites=True)
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self._average_statistics()
        self._count(labels, outputs, loss * everywhere, here, *given)
        return loss

    def _average_statistics(self) -> None:
        """Stores on each replica the mean of the statistics of all, where each has normalised by its own share."""
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return
        apart = [layer for layer in models.moving_batch_norms(self) if not layer.synchronized]
        own = [variable for layer in apart for variable in (layer.moving_mean, layer.moving_variance)]
        if own:
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(variable.value) for variable in own])
            for variable, mean in zip(own, means, strict=True):
                variable.assign(mean)

    def _test(self, data) -> tf.Tensor:
        """Looks at a batch and returns this replica's part of its mean loss."""
        inputs, labels, *given = data
        weights, here, everywhere = self._examples(labels, *given)
        outputs = self(inputs, training=False)
        loss = self.compute_loss(inputs, labels, outputs, weights, training=False)
        self._count(labels, outputs, loss * everywhere, here, *given)
        return loss

    def _examples(self, labels, weights: tf.Tensor | None = None) -> tuple[tf.Tensor | None, tf.Tensor, tf.Tensor]:
        """Returns the weights for Keras of the examples of this replica, how many there are, and how many on all.

        Keras takes the mean over a replica and then over replicas; with these weights that is the sum of weight times
        loss over the number of all examples, also where replicas have unequal shares. (Over the sum of the weights an
        example would count more among light ones than among heavy ones, by the draw of its batch.) What weighs nothing
        is no example: it fills a share.
        """
        # Keras's losses and metrics compute in this, whatever the network does.
        kind = keras.config.floatx()
        rows = tf.cast(tf.shape(labels)[0], kind)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return weights, rows, rows
        here = tf.reduce_sum(tf.cast(weights > 0, kind))
        everywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, here)
        return tf.cast(weights, kind) * rows * context.num_replicas_in_sync / everywhere, here, everywhere

    def _count(self, labels, outputs, losses, here, weights: tf.Tensor | None = None) -> None:
        """Lets the metrics see a step: the sum of the losses of this replica's examples, and how many they are."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(tf.math.divide_no_nan(losses, here), sample_weight=here)
        # Only the loss goes by weights; of everything else each example counts alike, and what fills a share nothing.
        several = self.distribute_strategy.num_replicas_in_sync > 1
        is_real = tf.cast(weights > 0, weights.dtype) if several else None
        self.compute_metrics(None, labels, outputs, is_real)


def trainee_of(model: keras.Model, strategy: tf.distribute.Strategy) -> Trainee:
    """Returns a `Trainee` of the same layers and variables as a functional model, under `strategy`, not compiled."""
    with strategy.scope():
        trainee = Trainee(graph.input_of(model), model.output, name=model.name)
    trainee.pace = Pace()
    return trainee


def build_metrics(model: Trainee, task: Task = SINGLE_LABEL) -> None:
    """Makes the state of a compiled model's metrics, which Keras makes in the first step."""
    with model.distribute_strategy.scope():
        nothing = tf.zeros((1, *model.output.shape[1:]), keras.config.floatx())
        several = model.distribute_strategy.num_replicas_in_sync > 1
        # Of ordinal classes there is one more than outputs.
        labels = tf.pad(nothing, ((0, 0), (0, 1))) if task.kind == "ordinal" else nothing
        model.compute_metrics(None, labels, nothing, tf.zeros((1,), nothing.dtype) if several else None)
        model.reset_metrics()


class Pacer(keras.callbacks.Callback):
    """Tells a `Trainee` where each epoch begins and ends, and gives it the metrics of one that goes on.

    Comes first among callbacks.
    """

    def __init__(self, steps: int, *, test_steps: int | None = None, epoch: int = 0, done: int = 0, metrics=()):
        """Makes a pacer of one stage.

        Args:
            steps: of the whole stage.
            test_steps: of an evaluation.
            epoch: that `fit` begins with, counted from 0; `done` steps of it were made before.
            done: see there.
            metrics: for each of `metrics_variables` its value then.
        """
        super().__init__()
        self._steps, self._test_steps = steps, test_steps
        self._first, self._done, self._metrics = epoch, done, metrics

    def on_epoch_begin(self, epoch, logs=None):
        """Begins the epoch."""
        per_epoch = self.params["steps"]
        resumed = epoch == self._first
        self.model.pace.train.begin(min(per_epoch, self._steps - epoch * per_epoch), self._done if resumed else 0)
        if resumed and self._done:
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=False):
                variable.assign(value)

    def on_test_begin(self, logs=None):
        """Begins an evaluation."""
        self.model.pace.test.begin(self._test_steps)

    def on_train_end(self, logs=None):
        """Lets one call be one step again."""
        self.model.pace.train.begin(None)
        self.model.pace.test.begin(None)


def _looped(model: Trainee, step: Callable[[tuple], tf.Tensor]) -> Callable:
    """Returns a function of an iterator, a number of steps, and whether to look at the clock.

    It returns whether the last loss was sane, the seconds in which the steps waited for data, 0 without a look, and
    the metrics. On replicas and under XLA it ends behind the first step whose loss is not sane; else that is an error.
    """
    strategy, looks_behind = model.distribute_strategy, model._looks_behind
    one = tf.function(step, autograph=False, jit_compile=model.jit_compile) if model.jit_compile else step

    @tf.function(autograph=False, reduce_retracing=True)
    def run(iterator, count, looks):
        def body(made, _, waited):
            start = _now(looks)
            with tf.control_dependencies([start]):
                data = iterator.get_next()
            with tf.control_dependencies(tf.nest.flatten(data, expand_composites=True)):
                waited += _now(looks) - start
            losses = strategy.run(one, args=(data,))
            sane = divergence.is_sane(strategy.reduce("SUM", losses, axis=None)) if looks_behind else True
            return made + 1, sane, waited

        start = (0, True, tf.constant(0.0, tf.float64))
        _, sane, waited = tf.while_loop(lambda made, sane, _: (made < count) & sane, body, start)
        return sane, waited, model.get_metrics_result()

    return run


def _now(looks: tf.Tensor) -> tf.Tensor:
    """Returns the time in a graph, in seconds; 0 where nobody looks."""
    # `tf.timestamp` is refused where ops are deterministic.
    return tf.cond(
        looks,
        lambda: tf.ensure_shape(tf.numpy_function(time.monotonic, [], tf.float64), ()),
        lambda: tf.constant(0.0, tf.float64),
    )

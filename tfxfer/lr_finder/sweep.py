"""Sweeps the learning rate of a compiled Keras model from low to high and suggests one."""

import dataclasses
import math
import numbers
import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxfer import graph, progress
from tfxfer.errors import ConfigError, DataError, WorkdirError
from tfxfer.lr_finder import keeping, suggestions
from tfxfer.lr_finder import plot as plots
from tfxfer.lr_finder.result import RateSweep
from tfxfer.training import divergence

# The fewest steps of which a curve can be drawn.
_FEWEST_STEPS = 5
# `fit` counts epochs from where a restored run had stopped; this many are never reached.
_EPOCHS = 1_000_000


def find_learning_rate(
    model: keras.Model,
    dataset: Any,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.98,
    stop_at: float = 4.0,
    batch_size: int = 32,
    seed: int = 0,
    plot: str | os.PathLike | None = None,
) -> RateSweep:
    """Trains `model` for some steps with a rate that grows from step to step, puts everything back, suggests a rate.

    >>> sweep = find_learning_rate(model, (images, labels))
    >>> print(sweep)
    learning rates 1e-07 to 2.7, 93 steps; ...
    >>> model.optimizer.learning_rate = sweep.rate

    This is the range test of Smith 2015 (arXiv 1506.01186) as fastai's `lr_find` does it, whose defaults these are. It
    trains as `model.fit` would: with what trains now, the optimizer as it is, its multipliers and its slots. Afterwards
    weights, statistics, optimizer, learning rate or schedule, metrics and random states are bit for bit what they were,
    also after an error or Ctrl-C. Two things stay: an optimizer that was not built is built, with the slots of a fresh
    one; and a dataset that shuffles has made one more order.

    Args:
        model: compiled and built; whatever is frozen in it stays frozen.
        dataset: a `tf.data.Dataset` of batches as for `fit`, repeated if it is short; or arrays `(x, y)` or
            `(x, y, sample_weight)`.
        lowest: rate of the first step, > 0.
        highest: rate of the last step, finite.
        steps: ≥ 5.
        smoothing: weight of the past in the running mean of the losses, 0 ≤ smoothing < 1.
        stop_at: the sweep ends when the smoothed loss is above so many times its lowest, > 1.
        batch_size: of arrays.
        seed: of the order of arrays.
        plot: a PNG file to draw the curve to, which must not exist.

    Raises:
        ConfigError: the model is not compiled or built, nothing in it trains, or a number is out of its range.
        DataError: there are no examples.
        WorkdirError: `plot` exists or cannot be written.
    """
    _check_numbers(lowest=lowest, highest=highest, steps=steps, smoothing=smoothing, stop_at=stop_at)
    _check_model(model)
    if plot is not None and pathlib.Path(plot).exists():
        raise WorkdirError(f"{plot} exists and is not overwritten. Choose another file for the plot.")
    batches = _batches(dataset, steps=steps, batch_size=batch_size, seed=seed)
    growth = (highest / lowest) ** (1 / (steps - 1))
    course = _Course([lowest * growth**step for step in range(steps)], smoothing, stop_at)
    _run(model, batches, course)
    sweep = RateSweep(
        rates=tuple(course.rates[: len(course.losses)]),
        losses=tuple(course.losses),
        smoothed=tuple(course.smoothed),
        suggestions=suggestions.suggest(course.rates[: len(course.losses)], course.smoothed, steps=steps),
        ended=course.ended,
    )
    if plot is not None:
        plots.draw_sweep(sweep, pathlib.Path(plot))
    return sweep


@dataclasses.dataclass
class _Course:
    """The rates to go through, and the losses on the way."""

    rates: list[float]
    smoothing: float
    stop_at: float
    losses: list[float] = dataclasses.field(default_factory=list)
    smoothed: list[float] = dataclasses.field(default_factory=list)
    ended: str = ""
    _mean: float = 0.0

    def add(self, loss: float) -> None:
        """Takes the loss of the next step in, and sees whether it was the last."""
        if not math.isfinite(loss):
            self.ended = f"then the loss was {loss}"
            return
        self.losses.append(loss)
        # The mean begins at 0, which the division takes out, as in Adam and in fastai's recorder.
        self._mean = self.smoothing * self._mean + (1 - self.smoothing) * loss
        self.smoothed.append(self._mean / (1 - self.smoothing ** len(self.losses)))
        best = min(self.smoothed)
        # For a loss above 0 this is `stop_at` times the best; written so that it also ends where losses are negative.
        if self.smoothed[-1] > best + (self.stop_at - 1) * abs(best):
            self.ended = f"then the smoothed loss was above {self.stop_at:g} × its lowest"
        elif len(self.losses) == len(self.rates):
            self.ended = "all that were asked for"


class _Sweep(keras.callbacks.Callback):
    """Sets the rate before each step and takes its loss after it."""

    def __init__(self, course: _Course, set_rate, advance):
        super().__init__()
        self._course = course
        self._set_rate = set_rate
        self._advance = advance

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the rate, and empties the metrics: Keras logs the mean since they were empty."""
        self.model.reset_metrics()
        self._set_rate(self._course.rates[len(self._course.losses)])

    def on_train_batch_end(self, batch, logs=None):
        """Takes the loss."""
        if not logs or "loss" not in logs:
            raise ConfigError(
                f"the train_step of {self.model.name!r} returns no 'loss', only {', '.join(logs or ()) or 'nothing'}. "
                "Let it return {'loss': …} of the batch."
            )
        loss = float(logs["loss"])
        self._course.add(loss)
        self._advance(1, f"loss {loss:.3f}")
        self.model.stop_training = bool(self._course.ended)


def _run(model: keras.Model, batches: tf.data.Dataset, course: _Course) -> None:
    strategy = model.distribute_strategy
    if not model.optimizer.built:
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
    with (
        keeping.kept(model),
        keeping.settable_rate(model.optimizer, strategy) as set_rate,
        progress.bar("learning rates", len(course.rates), kind="steps") as advance,
    ):
        # A function that was traced before would train what trained then.
        model.train_function = None
        model.steps_per_execution = 1
        callback = _Sweep(course, set_rate, advance)
        try:
            model.fit(
                batches,
                epochs=_EPOCHS,
                steps_per_epoch=len(course.rates),
                shuffle=False,
                verbose=0,
                callbacks=[callback],
            )
        except divergence.DivergedError:  # a model of a stage stops before such a loss moves anything
            course.add(math.inf)
        except ValueError as error:
            if "Unknown variable" not in str(error):
                raise
            raise ConfigError(
                f"the optimizer of {model.name!r} was built for other variables than train now: layers were unfrozen "
                "after it was compiled. Compile it again with a new optimizer, then look for the rate."
            ) from error


def _batches(dataset: Any, *, steps: int, batch_size: int, seed: int) -> tf.data.Dataset:
    if isinstance(dataset, tf.data.Dataset):
        known = int(dataset.cardinality())
        unknown = known == tf.data.UNKNOWN_CARDINALITY
        if known == 0 or (unknown and next(iter(dataset.take(1)), None) is None):
            raise DataError("dataset is empty. Give a tf.data.Dataset with batches of examples in it.")
        return dataset if known >= steps else dataset.repeat()
    if not isinstance(dataset, tuple | list) or len(dataset) not in (2, 3):
        raise DataError(
            f"dataset is a {type(dataset).__name__}. Give a tf.data.Dataset of batches, or arrays: (x, y) or "
            "(x, y, sample_weight)."
        )
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(f"batch_size={batch_size!r} must be a whole number of at least 1.")
    arrays = keras.tree.map_structure(np.asarray, tuple(dataset))
    lengths = {len(array) if array.ndim else 0 for array in keras.tree.flatten(arrays)}
    if len(lengths) > 1 or lengths == {0}:
        raise DataError(
            f"dataset has arrays of {', '.join(map(str, sorted(lengths)))} examples. Give as many labels as examples, "
            "and at least one."
        )
    return _from_arrays(arrays, lengths.pop(), steps, batch_size, seed)


def _from_arrays(arrays: Any, count: int, steps: int, batch_size: int, seed: int) -> tf.data.Dataset:
    """Returns `steps` full batches in random order, epoch after epoch, made of the rows that they need alone."""
    size = min(batch_size, count)
    generator = np.random.default_rng(seed)
    epochs = -(-steps * size // count)
    order = np.concatenate([generator.permutation(count) for _ in range(epochs)])[: steps * size]
    used, places = np.unique(order, return_inverse=True)
    rows = keras.tree.map_structure(lambda array: tf.constant(array[used]), arrays)
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of a pipeline, and there is nothing to tune
    batches = tf.data.Dataset.from_tensor_slices(places.reshape(steps, size))
    return batches.map(
        lambda chosen: keras.tree.map_structure(lambda array: tf.gather(array, chosen), rows)
    ).with_options(options)


def _check_numbers(**given: Any) -> None:
    problems = [
        f"{name}={value!r} is no finite number"
        for name, value in given.items()
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value)
    ]
    if not problems:
        lowest, highest, steps = given["lowest"], given["highest"], given["steps"]
        checks = {
            f"lowest={lowest:g} must be above 0; write lowest=1e-7": lowest > 0,
            f"lowest={lowest:g} must be below highest={highest:g}": lowest < highest,
            f"steps={steps} must be a whole number of at least {_FEWEST_STEPS}": isinstance(steps, int)
            and steps >= _FEWEST_STEPS,
            f"smoothing={given['smoothing']:g} must be at least 0 and below 1": 0 <= given["smoothing"] < 1,
            f"stop_at={given['stop_at']:g} must be above 1": given["stop_at"] > 1,
        }
        problems = [problem for problem, holds in checks.items() if not holds]
    if problems:
        raise ConfigError(f"find_learning_rate: {'; '.join(problems)}.")


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise ConfigError(f"model is a {type(model).__name__}. Give a compiled keras.Model.")
    name = model.name
    if not model.compiled or model.optimizer is None:
        raise ConfigError(
            f"{name!r} is not compiled, so it has no loss and no optimizer. Type model.compile(optimizer, loss) first."
        )
    if not model.built:
        raise ConfigError(f"{name!r} is not built. Call it once on a batch: model(images[:1]).")
    if not model.trainable_variables:
        raise ConfigError(f"nothing in {name!r} trains. Unfreeze something, such as its head, and compile it again.")
    own = {id(model.optimizer), id(getattr(model.optimizer, "inner_optimizer", None))}
    values = [value for layer in graph.flatten(model)[:1] for value in vars(layer).values()]
    others = [value for value in values if isinstance(value, keras.optimizers.Optimizer) and id(value) not in own]
    if others or hasattr(model.optimizer, "optimizers"):
        raise ConfigError(f"{name!r} trains with several optimizers, so there is no one rate. Compile it with one.")

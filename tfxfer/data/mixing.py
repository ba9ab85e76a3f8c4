"""What is done to a batch of training rows at random, beside views: a function of seed, stage and step alone."""

from collections.abc import Callable

import tensorflow as tf

from tfxfer.augmentation import Augment
from tfxfer.data import erasing

Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def mixer(augment: Augment, *, seed: int, stage: int, cached: bool) -> Mix | None:
    """Returns what makes of (rows, one-hot labels, step) the rows and labels to train on; None for nothing.

    Args:
        augment: settled; `mixup`, `cutmix` and `brightness` count here.
        seed: of all draws, with the stage and the step.
        stage: counted from 0.
        cached: whether rows are activations; only theirs change in brightness.
    """
    brightness = augment.brightness if cached else 0.0
    mixup, cutmix = augment.mixup, 0.0 if cached else augment.cutmix
    if not mixup and not cutmix and not brightness:
        return None

    def mix(rows, labels, step):
        rows = tf.cast(rows, tf.float32)
        draws = [tf.stack([tf.constant(seed * 1_000_003 + stage, tf.int64), 4 * step + part]) for part in range(4)]
        if brightness:
            rows = brightened(rows, brightness, draws[0])
        if mixup and cutmix:
            return tf.cond(
                tf.random.stateless_uniform([], draws[3]) < 0.5,
                lambda: mixed_up(rows, labels, mixup, draws[1:3]),
                lambda: cut_and_mixed(rows, labels, cutmix, draws[1:3]),
            )
        if cutmix:
            return cut_and_mixed(rows, labels, cutmix, draws[1:3])
        return mixed_up(rows, labels, mixup, draws[1:3]) if mixup else (rows, labels)

    return mix


def with_weights(mix: Mix, rows, labels, weights, step) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns mixed rows, labels and weights, so that of the examples in a mixture each counts as it does alone.

    Labels are mixed by share times weight, and the weight of the mixture is the mean of the weights by share. For a
    loss that is linear in the labels, as cross-entropy is, that is the sum of share times weight times loss of each;
    for a squared error it is that but for a constant.

    Args:
        mix: of `mixer`; linear in the labels, whatever their width.
        rows: as `mix` takes them; `step` likewise.
        labels: float32 `[batch, width]`.
        weights: float32 `[batch]`, above 0.
        step: see there.
    """
    heavy = tf.concat([labels, tf.ones_like(labels[:, :1])], 1) * weights[:, None]
    rows, heavy = mix(rows, heavy, step)
    return rows, heavy[:, :-1] / heavy[:, -1:], heavy[:, -1]


def mixed_up(rows: tf.Tensor, labels: tf.Tensor, alpha: float, seeds) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns rows and labels, each mixed with its neighbour's in the shuffled batch (Zhang et al. 2018).

    Args:
        rows: float32 `[batch, …]`.
        labels: float32 `[batch, classes]`.
        alpha: > 0; each share is drawn from Beta(alpha, alpha), and at least half stays.
        seeds: two of int64 `[2]`.
    """
    count = tf.shape(rows)[0]
    share = _beta(count, alpha, seeds)
    share = tf.maximum(share, 1 - share)
    others = [tf.roll(values, 1, axis=0) for values in (rows, labels)]
    shaped = tf.reshape(share, tf.concat([[count], tf.ones(tf.rank(rows) - 1, tf.int32)], 0))
    return shaped * rows + (1 - shaped) * others[0], share[:, None] * labels + (1 - share[:, None]) * others[1]


def cut_and_mixed(rows: tf.Tensor, labels: tf.Tensor, alpha: float, seeds) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns pictures with a rectangle of their neighbour's in the shuffled batch (Yun et al. 2019).

    The rectangle has the picture's proportions and any place for its middle; what lies beyond an edge is cut off, and
    labels get the shares of the pixels that are there.

    Args:
        rows: float32 `[batch, height, width, channels]`.
        labels: float32 `[batch, classes]`.
        alpha: > 0; the share that a picture keeps is drawn from Beta(alpha, alpha).
        seeds: two of int64 `[2]`.
    """
    shape = tf.shape(rows)
    length = tf.sqrt(1 - _beta(shape[0], alpha, seeds))
    # Negative numbers beside the seed are no step's.
    places = tf.random.stateless_uniform([2, shape[0]], tf.stack([seeds[0][0], -1 - seeds[0][1]]))
    edges = []
    for axis in (1, 2):
        size = tf.cast(shape[axis], tf.float32)
        extent = tf.round(length * size)
        first = tf.floor(places[axis - 1] * size) - tf.floor(extent / 2)
        edges += [tf.maximum(first, 0.0), tf.minimum(first + extent, size)]
    inside = erasing.within(shape, *edges)
    other_rows, other_labels = (tf.roll(values, 1, axis=0) for values in (rows, labels))
    share = tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2])[:, None]
    return tf.where(inside[..., None], other_rows, rows), (1 - share) * labels + share * other_labels


def brightened(rows: tf.Tensor, most: float, seed) -> tf.Tensor:
    """Returns feature maps in which each channel of each example is shifted within its own range (c²FroFA).

    Args:
        rows: float32 `[batch, height, width, channels]`.
        most: of the shift, as a share of the channel's range in the example.
        seed: int64 `[2]`.
    """
    low, high = (reduce(rows, axis=[1, 2], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    shift = tf.random.stateless_uniform(tf.shape(low), seed, -most, most) * (high - low)
    return tf.clip_by_value(rows + shift, low, high)


def _beta(count: tf.Tensor, alpha: float, seeds) -> tf.Tensor:
    """Returns numbers from Beta(alpha, alpha), float32 `[count]`."""
    # The share of one of two gamma variables in their sum has a beta distribution.
    first, second = (tf.random.stateless_gamma([count], seed, alpha) for seed in seeds)
    return first / tf.maximum(first + second, 1e-30)

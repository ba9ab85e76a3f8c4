"""A cross-entropy that lets classes, and examples that are hard, count more; linear in the labels."""

from collections.abc import Sequence

import keras

# 1 − p is never less: for 0 < gamma < 1 the derivative of (1 − p)^gamma has no bound at p = 1.
_LEAST = 1e-7


@keras.saving.register_keras_serializable(package="tfxfer")
class WeightedCrossentropy(keras.losses.Loss):
    """The loss of an example: − Σ over classes c of label(c) · weight(c) · (1 − p(c))^gamma · log p(c).

    p is the softmax of the logits with `shifts` added. The weight of a label goes with it where labels are smoothed:
    an example of class c counts weight(c), whatever its label is spread over. All of it is linear in the labels, so
    that of two examples that were mixed each counts as its class does.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] = (),
        focal_gamma: float = 0.0,
        shifts: Sequence[float] = (),
        name: str = "weighted_crossentropy",
        reduction: str = "sum_over_batch_size",
        dtype=None,
    ):
        """Makes a loss.

        Args:
            label_smoothing: share of a label that is spread over all classes, 0 ≤ smoothing < 1.
            class_weights: of each class, ≥ 0; empty: all 1.
            focal_gamma: of the focal loss, ≥ 0; 0 for none.
            shifts: added to the logits of each class, finite; empty for nothing.
            name: as for every loss of Keras; `reduction` and `dtype` likewise.
            reduction: see there.
            dtype: see there.
        """
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing, self.focal_gamma = label_smoothing, focal_gamma
        self.class_weights, self.shifts = tuple(class_weights), tuple(shifts)

    def call(self, y_true, y_pred):
        """Returns the loss of each example, `[batch]`.

        Args:
            y_true: shares of classes `[batch, classes]`, each row 1 in all.
            y_pred: logits of the same shape.
        """
        ops = keras.ops
        logits = ops.convert_to_tensor(y_pred)
        labels = ops.cast(y_true, logits.dtype)
        if self.class_weights:
            labels = labels * ops.convert_to_tensor(self.class_weights, logits.dtype)
        if self.label_smoothing:
            spread = ops.sum(labels, axis=-1, keepdims=True) * (self.label_smoothing / labels.shape[-1])
            labels = labels * (1 - self.label_smoothing) + spread
        if self.shifts:
            logits = logits + ops.convert_to_tensor(self.shifts, logits.dtype)
        log_probabilities = ops.log_softmax(logits, axis=-1)
        terms = -labels * log_probabilities
        if self.focal_gamma:
            terms = terms * ops.power(ops.maximum(-ops.expm1(log_probabilities), _LEAST), self.focal_gamma)
        return ops.sum(terms, axis=-1)

    def get_config(self):
        """Returns the arguments that make it again."""
        own = ("label_smoothing", "class_weights", "focal_gamma", "shifts")
        return super().get_config() | {name: getattr(self, name) for name in own}

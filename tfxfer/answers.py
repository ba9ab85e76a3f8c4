"""What a network's outputs mean: probabilities of classes or labels, or numbers in the user's units.

Twice, in NumPy for whoever holds arrays and in TensorFlow for the graphs that ship; a test holds both to each other.

Ordinal classes, 0 to K − 1, are asked for one after the other: output j is the logit of "above j, if not below j"
(the continuation ratio; Shi, Cao & Raschka 2021, "Deep Neural Networks for Rank-Consistent Ordinal Regression Based On
Conditional Probabilities", whose CORN trains the same conditional questions). So

    P(class = k) = (1 − s(z_k)) · ∏_{j<k} s(z_j),    s the logistic function, the factor with z_{K−1} being 1

are probabilities that sum to 1 whatever the outputs are, P(class > k) never rises with k, and any head will do. CORAL
(Cao, Mirjalili & Raschka 2020), which shares one kernel among all thresholds, needs a head of its own for that.
"""

from typing import Any

import numpy as np

from tfxfer.tasks import Task


def meant(outputs: np.ndarray, task: Task) -> np.ndarray:
    """Returns what outputs mean.

    Args:
        outputs: float32 `[rows, outputs]`, of a network.
        task: that it was made for.

    Returns:
        Float32: probabilities `[rows, classes]` or `[rows, labels]`; for regression numbers in the user's units
        `[rows, targets]`.
    """
    if task.kind == "regression":
        return (outputs * np.float64(task.deviations) + np.float64(task.means)).astype(np.float32)
    if task.kind == "multi_label":
        return sigmoid(outputs)
    if task.kind == "ordinal":
        return np.exp(ordinal_log_probabilities(outputs)).astype(np.float32)
    return softmax(outputs)


def softmax(values: np.ndarray) -> np.ndarray:
    """Returns probabilities, float32 `[rows, classes]`, of logits of that shape."""
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Returns the logistic function of each number, float32."""
    return np.exp(-_softplus(-np.asarray(values, np.float64))).astype(np.float32)


def ordinal_log_probabilities(outputs: np.ndarray) -> np.ndarray:
    """Returns log probabilities of ordinal classes, float64 `[rows, classes]`, of outputs `[rows, classes − 1]`."""
    given = np.asarray(outputs, np.float64)
    above = np.cumsum(np.pad(-_softplus(-given), ((0, 0), (1, 0))), axis=1)
    return above + np.pad(-_softplus(given), ((0, 0), (0, 1)))


def expected_ranks(probabilities: np.ndarray) -> np.ndarray:
    """Returns the mean class of each row, float32 `[rows]` from 0 to the number of classes − 1."""
    return (probabilities @ np.arange(probabilities.shape[1], dtype=np.float64)).astype(np.float32)


def _softplus(values: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, values)


def meant_in_graph(outputs: Any, task: Task) -> Any:
    """Returns what `meant` does, of a tensor, in ops that LiteRT and ONNX have."""
    import tensorflow as tf

    if task.kind == "regression":
        return outputs * tf.constant(task.deviations, tf.float32) + tf.constant(task.means, tf.float32)
    if task.kind == "multi_label":
        return tf.nn.sigmoid(outputs)
    if task.kind != "ordinal":
        return tf.nn.softmax(outputs)
    above = [tf.ones_like(outputs[:, :1])]
    conditional = tf.nn.sigmoid(outputs)
    for place in range(outputs.shape[-1]):
        above.append(above[-1] * conditional[:, place : place + 1])
    below = tf.nn.sigmoid(-outputs)
    return tf.concat([*(p * below[:, k : k + 1] for k, p in enumerate(above[:-1])), above[-1]], axis=1)


def ordinal_log_probabilities_in_graph(outputs: Any) -> Any:
    """Returns log probabilities of ordinal classes, `[rows, classes]`, of a tensor of outputs `[rows, classes − 1]`."""
    import tensorflow as tf

    above = tf.cumsum(tf.pad(-tf.nn.softplus(-outputs), ((0, 0), (1, 0))), axis=1)
    return above + tf.pad(-tf.nn.softplus(outputs), ((0, 0), (0, 1)))

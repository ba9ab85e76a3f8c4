"""Scores of what the backbone's own classifier says of the target pictures: LEEP and NCE. No features needed."""

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import DataError
from tfxfer.scores import inputs


def leep(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Returns LEEP: mean log-likelihood of the labels, nats ≤ 0, by way of the source classes; higher is better.

    Nguyen et al. 2020, "LEEP: A New Measure to Evaluate Transferability of Learned Representations": an example is
    first given a source class z by the source classifier, then a label by P(label | z) as counted on these examples.

    Args:
        probabilities: of the source classes, `[examples, source classes]`, rows that add up to 1.
        labels: whole numbers `[examples]`.

    Raises:
        DataError: other shapes, NaN, or rows that are no probabilities (logits, say).
    """
    theta = inputs.features_of(probabilities, name="probabilities")
    if (theta < 0).any() or not np.allclose(theta.sum(axis=1), 1, atol=1e-3):
        raise DataError(
            "probabilities must lie between 0 and 1 and add up to 1 for each example. Logits become such by "
            "scipy.special.softmax(logits, axis=1)."
        )
    numbers, count = inputs.labels_of(labels, len(theta))
    joint = inputs.one_of_each(numbers, count).T @ theta
    of_source = joint.sum(axis=0)
    seen = of_source > 0
    conditional = joint[:, seen] / of_source[seen]
    return float(np.log((theta[:, seen] * conditional[numbers]).sum(axis=1)).mean())


def nce(source_labels: ArrayLike, labels: ArrayLike) -> float:
    """Returns the negative conditional entropy −H(label | source label), nats ≤ 0; higher is better.

    Tran et al. 2019, "Transferability and Hardness of Supervised Classification Tasks". With about as many source
    classes as examples it is 0 whatever the labels are, since each source class then has one label.

    Args:
        source_labels: whole numbers `[examples]`, such as the most probable source class.
        labels: whole numbers `[examples]`.

    Raises:
        DataError: other shapes.
    """
    source = np.asarray(source_labels)
    numbers, count = inputs.labels_of(labels, len(source) if source.ndim else 0)
    sources, source_count = inputs.labels_of(source, len(numbers))
    joint = np.zeros((source_count, count))
    np.add.at(joint, (sources, numbers), 1 / len(numbers))
    of_source = joint.sum(axis=1, keepdims=True)
    given = np.divide(joint, of_source, out=np.ones_like(joint), where=joint > 0)
    return float((joint * np.log(given)).sum())

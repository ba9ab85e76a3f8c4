"""Measures labels, of which an example has any number."""

import functools

import numpy as np

from tfxfer import answers
from tfxfer.evaluation.report import LabelResult, MeasuredLabels
from tfxfer.scores import counted, resampling
from tfxfer.scores import intervals as shares


def measured_labels(logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> MeasuredLabels:
    """Returns the result of logits, float `[examples, labels]`, against labels, 0 and 1 likewise."""
    told = answers.sigmoid(logits) >= 0.5  # as predictions and files say it
    both, there, claimed = ((told & (labels > 0)).sum(axis=0), labels.sum(axis=0, dtype=np.int64), told.sum(axis=0))

    def precision(counts: np.ndarray) -> np.ndarray:
        return counted.mean_average_precision(logits, labels, counts)

    count = len(labels)
    averages = resampling.of_counts(precision, count, work=int((there > 0).sum()))
    of_all, of_each = (
        resampling.of_counts(functools.partial(f1, told, labels), count) for f1 in (counted.micro_f1, counted.macro_f1)
    )
    whole = np.ones((1, count))
    right = int((told == (labels > 0)).all(axis=1).sum())
    exact = shares.share(right, count)
    wide = logits.astype(np.float64)
    entropy = np.logaddexp(0, wide) - wide * labels
    return MeasuredLabels(
        examples=count,
        mean_average_precision=averages.value,
        mean_average_precision_interval=averages.interval,
        micro_f1=of_all.value,
        micro_f1_interval=of_all.interval,
        macro_f1=of_each.value,
        macro_f1_interval=of_each.interval,
        exact=exact.value,
        exact_interval=exact.interval,
        cross_entropy=float(entropy.sum(axis=1).mean()),
        labels=tuple(
            LabelResult(
                name=name,
                average_precision=float(counted.average_precision(logits[:, k], labels[:, k], whole)[0]),
                precision=float(both[k] / max(claimed[k], 1)),
                recall=float(both[k] / max(there[k], 1)),
                f1=float(2 * both[k] / max(claimed[k] + there[k], 1)),
                examples=int(there[k]),
            )
            for k, name in enumerate(names)
        ),
    )

"""Measures labels, of which an example has any number."""

import numpy as np

from tfxfer import answers
from tfxfer.evaluation import intervals
from tfxfer.evaluation.report import LabelResult, MeasuredLabels
from tfxfer.scores import intervals as shares


def measured_labels(logits: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> MeasuredLabels:
    """Returns the result of logits, float `[examples, labels]`, against labels, 0 and 1 likewise."""
    told = answers.sigmoid(logits) >= 0.5  # as predictions and files say it
    both, there, claimed = ((told & (labels > 0)).sum(axis=0), labels.sum(axis=0, dtype=np.int64), told.sum(axis=0))
    present = np.flatnonzero(there)

    def micro(counts: np.ndarray) -> np.ndarray:
        right, some = counts @ (told & (labels > 0)).sum(axis=1), counts @ (told.sum(axis=1) + labels.sum(axis=1))
        return 2 * right / np.maximum(some, 1)

    def macro(counts: np.ndarray) -> np.ndarray:
        right, some = counts @ (told & (labels > 0)), counts @ (told.astype(np.int64) + labels)
        return (2 * right / np.maximum(some, 1))[:, present].mean(axis=1) if len(present) else np.zeros(len(counts))

    def precision(counts: np.ndarray) -> np.ndarray:
        each = [intervals.average_precision(logits[:, k], labels[:, k], counts) for k in present]
        return np.mean(each, axis=0) if each else np.zeros(len(counts))

    whole, count = np.ones((1, len(labels))), len(labels)
    right = int((told == (labels > 0)).all(axis=1).sum())
    exact = shares.share(right, count)
    wide = logits.astype(np.float64)
    entropy = np.logaddexp(0, wide) - wide * labels
    return MeasuredLabels(
        examples=count,
        mean_average_precision=float(precision(whole)[0]),
        mean_average_precision_interval=intervals.bootstrap(precision, count, work=len(present)),
        micro_f1=float(micro(whole)[0]),
        micro_f1_interval=intervals.bootstrap(micro, count),
        macro_f1=float(macro(whole)[0]),
        macro_f1_interval=intervals.bootstrap(macro, count),
        exact=exact.value,
        exact_interval=(exact.low, exact.high),
        cross_entropy=float(entropy.sum(axis=1).mean()),
        labels=tuple(
            LabelResult(
                name=name,
                average_precision=float(intervals.average_precision(logits[:, k], labels[:, k], whole)[0]),
                precision=float(both[k] / max(claimed[k], 1)),
                recall=float(both[k] / max(there[k], 1)),
                f1=float(2 * both[k] / max(claimed[k] + there[k], 1)),
                examples=int(there[k]),
            )
            for k, name in enumerate(names)
        ),
    )

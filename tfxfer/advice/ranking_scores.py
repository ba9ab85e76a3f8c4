"""The further scores of a ranking: those of features, and those of what a network's own classifier says."""

from collections.abc import Callable, Collection

import numpy as np
import threadpoolctl

from tfxfer.advice import own_classifier
from tfxfer.advice.measuring import Taken
from tfxfer.advice.ranking_result import Scores
from tfxfer.scores import evidence, hscore, source_head


def taken(
    names: Collection[str],
    found: Taken,
    images: np.ndarray,
    classifier: own_classifier.Classifier,
    *,
    batch_size: int = 32,
) -> Scores:
    """Returns the scores of a backbone on the examples of a pass.

    Args:
        names: of those that are asked for.
        found: of the pass.
        images: uint8 `[examples, height, width, 3]` of it.
        classifier: loads the network with its own head; called only where LEEP or NCE are asked for.
        batch_size: pictures at a time, ≥ 1.
    """
    why: list[str] = []
    given: dict[str, float | None] = {}
    of_features = {"logme": evidence.logme, "hscore": hscore.shrunk_h_score}
    with threadpoolctl.threadpool_limits(1, user_api="blas"):  # see measuring._scored
        for name in of_features.keys() & set(names):
            given[name] = _tried(why, lambda score=of_features[name]: score(found.features, found.labels))
    if {"leep", "nce"} & set(names):
        said = _tried(why, lambda: own_classifier.probabilities(classifier, images, batch_size=batch_size))
        if said is not None and "leep" in names:
            given["leep"] = source_head.leep(said, found.labels)
        if said is not None and "nce" in names:
            given["nce"] = source_head.nce(said.argmax(axis=1), found.labels)
    return Scores(**given, why_none="; ".join(dict.fromkeys(why)))


def _tried(why: list[str], act: Callable):
    """Returns what came of it; None where nothing did, and the reason goes into `why`."""
    try:
        return act()
    except ValueError as error:  # also of Keras, for a classifier that takes no other size than its own
        why.append(str(error))
        return None

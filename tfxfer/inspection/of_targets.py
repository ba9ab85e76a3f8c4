"""What there is to know about labels that may stand together, and about numbers: arrays in, values out."""

from collections.abc import Callable, Sequence

import numpy as np

from tfxfer.inspection.inspected import LabelFacts, TargetFacts, Together

# Of pairs of labels, and of numbers that lie far out, as many are kept.
_PAIRS, _FAR = 10, 10
# Tukey's outer fences: so many times the distance between the quartiles beyond them (Exploratory Data Analysis, 1977).
FENCE = 3.0


def label_facts(labels: np.ndarray, names: Sequence[str]) -> LabelFacts:
    """Returns how labels stand together.

    Args:
        labels: uint8 `[images, labels]`, 0 or 1, of the readable images.
        names: of the labels.
    """
    each = labels.sum(axis=1, dtype=np.int64)
    wide = labels.astype(np.float32)  # whose products BLAS counts, exactly up to 2^24
    both = np.triu((wide.T @ wide).astype(np.int64), 1)
    counts = labels.sum(axis=0, dtype=np.int64)
    order = np.argsort(both, axis=None, kind="stable")[::-1][:_PAIRS]
    pairs = [divmod(int(place), len(names)) for place in order if both.flat[place]]
    one, other = np.nonzero(np.triu((both == counts[:, None]) & (both == counts[None]) & (both > 0), 1))
    return LabelFacts(
        unlabelled=int((each == 0).sum()),
        most=int(each.max(initial=0)),
        mean=float(each.mean()) if len(each) else 0.0,
        together=tuple(
            Together(one=names[i], other=names[j], images=int(both[i, j]), of=(int(counts[i]), int(counts[j])))
            for i, j in pairs
        ),
        same=tuple((names[i], names[j]) for i, j in zip(one.tolist(), other.tolist(), strict=True)),
    )


def target_facts(
    numbers: np.ndarray, decided: np.ndarray, names: Sequence[str], name: Callable[[int], str]
) -> tuple[TargetFacts, ...]:
    """Returns how each target is distributed.

    Args:
        numbers: float32 `[images, targets]`, finite, of the readable images.
        decided: int8 `[images]`, the split of each, -1 where nobody knows it.
        names: of the targets.
        name: says what messages call an image, by its position among these.
    """
    found = []
    for place, target in enumerate(names):
        own = numbers[:, place].astype(np.float64)
        if not len(own):
            found.append(TargetFacts(name=target, quartiles=(0.0,) * 5, mean=0.0, deviation=0.0))
            continue
        quartiles = np.percentile(own, [0, 25, 50, 75, 100])
        _, low, middle, high, _ = quartiles
        reach = FENCE * (high - low)
        # Where half of them are one number, anything else would lie far out.
        far = np.flatnonzero((own < low - reach) | (own > high + reach)) if reach > 0 else np.arange(0)
        far = far[np.argsort(-np.abs(own[far] - middle), kind="stable")]
        values, counts = np.unique(own, return_counts=True)
        means = [float(own[decided == code].mean()) if (decided == code).any() else None for code in range(3)]
        found.append(
            TargetFacts(
                name=target,
                quartiles=tuple(quartiles.tolist()),
                mean=float(own.mean()),
                deviation=float(own.std()),
                split_means=tuple(means),
                far=len(far),
                first_far=tuple(f"{name(int(index))}: {own[index]:g}" for index in far[:_FAR]),
                commonest=(float(values[counts.argmax()]), int(counts.max())),
            )
        )
    return tuple(found)


def same_targets(numbers: np.ndarray, names: Sequence[str]) -> tuple[tuple[str, str, float], ...]:
    """Returns pairs of targets, float32 `[images, targets]`, that tell each other, with their correlation."""
    wide = numbers.astype(np.float64)
    spread = wide.std(axis=0)
    if len(names) < 2 or not len(wide):
        return ()
    standard = (wide - wide.mean(axis=0)) / np.where(spread > 0, spread, 1)
    correlations = np.triu(standard.T @ standard / len(wide), 1)
    pairs = np.argwhere(np.abs(correlations) > _SAME).tolist()
    return tuple((names[i], names[j], float(correlations[i, j])) for i, j in pairs)


# Above it one of two numbers is the other one in another unit.
_SAME = 0.9999

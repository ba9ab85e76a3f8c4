"""What RandAugment, TrivialAugment and AugMix draw for a view: chains of operations, as numbers.

An operation moves pixels (a matrix), changes colours (a linear change), or their tones (a kind and a value). Matrices
of a chain are multiplied, so that its pixels move once, before its colours change.
"""

import dataclasses

import numpy as np

from tfxfer.augmentation import Augment
from tfxfer.data import colours, geometry, tones

# Operations that are drawn from, all equally often.
_COLOURED = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "colour", "contrast",
    "sharpness", "posterize", "solarize", "auto_contrast", "equalize",
)  # fmt: skip
# Those of AugMix leave out what the test of robustness has: brightness, contrast, and their like.
_AUGMIX = tuple(name for name in _COLOURED if name not in ("identity", "brightness", "colour", "contrast", "sharpness"))
# Of AugMix: chains, and the most operations in one.
_CHAINS, _DEPTH = 3, 3
# Magnitudes are counted in so many steps.
_STEPS = 30


@dataclasses.dataclass(frozen=True)
class Ranges:
    """What an operation does at full strength.

    Attributes:
        shear: by which places move for each pixel across.
        translate: as a share of the size.
        rotate: in degrees.
        enhance: by which brightness, colour, contrast and sharpness differ from 1.
        bits: that posterize leaves at no strength, and at full strength.
    """

    shear: float
    translate: float
    rotate: float
    enhance: float
    bits: tuple[int, int]


# As in torchvision 0.20's `RandAugment`, `TrivialAugmentWide` and `AugMix`, but shares of a size for pixels: 150 of 331
# (the size of the paper's largest network), and 32 of 224.
_RANGES = {
    "randaugment": Ranges(0.3, 150 / 331, 30.0, 0.9, (8, 4)),
    "trivialaugment": Ranges(0.99, 32 / 224, 135.0, 0.99, (8, 2)),
    "augmix": Ranges(0.3, 1 / 3, 30.0, 0.0, (4, 0)),
}


@dataclasses.dataclass(frozen=True)
class Chains:
    """What was drawn for views.

    Attributes:
        matrices: float64 `[views, chains, 3, 3]`, from places in the view to places in what it was before.
        changes: float64 `[views, chains, operations, 18]`, linear changes of colour, each before a change of tone:
        kinds: `[views, chains, operations]`, of `tones`, with their `values`.
        values: see there.
        weights: float64 `[views, chains]`, what each chain's picture counts; they sum to 1.
    """

    matrices: np.ndarray
    changes: np.ndarray
    kinds: np.ndarray
    values: np.ndarray
    weights: np.ndarray


def shape_of(augment: Augment) -> tuple[int, int]:
    """Returns how many chains there are for a view, and how many operations in one."""
    if augment.policy == "augmix":
        return 1 + _CHAINS, _DEPTH
    return 1, {"none": 0, "trivialaugment": 1, "randaugment": augment.operations}[augment.policy]


def draws_of(augment: Augment) -> int:
    """Returns how many random numbers a view needs: kind, strength and sign of each operation, and how chains mix."""
    chains, operations = shape_of(augment)
    return 3 * chains * operations + 2 * chains


def drawn(draws: np.ndarray, augment: Augment, size: int, still: np.ndarray) -> Chains:
    """Returns what is done to views.

    Args:
        draws: float64 `[views, draws_of(augment)]` in [0, 1).
        augment: settled.
        size: height and width of the pictures, pixels.
        still: bool `[views]`, those to which nothing is done.
    """
    chains, operations = shape_of(augment)
    count = len(draws)
    each = draws[:, : 3 * chains * operations].reshape(count, chains, operations, 3)
    names = _AUGMIX if augment.policy == "augmix" else _COLOURED
    chosen = np.floor(each[..., 0] * len(names)).astype(np.int64)
    chosen = np.array([_COLOURED.index(name) for name in names])[chosen]
    weights = np.ones((count, chains))
    if augment.policy == "augmix":
        weights, depth = _mixture(draws[:, 3 * chains * operations :])
        chosen = np.where(np.arange(operations) < depth[..., None], chosen, 0)
    chosen = np.where(still[:, None, None], 0, chosen)
    weights = np.where(still[:, None], np.eye(chains)[0], weights)
    strength = _strength(each[..., 1], augment)
    return _as_numbers(chosen, strength, np.where(each[..., 2] < 0.5, -1.0, 1.0), augment.policy, size, weights)


def _strength(draws: np.ndarray, augment: Augment) -> np.ndarray:
    """Returns how strong each operation is, 0 to 1."""
    most = augment.magnitude / _STEPS
    if augment.policy == "trivialaugment":
        return np.floor(draws * (_STEPS + 1)) / _STEPS
    return most * draws if augment.policy == "augmix" else np.full_like(draws, most)


def _mixture(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what each chain counts, and how many operations it has; the first is the picture as it is.

    What the picture itself counts is uniform, Beta(1, 1); the others share the rest by Dirichlet(1, …, 1), which is
    what exponential numbers have in their sum.
    """
    chains = draws.shape[1] // 2
    exponential = -np.log1p(-draws[:, 1:chains])
    shares = exponential / np.maximum(exponential.sum(axis=1, keepdims=True), 1e-12)
    own = draws[:, :1]
    depth = 1 + np.floor(_DEPTH * draws[:, chains:]).astype(np.int64)
    depth[:, 0] = 0
    return np.concatenate([own, (1 - own) * shares], axis=1), depth


def _as_numbers(chosen, strength, sign, policy: str, size: int, weights: np.ndarray) -> Chains:
    ranges, shape = _RANGES.get(policy, _RANGES["randaugment"]), chosen.shape
    op, strength, sign = chosen.reshape(-1), strength.reshape(-1), sign.reshape(-1)
    is_op = {name: op == number for number, name in enumerate(_COLOURED)}
    factor = 1 + sign * strength * ranges.enhance
    changes = colours.nothing(len(op))
    linear = {"brightness": colours.scaled, "colour": colours.saturated, "contrast": colours.contrasted}
    for name, change in linear.items():
        changes[is_op[name]] = change(factor[is_op[name]])
    most, fewest = ranges.bits
    toned = {
        "sharpness": (tones.SHARPEN, factor),
        "posterize": (tones.POSTERIZE, most - np.round(strength * (most - fewest))),
        "solarize": (tones.SOLARIZE, 256 * (1 - strength)),
        "auto_contrast": (tones.AUTO_CONTRAST, 0.0),
        "equalize": (tones.EQUALIZE, 0.0),
    }
    kinds, values = np.full(len(op), tones.NOTHING), np.zeros(len(op))
    for name, (kind, value) in toned.items():
        kinds = np.where(is_op[name], kind, kinds)
        values = np.where(is_op[name], value, values)
    moved = _matrices(is_op, sign * strength, ranges, size).reshape(*shape, 3, 3)
    matrices = np.broadcast_to(np.eye(3), (*shape[:2], 3, 3))
    for number in range(shape[2]):
        matrices = matrices @ moved[:, :, number]
    changes = changes.reshape(*shape, colours.NUMBERS)
    return Chains(matrices, changes, kinds.reshape(shape), values.reshape(shape), weights)


def _matrices(is_op: dict[str, np.ndarray], signed: np.ndarray, ranges: Ranges, size: int) -> np.ndarray:
    matrix = np.tile(np.eye(3), (len(signed), 1, 1))
    for name, place, most in (
        ("shear_x", (0, 1), ranges.shear),
        ("shear_y", (1, 0), ranges.shear),
        ("translate_x", (0, 2), ranges.translate * size),
        ("translate_y", (1, 2), ranges.translate * size),
    ):
        matrix[is_op[name], *place] = most * signed[is_op[name]]
    angle = np.deg2rad(ranges.rotate * signed[is_op["rotate"]])
    turned = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    matrix[is_op["rotate"], :2, :2] = turned
    return geometry.centred(matrix, size)

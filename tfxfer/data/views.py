"""Views of training pictures: each a function of seed, picture and number alone, so that it can be computed once.

NumPy draws what a view differs in, as float32 numbers; a graph makes pixels of it for a whole batch.
"""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf

from tfxfer.augmentation import Augment
from tfxfer.data import colours, draws, erasing, geometry, policies, tones
from tfxfer.data.rows import Rows

# Of a warp, as TensorFlow has it; and of a change of tone: its kind and value.
_WARP, _TONE = 8, 2


def with_views(rows: Rows, count: int, augment: Augment, *, seed: int) -> Rows:
    """Returns rows of pictures with so many views each, the pictures themselves first.

    Args:
        rows: uint8 `[pictures, size, size, 3]` with keys, one view each.
        count: of views, ≥ 1.
        augment: what a view may differ in, settled.
        seed: of all draws.
    """
    if count == 1:
        return rows
    size, keys = rows.all_rows.shape[1], draws.keys_of(rows.keys, seed)
    views = Views(augment, size)

    def parameters(positions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return views.parameters(keys[positions], numbers)

    places = np.broadcast_to(rows.places[:, None], (len(rows), count))
    return dataclasses.replace(rows, places=places, decode=views.pixels, parameters=parameters)


class Views:
    """What makes views of pictures of one size.

    A view is the weighted sum of chains: one but in AugMix. Each moves the pixels of the picture, then makes one change
    of colours after the other, each linear and then of tone. The parameters of a view are, in this order: for each
    chain its warp and its changes; where there are several, what they count; the rectangle that is erased.
    """

    def __init__(self, augment: Augment, size: int):
        """Lays out the parameters.

        Args:
            augment: what a view may differ in, settled.
            size: height and width of the pictures, pixels.
        """
        self._augment, self._size = augment, size
        self._chains, self._operations = policies.shape_of(augment)
        names = ("lightness", "contrast", "saturation", "hue", "grey")
        self._is_coloured = any(getattr(augment, name) for name in names)

    def parameters(self, keys: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Returns what views differ in, float32 `[views, …]`.

        Args:
            keys: uint64, a number for each picture.
            numbers: int64, ≥ 0, of each view.
        """
        augment, size = self._augment, self._size
        counts = (geometry.DRAWS, colours.DRAWS, erasing.DRAWS, policies.draws_of(augment))
        ends = [0, *itertools.accumulate(counts)]
        # Numbers of one kind lie side by side: NumPy may compute what does not with other instructions, to other bits.
        every = np.asfortranarray(draws.uniform(keys, numbers, ends[-1]))
        of_geometry, of_colours, of_erasing, of_policy = (every[:, a:b] for a, b in itertools.pairwise(ends))
        still = geometry.exact(numbers, augment)
        base = geometry.matrices(of_geometry, numbers, augment, size)
        chains = policies.drawn(of_policy, augment, size, still)
        warps = geometry.as_transforms(base[:, None] @ chains.matrices)
        changes = np.concatenate([chains.changes, chains.kinds[..., None], chains.values[..., None]], axis=-1)
        changes = changes.reshape(*changes.shape[:2], -1)
        if self._is_coloured:
            own = colours.drawn(of_colours, augment)
            own[still] = colours.nothing(int(still.sum()))
            own = np.broadcast_to(own.reshape(-1, 1, colours.NUMBERS), (len(keys), self._chains, colours.NUMBERS))
            changes = np.concatenate([own, changes], axis=-1)
        parts = [np.concatenate([warps, changes], axis=-1).reshape(len(keys), -1)]
        parts += [chains.weights] if self._chains > 1 else []
        parts += [erasing.drawn(of_erasing, augment.erasing, size, still)] if augment.erasing else []
        return np.concatenate(parts, axis=1).astype(np.float32)

    def pixels(self, pictures: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """Returns views of pictures, float32 `[batch, height, width, 3]`, 0..255.

        Args:
            pictures: `[batch, height, width, 3]`, 0..255.
            parameters: float32 `[batch, …]`.
        """
        linear = colours.NUMBERS * self._is_coloured
        chain = _WARP + linear + (colours.NUMBERS + _TONE) * self._operations
        each = [parameters[:, number * chain : (number + 1) * chain] for number in range(self._chains)]
        seen = [self._chain(pictures, own, linear) for own in each]
        rest = parameters[:, self._chains * chain :]
        if self._chains > 1:
            weighted = [rest[:, number, None, None, None] * one for number, one in enumerate(seen)]
            seen = [tf.clip_by_value(tf.add_n(weighted), 0.0, 255.0)]
            rest = rest[:, self._chains :]
        return erasing.erased(seen[0], rest) if self._augment.erasing else seen[0]

    def _chain(self, pictures: tf.Tensor, own: tf.Tensor, linear: int) -> tf.Tensor:
        seen = geometry.warped(pictures, own[:, :_WARP])
        seen.set_shape(pictures.shape)
        if linear:
            seen = colours.changed(seen, own[:, _WARP : _WARP + linear])
        for number in range(self._operations):
            start = _WARP + linear + (colours.NUMBERS + _TONE) * number
            end = start + colours.NUMBERS
            seen = colours.changed(seen, own[:, start:end])
            seen = tones.toned(seen, own[:, end], own[:, end + 1])
        return seen

"""Weights and pictures that any machine can draw again, so that two implementations can be compared on them.

Used by the tests, and by tools/make_torch_parity.py on the side of the original implementations. NumPy only.
"""

import hashlib

import numpy as np

SIZES = (64, 75)
CLASSES = 10
MOST_NUMBERS = 96
# By family, where not SIZES: those of vision transformers are multiples of 16.
SPECIAL_SIZES = {"vit": (64, 96)}
# The position embeddings are drawn for 14×14 patches, so that they are resized.
GRID = 14


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the tensor of an entry, float32: the same for the same name and shape.

    Kernels are normal with a variance of 1.5 / inputs, so that neither depth nor residual sums make activations
    vanish or explode; variances lie in 0.5–1.5; gains near 1; biases and means are small.
    """
    seed = hashlib.sha256(f"{name} {tuple(shape)}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(seed[:8], "little")))
    if name.endswith("running_var"):
        return generator.uniform(0.5, 1.5, shape).astype(np.float32)
    numbers = generator.standard_normal(shape, np.float32)
    if name.endswith(("gamma", "layer_scale")):
        return 0.5 + 0.1 * numbers
    if len(shape) == 1 and name.endswith("weight"):
        return 1 + 0.1 * numbers
    if name.endswith("weight"):
        return numbers * np.float32(np.sqrt(1.5 / np.prod(shape[1:])))
    return 0.1 * numbers  # biases, means, tokens, positions


def pictures(size: int) -> np.ndarray:
    """Returns uint8 `[2, size, size, 3]`, smooth enough that neighbouring pixels resemble each other."""
    generator = np.random.Generator(np.random.PCG64(size))
    coarse = generator.integers(0, 256, (2, size // 4 + 1, size // 4 + 1, 3))
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :size, :size]
    return np.clip(fine + generator.integers(-20, 21, fine.shape), 0, 255).astype(np.uint8)


def sample(features: np.ndarray) -> np.ndarray:
    """Returns at most `MOST_NUMBERS` of the features, `[batch, height, width, channels]` or `[batch, channels]`."""
    flat = np.asarray(features, np.float32).ravel()
    step = max(1, len(flat) // MOST_NUMBERS) | 1  # odd, so that it meets all channels and positions
    return flat[::step][:MOST_NUMBERS]


def digest(shapes: dict[str, tuple[int, ...]]) -> str:
    """Returns a short digest of the names and shapes of a state dict."""
    text = "\n".join(f"{name} {tuple(shapes[name])}" for name in sorted(shapes))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sizes(family: str) -> tuple[int, ...]:
    return SPECIAL_SIZES.get(family, SIZES)

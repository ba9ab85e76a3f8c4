"""Decides which code decodes and shrinks JPEGs: Pillow, or, to the same bytes in less time, simplejpeg and numba.

`data/fast_jpegs.py` does the latter.
"""

import importlib.util

PILLOW, FAST = "Pillow", "simplejpeg and numba"
_MODULES = ("simplejpeg", "numba")
# From how many pictures on. Measured on two cores: loading and comparing takes 1.7 s, and 0.5 ms of each picture are
# saved. Where nothing is kept of an earlier run, compiling takes 6 s more, once.
LEAST = 4_000


def choose(pictures: int, *, installed: bool) -> tuple[str, str]:
    """Returns the name of what decodes so many pictures, and why.

    Args:
        pictures: how many are decoded in one go, ≥ 0.
        installed: whether simplejpeg and numba are.
    """
    if pictures < LEAST:
        return PILLOW, f"for fewer than {LEAST:,} images the faster decoders take longer to load than they save"
    if installed:
        return FAST, f"{pictures:,} images, and both are installed"
    return PILLOW, "pip install 'tfxfer[fast]' decodes JPEGs faster, to the same bytes"


def installed() -> bool:
    """Tells whether simplejpeg and numba are installed, without loading them."""
    return all(importlib.util.find_spec(name) is not None for name in _MODULES)

"""Divergences of pictures that everybody knows, to read others by: what is like photographs, what is as far as digits.

Measured by `tools/bench_advise.py --only=domains,prototypes` with weights of ImageNet, 100 pictures each: crops of 26
photographs, drawings for children, MNIST, Fashion-MNIST, uniform noise. Divergences are of EfficientNet-Lite0, nearest
classes of SqueezeNet 1.1, which has no batch norm. Small pictures are further from everything, since the networks were
pretrained on large ones. Lite1 and Lite2 have the same divergences within an eighth; other families may have scales of
their own, which nobody has measured; the order is expected to hold there. That of nearest classes is less sure:
photographs are the nearest always, but at 64 pixels Lite0 tells the others hardly apart (0.193 to 0.202), SqueezeNet's
rises again where blur is strong, and at 224 it holds digits for nearer than clothes.
"""

import math

# For each height and width in pixels: domain and divergence, ascending.
REFERENCES = {
    64: (("photographs", 0.42), ("drawings", 0.51), ("clothes, grey", 0.54), ("digits", 0.63), ("noise", 0.78)),
    128: (("photographs", 0.22), ("drawings", 0.28), ("clothes, grey", 0.36), ("digits", 0.46), ("noise", 0.66)),
    224: (("photographs", 0.16), ("drawings", 0.21), ("clothes, grey", 0.36), ("digits", 0.45), ("noise", 0.65)),
}
# Likewise: domain and `scores.nearest_prototype` on SqueezeNet, descending but for clothes and digits at 224.
NEAREST_CLASSES = {
    64: (("photographs", 0.19), ("drawings", 0.179), ("clothes, grey", 0.175), ("digits", 0.174), ("noise", 0.146)),
    128: (("photographs", 0.242), ("drawings", 0.188), ("clothes, grey", 0.184), ("digits", 0.179), ("noise", 0.159)),
    224: (("photographs", 0.275), ("drawings", 0.195), ("clothes, grey", 0.179), ("digits", 0.183), ("noise", 0.166)),
}
# Height and width in pixels from which on nearest classes fall with blur: rank correlation of 9 levels 1.0 here, 0.93
# at 96 and 0.43 at 64 pixels.
CLASSES_FROM = 128


def scale(image_size: int) -> tuple[tuple[str, float], ...]:
    """Returns domains with their divergences, nats a channel, at the size nearest to `image_size`."""
    return REFERENCES[_nearest_size(image_size)]


def scale_of_classes(image_size: int) -> tuple[tuple[str, float], ...]:
    """Returns domains with their nearest class of pretraining, a correlation, at the size nearest to `image_size`."""
    return NEAREST_CLASSES[_nearest_size(image_size)]


def _nearest_size(image_size: int) -> int:
    return min(REFERENCES, key=lambda size: abs(math.log(size / image_size)))


def holds_at(image_size: int) -> bool:
    """Whether domains were measured at about this size: it moves what is the same by more than domains differ."""
    return min(REFERENCES) / 1.25 <= image_size <= max(REFERENCES) * 2


def nearest(divergence: float, image_size: int) -> str:
    """Returns the domain that is as far from pretraining, on a logarithmic scale."""
    measured = math.log(max(divergence, 1e-9))
    return min(scale(image_size), key=lambda domain: abs(math.log(domain[1]) - measured))[0]


def is_similar(divergence: float, image_size: int) -> bool:
    """Whether pictures are nearer to photographs than to anything else."""
    return nearest(divergence, image_size) == scale(image_size)[0][0]

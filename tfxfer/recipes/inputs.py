"""What a run begins with, as values: the examples and the pretrained network."""

import dataclasses
from typing import Literal

from tfxfer import values

Resize = Literal["squash", "crop"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Which examples, and how they become pixels.

    Attributes:
        source: `folder:<dir>`, `tfds:<name>`, `sample:digits`, or `arrays:` for examples handed to `run`.
        on_bad_image: what an unreadable image does: "error" names all of them and stops, "skip" leaves them
            out and lists them in the report.
        on_duplicate: what one picture in two splits does: "error" names the pairs and stops, "drop" leaves the copy
            on the side of training out.
        resize: "squash" to the square, or "crop" its centre after scaling the shorter side.
        validation_fraction: share of each class for validation where the source has no split, 0 < f < 1.
        test_fraction: share of each class for the test, 0 < f < 1.
    """

    source: str = "arrays:"
    on_bad_image: Literal["error", "skip"] = "error"
    on_duplicate: Literal["error", "drop"] = "error"
    resize: Resize = "squash"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems:
            if ":" not in self.source:
                problems.append(
                    f"source={self.source!r} names no kind of source; write folder:{self.source} for a folder"
                )
            for name in ("validation_fraction", "test_fraction"):
                if not 0 < getattr(self, name) < 1:
                    problems.append(f"{name}={getattr(self, name)} must be above 0 and below 1")
            if self.validation_fraction + self.test_fraction >= 1:
                problems.append("validation_fraction + test_fraction must leave something to train on")
        values.refuse(self, problems)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """Which pretrained network.

    Attributes:
        handle: `source:name`, such as `builtin:efficientnet_lite0` or `keras:MobileNetV2`.
        weights: "pretrained", "random", or a path to a weights file of this network.
        at: layer group, stage or layer behind which the network is cut, also `layers[7]` or an expression "re:…" that
            is found in one layer's name; "" for all of it.
        output: which output of a network that has several by name; "" where there is one.
        allow_unsafe_model_code: whether code that the network's file brings may run.
    """

    handle: str = "builtin:efficientnet_lite0"
    weights: str = "pretrained"
    at: str = ""
    output: str = ""
    allow_unsafe_model_code: bool = False

    def __post_init__(self):
        """Refuses values of another type."""
        values.refuse(self, values.check_fields(self))

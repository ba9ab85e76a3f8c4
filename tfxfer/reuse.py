"""How the work of what is frozen is used again, as values: where activations are kept, and views of pictures."""

import dataclasses
from typing import Literal

from tfxfer import values

Precision = Literal["float16", "float32", "bfloat16", "uint8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cache:
    """Where the activations of frozen layers are kept, so that they are computed once for all epochs.

    This never changes what is learned beyond rounding: a run may go on with other settings.

    Attributes:
        store: "memory"; "disk": a folder that other runs use too; "auto": memory if they fit, else disk, else
            nowhere; "off": nowhere, and every epoch computes them anew.
        precision: of the numbers: "float16", two bytes each; "bfloat16", two bytes, coarser, any magnitude;
            "float32"; "uint8", one byte, with a range for each channel.
        memory_gb: most that they may take of main memory, in 10⁹ bytes, > 0; "auto": a quarter of all there is.
        disk_gb: most that all runs together may take of the folder's disk, in 10⁹ bytes, > 0.
    """

    store: Literal["auto", "memory", "disk", "off"] = "auto"
    precision: Precision = "float16"
    memory_gb: float | Literal["auto"] = "auto"
    disk_gb: float = 20.0

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems:
            for name in ("memory_gb", "disk_gb"):
                limit = getattr(self, name)
                if limit != "auto" and not 0 < limit < float("inf"):
                    problems.append(f"{name}={limit} must be above 0; write store='off' for no cache")
        values.refuse(self, problems)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """What is done to training pictures before the network sees them; validation and test are never touched.

    Each picture has a few views, itself the first, and shows one in each epoch, so that activations of frozen layers
    can be computed once for each view. Four views bring about 90 % of what many do: a linear probe on 100 digits went
    from 69.6 to 80.4 % with 4 and to 81.5 % with 16, on 1,000 digits from 89.7 to 91.4 % with one more view and to
    91.6 % with 4.

    Attributes:
        views: of each picture, 1 to 64, 1 being the picture alone; "auto": 400 over the number of training examples in
            a class of middle size, at least 1, at most 8.
        live: whether every epoch shows views that no epoch before has; then nothing can be computed once.
        flip: whether views are mirrored left to right: the second is the mirrored picture, of the others every other.
        rotation: most degrees by which a view is turned, 0 to 180.
        shift: most by which it is moved along each axis, as a share of the size, 0 to 0.5.
        zoom: most by which it is scaled up or down, as a share, 0 to 0.5.
        mixup: alpha of the beta distribution from which pairs of examples in a batch are mixed, rows and labels alike
            (Zhang et al. 2018), 0 to 4; 0 for none. Where activations are computed once they are mixed, else pixels.
        brightness: most by which each channel of cached activations is shifted, as a share of its range in the
            example, 0 to 1; 0 for none (FroFA, channel-wise: Bär et al. 2024). It needs cached feature maps.
    """

    views: int | Literal["auto"] = "auto"
    live: bool = False
    flip: bool = False
    rotation: float = 12.0
    shift: float = 0.1
    zoom: float = 0.1
    mixup: float = 0.0
    brightness: float = 0.0

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems:
            if self.views != "auto" and not 1 <= self.views <= 64:
                problems.append(f"views={self.views} must be 1 to 64, or auto; for a new one in each epoch: live=true")
            limits = {"rotation": 180, "shift": 0.5, "zoom": 0.5, "mixup": 4, "brightness": 1}
            for name, most in limits.items():
                if not 0 <= getattr(self, name) <= most:
                    problems.append(f"{name}={getattr(self, name)} must be 0 to {most}")
            if self.live and self.brightness:
                problems.append("brightness is for cached activations, and live=true leaves none; set one of them")
        values.refuse(self, problems)

"""How the work of what is frozen is used again, as a value: where activations are kept."""

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

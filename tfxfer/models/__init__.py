"""Networks: heads on backbones, which variables train, and at which share of the learning rate."""

from tfxfer.models.batch_norm import (
    StoredStatistics,
    batch_norm_momentum,
    set_batch_norm_momentum,
    with_moving_statistics,
    with_stored_statistics,
)
from tfxfer.models.freezing import Frozen, freeze
from tfxfer.models.heads import pooled_features, swap_head
from tfxfer.models.proof import Proof
from tfxfer.models.rescaling import rescale_head

__all__ = [
    "Frozen",
    "Proof",
    "StoredStatistics",
    "batch_norm_momentum",
    "freeze",
    "pooled_features",
    "rescale_head",
    "set_batch_norm_momentum",
    "swap_head",
    "with_moving_statistics",
    "with_stored_statistics",
]

"""Networks: heads on backbones, which variables train, and at which share of the learning rate."""

from tfxfer.models.batch_norm import (
    StoredStatistics,
    batch_norm_momentum,
    has_held_statistics,
    moving_batch_norms,
    set_batch_norm_momentum,
    with_moving_statistics,
    with_stored_statistics,
)
from tfxfer.models.following import follow
from tfxfer.models.freezing import Frozen, everything_trains, freeze, held_batch_norm
from tfxfer.models.heads import pooled_features, swap_head
from tfxfer.models.inference import at_once, predict_on_batch
from tfxfer.models.proof import Proof
from tfxfer.models.randomness import steady
from tfxfer.models.rescaling import rescale_head

__all__ = [
    "Frozen",
    "Proof",
    "StoredStatistics",
    "at_once",
    "batch_norm_momentum",
    "everything_trains",
    "follow",
    "freeze",
    "has_held_statistics",
    "held_batch_norm",
    "moving_batch_norms",
    "pooled_features",
    "predict_on_batch",
    "rescale_head",
    "set_batch_norm_momentum",
    "steady",
    "swap_head",
    "with_moving_statistics",
    "with_stored_statistics",
]

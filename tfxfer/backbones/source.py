"""What a source of backbones offers, and what loading one gives: the contract between tfxfer and plug-ins."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from tfxfer.facts import BackboneCard, BackboneFacts

if TYPE_CHECKING:
    import keras

    from tfxfer import graph


class Source(Protocol):
    """Where backbones come from: the part of a handle before the colon names one.

    `names` and `card` answer without importing Keras, so that mistakes are named before anything is loaded.

    A package offers its own by an entry point of the group `tfxfer.backbones`, whose name is the source and
    whose object has these methods. `tfxfer.testing.check_source` tests one.
    """

    def names(self) -> tuple[str, ...]:
        """Returns the names that can stand after the colon."""

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about a backbone without building it.

        Raises:
            ConfigError: no such name; the message lists the names.
        """

    def build(self, name: str, image_size: int, weights: str) -> keras.Model:
        """Returns the network from pixels to a feature map.

        It takes float32 `[batch, image_size, image_size, 3]`, RGB on 0..255, maps that to its own convention
        in the graph, and gives float32 `[batch, height, width, channels]`.

        Args:
            name: one of `names()`.
            image_size: pixels, at least the card's minimum.
            weights: "pretrained", "random" or the path of a weights file.

        Raises:
            BackboneError: the weights cannot be had; the message names the file, where it comes from and
                where to put it.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """A loaded backbone.

    Attributes:
        model: from float32 `[batch, size, size, 3]`, RGB on 0..255 (uint8 works too), to a float32 feature map
            `[batch, height, width, channels]`.
        facts: what was found about it.
    """

    model: keras.Model
    facts: BackboneFacts

    @property
    def groups(self) -> tuple[graph.LayerGroup, ...]:
        """The layer groups, input first."""
        from tfxfer import graph

        return graph.layer_groups(self.model)

"""What a source of backbones offers, and what loading one gives: the contract between tfxfer and plug-ins."""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING

from tfxfer.errors import BackboneError
from tfxfer.facts import BackboneCard, BackboneFacts

if TYPE_CHECKING:
    import keras
    import numpy as np

    from tfxfer import graph


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What `load_backbone` asks of a source.

    Attributes:
        name: the part of the handle behind its first colon.
        image_size: height and width in pixels, at least the card's minimum; 0 for networks that take no pictures,
            and in `inspect`, where the size is still open.
        weights: "pretrained", "random" or the path of a weights file.
        output: which output of a network that has several by name; "" where there is one.
        arguments: hyper-parameters of the network by name, for sources that know some.
        allow_unsafe_model_code: whether the user agreed to run code that a model file brings.
    """

    name: str
    image_size: int
    weights: str = "pretrained"
    output: str = ""
    arguments: tuple[tuple[str, float | int | bool | str], ...] = ()
    allow_unsafe_model_code: bool = False


class Source(abc.ABC):
    """Where backbones come from: the part of a handle before the colon names one.

    `names`, `card` and `has_weights` answer without importing Keras, so that mistakes are named before anything is
    loaded.

    A package offers its own by an entry point of the group `tfxfer.backbones`, whose name is the source and
    whose object is an instance of a subclass of this. `tfxfer.testing.check_source` tests one.
    """

    usage: str = ""
    """How names are written where they cannot be listed, such as `hub:<directory or URL>`."""

    options: frozenset[str] = frozenset()
    """Which of `Request.output` and `Request.arguments` its networks know."""

    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """Returns the names that can stand after the colon, as far as they can be listed."""

    @abc.abstractmethod
    def card(self, name: str) -> BackboneCard:
        """Returns what is known about a backbone without building it.

        Raises:
            ConfigError: no such name; the message lists the names.
            BackboneError: the file or folder that it names is not there or is refused.
        """

    @abc.abstractmethod
    def build(self, request: Request) -> keras.Model:
        """Returns the network, functional, from pixels to features.

        It takes float32 `[batch, image_size, image_size, 3]`, RGB on 0..255, maps that to its own convention
        in the graph, and gives float32: a feature map `[batch, height, width, channels]`, or features
        `[batch, channels]`. What takes something else says so in its card.

        Raises:
            BackboneError: the weights cannot be had; the message names the file, where it comes from and
                where to put it.
        """

    def inspect(self, request: Request) -> BackboneCard:
        """Returns the card completed by what only the opened file tells, such as its size; may load TensorFlow."""
        return self.card(request.name)

    def has_weights(self, name: str) -> bool:
        """Whether the pretrained weights are on this machine."""
        return True

    def classifier(self, request: Request) -> keras.Model:
        """Returns the network with the head that it was trained with: pixels to the logits of its own classes.

        Raises:
            BackboneError: it comes without one.
        """
        raise BackboneError(f"{request.name} comes without its pretrained head; load_backbone gives its features.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """A loaded backbone.

    Attributes:
        model: from float32 `[batch, size, size, 3]`, RGB on 0..255 (uint8 works too), to a float32 feature map
            `[batch, height, width, channels]`, or to features `[batch, channels]`; to a list of maps where levels
            were asked for.
        facts: what was found about it.
    """

    model: keras.Model
    facts: BackboneFacts

    @property
    def groups(self) -> tuple[graph.LayerGroup, ...]:
        """The layer groups, input first."""
        from tfxfer import graph

        return graph.layer_groups(self.model)

    def features(self, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Returns the features of pictures, float32 `[pictures, channels]`, in inference mode.

        A feature map is averaged over its positions. Every batch has the same size, the last one is padded, so that
        each row is what the network computes for that batch shape.

        Args:
            images: `[pictures, height, width, 3]` of the backbone's size, on 0..255, uint8 or float.
            batch_size: pictures at a time, ≥ 1.

        Raises:
            BackboneError: the backbone gives several levels, or takes no pictures, or those of another size.
            DataError: the pixels are on another scale.
        """
        import numpy as np

        from tfxfer.pixels import check_pixel_scale

        expected = self.model.input_shape
        if self.facts.levels or self.facts.card.takes != "images":
            raise BackboneError(f"{self.facts.card.handle} gives no single features of pictures; call its model.")
        if images.ndim != 4 or images.shape[1:] != expected[1:]:
            raise BackboneError(f"images have shape {images.shape}, expected [pictures, {expected[1:]}].")
        check_pixel_scale(images)
        rows = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            full = batch[np.arange(batch_size) % len(batch)] if len(batch) < batch_size else batch
            rows.append(self.model.predict_on_batch(full)[: len(batch)])
        maps = np.concatenate(rows)
        return maps.mean(axis=(1, 2), dtype=np.float32) if maps.ndim == 4 else maps

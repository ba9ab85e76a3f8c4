"""What was found: about the data, the backbone and the machine. Values only; their makers are elsewhere."""

import dataclasses
import functools
from typing import Literal

from tfxfer.tasks import SINGLE_LABEL, Task

# The mode of a picture that was handed over as an array.
ARRAY = "array"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadImage:
    """An image that could not be read: its name as the source gives it, and why."""

    name: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Facts about the examples.

    Attributes:
        source: as the recipe names it.
        class_names: in the order of the logits; names of labels, or of the targets of regression.
        train_counts: examples of each class in the training split; `validation_counts`, `test_counts` likewise. Of a
            label those that have it, of a target of regression all.
        height: median height of the pictures in pixels; `width` likewise.
        channels: of the decoded pictures: 3, RGB.
        split: how the splits came about, in words.
        fingerprint: first 16 hex digits of a SHA-256 over the contents, labels and splits of all examples, and over
            their weights where they have some.
        skipped: images left out because they could not be read.
        train_weights: for each class the sum of the weights of its training examples, whose mean over all classes is 1;
            empty where examples have none.
        weight_range: the least and the largest of these weights; twice 1 where there are none.
        modes: what the pixels are, as Pillow calls it, or `ARRAY`, and of how many examples, the most common first.
        notes: what else is to be known about them, such as that a source without random access was copied.
        task: what is to be told of a picture.
        sizes: examples in training, validation and test where an example counts for no label, or for several; none
            where each is of one class.
        unlabelled: examples with no label at all, of a task with any number of them.
    """

    source: str
    class_names: tuple[str, ...]
    train_counts: tuple[int, ...]
    validation_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    height: int
    width: int
    channels: int
    split: str
    fingerprint: str
    skipped: tuple[BadImage, ...] = ()
    train_weights: tuple[float, ...] = ()
    weight_range: tuple[float, float] = (1.0, 1.0)
    modes: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    task: Task = SINGLE_LABEL
    sizes: tuple[int, int, int] | None = None
    unlabelled: int = 0

    @property
    def train_examples(self) -> int:
        """Number of training examples."""
        return sum(self.train_counts) if self.sizes is None else self.sizes[0]

    @property
    def validation_examples(self) -> int:
        """Number of validation examples."""
        return sum(self.validation_counts) if self.sizes is None else self.sizes[1]

    @property
    def test_examples(self) -> int:
        """Number of test examples."""
        return sum(self.test_counts) if self.sizes is None else self.sizes[2]

    @property
    def examples(self) -> int:
        """Number of examples in all splits."""
        return self.train_examples + self.validation_examples + self.test_examples


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupFacts:
    """One layer group.

    Attributes:
        name: such as `stem`, `stage2.block1`.
        layers: number of layers.
        parameters: numbers in variables that can train, batch norm's gamma and beta included.
        batch_norm_parameters: how many of them are gamma and beta of batch norm.
        tensors: number of variables that can train; `batch_norm_tensors` of them belong to batch norm.
        statistics: numbers in variables that never train by gradient (moving mean and variance).
        legal_cut: whether one tensor, or two, leave its end, so that the network can be cut there.
        output_size: numbers in what leaves it for one picture; 0 without a legal cut.
        activations: numbers for one picture that a backward pass through it needs; 0 where its layers do not tell.
        norm_inputs: numbers that its batch norms read, which that needs too where they move.
    """

    name: str
    layers: int
    parameters: int
    batch_norm_parameters: int
    tensors: int
    batch_norm_tensors: int
    statistics: int
    legal_cut: bool
    output_size: int
    activations: int = 0
    norm_inputs: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariableFacts:
    """A variable that gradients can move: its name in its layer, its size in numbers, and what it is.

    Attributes:
        name: such as `kernel`.
        size: how many numbers it holds.
        batch_norm: whether it is gamma or beta of a batch normalisation.
    """

    name: str
    size: int
    batch_norm: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer, which trains or stands still as a whole; or a part of one that is a whole network inside.

    Attributes:
        name: of the layer.
        group: name of its layer group.
        within: names of the nested models and layers that hold it, outermost first.
        positions: what `layers[…]` counts it as, or what it lies in: for each network in which it is counted, the
            name ("" for the whole one) and the number, from 0.
        variables: of its own that gradients can move, whatever is frozen.
    """

    name: str
    group: str
    within: tuple[str, ...] = ()
    positions: tuple[tuple[str, int], ...] = ()
    variables: tuple[VariableFacts, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outline:
    """The layers of a network by name: what addresses are looked up in (see `outlines`).

    Attributes:
        name: of the network, for errors.
        groups: names of its layer groups, input first; the last one is the head where it has one.
        layers: in the order in which they run, each once.
        lengths: how many layers `layers[…]` counts, for each network by its name, "" being the whole one.
    """

    name: str
    groups: tuple[str, ...]
    layers: tuple[LayerFacts, ...]
    lengths: tuple[tuple[str, int], ...]

    @functools.cached_property
    def variables(self) -> tuple[tuple[LayerFacts, VariableFacts], ...]:
        """Every variable that gradients can move with its layer; its position here is its number."""
        return tuple((layer, variable) for layer in self.layers for variable in layer.variables)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneCard:
    """What is known about a backbone before it is built.

    Attributes:
        handle: `source:name`.
        native_size: height and width in pixels that the weights were made for; `minimum_size` the least. Both 0
            where pictures are not what goes in, or where only the opened file tells (see `Source.inspect`).
        pixels: the network's own convention in words, such as "(x − 127) / 128, RGB".
        license: SPDX name of the weights' licence where known, else "unknown".
        origin: where the weights come from.
        takes: what goes in: "images" `[batch, height, width, 3]`, "text" (strings `[batch]`), "video"
            `[batch, frames, height, width, 3]`, or "other".
        trainable: whether the network itself can train, and not only a head on its features.
        feature_channels: width of the features; 0 where it is not known before loading.
        parameters: numbers in all variables of the backbone, without a head; 0 where not known before loading.
        groups: number of layer groups; 0 where not known before loading.
        top1: published ImageNet-1k top-1 accuracy in per cent; 0 where none was published.
        top1_source: where it was published.
    """

    handle: str
    native_size: int
    minimum_size: int
    pixels: str
    license: str
    origin: str
    takes: Literal["images", "text", "video", "other"] = "images"
    trainable: bool = True
    feature_channels: int = 0
    parameters: int = 0
    groups: int = 0
    top1: float = 0.0
    top1_source: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneFacts:
    """Facts about a backbone as it was loaded.

    Attributes:
        card: what is known about it without loading.
        weights: "pretrained", "random" or the path they were read from.
        weights_digest: first 16 hex digits of the SHA-256 of all its variables.
        image_size: height and width it was built for, in pixels.
        channels: of the pictures; 0 where it takes no pictures.
        feature_channels: last axis of its (last) output.
        levels: names of the groups or stages whose feature maps it gives, where it gives several.
        groups: input first; they cover every variable exactly once.
        outline: its layers, of which `train`, `frozen` and `at` name some.
        feature_map: whether its (last) output has height and width, `[batch, height, width, channels]`.
        own_precision: names of layers that compute in a precision of their own, whatever the recipe says.
        not_compilable: names of layers that XLA cannot compile.
    """

    card: BackboneCard
    weights: str
    weights_digest: str
    image_size: int
    channels: int
    feature_channels: int
    groups: tuple[GroupFacts, ...]
    outline: Outline
    levels: tuple[str, ...] = ()
    feature_map: bool = True
    own_precision: tuple[str, ...] = ()
    not_compilable: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds that a network took on this machine, measured within a second or a few.

    Attributes:
        forward: of each layer group, input first and the head's last: seconds for one picture in inference.
        backward: likewise, what training adds: the gradients of its outputs and weights.
        layers: likewise, the number of its layers.
        step: seconds of an optimizer step beside these; `update` for each weight that it moves.
        update: see there.
        trace: seconds in which the graph of the whole forward pass is made.
        gather: seconds to gather one byte of cached activations.
        batch_statistics: how many times as long a layer group trains that normalises by its batches as one that does so
            by stored statistics, as all above.
    """

    forward: tuple[float, ...]
    backward: tuple[float, ...]
    layers: tuple[int, ...]
    step: float
    update: float
    trace: float
    gather: float
    batch_statistics: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """Facts about this machine: what the *how* of a plan may use.

    Attributes:
        devices: names of the devices that train, such as `cpu:0`, `gpu:0`; on other machines `gpu:0@host:port`.
        strategy: how they share the work: "one_device", "mirrored", "multi_worker_mirrored" or "tpu".
        strategy_reason: why it is that one, in words.
        cores: logical processor cores.
        memory_bytes: of main memory, in all.
        versions: library name and version.
        is_deterministic: whether TensorFlow's ops sum in the same order in this process already, which stays.
        has_fast_decoders: whether the extra [fast] is installed.
    """

    devices: tuple[str, ...]
    strategy: str
    strategy_reason: str
    cores: int
    memory_bytes: int
    versions: tuple[tuple[str, str], ...]
    is_deterministic: bool = False
    has_fast_decoders: bool = False

    @property
    def kind(self) -> Literal["cpu", "gpu"]:
        """Whether a GPU trains."""
        return "gpu" if any(name.startswith("gpu") for name in self.devices) else "cpu"

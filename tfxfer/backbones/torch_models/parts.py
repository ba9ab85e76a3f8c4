"""Which layer of ours holds which entries of a weights file, for each way of naming them; knows no Keras."""

import dataclasses
from collections.abc import Callable, Iterator

from tfxfer.backbones.torch_models.catalogue import Architecture


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer with weights, and its entries.

    Attributes:
        layer: its name in our network.
        entry: what the names of its entries begin with, such as `layer1.0.conv1`.
        width: first axis of the entry `probe`: output channels.
        probe: the entry that shows that the part is there.
    """

    layer: str
    entry: str
    width: int
    probe: str = ""

    def __post_init__(self):
        object.__setattr__(self, "probe", self.probe or f"{self.entry}.weight")


def parts(architecture: Architecture, naming: str) -> Iterator[Part]:
    """Yields the parts of the backbone in the order in which they run."""
    return _FAMILIES[architecture.family](architecture, naming)


def classifier_entries(family: str, naming: str) -> dict[str, str]:
    """Returns, for each layer of the pretrained head with weights, its entry; the last gives the logits."""
    return _CLASSIFIERS[family, naming]


_CLASSIFIERS: dict[tuple[str, str], dict[str, str]] = {
    ("inverted", "package"): {"classifier": "_fc"},
    ("inverted", "timm"): {"classifier": "classifier"},
    ("inverted", "torchvision"): {"classifier": "classifier.1"},
    ("inverted", "torchvision_flat"): {"classifier": "classifier.1"},
    ("resnet", "torchvision"): {"classifier": "fc"},
    ("resnet", "timm"): {"classifier": "fc"},
    ("vgg", "torchvision"): {
        "classifier_hidden1": "classifier.0",
        "classifier_hidden2": "classifier.3",
        "classifier": "classifier.6",
    },
    ("vgg", "timm"): {
        "classifier_hidden1": "pre_logits.fc1",
        "classifier_hidden2": "pre_logits.fc2",
        "classifier": "head.fc",
    },
    ("densenet", "torchvision"): {"classifier": "classifier"},
    ("densenet", "timm"): {"classifier": "classifier"},
    ("convnext", "timm"): {"classifier_norm": "head.norm", "classifier": "head.fc"},
    ("convnext", "torchvision"): {"classifier_norm": "classifier.0", "classifier": "classifier.2"},
    ("vit", "timm"): {"classifier": "head"},
    ("vit", "torchvision"): {"classifier": "heads.head"},
}


def _inverted(a: Architecture, naming: str) -> Iterator[Part]:
    stem, *widths = a.widths
    blocks = [(s, r, width) for s, width in enumerate(widths) for r in range(a.depths[s])]
    names = _INVERTED_NAMES[naming]
    last = len(blocks) + 1
    yield from _pair("stem_conv", *names.stem, stem)
    channels = stem
    for index, (stage, repeat, width) in enumerate(blocks):
        expansion = 1 if stage == 0 else 6
        steps = ["depthwise_conv", "project_conv"] if expansion == 1 else [*_STEPS]
        for position, step in enumerate(steps):
            entries = names.block(index, stage, repeat, step, position, len(steps))
            yield from _pair(f"block{index}_{step}", *entries, width if step == _STEPS[-1] else channels * expansion)
        channels = width
    yield from _pair("head_conv", *(name.format(last=last) for name in names.head), a.feature_channels)


_STEPS = ("expand_conv", "depthwise_conv", "project_conv")


@dataclasses.dataclass(frozen=True)
class _InvertedNames:
    """Entries of convolution and batch norm; `block` takes block, stage, repeat, step, its position and their count."""

    stem: tuple[str, str]
    head: tuple[str, str]
    block: Callable[[int, int, int, str, int, int], tuple[str, str]]


def _package_block(index: int, stage: int, repeat: int, step: str, position: int, count: int) -> tuple[str, str]:
    # The batch norm after the depthwise convolution is `_bn1` even where nothing is expanded.
    return f"_blocks.{index}._{step}", f"_blocks.{index}._bn{_STEPS.index(step)}"


def _timm_block(index: int, stage: int, repeat: int, step: str, position: int, count: int) -> tuple[str, str]:
    block = f"blocks.{stage}.{repeat}"
    conv = {"expand_conv": "conv_pw", "depthwise_conv": "conv_dw", "project_conv": "conv_pwl"}[step]
    if count == 2 and step == "project_conv":
        conv = "conv_pw"
    return f"{block}.{conv}", f"{block}.bn{position + 1}"


def _torchvision_block(index: int, stage: int, repeat: int, step: str, position: int, count: int) -> tuple[str, str]:
    block = f"features.{index + 1}.conv"
    if step == "project_conv":
        return f"{block}.{position}", f"{block}.{position + 1}"
    return f"{block}.{position}.0", f"{block}.{position}.1"


def _flat_block(index: int, stage: int, repeat: int, step: str, position: int, count: int) -> tuple[str, str]:
    # Convolution, batch norm and activation count as three.
    return f"features.{index + 1}.conv.{3 * position}", f"features.{index + 1}.conv.{3 * position + 1}"


_FEATURES = ("features.0.0", "features.0.1"), ("features.{last}.0", "features.{last}.1")
_INVERTED_NAMES = {
    "package": _InvertedNames(("_conv_stem", "_bn0"), ("_conv_head", "_bn1"), _package_block),
    "timm": _InvertedNames(("conv_stem", "bn1"), ("conv_head", "bn2"), _timm_block),
    "torchvision": _InvertedNames(*_FEATURES, _torchvision_block),
    "torchvision_flat": _InvertedNames(*_FEATURES, _flat_block),
}


def _resnet(a: Architecture, naming: str) -> Iterator[Part]:
    yield from _pair("stem_conv", "conv1", "bn1", 64)
    channels = 64
    for stage, (depth, width) in enumerate(zip(a.depths, a.widths, strict=True), 1):
        out = width * 4 if a.bottleneck else width
        for block in range(depth):
            ours, theirs = f"stage{stage}_block{block + 1}", f"layer{stage}.{block}"
            widths = (width, width, out) if a.bottleneck else (width, width)
            for n, channels_out in enumerate(widths, 1):
                yield from _pair(f"{ours}_conv{n}", f"{theirs}.conv{n}", f"{theirs}.bn{n}", channels_out)
            if block == 0 and (stage > 1 or out != channels):
                yield from _pair(f"{ours}_shortcut_conv", f"{theirs}.downsample.0", f"{theirs}.downsample.1", out)
        channels = out


def _vgg(a: Architecture, naming: str) -> Iterator[Part]:
    index = 0
    for block, (depth, width) in enumerate(zip(a.depths, a.widths, strict=True), 1):
        for n in range(1, depth + 1):
            yield Part(f"block{block}_conv{n}", f"features.{index}", width)
            if a.batch_norm:
                yield Part(f"block{block}_conv{n}_bn", f"features.{index + 1}", width)
            index += 3 if a.batch_norm else 2
        index += 1  # pooling


def _densenet(a: Architecture, naming: str) -> Iterator[Part]:
    channels = a.widths[0]
    yield from _pair("stem_conv", "features.conv0", "features.norm0", channels)
    for stage, depth in enumerate(a.depths, 1):
        for block in range(1, depth + 1):
            ours, theirs = f"stage{stage}_block{block}", f"features.denseblock{stage}.denselayer{block}"
            yield Part(f"{ours}_bn1", f"{theirs}.norm1", channels)
            yield Part(f"{ours}_conv1", f"{theirs}.conv1", 128)
            yield Part(f"{ours}_bn2", f"{theirs}.norm2", 128)
            yield Part(f"{ours}_conv2", f"{theirs}.conv2", 32)
            channels += 32
        if stage < len(a.depths):
            yield Part(f"stage{stage}_transition_bn", f"features.transition{stage}.norm", channels)
            channels //= 2
            yield Part(f"stage{stage}_transition_conv", f"features.transition{stage}.conv", channels)
    yield Part("final_bn", "features.norm5", channels)


def _convnext(a: Architecture, naming: str) -> Iterator[Part]:
    timm = naming == "timm"
    yield Part("stem_conv", "stem.0" if timm else "features.0.0", a.widths[0])
    yield Part("stem_norm", "stem.1" if timm else "features.0.1", a.widths[0])
    for stage, (depth, width) in enumerate(zip(a.depths, a.widths, strict=True)):
        if stage:
            theirs = f"stages.{stage}.downsample" if timm else f"features.{2 * stage}"
            yield Part(f"stage{stage + 1}_downsample_norm", f"{theirs}.0", a.widths[stage - 1])
            yield Part(f"stage{stage + 1}_downsample_conv", f"{theirs}.1", width)
        for block in range(depth):
            ours = f"stage{stage + 1}_block{block + 1}"
            theirs = f"stages.{stage}.blocks.{block}" if timm else f"features.{2 * stage + 1}.{block}"
            names = ("conv_dw", "norm", "mlp.fc1", "mlp.fc2") if timm else ("block.0", "block.2", "block.3", "block.5")
            widths = (width, width, 4 * width, width)
            for layer, name, out in zip(("depthwise_conv", "norm", "expand", "project"), names, widths, strict=True):
                yield Part(f"{ours}_{layer}", f"{theirs}.{name}", out)
            scale = f"{theirs}.{'gamma' if timm else 'layer_scale'}"
            yield Part(f"{ours}_layer_scale", scale, width, probe=scale)


def _vit(a: Architecture, naming: str) -> Iterator[Part]:
    (width,), (depth,) = a.widths, a.depths
    timm = naming == "timm"
    yield Part("patch_embedding", "patch_embed.proj" if timm else "conv_proj", width)
    # One layer holds the position embeddings and the class token; its entries are in `assignment`.
    position = "pos_embed" if timm else "encoder.pos_embedding"
    yield Part("position_embedding", position, 1, probe=position)
    for block in range(depth):
        ours = f"block{block}"
        theirs = f"blocks.{block}" if timm else f"encoder.layers.encoder_layer_{block}"
        attention = f"{theirs}.attn" if timm else f"{theirs}.self_attention"
        packed = f"{attention}.qkv.weight" if timm else f"{attention}.in_proj_weight"
        yield Part(f"{ours}_norm1", f"{theirs}.{'norm1' if timm else 'ln_1'}", width)
        yield Part(f"{ours}_attention", attention, 3 * width, probe=packed)
        yield Part(f"{ours}_norm2", f"{theirs}.{'norm2' if timm else 'ln_2'}", width)
        yield Part(f"{ours}_expand", f"{theirs}.{'mlp.fc1' if timm else 'mlp.0'}", 4 * width)
        yield Part(f"{ours}_project", f"{theirs}.{'mlp.fc2' if timm else 'mlp.3'}", width)
    yield Part("final_norm", "norm" if timm else "encoder.ln", width)


def _pair(layer: str, convolution: str, batch_norm: str, width: int) -> Iterator[Part]:
    yield Part(layer, convolution, width)
    yield Part(f"{layer}_bn", batch_norm, width)


_FAMILIES: dict[str, Callable[[Architecture, str], Iterator[Part]]] = {
    "inverted": _inverted,
    "resnet": _resnet,
    "vgg": _vgg,
    "densenet": _densenet,
    "convnext": _convnext,
    "vit": _vit,
}

"""The architectures whose PyTorch weights are read: their facts, and how the zoos that publish them differ.

Says what is known and imports neither Keras nor NumPy; the networks are built in the module of each family.
"""

import dataclasses
import math
from typing import Literal

from tfxfer.backbones.conventions import CONVENTIONS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """How one zoo defines and names an architecture.

    Attributes:
        naming: of the entries in its weight files: "torchvision", "torchvision_flat" (releases of 2018, in which
            convolution and batch norm were not yet one module), "timm" or "package" (the EfficientNet packages).
        pixels: name of the convention (see `conventions`) that its published weights were trained with.
        padding: of convolutions: "symmetric" as PyTorch does it, or "same" as TensorFlow does, which at stride 2
            pads more at the bottom and right.
        epsilon: of batch norm or layer norm, added to the variance.
        momentum: of batch norm in Keras's sense: the share of the old statistics that stays.
    """

    naming: str
    pixels: str = "imagenet"
    padding: Literal["symmetric", "same"] = "symmetric"
    epsilon: float = 1e-5
    momentum: float = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is known about an architecture before it is built.

    Attributes:
        family: the module that builds it.
        native_size: height and width in pixels that the published weights were made for; `minimum_size` the least
            that gives a feature map; sizes are multiples of `multiple`.
        depths: layers or blocks of each stage.
        widths: channels of each stage; the first is the stem's where `family` is "inverted".
        feature_channels: last axis of the features.
        parameters: numbers in all variables of the backbone, without a head.
        license: SPDX name of the licence under which the source of `top1` publishes weights.
        top1: published ImageNet-1k top-1 accuracy in per cent, 0 where none is known; `top1_source` says of which
            weights.
        variants: by zoo, the default first.
        bottleneck: whether residual blocks have three convolutions (ResNet).
        batch_norm: whether batch norm follows each convolution (VGG).
    """

    family: Literal["inverted", "resnet", "vgg", "densenet", "convnext", "vit"]
    native_size: int = 224
    minimum_size: int = 32
    multiple: int = 1
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    feature_channels: int
    parameters: int
    license: str = "BSD-3-Clause"
    top1: float = 0.0
    top1_source: str = ""
    variants: tuple[Variant, ...]
    bottleneck: bool = False
    batch_norm: bool = False

    @property
    def pixels(self) -> str:
        """The pixel convention of the default variant in words."""
        return CONVENTIONS[self.variants[0].pixels].words

    @property
    def groups(self) -> int:
        """Number of layer groups: a block each, with the stem, the last convolution and what lies between stages."""
        between = {"vgg": 0, "resnet": 1, "vit": 1, "inverted": 2, "convnext": 4, "densenet": 4}
        return sum(self.depths) + between[self.family]

    def variant(self, naming: str | None) -> Variant:
        """Returns the variant with these names, the default for None; KeyError where the zoo has none."""
        if naming is None:
            return self.variants[0]
        return {variant.naming: variant for variant in self.variants}[naming]


_TORCHVISION = Variant(naming="torchvision")
_TIMM = Variant(naming="timm")


def _torchvision(name: str, version: int = 1) -> str:
    return f"torchvision, {name} IMAGENET1K_V{version}"


def _lite(width: float, depth: float, *, native_size: int, parameters: int, top1: float, ported: bool) -> Architecture:
    """EfficientNet-Lite: B0 widened and deepened, with stem, first and last stage and head as they were.

    The official definition (tensorflow/tpu, models/official/efficientnet/lite) is the EfficientNet packages', and
    timm's `tf_efficientnet_lite*`; timm's own `efficientnet_lite*` pads, normalises and scales as PyTorch does.
    """
    widths = tuple(_rounded(channels * width) for channels in (16, 24, 40, 80, 112, 192, 320))
    middle = tuple(math.ceil(repeats * depth) for repeats in (2, 2, 3, 3, 4))
    variants = (
        (Variant(naming="timm", pixels="-1..1", padding="same", epsilon=1e-3),)
        if ported
        else (Variant(naming="package", pixels="lite", padding="same", epsilon=1e-3, momentum=0.99), _TIMM)
    )
    return Architecture(
        family="inverted",
        native_size=native_size,
        depths=(1, *middle, 1),
        widths=(32, *widths),
        feature_channels=1280,
        parameters=parameters,
        license="Apache-2.0",
        top1=top1,
        top1_source="tensorflow/tpu, models/official/efficientnet/lite/README.md",
        variants=variants,
    )


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, or the next if that takes away more than a tenth."""
    nearest = int(channels + 4) // 8 * 8
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _lites(prefix: str, *, ported: bool) -> dict[str, Architecture]:
    return {
        f"{prefix}efficientnet_lite{n}": _lite(
            width, depth, native_size=size, parameters=parameters, top1=top1, ported=ported
        )
        for n, (width, depth, size, parameters, top1) in enumerate(
            (
                (1.0, 1.0, 224, 3_413_024, 75.1),
                (1.0, 1.1, 240, 4_189_344, 76.7),
                (1.1, 1.2, 260, 4_869_168, 77.6),
                (1.2, 1.4, 280, 6_992_768, 79.8),
                (1.4, 1.8, 300, 11_837_936, 81.5),
            )
        )
    }


def _resnet(name: str, depths: tuple[int, ...], parameters: int, top1: float, *, bottleneck: bool) -> Architecture:
    return Architecture(
        family="resnet",
        depths=depths,
        widths=(64, 128, 256, 512),
        feature_channels=2048 if bottleneck else 512,
        parameters=parameters,
        top1=top1,
        top1_source=_torchvision(name),
        variants=(_TORCHVISION, _TIMM),
        bottleneck=bottleneck,
    )


def _vgg(name: str, depths: tuple[int, ...], parameters: int, top1: float, *, batch_norm: bool) -> Architecture:
    return Architecture(
        family="vgg",
        depths=depths,
        widths=(64, 128, 256, 512, 512),
        feature_channels=512,
        parameters=parameters,
        top1=top1,
        top1_source=_torchvision(name),
        variants=(_TORCHVISION, _TIMM),
        batch_norm=batch_norm,
    )


def _convnext(
    name: str, depths: tuple[int, ...], widths: tuple[int, ...], parameters: int, top1: float
) -> Architecture:
    return Architecture(
        family="convnext",
        depths=depths,
        widths=widths,
        feature_channels=widths[-1],
        parameters=parameters,
        top1=top1,
        top1_source=_torchvision(name),
        variants=(Variant(naming="timm", epsilon=1e-6), Variant(naming="torchvision", epsilon=1e-6)),
    )


def _vit(width: int, parameters: int, **facts) -> Architecture:
    return Architecture(
        family="vit",
        minimum_size=16,
        multiple=16,
        depths=(12,),
        widths=(width,),
        feature_channels=width,
        parameters=parameters,
        **facts,
    )


_AUGREG = Variant(naming="timm", pixels="-1..1", epsilon=1e-6)

ARCHITECTURES: dict[str, Architecture] = {
    **_lites("", ported=False),
    **_lites("tf_", ported=True),
    "mobilenetv2_100": Architecture(
        family="inverted",
        depths=(1, 2, 3, 4, 3, 3, 1),
        widths=(32, 16, 24, 32, 64, 96, 160, 320),
        feature_channels=1280,
        parameters=2_257_984,
        top1=71.878,
        top1_source=_torchvision("mobilenet_v2"),
        variants=(_TIMM, _TORCHVISION, Variant(naming="torchvision_flat")),
    ),
    "resnet18": _resnet("resnet18", (2, 2, 2, 2), 11_186_112, 69.758, bottleneck=False),
    "resnet34": _resnet("resnet34", (3, 4, 6, 3), 21_301_696, 73.314, bottleneck=False),
    "resnet50": _resnet("resnet50", (3, 4, 6, 3), 23_561_152, 76.13, bottleneck=True),
    "resnet101": _resnet("resnet101", (3, 4, 23, 3), 42_605_504, 77.374, bottleneck=True),
    "resnet152": _resnet("resnet152", (3, 8, 36, 3), 58_295_232, 78.312, bottleneck=True),
    "vgg11": _vgg("vgg11", (1, 1, 2, 2, 2), 9_220_480, 69.02, batch_norm=False),
    "vgg13": _vgg("vgg13", (2, 2, 2, 2, 2), 9_404_992, 69.928, batch_norm=False),
    "vgg16": _vgg("vgg16", (2, 2, 3, 3, 3), 14_714_688, 71.592, batch_norm=False),
    "vgg19": _vgg("vgg19", (2, 2, 4, 4, 4), 20_024_384, 72.376, batch_norm=False),
    "vgg11_bn": _vgg("vgg11_bn", (1, 1, 2, 2, 2), 9_231_488, 70.37, batch_norm=True),
    "vgg13_bn": _vgg("vgg13_bn", (2, 2, 2, 2, 2), 9_416_768, 71.586, batch_norm=True),
    "vgg16_bn": _vgg("vgg16_bn", (2, 2, 3, 3, 3), 14_731_584, 73.36, batch_norm=True),
    "vgg19_bn": _vgg("vgg19_bn", (2, 2, 4, 4, 4), 20_046_400, 74.218, batch_norm=True),
    "densenet121": Architecture(
        family="densenet",
        depths=(6, 12, 24, 16),
        widths=(64, 128, 256, 512),
        feature_channels=1024,
        parameters=7_037_504,
        top1=74.434,
        top1_source=_torchvision("densenet121"),
        variants=(_TORCHVISION, _TIMM),
    ),
    "convnext_tiny": _convnext("convnext_tiny", (3, 3, 9, 3), (96, 192, 384, 768), 27_818_592, 82.52),
    "convnext_small": _convnext("convnext_small", (3, 3, 27, 3), (96, 192, 384, 768), 49_453_152, 83.616),
    "convnext_base": _convnext("convnext_base", (3, 3, 27, 3), (128, 256, 512, 1024), 87_564_416, 84.062),
    "vit_small_patch16_224": _vit(384, 21_665_280, license="Apache-2.0", variants=(_AUGREG,)),
    "vit_base_patch16_224": _vit(
        768,
        85_797_888,
        top1=81.072,
        top1_source=_torchvision("vit_b_16"),
        variants=(_AUGREG, Variant(naming="torchvision", epsilon=1e-6)),
    ),
}

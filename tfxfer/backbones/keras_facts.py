"""What is known of the networks of `keras.applications` without importing Keras.

Which constructors there are, their pixel convention and least size are read from the source text of the installed
Keras. What the text does not say stands here, and a test compares it with the networks as Keras builds them.
"""

import ast
import dataclasses
import functools
import importlib.util
import pathlib

from tfxfer.backbones.conventions import CONVENTIONS

_BUILT_IN = "0..255, RGB; the network scales them itself"
# Modes of `preprocess_input` by our names for conventions.
_MODES = {"caffe": "caffe", "tf": "-1..1", "torch": "imagenet"}
TOP1_SOURCE = "keras.io/api/applications (single crop, ImageNet-1k validation)"
_V3_SOURCE = "keras/src/applications/mobilenet_v3.py, table in the docstring"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constructor:
    """What the installed Keras says of one constructor.

    Attributes:
        family: name of its module, such as `resnet_v2`.
        pixels: name of its convention (see `conventions`); "0..255" where the network scales them itself.
        minimum_size: least height and width in pixels.
    """

    family: str
    pixels: str
    minimum_size: int

    @property
    def pixels_in_words(self) -> str:
        """The convention as cards have it."""
        return _BUILT_IN if self.pixels == "0..255" else CONVENTIONS[self.pixels].words


@dataclasses.dataclass(frozen=True)
class Published:
    """What is published about a network, and its measures without a head.

    Attributes:
        native_size: pixels that the weights were trained for.
        top1: ImageNet-1k accuracy in per cent.
        parameters: numbers in all variables.
        features: channels of the last feature map.
        groups: layer groups.
        weights: how the file of its weights begins in Keras's cache.
    """

    native_size: int
    top1: float
    parameters: int
    features: int
    groups: int
    weights: str

    @property
    def top1_source(self) -> str:
        """Where the accuracy stands."""
        return _V3_SOURCE if "mobilenet_v3" in self.weights else TOP1_SOURCE


_TF_KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop"
PUBLISHED = {
    "ConvNeXtBase": Published(224, 85.3, 87_566_464, 1024, 40, "convnext_base_notop"),
    "ConvNeXtLarge": Published(224, 86.3, 196_230_336, 1536, 40, "convnext_large_notop"),
    "ConvNeXtSmall": Published(224, 82.3, 49_454_688, 768, 40, "convnext_small_notop"),
    "ConvNeXtTiny": Published(224, 81.3, 27_820_128, 768, 22, "convnext_tiny_notop"),
    "ConvNeXtXLarge": Published(224, 86.7, 348_147_968, 2048, 40, "convnext_xlarge_notop"),
    "DenseNet121": Published(224, 75.0, 7_037_504, 1024, 62, f"densenet121{_TF_KERNELS}"),
    "DenseNet169": Published(224, 76.2, 12_642_880, 1664, 86, f"densenet169{_TF_KERNELS}"),
    "DenseNet201": Published(224, 77.3, 18_321_984, 1920, 102, f"densenet201{_TF_KERNELS}"),
    "EfficientNetB0": Published(224, 77.1, 4_049_571, 1280, 18, "efficientnetb0_notop"),
    "EfficientNetB1": Published(240, 79.1, 6_575_239, 1280, 25, "efficientnetb1_notop"),
    "EfficientNetB2": Published(260, 80.1, 7_768_569, 1408, 25, "efficientnetb2_notop"),
    "EfficientNetB3": Published(300, 81.6, 10_783_535, 1536, 28, "efficientnetb3_notop"),
    "EfficientNetB4": Published(380, 82.9, 17_673_823, 1792, 34, "efficientnetb4_notop"),
    "EfficientNetB5": Published(456, 83.6, 28_513_527, 2048, 41, "efficientnetb5_notop"),
    "EfficientNetB6": Published(528, 84.0, 40_960_143, 2304, 47, "efficientnetb6_notop"),
    "EfficientNetB7": Published(600, 84.3, 64_097_687, 2560, 57, "efficientnetb7_notop"),
    "EfficientNetV2B0": Published(224, 78.7, 5_919_312, 1280, 22, "efficientnetv2-b0_notop"),
    "EfficientNetV2B1": Published(240, 79.8, 6_931_124, 1280, 28, "efficientnetv2-b1_notop"),
    "EfficientNetV2B2": Published(260, 80.5, 8_769_374, 1408, 29, "efficientnetv2-b2_notop"),
    "EfficientNetV2B3": Published(300, 82.0, 12_930_622, 1536, 33, "efficientnetv2-b3_notop"),
    "EfficientNetV2L": Published(480, 85.7, 117_746_848, 1280, 81, "efficientnetv2-l_notop"),
    "EfficientNetV2M": Published(480, 85.3, 53_150_388, 1280, 59, "efficientnetv2-m_notop"),
    "EfficientNetV2S": Published(384, 83.9, 20_331_360, 1280, 42, "efficientnetv2-s_notop"),
    "InceptionResNetV2": Published(299, 80.3, 54_336_736, 1536, 45, f"inception_resnet_v2{_TF_KERNELS}"),
    "InceptionV3": Published(299, 77.9, 21_802_784, 2048, 12, f"inception_v3{_TF_KERNELS}"),
    "MobileNet": Published(224, 70.4, 3_228_864, 1024, 14, "mobilenet_1_0_224_tf_no_top"),
    "MobileNetV2": Published(
        224, 71.3, 2_257_984, 1280, 19, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top"
    ),
    "MobileNetV3Large": Published(224, 75.6, 2_996_352, 960, 17, "weights_mobilenet_v3_large_224_1.0_float_no_top"),
    "MobileNetV3Small": Published(224, 68.1, 939_120, 576, 13, "weights_mobilenet_v3_small_224_1.0_float_no_top"),
    "NASNetLarge": Published(331, 82.5, 84_916_818, 4032, 19, "nasnet_large_no_top"),
    "NASNetMobile": Published(224, 74.4, 4_269_716, 1056, 13, "nasnet_mobile_no_top"),
    "ResNet101": Published(224, 76.4, 42_658_176, 2048, 34, f"resnet101{_TF_KERNELS}"),
    "ResNet101V2": Published(224, 77.2, 42_626_560, 2048, 34, f"resnet101v2{_TF_KERNELS}"),
    "ResNet152": Published(224, 76.6, 58_370_944, 2048, 51, f"resnet152{_TF_KERNELS}"),
    "ResNet152V2": Published(224, 78.0, 58_331_648, 2048, 51, f"resnet152v2{_TF_KERNELS}"),
    "ResNet50": Published(224, 74.9, 23_587_712, 2048, 17, f"resnet50{_TF_KERNELS}"),
    "ResNet50V2": Published(224, 76.0, 23_564_800, 2048, 17, f"resnet50v2{_TF_KERNELS}"),
    "VGG16": Published(224, 71.3, 14_714_688, 512, 13, f"vgg16{_TF_KERNELS}"),
    "VGG19": Published(224, 71.3, 20_024_384, 512, 16, f"vgg19{_TF_KERNELS}"),
    "Xception": Published(299, 79.0, 20_861_480, 2048, 15, f"xception{_TF_KERNELS}"),
}
# By family; from the repositories that the weights come from. Where none is named there, "unknown".
LICENSES = {
    "convnext": "MIT",
    "densenet": "BSD-3-Clause",
    "efficientnet": "Apache-2.0",
    "efficientnet_v2": "Apache-2.0",
    "inception_resnet_v2": "Apache-2.0",
    "inception_v3": "MIT",
    "mobilenet": "Apache-2.0",
    "mobilenet_v2": "Apache-2.0",
    "mobilenet_v3": "Apache-2.0",
    "nasnet": "Apache-2.0",
    "resnet": "MIT",
    "vgg16": "CC-BY-4.0",
    "vgg19": "CC-BY-4.0",
    "xception": "MIT",
}


@functools.cache
def constructors() -> dict[str, Constructor]:
    """Returns the constructors of the installed `keras.applications` by name, in alphabetical order."""
    home = _keras_home()
    if home is None:
        return {}
    families = {}
    for node in ast.walk(_parsed(home / "applications" / "__init__.py")):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src.applications."):
            family = node.module.rsplit(".", 1)[-1]
            families.update({alias.asname or alias.name: family for alias in node.names if alias.name[0].isupper()})
    sources = {family: _parsed(home / "src" / "applications" / f"{family}.py") for family in set(families.values())}
    return {
        name: Constructor(
            family=families[name],
            pixels=_pixels(sources[families[name]]),
            minimum_size=_minimum_size(sources[families[name]]),
        )
        for name in sorted(families)
    }


def _keras_home() -> pathlib.Path | None:
    package = importlib.util.find_spec("keras")
    if package is None or not package.submodule_search_locations:
        return None
    return pathlib.Path(next(iter(package.submodule_search_locations)))


def _parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _pixels(source: ast.Module) -> str:
    """Returns the convention of a family; where its `preprocess_input` does nothing, the network does it."""
    for node in source.body:
        if isinstance(node, ast.FunctionDef) and node.name == "preprocess_input":
            modes = [_constants(call).get("mode") for call in ast.walk(node) if isinstance(call, ast.Call)]
            return next((_MODES[mode] for mode in modes if mode), "0..255")
    return "0..255"


def _minimum_size(source: ast.Module) -> int:
    sizes = [_constants(node).get("min_size") for node in ast.walk(source) if isinstance(node, ast.Call)]
    return max((size for size in sizes if size), default=32)


def _constants(call: ast.Call) -> dict[str | None, object]:
    return {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}

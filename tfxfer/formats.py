"""The file formats of a network: what they are called and what they need.

Pure facts, so that recipes and `--help` know them without TensorFlow; `export.formats` writes and reads them.
"""

import dataclasses
import importlib.util
from collections.abc import Iterable

from tfxfer.errors import ConfigError, suggest

# Training pictures on which ranges of numbers are measured; LiteRT's guide on post-training quantization asks for 100
# to 500. On digits 50 to 300 gave the same accuracy within 0.2 points.
REPRESENTATIVE = 100
INSTALL = "pip install 'tfxfer[export]'"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FormatFacts:
    """What is known of a format before anything is written.

    Attributes:
        name: as in `--formats=`.
        file: its path within a bundle.
        about: what it is for, in a few words.
        requires: top-level modules that must be importable to write and to check it; the extra `export` brings them.
        limit: the largest allowed difference of a probability; None where accuracy is held instead.
        needs_pictures: whether ranges of numbers are measured on training pictures.
    """

    name: str
    file: str
    about: str
    requires: tuple[str, ...]
    limit: float | None
    needs_pictures: bool = False


def _litert(name: str, file: str, about: str, limit: float | None, *, needs_pictures: bool = False) -> FormatFacts:
    return FormatFacts(
        name=name,
        file=f"litert/{file}.tflite",
        about=about,
        requires=("ai_edge_litert",),
        limit=limit,
        needs_pictures=needs_pictures,
    )


FORMATS = {
    facts.name: facts
    for facts in (
        _litert("litert", "model", "phones, in float32", 1e-5),
        _litert("litert_float16", "model_float16", "phones, half the size; computes in float32 or float16", 1e-2),
        _litert("litert_dynamic", "model_dynamic", "phones, a quarter of the size; weights in 8 bits", None),
        _litert(
            "litert_int8", "model_int8", "phones and accelerators, all numbers in 8 bits", None, needs_pictures=True
        ),
        FormatFacts(
            name="onnx",
            file="onnx/model.onnx",
            about="ONNX Runtime and what else reads ONNX, in float32",
            requires=("onnx", "onnxruntime", "tf2onnx"),
            limit=1e-5,
        ),
        FormatFacts(
            name="safetensors",
            file="weights/model.safetensors",
            about="the weights alone, by name, in float32",
            requires=("safetensors",),
            limit=1e-5,
        ),
    )
}


# What every bundle has; the features are a network of their own, for whoever trains further on them.
ALWAYS = {
    facts.name: facts
    for facts in (
        FormatFacts(name="keras", file="model.keras", about="Keras", requires=(), limit=1e-5),
        FormatFacts(
            name="saved_model", file="saved_model/1", about="TensorFlow Serving, TF Hub", requires=(), limit=1e-5
        ),
        FormatFacts(
            name="feature_vector",
            file="feature_vector/1",
            about="TF Hub: what the head reads, for other heads",
            requires=(),
            limit=1e-5,
        ),
    )
}


def check_installed(names: Iterable[str]) -> None:
    """Looks for the packages of some formats, without importing any.

    Args:
        names: of formats.

    Raises:
        ConfigError: a name that is none, or packages that are missing; says what to type.
    """
    names = tuple(names)
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        near = suggest(unknown[0], FORMATS)
        raise ConfigError(f"format {unknown[0]!r} does not exist. There are: {', '.join(FORMATS)}.{near}")
    missing: dict[str, list[str]] = {}
    for name in names:
        for module in FORMATS[name].requires:
            if importlib.util.find_spec(module) is None:
                missing.setdefault(module.replace("_", "-"), []).append(name)
    if missing:
        needed = "; ".join(f"{package} (for {', '.join(users)})" for package, users in missing.items())
        raise ConfigError(f"these formats need packages that are not installed: {needed}. Type: {INSTALL}")

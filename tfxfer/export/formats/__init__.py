"""Writes a network in the formats of `tfxfer.formats`, and reads each file back as a function of pictures."""

from tfxfer.export.formats import litert, onnx_file, weights
from tfxfer.export.formats.format import Format, Subject
from tfxfer.formats import FORMATS as _FACTS
from tfxfer.formats import check_installed

__all__ = ["FORMATS", "Format", "Subject", "check_installed"]

_WRITERS = {
    "litert": (litert.write_float32, litert.opened),
    "litert_float16": (litert.write_float16, litert.opened),
    "litert_dynamic": (litert.write_dynamic, litert.opened),
    "litert_int8": (litert.write_int8, litert.opened),
    "onnx": (onnx_file.write, onnx_file.opened),
    "safetensors": (weights.write, weights.opened),
}
FORMATS: dict[str, Format] = {
    name: Format(**vars(facts), write=_WRITERS[name][0], opened=_WRITERS[name][1]) for name, facts in _FACTS.items()
}

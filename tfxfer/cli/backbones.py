"""`tfxfer backbones`."""

import json
import shutil
import sys

from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values
from tfxfer.errors import ConfigError

_SWITCH = "true|false"
# Flags that only make sense for one backbone, or for many.
_OF_ONE = ("layers", "image_size", "output", "allow_unsafe_model_code")
_OF_MANY = ("present",)


def _backbones(values: Values) -> int:
    if len(values.paths) > 1:
        raise ConfigError(f"one source or backbone at a time. Write: tfxfer backbones {values.paths[0]}")
    what = values.paths[0] if values.paths else ""
    return _show_one(what, values) if ":" in what else _show_many(what, values)


def _show_many(source: str, values: Values) -> int:
    for name in _OF_ONE:
        if name in values.given:
            raise ConfigError(f"--{name} is for one backbone. Write its handle before, such as keras:VGG16.")
    from tfxfer.catalogue import listing, tables

    present = values.is_on("present")
    listings = (
        (listing.list_source(source, present=present),) if source else listing.list_all(present=present)
    )  # fmt: skip
    if values.is_on("json"):
        print(_json(tables.listing_values(listings)))
    else:
        print(tables.listing_text(listings), end="")
    return 0


def _show_one(handle: str, values: Values) -> int:
    for name in _OF_MANY:
        if name in values.given:
            raise ConfigError(f"--{name} is for lists. Write: tfxfer backbones --{name}")
    layers, as_json, allowed = (values.is_on(switch) for switch in ("layers", "json", "allow_unsafe_model_code"))
    image_size = values.given.get("image_size")
    if image_size is not None and not (image_size.isdecimal() and int(image_size) > 0):
        raise ConfigError(f"--image_size={image_size} is no number of pixels. Write --image_size=224.")
    from tfxfer import backbones, checks  # which load NumPy; the lists need none

    backbones.card(handle)  # names what can be wrong before TensorFlow is loaded
    checks.check_environment()
    quiet.load_tensorflow()
    from tfxfer.catalogue import description, tables

    found = description.describe(
        handle,
        image_size=int(image_size) if image_size else None,
        output=values.given.get("output", ""),
        allow_unsafe_model_code=allowed,
    )
    if as_json:
        print(_json(tables.description_values(found)))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(tables.description_text(found, layers=layers, width=width), end="")
    return 0


def _json(values: dict) -> str:
    return json.dumps(values, indent=1)


COMMAND = Command(
    usage="[SOURCE | HANDLE] [flags]",
    own_flags={
        "present": (_SWITCH, "only those whose pretrained weights are on this machine"),
        "json": (_SWITCH, "as JSON, in which what is not known is null"),
        "image_size": ("PIXELS", "of one backbone: height and width to build it for; default: its native size"),
        "output": ("NAME", "of one backbone that has several outputs: which of them"),
        "layers": (_SWITCH, "of one backbone: a line for each layer"),
        "allow_unsafe_model_code": (_SWITCH, "of one backbone: run code that its file brings; trust it like a program"),
    },
    action=_backbones,
    example="tfxfer backbones keras:VGG16 --image_size=96",
    takes_paths=True,
)

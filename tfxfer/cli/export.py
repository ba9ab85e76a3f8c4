"""`tfxfer export`."""

import pathlib

from tfxfer import checks, config, data, recipes
from tfxfer import formats as formats_of
from tfxfer.cli import quiet
from tfxfer.cli.command import CONSENT, EXPORT_FLAGS, Command, Values
from tfxfer.values import Change


def _export(values: Values) -> int:
    bundle = pathlib.Path(values.need("bundle", "runs/photos/bundle"))
    changes = [
        Change(f"export.{name}", values.given[name], f"--{name}={values.given[name]}")
        for name in EXPORT_FLAGS
        if name in values.given
    ]
    asked = config.read_recipe(None, changes).export
    formats_of.check_installed(asked.optional_formats)
    source = values.given.get("data")
    on_bad_image = values.given.get("on_bad_image", "error")
    data.check_source(recipes.Data(source=source or "arrays:", on_bad_image=on_bad_image).source)
    checks.check_environment()
    output = values.given.get("output")
    quiet.load_tensorflow()
    from tfxfer import exporting

    report = exporting.export_again(
        bundle,
        asked,
        source=source,
        output=pathlib.Path(output) if output else None,
        overwrite=values.is_on("overwrite"),
        on_bad_image=on_bad_image,
        allow_unsafe_model_code=values.is_on("allow_unsafe_model_code"),
    )
    return 1 if report.left_out else 0


COMMAND = Command(
    usage="--bundle=DIR [--data=SOURCE] [--formats=NAMES] [--output=DIR | --overwrite]",
    own_flags={
        "bundle": ("DIR", "a bundle that tfxfer train wrote"),
        "data": (
            "SOURCE",
            "labelled images to check the files on; default: those that the bundle was trained from",
        ),
        **EXPORT_FLAGS,
        "output": ("DIR", "where the new bundle goes; default: in the place of the old one, with --overwrite"),
        "overwrite": ("true|false", "whether what is there is replaced, once the new bundle is complete"),
        "on_bad_image": ("error|skip", "what an unreadable image does"),
        **CONSENT,
    },
    action=_export,
    example="tfxfer export --bundle=runs/photos/bundle --formats=litert_int8,onnx --overwrite",
)

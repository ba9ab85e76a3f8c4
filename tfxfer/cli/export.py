"""`tfxfer export`."""

import pathlib

from tfxfer import checks, config, data, folders, recipes
from tfxfer import formats as formats_of
from tfxfer.cli import quiet
from tfxfer.cli.command import COLUMNS, CONSENT, EXPORT_FLAGS, Command, Values
from tfxfer.errors import ConfigError
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
    columns = {name: values.given[name] for name in ("on_bad_image", *COLUMNS) if name in values.given}
    if source is None and (given := [name for name in COLUMNS if name in columns]):
        raise ConfigError(f"--{given[0]} is of a table, and --data names none. Write it with --data=csv:labels.csv.")
    labelled = recipes.Data(source=source or "arrays:", **columns)
    data.check_source(labelled.source)
    output, overwrite = values.given.get("output"), values.is_on("overwrite")
    allowed = values.is_on("allow_unsafe_model_code")
    folders.check_bundle(bundle)
    folders.check_target(pathlib.Path(output) if output else bundle, overwrite=overwrite)
    if source is not None:
        data.check_there(labelled, columns=False)  # which may be called as in the bundle's recipe
    checks.check_environment()
    quiet.load_tensorflow()
    from tfxfer import exporting

    report = exporting.export_again(
        bundle,
        asked,
        source=source,
        output=pathlib.Path(output) if output else None,
        overwrite=overwrite,
        **columns,
        allow_unsafe_model_code=allowed,
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
        **COLUMNS,
        "on_bad_image": ("error|skip", "what an unreadable image does"),
        **CONSENT,
    },
    action=_export,
    example="tfxfer export --bundle=runs/photos/bundle --formats=litert_int8,onnx --overwrite",
)

"""`tfxfer evaluate`."""

import pathlib
import sys

from tfxfer import checks, data, files, folders, recipes
from tfxfer.cli import quiet
from tfxfer.cli.command import COLUMNS, CONSENT, TTA, Command, Values
from tfxfer.errors import ConfigError


def _evaluate(values: Values) -> int:
    bundle = pathlib.Path(values.need("bundle", "runs/photos/bundle"))
    asked = {name: values.given[name] for name in ("on_bad_image", *COLUMNS) if name in values.given}
    source = values.given.get("data")
    if source is None and (columns := [name for name in COLUMNS if name in asked]):
        raise ConfigError(f"--{columns[0]} is of a table, and --data names none. Write it with --data=csv:labels.csv.")
    checked = recipes.Data(source=source or "arrays:", **asked)
    data.check_source(checked.source)
    views, allowed = values.views(), values.is_on("allow_unsafe_model_code")
    folders.check_bundle(bundle)
    if source is not None:
        data.check_there(checked, columns=False)  # which may be called as in the bundle's recipe
    output = pathlib.Path(values.given["output"]) if "output" in values.given else None
    if output is not None:
        files.check_writable(output.parent)
    checks.check_environment()
    quiet.load_tensorflow()
    from tfxfer import assessment

    measured = assessment.assess(bundle, source, allow_unsafe_model_code=allowed, tta=views, note=_to_error, **asked)
    print(assessment.describe(measured))
    if output is not None:
        assessment.write(measured, output)
    return 0


def _to_error(line: str) -> None:
    print(line, file=sys.stderr)


COMMAND = Command(
    usage="--bundle=DIR [--data=SOURCE] [--output=FILE.json]",
    own_flags={
        "bundle": ("DIR", "a bundle that tfxfer train wrote"),
        "data": (
            "SOURCE",
            "labelled images, all of them used; default: the test split that the bundle was measured on",
        ),
        **COLUMNS,
        "on_bad_image": ("error|skip", "what an unreadable image does"),
        "output": ("FILE.json", "also write the result there"),
        **TTA,
        **CONSENT,
    },
    action=_evaluate,
    example="tfxfer evaluate --bundle=runs/photos/bundle --data=folder:new_photos",
)

"""`tfxfer evaluate`."""

import pathlib

from tfxfer import checks, data, recipes
from tfxfer.cli import quiet
from tfxfer.cli.command import CONSENT, Command, Values


def _evaluate(values: Values) -> int:
    bundle = pathlib.Path(values.need("bundle", "runs/photos/bundle"))
    on_bad_image = values.given.get("on_bad_image", "error")
    source = values.given.get("data")
    checked = recipes.Data(source=source or "arrays:", on_bad_image=on_bad_image)
    data.check_source(checked.source)
    checks.check_environment()
    quiet.load_tensorflow()
    from tfxfer import assessment

    measured = assessment.assess(
        bundle, source, on_bad_image=on_bad_image, allow_unsafe_model_code=values.is_on("allow_unsafe_model_code")
    )
    print(assessment.describe(measured))
    if "output" in values.given:
        assessment.write(measured, pathlib.Path(values.given["output"]))
    return 0


COMMAND = Command(
    usage="--bundle=DIR [--data=SOURCE] [--output=FILE.json]",
    own_flags={
        "bundle": ("DIR", "a bundle that tfxfer train wrote"),
        "data": (
            "SOURCE",
            "labelled images, all of them used; default: the test split that the bundle was measured on",
        ),
        "on_bad_image": ("error|skip", "what an unreadable image does"),
        "output": ("FILE.json", "also write the result there"),
        **CONSENT,
    },
    action=_evaluate,
    example="tfxfer evaluate --bundle=runs/photos/bundle --data=folder:new_photos",
)

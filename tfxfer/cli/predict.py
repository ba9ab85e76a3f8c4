"""`tfxfer predict`."""

import pathlib

from tfxfer import checks
from tfxfer.cli import quiet
from tfxfer.cli.command import CONSENT, Command, Values
from tfxfer.errors import ConfigError


def _predict(values: Values) -> int:
    bundle = pathlib.Path(values.need("bundle", "runs/photos/bundle"))
    if not values.paths:
        raise ConfigError("no images were given. Write tfxfer predict --bundle=DIR image.jpg, or a folder.")
    top = values.given.get("top", "3")
    if not top.isdigit() or int(top) < 1:
        raise ConfigError(f"--top={top} is no number of classes. Write --top=3.")
    checks.check_environment()
    quiet.load_tensorflow()
    from tfxfer import labelling

    output = values.given.get("output")
    unreadable = labelling.label(
        bundle,
        tuple(pathlib.Path(path) for path in values.paths),
        top=int(top),
        output=pathlib.Path(output) if output else None,
        allow_unsafe_model_code=values.is_on("allow_unsafe_model_code"),
    )
    return 1 if unreadable else 0


COMMAND = Command(
    usage="--bundle=DIR IMAGE|FOLDER …",
    own_flags={
        "bundle": ("DIR", "a bundle that tfxfer train wrote"),
        "top": ("N", "how many classes to show for each image, the most probable first; default 3"),
        "output": ("FILE.csv", "write a CSV there; default for a folder: predictions.csv"),
        **CONSENT,
    },
    action=_predict,
    example="tfxfer predict --bundle=runs/photos/bundle photo.jpg",
    takes_paths=True,
)

"""`tfxfer predict`."""

import pathlib

from tfxfer import checks, folders
from tfxfer.cli import quiet
from tfxfer.cli.command import CONSENT, TTA, Command, Values
from tfxfer.errors import ConfigError


def _predict(values: Values) -> int:
    bundle = pathlib.Path(values.need("bundle", "runs/photos/bundle"))
    if not values.paths:
        raise ConfigError("no images were given. Write tfxfer predict --bundle=DIR image.jpg, or a folder.")
    top = _top(values.given.get("top", "3"))
    allowed = values.is_on("allow_unsafe_model_code")
    views = values.views()
    folders.check_bundle(bundle)
    from tfxfer import labelling
    from tfxfer.data import finding

    listing = finding.find(values.paths, column=values.given.get("column"))
    given = (values.given.get(name) for name in ("output", "format", "embeddings"))
    outputs = labelling.choose_outputs(*given, is_gathered=listing.is_gathered)
    checks.check_environment()
    quiet.load_tensorflow()
    unreadable = labelling.label(bundle, listing, outputs, top=top, allow_unsafe_model_code=allowed, tta=views)
    return 1 if unreadable else 0


def _top(text: str) -> int | None:
    """Returns how many classes are shown; None: all.

    Raises:
        ConfigError: neither a number from 1 up nor "all".
    """
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--top={text} is no number of classes. Write --top=3, or --top=all.")
    return int(text)


COMMAND = Command(
    usage="--bundle=DIR IMAGE|FOLDER|GLOB|MANIFEST.csv|- …",
    own_flags={
        "bundle": ("DIR", "a bundle that tfxfer train wrote"),
        "top": ("N|all", "how many classes to show for each image, the most probable first; default 3"),
        "output": (
            "FILE",
            "write a table there (.csv) or JSON lines (.jsonl); default for a folder, a glob or a\n"
            "                             manifest: predictions.csv",
        ),
        "format": ("csv|jsonl", "write them to standard output instead"),
        "embeddings": (
            "FILE.npy",
            "also write the features below the head, a float32 row for each of the table, by\n"
            "                             default FILE.csv; NaN for what cannot be read",
        ),
        "column": (
            "NAME",
            "of a manifest, the column of paths, relative to it; default image, path, file or\n"
            "                             filename, or the only one",
        ),
        **TTA,
        **CONSENT,
    },
    action=_predict,
    example="tfxfer predict --bundle=runs/photos/bundle photo.jpg",
    takes_paths=True,
)

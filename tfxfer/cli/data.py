"""`tfxfer data`."""

import pathlib

from tfxfer import checks, files
from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values
from tfxfer.errors import ConfigError, suggest


def _data(values: Values) -> int:
    known = f"tfxfer data {' or '.join(_ACTIONS)}"
    if len(values.paths) != 1:
        raise ConfigError(f"say what to do. Write {known}.")
    (what,) = values.paths
    if what not in _ACTIONS:
        raise ConfigError(f"there is nothing called {what!r}.{suggest(what, _ACTIONS)} Write {known}.")
    return _ACTIONS[what](values)


def _check(values: Values) -> int:
    recipe = values.recipe()
    output = pathlib.Path(values.given["output"]) if "output" in values.given else None
    overwrite = values.is_on("overwrite")
    if output:
        files.check_page(output, flag="--output", overwrite=overwrite)
    from tfxfer import inspection  # which loads NumPy

    features = pathlib.Path(values.given["embeddings"]) if "embeddings" in values.given else None
    inspected, found = inspection.inspect(recipe.data, seed=recipe.split_seed, embeddings=features)
    judged = inspection.findings(inspected, recipe.data)
    print(inspection.text_page(inspected, judged), end="")
    pairs = inspection.shown_pairs(inspected)
    if output:
        sheet = inspection.pairs_sheet(found.pictures, pairs) if pairs else b""
        with files.replacing(output, overwrite=overwrite) as beside:
            beside.write_text(inspection.html_page(inspected, judged, sheet), encoding="utf-8")
        print(f"page: {output}")
    elif pairs:
        print("To see those that are nearly the same, write --output=report.html.")
    return 1 if any(one.severity == "error" for one in judged) else 0


def _show(values: Values) -> int:
    recipe = values.recipe()
    output = pathlib.Path(values.need("output", "sheet.png"))
    if output.suffix.lower() != ".png":
        raise ConfigError(f"--output={output} is no PNG file. Write --output=sheet.png.")
    columns, shown = (_number(values, *flag) for flag in (("columns", 8, 32), ("views", 5, 16)))
    checks.check_recipe(recipe)
    checks.check_alone(recipe.running)
    checks.check_data(recipe.data)
    files.check_new(output, overwrite=values.is_on("overwrite"))
    checks.check_environment()
    quiet.load_tensorflow(recipe.running)
    from tfxfer import contact_sheet

    print(contact_sheet.draw(recipe, output, columns=columns, shown=shown, overwrite=values.is_on("overwrite")))
    print(f"sheet: {output}")
    return 0


def _number(values: Values, flag: str, default: int, most: int) -> int:
    text = values.given.get(flag, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ConfigError(f"--{flag}={text} is no number from 1 to {most}. Write --{flag}={default}.")
    return int(text)


_ACTIONS = {"check": _check, "show": _show}
COMMAND = Command(
    usage="check --data=SOURCE [--output=FILE.html] [flags], or show --data=SOURCE --output=FILE.png [flags]",
    own_flags={
        "output": (
            "FILE",
            "check: FILE.html, the page with all classes and a sheet of what is nearly the same;\n"
            "                             show: FILE.png, training pictures as they are, as views, and mixed",
        ),
        "embeddings": ("FILE.npy", "check: features that predict --embeddings kept, to find what is nearly the same"),
        "columns": ("N", "show: pictures in a row, 1 to 32; default 8"),
        "views": ("N", "show: views of each picture, 1 to 16; default 5"),
        "overwrite": ("true|false", "whether a file that is there is replaced"),
    },
    action=_data,
    example="tfxfer data check --data=folder:photos --output=report.html",
    takes_recipe=True,
    takes_paths=True,
)

"""`tfxfer lr-find`."""

import pathlib

from tfxfer import checks
from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values
from tfxfer.errors import ConfigError, WorkdirError


def _find(values: Values) -> int:
    recipe = values.recipe()
    number = values.given.get("stage", "1")
    if not number.isdecimal() or int(number) < 1:
        raise ConfigError(f"--stage={number} is no number of a stage, counted from 1. Write --stage=1.")
    plot = pathlib.Path(values.given["plot"]) if "plot" in values.given else None
    if plot is not None and plot.suffix.lower() != ".png":
        raise ConfigError(f"--plot={plot} is no PNG file. Write --plot=rates.png.")
    if plot is not None and plot.exists():
        raise WorkdirError(f"{plot} exists and is not overwritten. Choose another --plot.")
    checks.check_recipe(recipe)
    checks.check_alone(recipe.running)
    checks.check_data(recipe.data)
    checks.check_environment()
    quiet.load_tensorflow(recipe.running)
    from tfxfer import lr_finder

    print(lr_finder.sweep_stage(recipe, int(number), plot=plot))
    if plot is not None:
        print(f"plot: {plot}")
    return 0


COMMAND = Command(
    usage="--data=SOURCE [--stage=N] [--plot=FILE.png] [flags], or --config=FILE.py …",
    own_flags={
        "stage": ("N", "which stage of the plan, counted from 1; default 1"),
        "plot": ("FILE.png", "also draw the losses over the rates there"),
    },
    action=_find,
    example="tfxfer lr-find --data=folder:photos --stages=partial --plot=rates.png",
    takes_recipe=True,
)

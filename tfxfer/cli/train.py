"""`tfxfer train`."""

import pathlib

from tfxfer import checks
from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values


def _train(values: Values) -> int:
    recipe = values.recipe()
    workdir = values.need("workdir", "runs/photos")
    checks.check_recipe(recipe)
    checks.check_run(recipe, pathlib.Path(workdir))
    checks.check_environment()
    quiet.load_tensorflow(recipe.running)
    from tfxfer import advice

    report = advice.run(recipe, workdir=workdir)
    return 1 if report.left_out else 0


COMMAND = Command(
    usage="--data=SOURCE --workdir=DIR [flags], or --config=FILE.py --workdir=DIR [flags]",
    own_flags={"workdir": ("DIR", "where checkpoints, the report and the bundle go")},
    action=_train,
    example="tfxfer train --data=folder:photos --workdir=runs/photos --stages=full",
    takes_recipe=True,
    when_stopped="stopped; the same command goes on where it stopped. A race that was not over begins again.",
)

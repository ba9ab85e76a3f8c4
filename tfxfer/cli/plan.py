"""`tfxfer plan`."""

from tfxfer import checks
from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values


def _plan(values: Values) -> int:
    recipe = values.recipe()
    checks.check_recipe(recipe)
    checks.check_alone(recipe.running)
    checks.check_data(recipe.data)
    checks.check_environment()
    quiet.load_tensorflow(recipe.running)
    from tfxfer import pipeline

    print(pipeline.prepare(recipe), end="")
    return 0


COMMAND = Command(
    usage="--data=SOURCE [flags], or --config=FILE.py [flags]",
    own_flags={},
    action=_plan,
    example="tfxfer plan --data=folder:photos --stages=ulmfit",
    takes_recipe=True,
)

"""`tfxfer compare`."""

import pathlib

from tfxfer import checks
from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values
from tfxfer.errors import ConfigError
from tfxfer.recipes import Recipe

_WORKDIR, _SEEDS = "runs/compared", "0,1,2"


def _compare(values: Values) -> int:
    asked = _recipes(values)
    numbers = {
        "seeds": _whole_numbers(values, "seeds", _SEEDS),
        "steps": _number(values, "steps", int, "2000"),
        "epochs": _number(values, "epochs", float, "10"),
        "reach": _number(values, "reach", float, "0.9"),
    }
    from tfxfer import comparison

    comparison.check_asked(**numbers)
    contenders = comparison.contenders_of(asked)
    for recipe in contenders.values():
        checks.check_recipe(recipe)
    running = next(iter(contenders.values())).running
    checks.check_alone(running)
    checks.check_environment()
    quiet.load_tensorflow(running)
    workdir = values.given.get("workdir", _WORKDIR)
    compared = comparison.compare(asked, workdir=workdir, **numbers, show=lambda line: print(line, flush=True))
    print(f"\n{compared}\n\nfiles: {workdir}/compared.html, compared.json, compared.csv, curves.png")
    return 0


def _recipes(values: Values) -> Recipe | dict[str, Recipe]:
    """Returns what competes: one recipe, or those of --recipes by the names of their files.

    Raises:
        ConfigError: names of none, or twice the same one, or files that cannot be read; all problems at once.
    """
    if "recipes" not in values.given:
        return values.recipe()
    if "config" in values.given:
        raise ConfigError("--recipes and --config both name recipes. Write all of them into --recipes=one.py,other.py.")
    named: dict[str, Recipe] = {}
    problems = []
    for file in map(str.strip, values.given["recipes"].split(",")):
        name = pathlib.Path(file).stem
        if not file:
            problems.append("there is a comma too many")
        elif name in named:
            problems.append(f"two files are called {name!r}, and contenders go by these names; rename one")
        else:
            try:
                named[name] = values.recipe(file)
            except ConfigError as error:
                problems.append(str(error).removesuffix("."))
    if problems:
        raise ConfigError(f"--recipes={values.given['recipes']}: {'; '.join(problems)}.")
    return named


def _whole_numbers(values: Values, flag: str, default: str) -> tuple[int, ...]:
    text = values.given.get(flag, default)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--{flag}={text} is no list of whole numbers from 0 on. Write --{flag}={default}.")
    return tuple(map(int, parts))


def _number(values: Values, flag: str, kind: type, example: str):
    if flag not in values.given:
        return None
    try:
        return kind(values.given[flag])
    except ValueError:
        raise ConfigError(f"--{flag}={values.given[flag]} is no number. Write --{flag}={example}.") from None


COMMAND = Command(
    usage="--data=SOURCE [flags], or --recipes=FILE.py,FILE.py [flags]",
    own_flags={
        "recipes": ("FILE.py,FILE.py", "what competes; default: the recipe, and the same network from random weights"),
        "seeds": ("0,1,2", "of each; splits are the same for all. Default 0,1,2"),
        "steps": ("N", "optimizer steps of each run; default: those of the first recipe's stages"),
        "epochs": ("N", "passes over the training examples, instead of --steps"),
        "reach": ("0.9", "accuracy to which steps are told; default: what the mean of the worst ends with"),
        "workdir": ("DIR", f"where runs, table and curves go; default {_WORKDIR}"),
    },
    action=_compare,
    example="tfxfer compare --data=folder:photos --epochs=10",
    takes_recipe=True,
    when_stopped="stopped; the same command goes on where it stopped.",
)

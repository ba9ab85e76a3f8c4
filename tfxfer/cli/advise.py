"""`tfxfer advise`."""

import pathlib

from tfxfer import checks, files
from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values
from tfxfer.errors import ConfigError
from tfxfer.recipes import Recipe


def _advise(values: Values) -> int:
    recipe, ranks = values.recipe(), "backbones" in values.given
    (checks.check_all_but_backbone if ranks else checks.check_recipe)(recipe)
    checks.check_alone(recipe.running)
    checks.check_data(recipe.data)
    checks.check_environment()
    from tfxfer import advice

    written = pathlib.Path(values.given["write"]) if "write" in values.given else None
    if written is not None:
        advice.check_new(written)
    page, overwrite = values.given.get("html"), values.is_on("overwrite")
    if page is not None:
        files.check_page(page, overwrite=overwrite)
    if ranks:
        shown = ranking = _ranking(values, recipe)
        print(f"\n{ranking}")
        found, advised = ranking.advice, advice.advised_by_ranking(recipe, ranking)
    else:
        shown = found = _advice(values, recipe)
        print(f"\n{found}")
        advised = advice.advised(recipe, found)
    if written is not None and not found.stages:
        print(f"\n{written} was not written: there is nothing to train.")
    elif written is not None:
        why = [text for one in found.conclusions for text in (one.advice, f"  because {one.reason}")]
        advice.write_recipe(advised, written, why)
        print(f"\nrecipe: tfxfer train --config={written} --workdir=runs/advised")
    if page is not None:
        shown.save_page(page, overwrite=overwrite)
        print(f"\npage: {page}")
    return 0


def _advice(values: Values, recipe: Recipe):
    """Returns advice for one backbone."""
    from tfxfer import advice

    if "scores" in values.given:
        raise ConfigError("--scores are columns of a ranking. Name backbones, too: --backbones=present.")
    quiet.load_tensorflow(recipe.running)
    return advice.advise(recipe, show=_show)


def _ranking(values: Values, recipe: Recipe):
    """Returns several backbones, ranked."""
    from tfxfer import advice

    if "backbone" in values.given:
        raise ConfigError("--backbone and --backbones exclude each other: write one of them.")
    text = values.given["backbones"]
    handles = text if text == "present" else _split(text)
    scores = _split(values.given.get("scores", ""))
    advice.check_ranking(recipe, handles, scores)
    quiet.load_tensorflow(recipe.running)
    return advice.rank(recipe, backbones=handles, scores=scores, show=_show)


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _show(line: str) -> None:
    print(f"… {line}", flush=True)


COMMAND = Command(
    usage="--data=SOURCE [--backbones=HANDLES | --budget=S] [--write=FILE.py] [flags], or --config=FILE.py …",
    own_flags={
        "write": ("FILE.py", "also write the advised recipe there, which train takes as --config"),
        "html": ("FILE.html", "also write everything as one page with drawings, of every depth and more"),
        "overwrite": ("true|false", "whether a page that is there is replaced; a recipe never is"),
        "backbones": (
            "HANDLES",
            "rank these, split by commas; present: all whose pretrained weights are on this machine",
        ),
        "scores": ("NAMES", "further columns of a ranking, split by commas: logme, hscore, leep, nce"),
    },
    action=_advise,
    example="tfxfer advise --data=folder:photos --write=advised.py",
    takes_recipe=True,
)

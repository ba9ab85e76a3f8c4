"""`tfxfer advise`."""

import pathlib

from tfxfer import checks, files
from tfxfer.cli import quiet
from tfxfer.cli.command import Command, Values


def _advise(values: Values) -> int:
    recipe = values.recipe()
    checks.check_recipe(recipe)
    checks.check_alone(recipe.running)
    checks.check_environment()
    from tfxfer import advice

    written = pathlib.Path(values.given["write"]) if "write" in values.given else None
    if written is not None:
        advice.check_new(written)
    page, overwrite = values.given.get("html"), values.is_on("overwrite")
    if page is not None:
        files.check_page(page, overwrite=overwrite)
    quiet.load_tensorflow(recipe.running)
    found = advice.advise(recipe, show=lambda line: print(f"… {line}", flush=True))
    print(f"\n{found}")
    if written is not None and not found.stages:
        print(f"\n{written} was not written: there is nothing to train.")
    elif written is not None:
        why = [text for one in found.conclusions for text in (one.advice, f"  because {one.reason}")]
        advice.write_recipe(advice.advised(recipe, found), written, why)
        print(f"\nrecipe: tfxfer train --config={written} --workdir=runs/advised")
    if page is not None:
        found.save_page(page, overwrite=overwrite)
        print(f"\npage: {page}")
    return 0


COMMAND = Command(
    usage="--data=SOURCE [--budget=SECONDS] [--write=FILE.py] [--html=FILE.html] [flags], or --config=FILE.py …",
    own_flags={
        "write": ("FILE.py", "also write the advised recipe there, which train takes as --config"),
        "html": ("FILE.html", "also write everything as one page with drawings, of every depth and more"),
        "overwrite": ("true|false", "whether a page that is there is replaced; a recipe never is"),
    },
    action=_advise,
    example="tfxfer advise --data=folder:photos --write=advised.py",
    takes_recipe=True,
)

"""Finds out, before anything is loaded, whether folders that are named can be what they are to be: runs and bundles."""

import dataclasses
import pathlib

from tfxfer import augmentation, files, recipes, values
from tfxfer.errors import BundleError, WorkdirError

# Its presence makes a folder a run of tfxfer.
RECIPE = "recipe.json"
# In a run, and in it where unreadable images are listed.
REPORT, BAD_IMAGES = "report", "bad_images.csv"


def check_workdir(workdir: pathlib.Path, recipe: recipes.Recipe) -> None:
    """Finds out, before anything else is done, whether `workdir` can be this recipe's.

    Raises:
        WorkdirError: it belongs to another recipe (the message has the differences), holds something else, cannot be
            written, or has or lacks a run against `running.resume`.
    """
    written, resume = workdir / RECIPE, recipe.running.resume
    if resume == "must" and not written.exists():
        raise WorkdirError(f"{workdir} has no run that could go on. Check --workdir, or write --resume=auto.")
    if resume == "never" and written.exists():
        raise WorkdirError(f"{workdir} has a run already. Choose another --workdir, or write --resume=auto.")
    if written.exists():
        kept = values.from_json(recipes.Recipe, augmentation.of_now(files.read_json(written)))
        # Where activations are kept, on which devices, and what is exported changes nothing that is learned; nor do
        # the seconds of a race, which was run, or is still to come.
        budget = recipe.budget if kept.budget and recipe.budget else kept.budget
        kept = dataclasses.replace(
            kept, cache=recipe.cache, running=recipe.running, export=recipe.export, budget=budget
        )
        if kept != recipe:
            changes = "\n".join(f"  {line}" for line in recipes.differences(kept, recipe))
            raise WorkdirError(
                f"{workdir} belongs to another recipe; there → here:\n{changes}\nChoose another --workdir, or remove "
                "this one."
            )
    elif workdir.exists() and (not workdir.is_dir() or not _is_unused(workdir)):
        raise WorkdirError(f"{workdir} exists and is no run of tfxfer. Choose another --workdir.")
    files.check_writable(workdir)


def _is_unused(workdir: pathlib.Path) -> bool:
    """Whether there is nothing but what comes before a run: decoded pictures, measurements, a list of bad images."""
    names = {path.name for path in workdir.iterdir()} - {"cache"}
    return not names or (
        names == {REPORT}
        and (workdir / REPORT).is_dir()
        and {path.name for path in (workdir / REPORT).iterdir()} <= {BAD_IMAGES}
    )


def is_finished(workdir: pathlib.Path) -> bool:
    """Whether a run has its bundle, so that it needs nothing more."""
    return (workdir / "bundle" / "bundle.json").exists()


def check_bundle(folder: pathlib.Path) -> None:
    """Refuses a folder that is no bundle; whether it is whole, `export.open_bundle` finds out.

    Raises:
        BundleError: says which folder is one, where a run is named.
    """
    if not (folder / "bundle.json").is_file():
        inner = f" Did you mean {folder / 'bundle'}?" if is_finished(folder) else ""
        raise BundleError(
            f"{folder} is no bundle: it has no bundle.json. A bundle is the folder `bundle` that tfxfer train "
            f"writes.{inner}"
        )


def check_target(target: pathlib.Path, *, overwrite: bool) -> None:
    """Finds out whether a bundle may be written there.

    Raises:
        WorkdirError: there is one and it is not to be replaced, or there is something else.
    """
    if target.exists() and not overwrite:
        raise WorkdirError(f"{target} exists and is not overwritten. Write --output=DIR, or --overwrite to replace it.")
    if target.exists() and not (target / "bundle.json").is_file():
        raise WorkdirError(f"{target} is no bundle, and only a bundle is replaced. Choose another --output.")
    files.check_writable(target.resolve().parent)

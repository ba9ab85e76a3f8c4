"""Names every mistake in a recipe that can be seen without its data, its backbone or TensorFlow."""

import json
import os
import pathlib

from tfxfer import backbones, clusters, data, devices, folders, formats, plans, recipes
from tfxfer.errors import ConfigError
from tfxfer.tasks import Kind


def check_recipe(recipe: recipes.Recipe) -> None:
    """Refuses a recipe that cannot work. (Its own constructor has checked types and ranges.)

    Raises:
        ConfigError: an unknown kind of data source, a format whose packages are missing, an unknown source or name of
            the backbone, an image size below what it needs, a malformed TF_CONFIG, or a strategy that does not go with
            devices or workers.
    """
    check_all_but_backbone(recipe)
    card = backbones.card(recipe.backbone.handle)
    backbones.check_takes_pictures(card)
    if recipe.image_size != "auto":
        backbones.check_size(card, recipe.image_size)


def check_all_but_backbone(recipe: recipes.Recipe) -> None:
    """Refuses likewise what is wrong with a recipe whose backbone is open.

    Raises:
        ConfigError: as above.
    """
    data.check_source(recipe.data.source)
    formats.check_installed(recipe.export.optional_formats)
    check_accuracy(recipe.export, recipe.data.kind)
    plans.check_kind(recipe, recipe.data.kind)
    running = recipe.running
    devices.check_strategy(running.strategy, devices.parse_devices(running.devices), _cluster_of(running))
    if recipe.budget is not None:
        check_alone(running)


def check_data(asked: recipes.Data) -> None:
    """Refuses data that is not there, or a table without the columns.

    Raises:
        DataError: says what is missing.
    """
    data.check_there(asked)


def check_run(recipe: recipes.Recipe, workdir: pathlib.Path) -> None:
    """Refuses a folder that cannot be this recipe's, and, where there is something to train, data that is not there.

    Of several workers the first one alone looks at the folder, which may be another one on other machines.

    Raises:
        WorkdirError: see `folders.check_workdir`.
        DataError: see `check_data`.
    """
    if not folders.is_finished(workdir):
        check_data(recipe.data)
    if _cluster_of(recipe.running) is None:
        folders.check_workdir(workdir, recipe)


def check_accuracy(export: recipes.Export, kind: Kind) -> None:
    """Refuses to hold a network to an accuracy that its task does not have.

    Raises:
        ConfigError: examples are not of one class.
    """
    if export.assert_accuracy_at_least and kind not in ("single_label", "ordinal"):
        raise ConfigError(
            f"assert_accuracy_at_least={export.assert_accuracy_at_least:g} is of tasks in which an example is of one "
            f"class, and task={kind} has no accuracy. Leave it out, and look at what the report measures."
        )


def check_alone(running: recipes.Running) -> None:
    """Refuses workers where one process does all there is to do.

    Raises:
        ConfigError: there are several.
    """
    if _cluster_of(running) is not None:
        raise ConfigError("this is done by one process. Leave --workers out, and unset the variable TF_CONFIG.")


def _cluster_of(running: recipes.Running) -> clusters.Cluster | None:
    return clusters.find_cluster(running.workers, running.task_index, os.environ.get("TF_CONFIG"))


def check_environment() -> None:
    """Refuses an environment in which Keras would load another backend or Keras 2, before Keras is loaded.

    Raises:
        ConfigError: with the variable, or the file, and what to set.
    """
    home = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        configured = json.loads(home.read_text(encoding="utf-8")).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        configured = "tensorflow"  # Keras, too, goes on without a file that it cannot read
    variable = os.environ.get("KERAS_BACKEND")
    backend = variable or configured
    if backend != "tensorflow":
        place = "the variable KERAS_BACKEND" if variable else home
        raise ConfigError(
            f"tfxfer needs Keras on TensorFlow, but {place} says {backend!r}: set KERAS_BACKEND=tensorflow."
        )
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        raise ConfigError("tfxfer needs Keras 3, but TF_USE_LEGACY_KERAS asks for Keras 2; unset it.")

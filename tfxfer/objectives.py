"""Which loss and which metrics may be asked for in a task, as names, or as what a program made, written as JSON.

Pure; `training.losses` and `training.metrics` make them. A name is told of in messages as it is typed.
"""

import dataclasses
import json
import re
import sys
import types
from typing import Any, Literal

from tfxfer import values
from tfxfer.errors import ConfigError, suggest
from tfxfer.tasks import KINDS, Kind, Task

_STANDARDISED = "of standardised targets, summed over them"
_LABELS = "of each label, summed over them"
# Of each task the losses and what they are, the first being what "auto" means.
LOSSES: dict[Kind, dict[str, str]] = {
    "single_label": {
        "categorical_crossentropy": "cross-entropy of the softmax",
        "binary_crossentropy": "binary cross-entropy of each class, summed over them (Wightman et al. 2021); how sure "
        "the answers say they are, by the softmax, is not what it made small",
        "binary_focal_crossentropy": "that with a gamma of 2 (Lin et al. 2017)",
        "categorical_hinge": "hinge loss: the right logit is to be 1 above the largest other one",
    },
    "multi_label": {
        "binary_crossentropy": f"binary cross-entropy {_LABELS}",
        "binary_focal_crossentropy": f"focal loss {_LABELS}, with a gamma of 2 (Lin et al. 2017)",
    },
    "regression": {
        "huber": f"Huber's loss {_STANDARDISED}",
        "mse": f"squared error {_STANDARDISED}",
        "mae": f"absolute error {_STANDARDISED}",
        "log_cosh": f"log of cosh of the error {_STANDARDISED}",
    },
    "ordinal": {
        "ordinal_crossentropy": "cross-entropy of the ordered classes",
        "earth_mover": "squared earth mover's distance between shares of the ordered classes (Hou et al. 2016)",
    },
}
# Which of them take labels that are spread over classes, or towards a half.
SMOOTHED = ("categorical_crossentropy", "binary_crossentropy", "binary_focal_crossentropy", "ordinal_crossentropy")
# Of each task the metrics that are always there, and those that may be asked for besides.
OWN: dict[Kind, str] = {"single_label": "accuracy", "multi_label": "f1", "regression": "mae", "ordinal": "accuracy"}
METRICS: dict[Kind, tuple[str, ...]] = {
    "single_label": ("top_3_accuracy", "top_5_accuracy", "auc", "macro_f1", "cross_entropy"),
    "multi_label": ("auc", "average_precision", "macro_f1", "precision", "recall", "binary_accuracy"),
    "regression": ("rmse", "mse", "r2"),
    "ordinal": ("rank_error", "within_one", "cross_entropy"),
}
# Those that lie between 0 and 1 and are shown as percentages; of others nobody knows.
SHARES = tuple({*METRICS["single_label"], *METRICS["multi_label"], "within_one"} - {"cross_entropy"})
# Functions of Keras that take probabilities unless they are told otherwise, which none can be in a recipe, and the
# classes that can.
_CLASSES = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "sparse_categorical_crossentropy": "CategoricalCrossentropy",
}
# Losses of Keras that take nothing but probabilities: the logarithm of a logit is none where it is below 0, and areas
# that overlap are of shares.
_OF_PROBABILITIES = ("kl_divergence", "poisson", "dice", "tversky", "mean_squared_logarithmic_error")
# Other words for the same, most of them Keras's.
_ALIASES = {
    "crossentropy": "categorical_crossentropy",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "logcosh": "log_cosh",
    "root_mean_squared_error": "rmse",
    "r2_score": "r2",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """A loss or a metric of a program, as Keras writes it; `written` makes it.

    Attributes:
        name: of its class or function, for messages and the plan.
        config: JSON of `keras.saving.serialize_keras_object`.
    """

    name: str = ""
    config: str = ""

    def __post_init__(self):
        """Refuses what nothing can be made of."""
        problems = values.check_fields(self)
        if not problems and not (self.name and isinstance(_parsed(self.config), dict)):
            problems.append("a loss or metric of your own is handed over from Python: Recipe(loss=MyLoss(…))")
        values.refuse(self, problems)

    @property
    def settings(self) -> dict[str, Any]:
        """What its `get_config` gave; nothing for a function."""
        inner = _parsed(self.config).get("config")
        return inner if isinstance(inner, dict) else {}


Loss = str | Written
Metric = str | Written


def written(given: Any, what: Literal["loss", "metric"]) -> Any:
    """Returns a loss or a metric of Keras, or a function of labels and outputs, as a value; anything else as it is.

    Raises:
        ConfigError: it cannot be made again from what Keras writes of it.
    """
    keras = sys.modules.get("keras")  # whoever made one has loaded it
    if keras is None or isinstance(given, (str, Written)):
        return given
    kinds = (keras.losses.Loss if what == "loss" else keras.metrics.Metric, types.FunctionType)
    if not isinstance(given, kinds):
        return given
    name = getattr(given, "__name__", type(given).__name__)
    registered = f"Decorate it with @keras.saving.register_keras_serializable(), so that the {what} can be made again."
    if name == "<lambda>":
        raise ConfigError(f"{what} is a lambda, which has no name. Write a function with def. {registered}")
    try:
        text = json.dumps(_numbered_by_nobody(keras.saving.serialize_keras_object(given)), sort_keys=True)
        again = keras.saving.deserialize_keras_object(json.loads(text))
    except Exception as error:  # whatever a program raises
        raise ConfigError(f"{what} {name} cannot be written down: {_first_line(error)}. {registered}") from error
    lost = [key for key, value in _plain(given).items() if _plain(again).get(key, value) != value]
    if lost:
        raise ConfigError(
            f"{what} {name} loses {', '.join(lost)} when it is made again. Return it from get_config(), which "
            "__init__ is called with."
        )
    return Written(name=name, config=text)


def meant(loss: Loss, kind: Kind) -> Loss:
    """Returns a loss that fits by its first name, "" where it is the task's own."""
    name = _ALIASES.get(loss, loss) if isinstance(loss, str) else loss
    return "" if name in ("", "auto", own(kind)) else name


def own(kind: Kind) -> str:
    """Returns the name of the loss that a task has where nothing else is asked for."""
    return next(iter(LOSSES[kind]))


def smooths(loss: Loss, kind: Kind) -> bool:
    """Whether a loss that fits takes labels that are spread over classes, or towards a half."""
    return (meant(loss, kind) or own(kind)) in SMOOTHED


def others(metrics: tuple[Metric, ...], kind: Kind) -> tuple[Metric, ...]:
    """Returns metrics that fit by their first names, without the one that a task always has."""
    named = [_ALIASES.get(one, one) if isinstance(one, str) else one for one in metrics]
    return tuple(one for one in named if one != OWN[kind])


def in_words(loss: Loss, kind: Kind) -> str:
    """Returns what a loss is."""
    if isinstance(loss, Written):
        return f"{loss.name}, of your own program"
    return LOSSES[kind][loss or own(kind)]


def called(one: Loss | Metric) -> str:
    """Returns what a loss or a metric is called."""
    return one.name if isinstance(one, Written) else one


def logged(metric: Metric) -> str:
    """Returns what a metric that fits is called in what `fit` logs."""
    return str(metric.settings.get("name") or metric.name) if isinstance(metric, Written) else metric


def shown(metric: Metric, task: Task) -> str:
    """Returns what a metric is called where its number stands: that of several numbers is of their deviations."""
    units = {"rmse": " in deviations", "mse": " in squared deviations"} if len(task.deviations) > 1 else {}
    return logged(metric) + (units.get(metric, "") if isinstance(metric, str) else "")


def of_keras(made: Written) -> str:
    """Returns the name of a function of Keras, or of the one behind its class; "" for what a program registered."""
    inner = _parsed(made.config)
    if inner.get("class_name") == "function":
        return "" if ">" in str(inner.get("config")) else made.name
    is_theirs = str(inner.get("module")).startswith("keras") and not inner.get("registered_name")
    return _snake(made.name) if is_theirs else ""


def problems(loss: Loss, metrics: tuple[Metric, ...], kind: Kind) -> list[str]:
    """Returns a sentence for each of a loss and some metrics that does not fit a task."""
    found = []
    if isinstance(loss, Written):
        found += _wrong_loss(loss, kind)
    elif loss == "" or meant(loss, kind) not in ("", *LOSSES[kind]):
        found.append(_no_name("loss", loss, kind, ("auto", *LOSSES[kind]), LOSSES))
    every = {task: (OWN[task], *METRICS[task]) for task in KINDS}
    for one in metrics:
        if isinstance(one, Written):
            found += _wrong_metric(one)
        elif _ALIASES.get(one, one) not in every[kind]:
            found.append(_no_name("metrics", one, kind, every[kind], every))
    names = [called(one) for one in others(metrics, kind)]
    found += [f"metrics names {name} twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    return found


def _no_name(field: str, given: str, kind: Kind, fitting: tuple[str, ...], table: dict) -> str:
    belongs = [other for other in KINDS if _ALIASES.get(given, given) in table[other]]
    nothing = f"is no name of a {'loss' if field == 'loss' else 'metric'}"
    why = f"is of task={' and '.join(belongs)}" if belongs else nothing
    near = "" if belongs else suggest(given, fitting)
    return (
        f"{field}={given!r} {why}, and the task is {kind}. Write one of {', '.join(fitting)}; or hand over one of "
        f"Keras, or your own, in Python{f'.{near}' if near else ''}"
    )


def _wrong_loss(loss: Written, kind: Kind) -> list[str]:
    name, settings = loss.name, loss.settings
    found = []
    if name.startswith("Sparse"):
        found.append(f"loss {name} takes numbers of classes, and labels are shares of them; write {name[6:]}(…)")
    if of_keras(loss) == "categorical_generalized_cross_entropy":
        found.append(f"loss {name} takes numbers of classes, and labels are shares of them; write one of your own")
    instead = _for_logits(loss, kind) if kind != "regression" else ""
    if instead:
        found.append(f"loss {name} takes probabilities, and a network gives logits; write {instead}")
    if settings.get("reduction", "sum_over_batch_size") != "sum_over_batch_size":
        found.append(
            f"loss {name} has reduction={settings['reduction']!r}, and each example is to count alike; leave it out"
        )
    return found


def _for_logits(loss: Written, kind: Kind) -> str:
    """Returns what to write instead of a loss of probabilities; "" where logits may go into it."""
    if loss.settings.get("from_logits") is False:
        return f"{loss.name}(from_logits=True)"
    theirs = of_keras(loss)
    if theirs in _CLASSES and loss.name == theirs:
        return f"keras.losses.{_CLASSES[theirs]}(from_logits=True)"
    if theirs in _OF_PROBABILITIES:
        ways = {"single_label": "keras.ops.softmax(y_pred)", "multi_label": "keras.ops.sigmoid(y_pred)"}
        return f"a function of your own that calls it with {ways.get(kind, 'probabilities made of y_pred')}"
    return ""


def _wrong_metric(metric: Written) -> list[str]:
    found = []
    if metric.name.startswith("Sparse"):
        found.append(
            f"metric {metric.name} takes numbers of classes, and labels are shares; write {metric.name[6:]}(…)"
        )
    if metric.settings.get("from_logits") is True:
        found.append(f"metric {metric.name} takes logits, and metrics are given probabilities; leave from_logits out")
    return found


def _numbered_by_nobody(written: dict[str, Any]) -> dict[str, Any]:
    """Returns what Keras writes without the number behind a name that it made up, which counts the objects until now.

    So that the same recipe, made twice in one process, is the same.
    """
    inner, simple = written["config"], _snake(written["class_name"])
    if isinstance(inner, dict) and re.fullmatch(rf"{re.escape(simple)}_\d+", str(inner.get("name"))):
        return {**written, "config": {**inner, "name": simple}}
    return written


def _snake(name: str) -> str:
    """Returns what Keras makes of the name of a class (`keras.src.utils.naming.to_snake_case`)."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))).lower()


def _plain(thing: Any) -> dict[str, Any]:
    """Returns attributes that hold a number, a text or a truth, for a comparison; the name is none of the settings."""
    own = vars(thing) if hasattr(thing, "__dict__") else {}
    return {key: value for key, value in own.items() if key != "name" and isinstance(value, (bool, int, float, str))}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")

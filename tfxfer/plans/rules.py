"""The rules behind "auto": pure functions of the facts, each with its reason in words and its source."""

import math
from collections.abc import Iterable

from tfxfer import recipes
from tfxfer.errors import ConfigError
from tfxfer.facts import BackboneCard, BackboneFacts, DataFacts, MachineFacts
from tfxfer.tasks import Task

# BiT-HyperRule (big_transfer/bit_hyperrule.py): pictures of less than 96² pixels are seen at 128.
SMALL_PICTURE_AREA = 96 * 96
SMALL_PICTURE_SIZE = 128
# The usual limits for batch norm: shorter runs and smaller batches do not move its statistics far enough.
FEWEST_STEPS_FOR_STATISTICS = 2000
SMALLEST_BATCH_FOR_STATISTICS = 32

# Peak rates of SGD for each example of a batch.
GROUP_RATE = 0.03 / 32
HEAD_RATE = 0.01 / 32
# Peak rates of Adam for a batch of 32.
ADAM_HEAD_RATE = 1e-3
ADAM_GROUP_RATE = 1e-4

# What examples are counted by, where that is no class.
_EACH = {"multi_label": "label", "regression": "target"}

# Last words of the names that biases go by: of Keras's layers and norms, and of other programs whose weights are read.
_BIASES = ("bias", "biases", "beta", "offset", "b")


def choose_preset(data: DataFacts, card: BackboneCard) -> tuple[str, str]:
    """Returns the preset for these examples, and why.

    The textbook's four cases with thresholds in examples per class: below 10 a head is all that can be
    learned; from there the later groups learn too (a prior, not a measurement). Everything
    trains on request only: a step then costs about twice as much, and nothing can be computed once.
    """
    if not card.trainable:
        return "feature_extraction", f"{card.handle} cannot train, only a head on its features"
    per_class, each = sum(data.train_counts) / len(data.class_names), _EACH.get(data.task.kind, "class")
    if per_class < 10:
        return (
            "feature_extraction",
            f"{per_class:.0f} training examples a {each} are too few to move the backbone",
        )
    return "partial", f"{per_class:.0f} training examples a {each} are enough for the later groups"


def check_task(stages: Iterable[recipes.Stage], task: Task) -> None:
    """Checks that no stage asks for what means nothing in a task.

    Raises:
        ConfigError: names the first that does, and what to write.
    """
    for number, stage in enumerate(stages, start=1):
        if task.kind == "regression" and (stage.label_smoothing or stage.rescale_head):
            what = "label_smoothing" if stage.label_smoothing else "rescale_head"
            off = "0" if stage.label_smoothing else "false"
            raise ConfigError(
                f"stage {number} has {what}, which is of classes, and task=regression. Write {what}={off}."
            )
        if not task.has_classes and getattr(stage.unfreezing, "monitor", "") == "val_accuracy":
            raise ConfigError(
                f"stage {number} watches val_accuracy, and task={task.kind} has none. Write monitor=val_loss."
            )


def choose_image_size(recipe: recipes.Recipe, data: DataFacts, card: BackboneCard) -> tuple[int, str]:
    """Returns height and width in pixels for the network, and why."""
    if recipe.image_size != "auto":
        return recipe.image_size, "given"
    if data.height * data.width < SMALL_PICTURE_AREA:
        size = max(card.minimum_size, min(SMALL_PICTURE_SIZE, card.native_size))
        return size, f"the pictures have {data.width}×{data.height} pixels, below 96×96 (BiT-HyperRule)"
    return card.native_size, "the size that the backbone's weights were made for"


def check_batch_size(batch_size: int, machine: MachineFacts) -> None:
    """Checks that each device gets an example of each batch.

    Raises:
        ConfigError: there are more devices than examples.
    """
    count = len(machine.devices)
    if batch_size < count:
        raise ConfigError(
            f"batch_size={batch_size} is for all devices together, and they are {count}: {', '.join(machine.devices)}. "
            f"Write --batch_size={count} or more, or name fewer devices or workers."
        )


def choose_determinism(running: recipes.Running, machine: MachineFacts) -> tuple[bool, str]:
    """Returns whether ops are to sum in the same order each time, and why.

    Raises:
        ConfigError: they do already, and are not to.
    """
    if machine.is_deterministic and (running.deterministic is False or running.jit_compile is True):
        asked = "jit_compile=true" if running.jit_compile is True else "deterministic=false"
        raise ConfigError(
            f"{asked}, and an earlier run of this process made TensorFlow's ops deterministic, which it does not take "
            "back. Begin a new process, or leave that out."
        )
    if running.deterministic != "auto":
        return running.deterministic, "given"
    if running.jit_compile is True:
        return False, "XLA is asked for, and TensorFlow has one of both"
    if machine.kind == "cpu":
        return True, "on a CPU that costs nothing"
    if machine.is_deterministic:
        return True, "an earlier run of this process made them so"
    return False, "on a GPU they are slower, and some are not there"


def choose_compilation(
    running: recipes.Running, machine: MachineFacts, backbone: BackboneFacts, *, deterministic: bool
) -> tuple[bool, str]:
    """Returns whether XLA compiles the steps, and why.

    On two cores EfficientNet-Lite0 trained ten times slower with it. Keras has the rules for layers, several devices
    and determinism, too.

    Raises:
        ConfigError: it is asked for, and a layer cannot be compiled, or several devices train.
    """
    refused = ", ".join(backbone.not_compilable)
    if running.jit_compile is True and refused:
        raise ConfigError(
            f"jit_compile=true, and XLA cannot compile {refused} of {backbone.card.handle}. Write --jit_compile=false."
        )
    if running.jit_compile is True and len(machine.devices) > 1:
        raise ConfigError("jit_compile=true, and several devices share the work. Write --jit_compile=false.")
    if running.jit_compile != "auto":
        return running.jit_compile, "given"
    if machine.kind == "cpu":
        return False, "on a CPU XLA trains slower"
    if len(machine.devices) > 1:
        return False, "several devices share the work"
    if deterministic:
        return False, "ops are deterministic"
    if refused:
        return False, f"XLA cannot compile {refused}"
    return True, "one GPU trains, and every layer can be compiled"


def choose_batch_norm(stage: recipes.Stage, steps: int, batch_size: int, weights: str) -> tuple[str, str]:
    """Returns the batch-norm mode of a stage, and why."""
    if stage.batch_norm != "auto":
        return stage.batch_norm, "given"
    if weights == "random":
        return "train", "random weights have no statistics worth keeping"
    if steps < FEWEST_STEPS_FOR_STATISTICS:
        return (
            "frozen",
            f"{steps} steps are too few for new statistics (fewer than {FEWEST_STEPS_FOR_STATISTICS})",
        )
    if batch_size < SMALLEST_BATCH_FOR_STATISTICS:
        return "frozen", f"batches of {batch_size} are too small for new statistics"
    return "train", f"{steps} steps of {batch_size} examples are enough for new statistics"


def choose_refresh(stage: recipes.Stage, batch_norm: str, *, statistics: int) -> bool:
    """Returns whether statistics of batch norm are measured anew after a stage.

    A moving average lags behind the weights ("precise batch norm": Wu & Johnson 2021, "Rethinking 'Batch' in
    BatchNorm", 3). Where statistics stand still they are to stay, and where there are none nothing is measured.

    Args:
        stage: what was asked.
        batch_norm: what was decided for it.
        statistics: how many moving means and variances are in what it trains.

    Raises:
        ConfigError: asked for where no statistics move.
    """
    moving = batch_norm == "train" and statistics > 0
    if stage.refresh_statistics is True and not moving:
        why = f"batch norm is {batch_norm} in it" if batch_norm != "train" else "what it trains has no batch norm"
        raise ConfigError(
            f"refresh_statistics=true in a stage that trains {stage.train}, but {why}, so that no statistics move. "
            "Write refresh_statistics=auto, or batch_norm=train where there is batch norm."
        )
    return moving if stage.refresh_statistics == "auto" else stage.refresh_statistics


def choose_learning_rate(stage: recipes.Stage, batch_size: int) -> float:
    """Returns the head's peak rate: given, or by the optimizer and the batch size.

    For SGD with momentum 0.9, in proportion to the batch. Measured on drawings (12 classes, 381 to train on, clip norm
    1.0, batches of 32, three splits): 0.03 for a stage that trains groups too (0.05 with a tenth of it for the groups,
    and without label smoothing, lost 4 points), 0.01 for a head alone (0.05 lost 3 points: it had learned the training
    examples by heart).

    For Adam, with the square root of the batch, as timm scales all optimizers that divide by the size of gradients:
    0.001 for the head (Keras's guide, fastai's `Learner`), but no more than brings the groups to 0.0001 (AutoGluon's
    default; HF and ConvNeXt fine-tune with half of it). Measured for a head alone on the same drawings at 96 pixels:
    0.0003, 0.001 and 0.003 are no different from each other and from SGD (57.6, 58.5, 57.6 and 57.4 %, mean of three
    splits).

    The groups' rate under a head's of 0.001, measured with half of the groups training in EfficientNet-Lite0: on digits
    (32 pixels, 3,500 examples, three epochs, mean of three splits) 0.00001, 0.0001, 0.0003 and 0.001 bring 88.4, 95.3,
    96.6 and 96.9 %; on one split of the drawings (96 pixels, ten epochs, 146 to test on) 56.8, 61.0, 61.0 and 54.1 %.
    So 0.0001 is careful: a point and a half is left lying where pictures are many and little like the source's, in runs
    as short as that, and head_to_body=3 with learning_rate=0.001 takes it up; where they are few, more does harm.
    """
    if stage.learning_rate != "auto":
        return float(stage.learning_rate)
    head_alone = stage.trains_head_alone
    if isinstance(stage.optimizer, recipes.Adam):
        faster = stage.head_to_body * stage.group_factor  # the head than the group right below it
        rate = ADAM_HEAD_RATE if head_alone else min(ADAM_HEAD_RATE, ADAM_GROUP_RATE * faster)
        return rate * math.sqrt(batch_size / 32)
    return (HEAD_RATE if head_alone else GROUP_RATE) * batch_size


def is_called_bias(name: str) -> bool:
    """Returns whether a variable of this name, such as `conv1_bias`, is a bias if it is no kernel by its shape."""
    return name.split("_")[-1] in _BIASES


def check_bias_rate(stage: recipes.Stage, names: Iterable[str]) -> None:
    """Checks that biases that are to have a rate of their own are among the variables that train, by their names.

    Raises:
        ConfigError: none is.
    """
    if stage.bias_rate != 1 and not any(map(is_called_bias, names)):
        raise ConfigError(
            f"bias_rate={stage.bias_rate:g} in a stage in which no variable that trains is called a bias "
            f"({', '.join(_BIASES)}). Write bias_rate=1."
        )

"""The rules behind "auto": pure functions of the facts, each with its reason in words and its source."""

from tfxfer import recipes
from tfxfer.facts import BackboneCard, DataFacts

# BiT-HyperRule (big_transfer/bit_hyperrule.py): pictures of less than 96² pixels are seen at 128.
SMALL_PICTURE_AREA = 96 * 96
SMALL_PICTURE_SIZE = 128
# The usual limits for batch norm: shorter runs and smaller batches do not move its statistics far enough.
FEWEST_STEPS_FOR_STATISTICS = 2000
SMALLEST_BATCH_FOR_STATISTICS = 32

# Peak rates for each example of a batch.
GROUP_RATE = 0.03 / 32
HEAD_RATE = 0.01 / 32


def choose_preset(data: DataFacts, card: BackboneCard) -> tuple[str, str]:
    """Returns the preset for these examples, and why.

    The textbook's four cases with thresholds in examples per class: below 10 a head is all that can be
    learned; from there the later groups learn too (a prior, not a measurement). Everything
    trains on request only: a step then costs about twice as much, and nothing can be computed once.
    """
    if not card.trainable:
        return "feature_extraction", f"{card.handle} cannot train, only a head on its features"
    per_class = data.train_examples / len(data.class_names)
    if per_class < 10:
        return (
            "feature_extraction",
            f"{per_class:.0f} training examples a class are too few to move the backbone",
        )
    return "partial", f"{per_class:.0f} training examples a class are enough for the later groups"


def choose_image_size(recipe: recipes.Recipe, data: DataFacts, card: BackboneCard) -> tuple[int, str]:
    """Returns height and width in pixels for the network, and why."""
    if recipe.image_size != "auto":
        return recipe.image_size, "given"
    if data.height * data.width < SMALL_PICTURE_AREA:
        size = max(card.minimum_size, min(SMALL_PICTURE_SIZE, card.native_size))
        return size, f"the pictures have {data.width}×{data.height} pixels, below 96×96 (BiT-HyperRule)"
    return card.native_size, "the size that the backbone's weights were made for"


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


def choose_learning_rate(stage: recipes.Stage, batch_size: int) -> float:
    """Returns the head's peak rate: given, or in proportion to the batch size, for SGD with momentum 0.9.

    Measured on drawings (12 classes, 381 to train on, clip norm 1.0, batches of 32, three splits): 0.03 for a
    stage that trains groups too (0.05 with a tenth of it for the groups, and without label smoothing, lost 4
    points), 0.01 for a head alone (0.05 lost 3 points: it had learned the training examples by heart).
    """
    if stage.learning_rate != "auto":
        return float(stage.learning_rate)
    return (HEAD_RATE if stage.train == "head" else GROUP_RATE) * batch_size

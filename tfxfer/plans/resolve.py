"""Makes a plan from a recipe and the facts: pure, so that it can be printed and tested before anything trains."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from tfxfer import blocks, presets, recipes
from tfxfer.errors import ConfigError, suggest
from tfxfer.facts import BackboneCard, BackboneFacts, DataFacts, GroupFacts, MachineFacts
from tfxfer.heads import MLP, Cosine, Head
from tfxfer.plans import rules
from tfxfer.plans.plan import How, Plan, StagePlan, What

_FLOAT_BYTES = 4
# A slower group would not move within a run.
_RATE_FLOOR = 1e-3
# Decoded pictures may take this share of main memory before they go to disk, and activations before they are
# computed anew in each epoch.
_MEMORY_SHARE = 0.25
# So many names stand in the name of a stage that trains just these.
_NAMED = 3


def resolve(recipe: recipes.Recipe, data: DataFacts, backbone: BackboneFacts, machine: MachineFacts) -> Plan:
    """Returns the plan of `recipe` for these facts.

    Raises:
        ConfigError: a stage names a group that the backbone does not have, or more groups than it has.
    """
    preset, reasons = _stages(recipe, data, backbone.card)
    size, why = rules.choose_image_size(recipe, data, backbone.card)
    if recipe.image_size == "auto":
        reasons.append(f"image size {size}: {why}")
    head = recipe.head
    if head.outputs == "auto":
        head = dataclasses.replace(head, outputs=len(data.class_names))
    elif head.outputs != len(data.class_names):
        raise ConfigError(f"head.outputs={head.outputs}, but the data has {len(data.class_names)} classes.")
    stages = []
    for number, stage in enumerate(preset, start=1):
        planned, why = _resolve_stage(number, stage, recipe, data, backbone, head)
        stages.append(planned)
        if stage.batch_norm == "auto" and planned.trained:
            reasons.append(f"batch norm {planned.batch_norm} in stage {planned.name}: {why}")
    what = What(
        data=data.fingerprint,
        backbone=backbone.card.handle,
        weights_digest=backbone.weights_digest,
        image_size=backbone.image_size,
        resize=recipe.data.resize,
        class_names=data.class_names,
        head=head,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        stages=tuple(stages),
    )
    return Plan(what=what, how=_how(what, data, backbone, machine), reasons=tuple(dict.fromkeys(reasons)))


def head_weights(head: Head, feature_channels: int) -> tuple[int, int]:
    """Returns how many numbers, and in how many variables, a head with known outputs trains."""
    width = feature_channels * (2 if head.pooling == "both" else 1)
    if isinstance(head, Cosine):
        return width * head.outputs + int(head.learn_scale), 1 + int(head.learn_scale)
    hidden = head.hidden if isinstance(head, MLP) else ()
    kernels = sum(inputs * units for inputs, units in itertools.pairwise([width, *hidden, head.outputs]))
    # What each unit of a hidden layer has beside its kernel: a bias, or gamma and beta of batch norm.
    beside = 2 if isinstance(head, MLP) and head.batch_norm else 1
    return kernels + beside * sum(hidden) + head.outputs, (1 + beside) * len(hidden) + 2


def trained_groups(train: int | float | str | Sequence[str], groups: tuple[GroupFacts, ...]) -> tuple[str, ...]:
    """Returns the names of the groups that `Stage.train` means, input first.

    Raises:
        ConfigError: no such group, or more groups than there are.
    """
    names = [group.name for group in groups]
    if train == "head":
        return ()
    if train == "all":
        return tuple(names)
    if isinstance(train, float):
        count = max(1, round(train * len(names)))
        return tuple(names[-count:])
    if isinstance(train, int):
        if train > len(names):
            raise ConfigError(
                f"train={train} asks for more layer groups than the {len(names)} there are. "
                f"Write train=all, or at most train={len(names)}."
            )
        return tuple(names[-train:])
    share = recipes.percent(train)
    if share is not None:
        return tuple(names[-_count_by_weight(share, groups) :])
    if isinstance(train, str):
        return tuple(names[_positions(train, names, train)[0] :])
    wanted = {at for name in train if name != "head" for at in _positions(name, names, train)}
    return tuple(names[at] for at in sorted(wanted))


def _positions(name: str, names: list[str], train: str | Sequence[str]) -> range:
    found = blocks.named(names, name)
    if found is None:
        near = suggest(name, ["head", "all", *blocks.addressable(names)])
        said = "" if train == name else f"{name!r} in "
        raise ConfigError(
            f"{said}train={train!r} is no layer group.{near} Write head, all, a number of groups, a share such as "
            f"0.5, a share of the weights such as 30%, or one or more of: {', '.join(names)}."
        )
    return found


def _count_by_weight(share: float, groups: tuple[GroupFacts, ...]) -> int:
    """Returns how many groups, from the output down, have `share` of the weights, as nearly as whole ones make it.

    At least one trains and, where there are several, at least one does not.
    """
    sums = list(itertools.accumulate(group.parameters for group in reversed(groups)))
    return min(range(1, max(2, len(groups))), key=lambda count: abs(sums[count - 1] - share * sums[-1]))


def _stages(recipe: recipes.Recipe, data: DataFacts, card: BackboneCard) -> tuple[tuple[recipes.Stage, ...], list[str]]:
    if recipe.stages == "auto":
        name, why = rules.choose_preset(data, card)
        return presets.by_name(name), [f"stages {name}: {why}"]
    if isinstance(recipe.stages, str):
        return presets.by_name(recipe.stages), []
    return recipe.stages, []


def _resolve_stage(
    number: int,
    stage: recipes.Stage,
    recipe: recipes.Recipe,
    data: DataFacts,
    backbone: BackboneFacts,
    head: Head,
) -> tuple[StagePlan, str]:
    trained = trained_groups(stage.train, backbone.groups)
    if trained and not backbone.card.trainable:
        raise ConfigError(
            f"stage {number} trains {stage.train}, but {backbone.card.handle} cannot train, only a head on its "
            "features. Write --stages=feature_extraction."
        )
    steps_per_epoch = math.ceil(data.train_examples / recipe.batch_size)
    steps = stage.steps or stage.epochs * steps_per_epoch
    batch_norm, why = rules.choose_batch_norm(stage, steps, recipe.batch_size, recipe.weights)
    if stage.rescale_head and isinstance(head, Cosine) and not head.learn_scale:
        raise ConfigError(
            f"stage {number} has rescale_head, and the scale of this Cosine head is fixed. Write learn_scale=true in "
            "the head, or rescale_head=false in the stage."
        )
    groups = [group for group in backbone.groups if group.name in trained]
    weights, tensors = head_weights(head, backbone.feature_channels)
    for group in groups:
        held = batch_norm == "frozen"
        weights += group.parameters - (group.batch_norm_parameters if held else 0)
        tensors += group.tensors - (group.batch_norm_tensors if held else 0)
    planned = StagePlan(
        name=f"{number} {_train_text(stage.train)}",
        trained=trained,
        rates=_rates(stage, trained, backbone.groups),
        group_rates=stage.group_rates,
        batch_norm=batch_norm,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        optimizer=stage.optimizer,
        learning_rate=rules.choose_learning_rate(stage, recipe.batch_size),
        schedule=stage.schedule,
        warmup_steps=round(stage.warmup * steps),
        decay_steps=tuple(round(share * steps) for share in stage.decay_at),
        weight_decay=float(stage.weight_decay),
        clip_norm=float(stage.clip_norm or 0.0),
        label_smoothing=float(stage.label_smoothing),
        rescale_head=stage.rescale_head,
        trainable_weights=weights,
        trainable_tensors=tensors,
        slot_bytes=weights * _slots(stage.optimizer) * _FLOAT_BYTES,
    )
    return planned, why


def _train_text(train: int | float | str | Sequence[str]) -> str:
    """Returns `train` in the name of a stage."""
    if isinstance(train, (int, float, str)):
        return str(train)
    more = f" and {len(train) - _NAMED} more" if len(train) > _NAMED else ""
    return f"only {'+'.join(train[:_NAMED])}{more}"


def _slots(optimizer: recipes.Optimizer) -> int:
    """Returns how many numbers an optimizer keeps for each weight."""
    if isinstance(optimizer, recipes.Adam):
        return 2
    return 1 if optimizer.momentum else 0


def _rates(stage: recipes.Stage, trained: tuple[str, ...], groups: tuple[GroupFacts, ...]) -> tuple[float, ...]:
    """Returns each trained group's share of the head's rate.

    The share is max(floor, decay^(12·(1−depth)) · factor^−k) / head_to_body, with depth = index / number of groups, so
    that the head is at depth 1 and 0.8 means the same in every network (12: the layers of ViT-B, for which layer decay
    is quoted), and k the distance from the head, 1 for the group right below it. `optimizers.multipliers` makes the
    same numbers for a model, and a test compares both.
    """
    names = [group.name for group in groups]
    last = len(names)
    places = [names.index(name) for name in trained]
    decayed = [stage.layer_decay ** (12 * (1 - at / last)) * stage.group_factor ** (at - last) for at in places]
    return tuple(max(_RATE_FLOOR, share) / stage.head_to_body for share in decayed)


def _how(what: What, data: DataFacts, backbone: BackboneFacts, machine: MachineFacts) -> How:
    pixels = data.examples * what.image_size**2 * data.channels
    in_memory = pixels < _MEMORY_SHARE * machine.memory_bytes
    examples = data.train_examples + sum(data.validation_counts)
    cached = {}
    for stage in what.stages:
        size = examples * _cut_size(stage, what.head, backbone) * _FLOAT_BYTES
        if 0 < size < _MEMORY_SHARE * machine.memory_bytes:
            cached[stage.name] = size
    return How(
        devices=machine.devices,
        per_replica_batch=math.ceil(what.batch_size / len(machine.devices)),
        cached_stages=tuple(cached),
        cached_bytes=tuple(cached.values()),
        pixel_store="memory" if in_memory else "disk",
        pixel_bytes=pixels,
    )


def _cut_size(stage: StagePlan, head: Head, backbone: BackboneFacts) -> int:
    """Returns how many numbers a picture has at the stage's cut; 0 where the network cannot be cut."""
    if not stage.trained:
        return backbone.feature_channels * (2 if head.pooling == "both" else 1)
    first = [group.name for group in backbone.groups].index(stage.trained[0])
    return backbone.groups[first - 1].output_size if first else 0

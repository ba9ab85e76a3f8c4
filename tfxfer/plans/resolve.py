"""Makes a plan from a recipe and the facts: pure, so that it can be printed and tested before anything trains."""

import dataclasses
import itertools
import math

from tfxfer import blocks, presets, recipes
from tfxfer.errors import ConfigError, suggest
from tfxfer.facts import BackboneCard, BackboneFacts, DataFacts, GroupFacts, MachineFacts
from tfxfer.heads import MLP, Head
from tfxfer.plans import rules
from tfxfer.plans.plan import How, Plan, StagePlan, What

_FLOAT_BYTES = 4
# A slower group would not move within a run.
_RATE_FLOOR = 1e-3
# Decoded pictures may take this share of main memory before they go to disk, and activations before they are
# computed anew in each epoch.
_MEMORY_SHARE = 0.25


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
    widths = [width, *(head.hidden if isinstance(head, MLP) else ()), head.outputs]
    pairs = list(itertools.pairwise(widths))
    return sum(inputs * units + units for inputs, units in pairs), 2 * len(pairs)


def trained_groups(train: int | float | str, groups: tuple[GroupFacts, ...]) -> tuple[str, ...]:
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
    found = blocks.named(names, train)
    if found is None:
        near = suggest(train, ["head", "all", *blocks.addressable(names)])
        raise ConfigError(
            f"train={train!r} is no layer group.{near} Write head, all, a number of groups, a share such as "
            f"0.5, or one of: {', '.join(names)}."
        )
    return tuple(names[found[0] :])


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
    groups = [group for group in backbone.groups if group.name in trained]
    weights, tensors = head_weights(head, backbone.feature_channels)
    for group in groups:
        held = batch_norm == "frozen"
        weights += group.parameters - (group.batch_norm_parameters if held else 0)
        tensors += group.tensors - (group.batch_norm_tensors if held else 0)
    planned = StagePlan(
        name=f"{number} {stage.train}",
        trained=trained,
        rates=_rates(stage, trained, backbone.groups),
        batch_norm=batch_norm,
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        learning_rate=rules.choose_learning_rate(stage, recipe.batch_size),
        warmup_steps=round(stage.warmup * steps),
        weight_decay=float(stage.weight_decay),
        clip_norm=float(stage.clip_norm or 0.0),
        label_smoothing=float(stage.label_smoothing),
        trainable_weights=weights,
        trainable_tensors=tensors,
        slot_bytes=weights * _FLOAT_BYTES,
    )
    return planned, why


def _rates(stage: recipes.Stage, trained: tuple[str, ...], groups: tuple[GroupFacts, ...]) -> tuple[float, ...]:
    """Returns each trained group's share of the head's rate.

    The share is max(floor, decay^(12·(1−depth))) / head_to_body with depth = index / number of groups, so
    that the head is at depth 1 and 0.8 means the same in every network (12: the layers of ViT-B, for which
    layer decay is quoted).
    """
    names = [group.name for group in groups]
    depths = [names.index(name) / len(names) for name in trained]
    decayed = [max(_RATE_FLOOR, stage.layer_decay ** (12 * (1 - depth))) for depth in depths]
    return tuple(share / stage.head_to_body for share in decayed)


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

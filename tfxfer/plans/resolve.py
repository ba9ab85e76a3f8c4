"""Makes a plan from a recipe and the facts: pure, so that it can be printed and tested before anything trains."""

import dataclasses
import math
from collections.abc import Collection, Mapping

from tfxfer import decoders, objectives, outlines, presets, recipes, selection
from tfxfer.augmentation import Augment
from tfxfer.errors import ConfigError
from tfxfer.facts import (
    ARRAY,
    BackboneCard,
    BackboneFacts,
    Costs,
    DataFacts,
    GroupFacts,
    LayerFacts,
    MachineFacts,
    Outline,
    VariableFacts,
)
from tfxfer.heads import Cosine, Head
from tfxfer.plans import caching, memory, rules
from tfxfer.plans.augmentation import choose_augment, choose_views, least_views
from tfxfer.plans.heads import with_head
from tfxfer.plans.imbalance import ImbalancePlan, resolve_imbalance
from tfxfer.plans.objectives import check_objectives
from tfxfer.plans.plan import How, Plan, StagePlan, What
from tfxfer.plans.unfreezing import resolve_unfreezing
from tfxfer.tasks import Task

_FLOAT_BYTES = 4
_GB = 10**9
# A slower group would not move within a run.
_RATE_FLOOR = 1e-3
# Decoded pictures may take this share of main memory before they go to disk.
_MEMORY_SHARE = 0.25
# So many names stand in the name of a stage that trains just these.
_NAMED = 3


def resolve(
    recipe: recipes.Recipe,
    data: DataFacts,
    backbone: BackboneFacts,
    machine: MachineFacts,
    costs: Costs | None = None,
) -> Plan:
    """Returns the plan of `recipe` for these facts.

    Args:
        recipe: what is asked.
        data: what there is to train on.
        backbone: what to start from.
        machine: what there is to train with.
        costs: seconds that the network took on this machine; None where nothing was measured.

    Raises:
        ConfigError: a stage names a group that the backbone does not have, or more groups than it has; or a batch has
            fewer examples than there are devices.
    """
    rules.check_batch_size(recipe.batch_size, machine)
    check_objectives(recipe, data.task.kind, len(data.class_names))
    preset, reasons = stages_of(recipe, data, backbone.card)
    size, why = rules.choose_image_size(recipe, data, backbone.card)
    if recipe.image_size == "auto":
        reasons.append(f"image size {size}: {why}")
    head = _head(recipe.head, data)
    imbalance, why = resolve_imbalance(recipe.imbalance, data)
    reasons += why
    stages = []
    augment, why_augment = choose_augment(recipe.augment, data)
    for number, stage in enumerate(preset, start=1):
        planned, why = _resolve_stage(number, stage, recipe, augment, data, backbone, head, imbalance)
        stages.append(planned)
        if stage.batch_norm == "auto" and planned.trained:
            reasons.append(f"batch norm {planned.batch_norm} in stage {planned.name}: {why}")
        if stage.refresh_statistics == "auto" and planned.refresh_statistics:
            reasons.append(f"statistics of batch norm measured anew behind stage {planned.name}: they move in it")
    what = What(
        data=data.fingerprint,
        backbone=backbone.card.handle,
        weights_digest=backbone.weights_digest,
        image_size=backbone.image_size,
        resize=recipe.data.resize,
        background=recipe.data.background,
        class_names=data.class_names,
        head=head,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        precision=recipe.precision,
        augment=_augment(augment, tuple(stages)),
        synchronise_batch_norm=recipe.synchronise_batch_norm,
        stages=tuple(stages),
        imbalance=imbalance,
        task=data.task,
        loss=objectives.meant(recipe.loss, data.task.kind),
        metrics=objectives.others(recipe.metrics, data.task.kind),
    )
    if recipe.precision != "float32" and backbone.own_precision:
        reasons.append(f"precision: {', '.join(backbone.own_precision)} keeps its own, whatever the others compute in")
    reasons += why_augment
    how, why = _how(what, data, backbone, machine, recipe, costs)
    return Plan(what=what, how=how, reasons=tuple(dict.fromkeys([*reasons, *why])))


def _head(head: Head, data: DataFacts) -> Head:
    """Returns the head with as many outputs as the task takes.

    Raises:
        ConfigError: it was asked to have others.
    """
    outputs = data.task.outputs(len(data.class_names))
    if head.outputs == "auto":
        return dataclasses.replace(head, outputs=outputs)
    if head.outputs != outputs:
        needed = "" if outputs == len(data.class_names) else f", which take {outputs}"
        raise ConfigError(
            f"head.outputs={head.outputs}, but the data has {data.task.answers(len(data.class_names))}{needed}."
        )
    return head


def trained_of(
    outline: Outline, chosen: Collection[int], moving: Collection[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Returns the names of the groups below the head in which something trains, and for each which layers of it.

    Args:
        outline: of a network whose last group is its head.
        chosen: numbers of the variables that train.
        moving: names of the groups in which some of them move, whatever holds batch norm.

    Returns:
        The names, input first, and for each of them the addresses of the layers that train; none where all do.

    Raises:
        ConfigError: two layers have one address, and one of them is to train.
    """
    layers: dict[str, tuple[str, ...]] = {}
    for group in outline.groups[:-1]:
        own = {number for number, (layer, _) in enumerate(outline.variables) if layer.group == group}
        moved = own.intersection(chosen)
        if group not in moving:
            continue
        if moved == own:
            layers[group] = ()
            continue
        layers[group] = tuple(dict.fromkeys(outlines.path(outline.variables[number][0]) for number in sorted(moved)))
        meant = {number for path in layers[group] for number in outlines.find(outline, path)}
        if meant != moved:
            other = outline.variables[min(meant - moved)][0]
            raise ConfigError(
                f"a layer of {outline.name!r} is to train, and another one that is called the same, or lies in it, is "
                f"not: {outlines.path(other)}. Name both."
            )
    return tuple(layers), tuple(layers.values())


def stages_of(
    recipe: recipes.Recipe, data: DataFacts, card: BackboneCard
) -> tuple[tuple[recipes.Stage, ...], list[str]]:
    """Returns the stages that a recipe means, those of a preset written out, and why it is that one.

    Raises:
        ConfigError: a stage asks for what means nothing in the task.
    """
    if recipe.stages == "auto":
        name, why = rules.choose_preset(data, card)
        reasons = [f"stages {name}: {why}"]
        if recipe.budget is not None:
            reasons.append(
                f"stages {name} is for want of better: a race of {recipe.budget:g} s decides before training"
            )
        return preset_stages(name, data.task, recipe.loss), reasons
    if isinstance(recipe.stages, str):
        return preset_stages(recipe.stages, data.task, recipe.loss), []
    rules.check_task(recipe.stages, data.task)
    return recipe.stages, []


def preset_stages(name: str, task: Task, loss: objectives.Loss = "auto") -> tuple[recipes.Stage, ...]:
    """Returns the stages of a preset without what it does for single classes and would harm another task or loss.

    Smoothing spreads a label over all classes, the farthest in an order among them, and would make every one of many
    rare labels a little true; the scale of a head that tells numbers is theirs.
    """
    as_made = task.kind == "single_label" and objectives.smooths(loss, task.kind)
    changes = {} if as_made else {"label_smoothing": 0.0}
    if task.kind == "regression":
        changes["rescale_head"] = False
    return tuple(dataclasses.replace(stage, **changes) for stage in presets.by_name(name))


def _resolve_stage(
    number: int,
    stage: recipes.Stage,
    recipe: recipes.Recipe,
    augment: Augment,
    data: DataFacts,
    backbone: BackboneFacts,
    head: Head,
    imbalance: ImbalancePlan,
) -> tuple[StagePlan, str]:
    _check_stage(number, stage, backbone.card, head)
    steps_per_epoch = math.ceil(data.train_examples / recipe.batch_size)
    steps = stage.steps or stage.epochs * steps_per_epoch
    epochs = math.ceil(steps / steps_per_epoch)
    batch_norm, why = rules.choose_batch_norm(stage, steps, recipe.batch_size, recipe.weights)
    trained, trained_layers, moved = _trained(number, stage, with_head(backbone, head), batch_norm)
    groups = [group for group in backbone.groups if group.name in trained]
    rules.check_bias_rate(stage, (variable.name for _, variable in moved))
    weights = sum(variable.size for _, variable in moved)
    planned = StagePlan(
        name=f"{number} {_train_text(stage)}",
        trained=trained,
        trained_layers=trained_layers,
        unfreezing=resolve_unfreezing(
            stage.unfreezing, trained, stage=number, steps=steps, steps_per_epoch=steps_per_epoch
        ),
        rates=_rates(stage, trained, backbone.groups),
        bias_rate=float(stage.bias_rate),
        group_rates=stage.group_rates,
        batch_norm=batch_norm,
        refresh_statistics=rules.choose_refresh(stage, batch_norm, statistics=sum(g.statistics for g in groups)),
        views=choose_views(
            augment.views,
            augment.live,
            data.train_counts,
            # Only live views are to be new whenever an example is shown.
            imbalance.turns(data.train_counts, epochs) if augment.live else epochs,
            least=least_views(recipe.augment),
        ),
        steps=steps,
        steps_per_epoch=steps_per_epoch,
        optimizer=stage.optimizer,
        learning_rate=rules.choose_learning_rate(stage, recipe.batch_size),
        schedule=stage.schedule,
        warmup_steps=round(stage.warmup * steps),
        cycle_start=float(stage.cycle_start),
        decay_steps=tuple(round(share * steps) for share in stage.decay_at),
        weight_decay=float(stage.weight_decay),
        clip_norm=float(stage.clip_norm or 0.0),
        label_smoothing=float(stage.label_smoothing),
        rescale_head=stage.rescale_head,
        rollbacks=stage.rollbacks,
        restore_best_weights=stage.restore_best_weights,
        trainable_weights=weights,
        trainable_tensors=len(moved),
        slot_bytes=weights * _slots(stage.optimizer) * _FLOAT_BYTES,
    )
    return planned, why


def _check_stage(number: int, stage: recipes.Stage, card: BackboneCard, head: Head) -> None:
    """Refuses a stage that asks of this backbone or this head what it cannot do."""
    if not card.trainable and not stage.trains_head_alone:
        raise ConfigError(
            f"stage {number} trains {_train_text(stage)}, but {card.handle} cannot train, only a head on its "
            "features. Write --stages=feature_extraction."
        )
    if stage.rescale_head and isinstance(head, Cosine) and not head.learn_scale:
        raise ConfigError(
            f"stage {number} has rescale_head, and the scale of this Cosine head is fixed. Write learn_scale=true in "
            "the head, or rescale_head=false in the stage."
        )


def _trained(
    number: int, stage: recipes.Stage, outline: Outline, batch_norm: str
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], list[tuple[LayerFacts, VariableFacts]]]:
    """Returns the groups and layers that a stage trains, as in `trained_of`, and what its optimizer will move.

    Raises:
        ConfigError: a name means nothing, or nothing would move of what is named below the head.
    """
    chosen = selection.selected(outline, stage.train if stage.frozen is None else None, stage.frozen)
    moved = _moved(outline, chosen, batch_norm)
    trained, trained_layers = trained_of(outline, chosen, moving={layer.group for layer, _ in moved})
    if not trained and any(outline.variables[place][0].group != outlines.HEAD for place in chosen):
        raise ConfigError(
            f"stage {number} trains {_train_text(stage)}, which is batch norm alone, and batch_norm=frozen holds it. "
            "Write batch_norm=affine."
        )
    return trained, trained_layers, moved


def _moved(outline: Outline, chosen: Collection[int], batch_norm: str) -> list[tuple[LayerFacts, VariableFacts]]:
    """Returns what an optimizer will move: what is chosen, without batch norm below the head where that is frozen."""
    return [
        (layer, variable)
        for number, (layer, variable) in enumerate(outline.variables)
        if number in chosen and not (variable.batch_norm and batch_norm == "frozen" and layer.group != outlines.HEAD)
    ]


def _train_text(stage: recipes.Stage) -> str:
    """Returns what a stage trains, in its name."""
    if stage.frozen is not None:
        return f"all but {_listed(stage.frozen)}"
    return str(stage.train) if isinstance(stage.train, (int, float, str)) else f"only {_listed(stage.train)}"


def _listed(given: recipes.Frozen) -> str:
    if isinstance(given, (int, float, str)):
        return str(given)
    return "+".join(given[:_NAMED]) + (f" and {len(given) - _NAMED} more" if len(given) > _NAMED else "")


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


def _checkpoint_bytes(stage: StagePlan, backbone: BackboneFacts) -> int:
    """Returns the most bytes of a checkpoint within a stage: what it moves, twice where the best is kept, and slots."""
    moving = stage.batch_norm == "train"
    statistics = sum(group.statistics for group in backbone.groups if moving and group.name in stage.trained)
    moved = (stage.trainable_weights + statistics) * _FLOAT_BYTES
    if stage.unfreezing.by == "search":  # while it tries, it keeps the whole network and all slots, to go back to
        everything = sum(group.parameters + group.statistics for group in backbone.groups) * _FLOAT_BYTES
        return moved + everything + 2 * stage.slot_bytes
    return moved * (2 if stage.restore_best_weights else 1) + stage.slot_bytes


def _augment(asked: Augment, stages: tuple[StagePlan, ...]) -> Augment:
    """Returns what is done to pictures, with the number of views that any stage has; live ones are not counted."""
    return dataclasses.replace(asked, views=1 if asked.live else max(stage.views for stage in stages))


def _how(
    what: What,
    data: DataFacts,
    backbone: BackboneFacts,
    machine: MachineFacts,
    recipe: recipes.Recipe,
    costs: Costs | None,
) -> tuple[How, tuple[str, ...]]:
    pixels = data.examples * what.image_size**2 * data.channels
    in_memory = pixels < _MEMORY_SHARE * machine.memory_bytes
    caches, seconds, reasons = caching.plan_caches(what, data, backbone, machine, recipe.cache, costs)
    deterministic, why_deterministic = rules.choose_determinism(recipe.running, machine)
    jit_compile, why_jit = rules.choose_compilation(recipe.running, machine, backbone, deterministic=deterministic)
    share = math.ceil(what.batch_size / len(machine.devices))
    in_files = sum(number for mode, number in data.modes if mode != ARRAY)
    decoder, why = decoders.choose(in_files, installed=machine.has_fast_decoders)
    if in_files >= decoders.LEAST:
        reasons += (f"JPEGs are decoded by {decoder}: {why}",)
    how = How(
        devices=machine.devices,
        strategy=machine.strategy,
        strategy_reason=machine.strategy_reason,
        per_replica_batch=share,
        step_bytes=tuple(
            _step_bytes(stage, {cache.stage: cache.cut for cache in caches}, what, backbone, share)
            for stage in what.stages
        ),
        jit_compile=jit_compile,
        jit_reason=why_jit,
        deterministic=deterministic,
        deterministic_reason=why_deterministic,
        caches=caches,
        cache_disk_bytes=round(recipe.cache.disk_gb * _GB),
        stage_seconds=seconds,
        pixel_store="memory" if in_memory else "disk",
        pixel_bytes=pixels,
        decoder=decoder,
        checkpoint_seconds=float(recipe.running.checkpoint_seconds),
        checkpoints_kept=recipe.running.checkpoints_kept,
        checkpoint_bytes=max(_checkpoint_bytes(stage, backbone) for stage in what.stages),
        profile_steps=recipe.running.profiled,
        validate_every=recipe.running.validate_every or 0,
    )
    return how, reasons


def _step_bytes(stage: StagePlan, cuts: Mapping[str, str], what: What, backbone: BackboneFacts, examples: int) -> int:
    """Returns about how much memory a step of a stage takes; 0 where the layers do not tell what they give."""
    names = [group.name for group in backbone.groups]
    first = min(map(names.index, stage.trained), default=len(names))
    cut = cuts.get(stage.name)
    start = 0 if cut is None else names.index(cut) + 1 if cut in names else len(names)
    if not any(group.activations for group in backbone.groups):
        return 0
    return memory.step_bytes(
        backbone.groups,
        first=first,
        start=start,
        examples=examples,
        pixels=what.image_size**2 * backbone.channels,
        precision=what.precision,
        norms_move=stage.batch_norm != "frozen",
        trainable_weights=stage.trainable_weights,
        slot_bytes=stage.slot_bytes,
    )

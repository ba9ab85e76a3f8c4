"""The main job as it reads: data and backbone are found, a plan is decided, the model trains, is measured, ships."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tfxfer import (
    activations,
    augmentation,
    backbones,
    checks,
    display,
    evaluation,
    export,
    files,
    folders,
    models,
    objectives,
    plans,
    prediction,
    recipes,
    runtime,
    training,
    values,
)
from tfxfer import data as examples_of
from tfxfer.data import Examples
from tfxfer.errors import AccuracyError, TfxferError
from tfxfer.evaluation import Report
from tfxfer.facts import DataFacts, MachineFacts
from tfxfer.plans import Plan

_PLAN = "plan.json"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is known once a recipe met its data and backbone: enough to show the plan.

    Attributes:
        recipe: what is asked.
        examples: what there is to train on.
        backbone: what to start from.
        model: the backbone with a new head.
        plan: what was decided.
        why: how the stages came about, where advice decided on them; else "".
    """

    recipe: recipes.Recipe
    examples: Examples
    backbone: backbones.Backbone
    model: keras.Model
    plan: Plan
    why: str = ""

    def because(self, why: str) -> "Prepared":
        """Returns the same with how the stages came about, which stands first among the reasons of the plan, too."""
        others = tuple(reason for reason in self.plan.reasons if reason != why)
        return dataclasses.replace(self, why=why, plan=dataclasses.replace(self.plan, reasons=(why, *others)))

    def __str__(self) -> str:
        return display.plan_text(self.plan, self.examples.facts, self.backbone.facts)


def run(
    recipe: recipes.Recipe,
    *,
    workdir: str | pathlib.Path,
    data: Any = None,
    class_names: Sequence[str] | None = None,
    show: Callable[[str], None] = print,
    decide: Callable[[recipes.Recipe], tuple[recipes.Recipe, str]] | None = None,
) -> Report:
    """Runs a recipe: opens the data, loads the backbone, trains, measures and exports.

    `tfxfer.run` is this, with a race before it where one is asked for.

    Args:
        recipe: what to do.
        workdir: a folder for everything that is written; made if need be.
        data: examples for a recipe without a source.
        class_names: names of the labels 0, 1, … of `data`.
        show: called with each line of output.
        decide: returns what is to be trained in place of the recipe, and why; called where `workdir` can be the
            recipe's and is not finished.

    Raises:
        TfxferError: with what was wrong and what to type instead; see `tfxfer.errors`.
    """
    start, workdir = time.monotonic(), pathlib.Path(workdir)
    workers = runtime.join_workers(recipe.running)
    if not workers.is_chief:
        show(f"{workers} trains along; the first one shows what happens and writes the files.")
        show = _nothing
    with workers.losses_told():
        workers.check_alike(runtime.identity(recipe.running) | _alike(recipe))
        finished = workers.value_from_chief(Report, lambda: _opened(workdir, recipe))
        if finished:
            show(f"{workdir} is finished; this is its report.")
            show(summary(finished, workdir))
            for line in _not_there(finished, recipe, workdir):
                show(line)
            _check_accuracy(finished, recipe, f"{workdir}/bundle is from before that was asked")
            return finished
        before = workers.value_from_chief(Plan, lambda: _plan_before(workdir, recipe))
        with evaluation.bad_images_listed(workdir / folders.REPORT if workers.is_chief else None) as opened:
            chosen, why = recipe, ""
            if decide is not None:
                chosen, why = decide(recipe)
            prepared = prepare(chosen, data=data, class_names=class_names, before=before, opened=opened)
            prepared = prepared.because(why) if why else prepared
        show(str(prepared))
        workers.from_chief(lambda: _begin(recipe, prepared, workdir))
        plan = prepared.plan
        store = pixel_store(plan, workdir, workers)
        pixels = prepared.examples.pixels(plan.what.image_size, plan.what.framing, store)
        with training.explained_memory(plan):
            history = training.fit(
                prepared.model, prepared.examples, pixels, plan, workdir, tell=_teller(plan, show), note=show
            )
            model = _in_float32(prepared.model)
            report = workers.value_from_chief(Report, lambda: _finish(model, prepared, pixels, history, workdir, start))
    show(summary(report, workdir))
    return report


def prepare(
    recipe: recipes.Recipe,
    *,
    data: Any = None,
    class_names: Sequence[str] | None = None,
    with_seconds: bool = True,
    before: Plan | None = None,
    opened: Callable[[DataFacts], object] | None = None,
) -> Prepared:
    """Opens the data, loads the backbone, gives it a head and decides the plan: everything before training.

    Args:
        recipe: what to do.
        data: examples for a recipe without a source; `class_names` of their labels.
        class_names: see there.
        with_seconds: whether to measure what the network costs on this machine, so that the plan foretells seconds
            and weighs them; it takes one to three.
        before: the plan of a run that this one goes on with; where nothing that is learned has changed, activations
            are kept as there, so that both end in the same bits.
        opened: called as soon as the data is open, before anything that takes long.

    Raises:
        TfxferError: with what was wrong and what to type instead.
    """
    checks.check_recipe(recipe)
    runtime.check_environment()
    strategy = runtime.strategy_for(recipe.running)  # before anything touches TensorFlow's devices
    workers = runtime.workers_of(strategy)
    machine = _machine(recipe.running, workers)
    examples = _opened_data(recipe, machine, data, class_names)
    if opened is not None:
        opened(examples.facts)
    backbone = load_backbone(recipe, examples.facts)
    found = (examples.facts, backbone.facts, machine)
    asked = _as_it_began(recipe, before, found)
    plan = plans.resolve(asked, *found)  # what is wrong with the recipe is said before anything is measured
    training.check_objectives(plan.what)
    workers.check_alike({"data, or network (their digest)": plan.digest})
    with strategy.scope():
        model = models.swap_head(backbone, plan.what.head, seed=plan.what.seed)

    def decided() -> Plan:
        if before is not None and before.digest == plan.digest:
            return plans.as_before(plan, before)
        if not with_seconds:
            return plan
        return plans.resolve(asked, *found, activations.measure(model, batch_size=recipe.batch_size))

    return Prepared(recipe, examples, backbone, model, workers.value_from_chief(Plan, decided))


def _as_it_began(recipe: recipes.Recipe, before: Plan | None, found: tuple) -> recipes.Recipe:
    """Returns a recipe that leaves the number of views open with that of the run that it goes on with.

    Before there were presets, pictures had one view where examples were many, whatever was asked for by name; now they
    have four then. With any other difference the recipe stays.
    """
    if before is None or recipe.augment.views != "auto":
        return recipe
    views = before.what.augment.views
    older = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, views=views))
    differs = plans.resolve(recipe, *found).digest != before.digest
    return older if differs and plans.resolve(older, *found).digest == before.digest else recipe


def _machine(running: recipes.Running, workers: runtime.Workers) -> MachineFacts:
    """Returns what there is to train with; of memory the least of all workers: each keeps all pictures."""
    machine = runtime.probe(running)
    least = int(workers.gathered(np.array([machine.memory_bytes])).min())
    return dataclasses.replace(machine, memory_bytes=least)


def open_examples(recipe: recipes.Recipe, *, data: Any = None, class_names: Sequence[str] | None = None) -> Examples:
    """Opens the data of a recipe as `prepare` does, without a backbone: for whoever holds several against each other.

    Seeds and op determinism are set for the whole process.

    Raises:
        TfxferError: with what was wrong and what to type instead.
    """
    checks.check_all_but_backbone(recipe)
    runtime.check_environment()
    runtime.strategy_for(recipe.running)  # before anything touches TensorFlow's devices
    return _opened_data(recipe, runtime.probe(recipe.running), data, class_names)


def _opened_data(recipe: recipes.Recipe, machine: MachineFacts, data: Any, class_names) -> Examples:
    deterministic, _ = plans.choose_determinism(recipe.running, machine)
    runtime.make_reproducible(recipe.seed, deterministic=deterministic)
    return examples_of.open_data(recipe.data, seed=recipe.split_seed, data=data, class_names=class_names)


def image_size_of(recipe: recipes.Recipe, data: DataFacts) -> int:
    """Returns height and width in pixels at which the recipe's backbone sees these data, before it is loaded.

    Raises:
        TfxferError: there is no such backbone, it takes no pictures, or its file cannot be opened.
    """
    asked = recipe.backbone
    card = backbones.inspect(
        asked.handle,
        weights=recipe.weights,
        output=asked.output,
        allow_unsafe_model_code=asked.allow_unsafe_model_code,
    )
    backbones.check_takes_pictures(card)
    return plans.choose_image_size(recipe, data, card)[0]


def load_backbone(recipe: recipes.Recipe, data: DataFacts) -> backbones.Backbone:
    """Returns the recipe's backbone under its strategy, for pictures of the size that suits these data.

    Raises:
        TfxferError: there is no such backbone, it takes no pictures, or it cannot be loaded.
    """
    asked, image_size = recipe.backbone, image_size_of(recipe, data)
    with runtime.strategy_for(recipe.running).scope():
        return backbones.load_backbone(
            asked.handle,
            image_size=image_size,
            weights=recipe.weights,
            at=asked.at or None,
            precision=recipe.precision,
            output=asked.output,
            allow_unsafe_model_code=asked.allow_unsafe_model_code,
        )


def pixel_store(plan: Plan, workdir: pathlib.Path, workers: runtime.Workers | None = None) -> pathlib.Path | None:
    """Returns the file of a workdir that decoded pictures are kept in; None where they are kept in memory."""
    if plan.how.pixel_store != "disk":
        return None
    own = "" if workers is None or workers.is_chief else f"_{workers.position}"  # the folder may be shared
    return workdir / "cache" / f"pixels{own}.npy"


def summary(report: Report, workdir: pathlib.Path) -> str:
    """Returns the end of a run in a few lines: the measured result and where the files lie."""
    lines = [
        f"test {evaluation.headline(report.test)}",
        *display.score_lines(report.scores),
        *_class_means(report.test),
        evaluation.worst(report.test),
        f"training {display.duration_text(report.train.seconds)}, in all {display.duration_text(report.seconds)}",
        *_expected(report.train.stages),
        *display.parity_lines(report.export),
        *display.left_out_lines(report.left_out),
        f"files: {workdir}/bundle (the network), {workdir}/report (report.json, {evaluation.drawing(report.test)}, "
        "curves.png)",
    ]
    return "\n".join(lines)


def _class_means(measured: evaluation.AnyMeasured) -> list[str]:
    """Returns in a line what is measured of classes that have unequal numbers of examples."""
    told = getattr(measured, "class_means", "")
    return [told] if told and len({result.examples for result in measured.classes}) > 1 else []


def _expected(stages: Sequence[evaluation.StageSeconds]) -> list[str]:
    """Returns in a line how long each stage took and was to take, where the plan said so."""
    told = [
        f"stage {display.clean(stage.name)} {display.duration_text(stage.seconds)} "
        f"(expected {display.duration_text(stage.expected)})"
        for stage in stages
        if stage.expected
    ]
    return ["; ".join(told)] if told else []


def _alike(recipe: recipes.Recipe) -> dict[str, str]:
    """Returns what all workers must be asked alike, by name."""
    asked = values.to_json(recipe)
    return {f"recipe: {name}": json.dumps(value) for name, value in asked.items() if name != "running"}


def _opened(workdir: pathlib.Path, recipe: recipes.Recipe) -> Report | None:
    """Returns the report of a finished run; finds out, else, whether `workdir` can be this recipe's."""
    folders.check_workdir(workdir, recipe)
    finished = _finished(workdir)
    if not finished and recipe.export.hub_archive:
        export.check_archive(pathlib.Path(recipe.export.hub_archive), workdir / "bundle")
    return finished


def _not_there(report: Report, recipe: recipes.Recipe, workdir: pathlib.Path) -> list[str]:
    """Returns in a line which formats are asked for now that a finished run does not have."""
    there = {one.format for one in (*report.export, *report.left_out)}
    missing = [name for name in recipe.export.optional_formats if name not in there]
    command = f"tfxfer export --bundle={workdir}/bundle --overwrite"
    lines = [f"It does not have {', '.join(missing)}. Type: {command} --formats={','.join(missing)}"] if missing else []
    archive = recipe.export.hub_archive
    if archive and not pathlib.Path(archive).exists():
        lines.append(f"There is no {archive}. Type: {command} --hub_archive={archive}")
    return lines


def _begin(asked: recipes.Recipe, prepared: Prepared, workdir: pathlib.Path) -> bytes:
    """Writes what is to be done into the folder, and has nothing to tell."""
    files.remove_leftovers(workdir)
    files.write_json(workdir / folders.RECIPE, values.to_json(asked))
    files.write_text(workdir / "plan.txt", str(prepared))
    files.write_json(workdir / _PLAN, values.to_json(prepared.plan))
    return b""


def _finish(model, prepared: Prepared, pixels, history: training.History, workdir: pathlib.Path, start) -> Report:
    """Measures what has been trained, writes the report and, where it is good enough, the bundle."""
    report = _measure(model, prepared, pixels, history, workdir / "report")
    evaluation.draw(report.test, workdir / "report")
    evaluation.draw_curves(report.history, workdir / "report" / "curves.png")
    report = dataclasses.replace(report, seconds=time.monotonic() - start)
    _write_report(report, workdir)
    _check_accuracy(report, prepared.recipe, f"nothing was exported; {workdir}/report has what was measured")
    return _ship(model, prepared, pixels, report, workdir)


def _check_accuracy(report: Report, recipe: recipes.Recipe, what_now: str) -> None:
    asked = recipe.export.assert_accuracy_at_least
    if asked and report.test.accuracy < asked:  # of a task that has one, as `checks` has seen to
        raise AccuracyError(f"{evaluation.too_low(report.test, asked)[:-1]}; {what_now}.")


def _nothing(_line: str) -> None:
    pass


def _finished(workdir: pathlib.Path) -> Report | None:
    if not folders.is_finished(workdir):
        return None
    report = values.from_json(Report, files.read_json(workdir / "bundle" / "report.json"))
    _write_report(report, workdir)  # a kill may have come between the two
    return report


def _plan_before(workdir: pathlib.Path, recipe: recipes.Recipe) -> Plan | None:
    """Returns the plan of the run that is to go on; None for a new one, or where activations are to be kept anew."""
    if not (workdir / _PLAN).exists() or not (workdir / folders.RECIPE).exists():
        return None
    try:
        kept = values.from_json(recipes.Recipe, augmentation.of_now(files.read_json(workdir / folders.RECIPE)))
        return values.from_json(Plan, files.read_json(workdir / _PLAN)) if kept.cache == recipe.cache else None
    except TfxferError:  # of another version, or half a file
        return None


def _teller(plan: Plan, show: Callable[[str], None]) -> training.Tell:
    totals = {stage.name: -(-stage.steps // stage.steps_per_epoch) for stage in plan.what.stages}

    def tell(stage: str, epoch: int, record: training.EpochRecord) -> None:
        score = record.score
        train, validation = (
            f"{value:.4g}" if score.name.startswith("mae") else f"{100 * value:5.1f} %"
            for value in (score.train, score.validation)
        )
        asked = "".join(f"  {one.name} {display.score_text(one.name, one.validation)}" for one in record.asked_for)
        show(
            f"stage {stage}  epoch {epoch}/{totals[stage]}  loss {record.loss:.4f}  "
            f"{score.name} {train}  validation {validation}{asked}  {display.duration_text(record.seconds)}"
        )

    return tell


def _in_float32(model: keras.Model) -> keras.Model:
    """Returns the network as it ships: what it computes in while it trains is for the machine that trains."""
    with model.distribute_strategy.scope():
        return backbones.in_precision(model, "float32")[0]


def _measure(model, prepared: Prepared, pixels, history: training.History, folder: pathlib.Path) -> Report:
    """Returns what was measured, and lists in `folder` what is told of each test example."""
    examples, plan, facts = prepared.examples, prepared.plan, prepared.backbone.facts
    what = plan.what

    def answered(split: int) -> tuple[np.ndarray, np.ndarray]:
        rows = examples.rows(pixels, split)
        logits = prediction.logits(model, rows, batch_size=what.batch_size)
        if split == examples_of.TEST:
            names = [examples.pictures.name(index) for index in rows.places]
            evaluation.write_told(folder, names, logits, rows.labels, what.class_names, what.task)
        return logits, rows.labels

    def result(answers: tuple[np.ndarray, np.ndarray]) -> evaluation.AnyMeasured:
        return evaluation.compare(*answers, what.class_names, what.task)

    stages = tuple(
        evaluation.StageSeconds(name=record.name, seconds=record.seconds, expected=expected)
        for record, expected in zip(history.stages, plan.how.stage_seconds, strict=True)
    )
    test = answered(examples_of.TEST)
    tested = result(test)
    return Report(
        test=tested,
        validation=result(answered(examples_of.VALIDATION)),
        train=evaluation.Trained(seconds=history.seconds, stages=stages),
        seconds=0.0,
        history=history,
        data=examples.facts,
        skipped=examples.facts.skipped,
        plan=plan.digest,
        backbone=evaluation.Origin(
            handle=facts.card.handle,
            made_by=facts.card.origin,
            license=facts.card.license,
            groups=tuple(group.name for group in facts.groups),
        ),
        export=(),
        left_out=(),
        versions=runtime.probe().versions,
        strategy=prepared.why,
        loss=objectives.called(what.loss) or objectives.own(what.task.kind),
        scores=evaluation.asked_scores(*test, tested, what),
    )


def _ship(model, prepared: Prepared, pixels, report: Report, workdir: pathlib.Path) -> Report:
    """Writes the bundle, then its report beside it: a workdir with a bundle is finished."""
    test = prepared.examples.rows(pixels, examples_of.TEST)
    some = export.representative(prepared.examples.rows(pixels, examples_of.TRAIN))
    known = export.known_contents(prepared.examples)
    report = export.write(model, prepared.recipe, prepared.plan, report, test, some, workdir / "bundle", known=known)
    _write_report(report, workdir)
    return report


def _write_report(report: Report, workdir: pathlib.Path) -> None:
    files.write_json(workdir / "report" / "report.json", values.to_json(report))

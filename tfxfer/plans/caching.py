"""Decides where the network is cut for each stage, what is kept of it, and how long each stage will take."""

import dataclasses
import math
from collections.abc import Sequence

from tfxfer.errors import ConfigError
from tfxfer.facts import BackboneFacts, Costs, DataFacts, MachineFacts
from tfxfer.plans.augmentation import choose_views
from tfxfer.plans.costs import Forecast, StageWork
from tfxfer.plans.plan import StageCache, StagePlan, What
from tfxfer.reuse import Cache

FEATURES = "features"
PIXELS = "pixels"
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "uint8": 1}
# Stores pad each row to whole words.
_WORD = 8
# Activations may take this share of main memory, unless the recipe says otherwise.
_MEMORY_SHARE = 0.25
_GB = 10**9
# What is measured is never twice the same, and another cut rounds otherwise: the plan departs from the deepest cut, or
# from keeping anything, where that saves this share of the stage's seconds.
_CLEARLY = 0.25


@dataclasses.dataclass(frozen=True)
class _Cut:
    """A place where the network can be cut.

    Attributes:
        name: of the layer group that it lies behind, or "features".
        depth: how many groups are below it.
        numbers: that cross it for one picture.
    """

    name: str
    depth: int
    numbers: int


def plan_caches(
    what: What, data: DataFacts, backbone: BackboneFacts, machine: MachineFacts, cache: Cache, costs: Costs | None
) -> tuple[tuple[StageCache, ...], tuple[float, ...], tuple[str, ...]]:
    """Returns the caches of those stages that have one, the seconds of every stage, and reasons.

    A stage is cut at the deepest boundary below which nothing trains and that there is room for, in memory, else on
    disk; or at one nearer to the input, where less is kept, if that makes it clearly faster. Where a later stage needs
    an earlier cut of the same frozen network, that one is filled first and this one derived from it.

    Args:
        what: the stages.
        data: of which there are rows.
        backbone: that is cut.
        machine: that has memory.
        cache: what the recipe says.
        costs: measured seconds; None: the deepest cut is taken for the fastest, and no seconds are told (0).
    """
    chooser = _Chooser(what, data, backbone, machine, cache, costs)
    caches = [chooser.cache_of(stage) for stage in what.stages]
    caches = chooser.derived(caches)
    return tuple(cached for cached in caches if cached), chooser.seconds(caches), tuple(chooser.reasons)


class _Chooser:
    def __init__(self, what, data, backbone, machine, cache, costs):
        self.what, self.data, self.backbone, self.cache = what, data, backbone, cache
        self.groups = backbone.groups
        self.forecast = None if costs is None else Forecast(costs, what.batch_size, folds=cache.precision != "float32")
        limit = cache.memory_gb
        self.memory = _MEMORY_SHARE * machine.memory_bytes if limit == "auto" else limit * _GB
        self.disk = cache.disk_gb * _GB
        self.reasons: list[str] = []
        self._depths = {group.name: at + 1 for at, group in enumerate(self.groups)} | {FEATURES: len(self.groups)}

    def cache_of(self, stage: StagePlan) -> StageCache | None:
        """Returns how a stage is cached by itself.

        Raises:
            ConfigError: activations are to change in brightness, and this stage keeps none though something is frozen.
        """
        cuts = self._cuts(stage)
        told = len(self.reasons)
        cached = self._cache_at(stage, cuts) if cuts else None
        if cached is None and self.what.augment.brightness and self._first(stage):
            why = [*self.reasons[told:], "it has no more epochs than views, or the network cannot be cut there"][0]
            raise ConfigError(
                f"augment.brightness={self.what.augment.brightness} changes kept activations, and stage {stage.name} "
                f"keeps none: {why}. Write augment.brightness=0."
            )
        return cached

    def _cache_at(self, stage: StagePlan, cuts: list[_Cut]) -> StageCache | None:
        if self.what.augment.cutmix:
            self._say_why_off(stage, cuts[-1])
            return None
        if self.what.augment.mixup or self.what.augment.brightness:
            cuts = cuts[-1:]  # what is done to activations decides the result, so that room must not choose the place
        if self.cache.store == "off" or self.what.augment.live:
            self._say_why_off(stage, cuts[-1])
            return None
        epochs = stage.steps / stage.steps_per_epoch
        if epochs <= stage.views:
            return None  # every view is computed once anyway
        margin = _CLEARLY * self.forecast.seconds(self._work(stage), None) if self.forecast else 0.0
        options = [self._option(stage, cut) for cut in reversed(cuts)]
        for store, room in self._rooms().items():
            best = None
            for option in options:  # deepest first
                if option.bytes < room and (best is None or option.seconds_saved > best.seconds_saved + margin):
                    best = option
            if best is not None:
                return dataclasses.replace(best, store=store) if best.seconds_saved >= -margin else None
        self.reasons.append(
            f"stage {stage.name} computes what is frozen in every epoch: activations take "
            f"{_size(min(option.bytes for option in options))}, and there is room for "
            f"{_size(max(self._rooms().values()))}; cache.memory_gb or cache.disk_gb can be set higher"
        )
        return None

    def derived(self, caches: Sequence[StageCache | None]) -> list[StageCache | None]:
        """Returns the caches with those derived from an earlier cut, where a later stage needs that anyway."""
        depths = self._depths
        result = list(caches)
        for at, cached in enumerate(caches):
            if cached is None:
                continue
            later = [
                other
                for number, other in enumerate(caches[at + 1 :], start=at + 1)
                if other is not None
                and depths[other.cut] < depths[cached.cut]
                and all(self._first(stage) >= depths[other.cut] for stage in self.what.stages[at:number])
            ]
            fits = [o for o in later if o.store == "disk" or o.bytes + cached.bytes < self.memory]
            if fits:
                source = min(fits, key=lambda other: depths[other.cut])
                result[at] = dataclasses.replace(cached, source=source.cut)
        return result

    def seconds(self, caches: Sequence[StageCache | None]) -> tuple[float, ...]:
        """Returns how long each stage takes; 0 where nothing was measured."""
        if self.forecast is None:
            return (0.0,) * len(caches)
        held: set[int] = set()  # depths of cuts that are filled and that nothing has trained below
        result = []
        for stage, cached in zip(self.what.stages, caches, strict=True):
            if cached is None:
                result.append(self.forecast.seconds(self._work(stage), None))
            else:
                depth = self._depths[cached.cut]
                source = 0 if cached.source == PIXELS else self._depths[cached.source]
                spans = [] if depth in held else [(source, depth)]
                spans += [(0, source)] if source and source not in held else []
                result.append(self.forecast.seconds(self._work(stage), depth, cached.row_bytes, spans))
                held |= {depth, source}
            held = {depth for depth in held if depth <= self._first(stage)}
        return tuple(result)

    def _option(self, stage: StagePlan, cut: _Cut) -> StageCache:
        words = -(-cut.numbers * _BYTES[self.cache.precision] // _WORD)
        rows = self.data.train_examples * stage.views + self.data.validation_examples
        saved = 0.0
        if self.forecast is not None:
            work = self._work(stage)
            saved = self.forecast.seconds(work, None) - self.forecast.seconds(work, cut.depth, words * _WORD)
        return StageCache(
            stage=stage.name,
            cut=cut.name,
            source=PIXELS,
            precision=self.cache.precision,
            store="memory",
            row_bytes=words * _WORD,
            bytes=words * _WORD * rows,
            seconds_saved=saved,
        )

    def _work(self, stage: StagePlan) -> StageWork:
        trained = {group.name: at for at, group in enumerate(self.groups)}
        return StageWork(
            train_examples=self.data.train_examples,
            validation_examples=self.data.validation_examples,
            epochs=stage.steps / stage.steps_per_epoch,
            steps=stage.steps,
            views=stage.views,
            weights=stage.trainable_weights,
            first=self._first(stage),
            trained=tuple(trained[name] for name in stage.trained),
            by_batches=stage.batch_norm == "train",
            refreshes=stage.refresh_statistics,
        )

    def _cuts(self, stage: StagePlan) -> list[_Cut]:
        """Returns the legal cuts of a stage, input first."""
        if not stage.trained and not self.what.augment.brightness:  # which needs maps
            width = self.backbone.feature_channels * (2 if self.what.head.pooling == "both" else 1)
            return [_Cut(FEATURES, len(self.groups), width)] if width else []
        return [
            _Cut(group.name, at + 1, group.output_size)
            for at, group in enumerate(self.groups[: self._first(stage)])
            if group.legal_cut and group.output_size
        ]

    def _first(self, stage: StagePlan) -> int:
        """Returns the position of the first group that trains; their number where only the head does."""
        return self._depths[stage.trained[0]] - 1 if stage.trained else len(self.groups)

    def _rooms(self) -> dict[str, float]:
        """Returns how many bytes there are for activations, by store, in the order in which stores are tried."""
        rooms = {"memory": self.memory, "disk": self.disk}
        return {store: room for store, room in rooms.items() if self.cache.store in ("auto", store)}

    def _say_why_off(self, stage: StagePlan, cut: _Cut) -> None:
        why = "cache.store is off"
        if self.what.augment.cutmix:
            why = "augment.cutmix needs pixels"
        if self.what.augment.live:
            why = "augment.live shows new views in every epoch"
            views = choose_views("auto", False, self.data.train_counts, math.ceil(stage.steps / stage.steps_per_epoch))
            stage = dataclasses.replace(stage, views=views)  # that a few of them would have cost
        saved = self._option(stage, cut).seconds_saved
        costs = f", which costs about {_duration(saved)}" if saved > 0 else ""
        self.reasons.append(f"stage {stage.name} computes what is frozen in every epoch{costs}: {why}")


def _size(number: float) -> str:
    exponent = min(3, max(0, int(math.log10(max(1, number))) // 3))
    return f"{number / 1000**exponent:.3g} {('B', 'kB', 'MB', 'GB')[exponent]}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"

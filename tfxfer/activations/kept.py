"""The activations that a run keeps: one store for a cut, used by every stage below which nothing has changed."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Collection

import keras

from tfxfer import augmentation, runtime
from tfxfer.activations import cuts, filling
from tfxfer.activations.disk import DiskStore
from tfxfer.activations.encoding import CacheRangeError
from tfxfer.activations.keys import Key
from tfxfer.activations.store import MemoryStore, Store
from tfxfer.data.rows import Rows
from tfxfer.plans import StageCache, What
from tfxfer.plans.caching import PIXELS


@dataclasses.dataclass
class _Held:
    """A store, and the digest of what computed its rows."""

    digest: str
    store: Store


class Kept:
    """Stores that live as long as some stage needs them.

    Use it as a context manager: at its end all stores are closed.

    Args:
        what: the plan.
        disk_bytes: that all stores on disk may take together.
        tell: called with a sentence where something takes another way than was planned.
        workers: that train together: each computes its share of what lacks, and all keep it. None: this process alone.
        root: folder of stores on disk; None: that of all runs.
    """

    def __init__(
        self,
        what: What,
        *,
        disk_bytes: int,
        tell: Callable[[str], None],
        workers: runtime.Workers | None = None,
        root: pathlib.Path | None = None,
    ):
        self._what = what
        self._disk_bytes = disk_bytes
        self._tell = tell
        self._root = root
        self._workers = workers or runtime.alone()
        self._held: dict[str, _Held] = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go_but(())

    def let_go_but(self, needed: Collection[str]) -> None:
        """Closes all stores but those at the cuts that are still needed."""
        for name in [name for name in self._held if name not in needed]:
            self._held.pop(name).store.close()

    def rows(self, model: keras.Model, cache: StageCache, examples: tuple[Rows, ...]) -> tuple[Rows, ...]:
        """Returns the activations of each of `examples` at a stage's cut, computed where they are not there yet.

        Args:
            model: from pixels to logits, as it stands before the stage.
            cache: what is kept, and what it is computed from.
            examples: pictures; of the training and of the validation split.

        Raises:
            CacheError: there is no room, or the folder cannot be used.
        """
        if cache.source == PIXELS:
            return self._at(model, cache.cut, cache, examples, ())
        below = self._at(model, cache.source, cache, examples, ())
        return self._at(model, cache.cut, cache, below, cuts.cut_at(model, cache.source))

    def _at(self, model, name: str, cache: StageCache, examples, behind) -> tuple[Rows, ...]:
        cut = cuts.cut_at(model, name)
        digest = cuts.digest(cuts.part(model, cut))
        held = self._held.get(name)
        if held is not None and held.digest != digest:
            self._held.pop(name).store.close()
            held = None
        prefix = cuts.part(model, cut, behind=behind)
        if held is not None:  # whose rows may be those of fewer views
            return self._filled(held.store, prefix, name, examples)
        with contextlib.ExitStack() as failing:
            try:
                with filling.all_or_none(self._workers):
                    store = failing.enter_context(self._store(name, digest, cache.precision, cache.store, prefix))
                rows = self._filled(store, prefix, name, examples)
            except CacheRangeError as error:
                self._tell(f"{error} That is done now.")
                failing.close()
                with filling.all_or_none(self._workers):
                    store = failing.enter_context(self._store(name, digest, "float32", cache.store, prefix))
                rows = self._filled(store, prefix, name, examples)
            failing.pop_all()
        self._held[name] = _Held(digest, store)
        return rows

    def _filled(self, store: Store, prefix: keras.Model, name: str, examples) -> tuple[Rows, ...]:
        text = f"computing what is frozen, up to {name}"
        how = {"batch_size": self._what.batch_size, "text": text, "workers": self._workers}
        return tuple(filling.cached(store, prefix, split, **how) for split in examples)

    def _store(self, name: str, digest: str, precision: str, kind: str, prefix: keras.Model) -> Store:
        shape = prefix.output_shape[1:]
        if kind == "memory":
            return MemoryStore(precision, shape)
        what = self._what
        key = Key(
            network=what.backbone,
            cut=name,
            prefix=digest,
            pixels=str(what.framing),
            image_size=what.image_size,
            views=f"{augmentation.described(what.augment)}, seed {what.seed}",
            precision=precision,
            row_shape=shape,
            versions=tuple(f"{library} {version}" for library, version in runtime.probe().versions),
            worker=self._workers.position,
        )
        return DiskStore(key, self._root, limit_bytes=self._disk_bytes, tell=self._tell)

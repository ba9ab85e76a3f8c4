"""Finds stages and blocks in the layer graph of a network, from its shape alone: pure, on a list of steps.

A block ends where the paths of the network come together again (residual addition, concatenation), where a bottleneck
ends without an activation, or, in a plain chain, before the next spatial convolution. What is found is named by where
it stands: `stem`, `stage2.block1`, `stage2.transition`, `head_conv`. A stage is a resolution.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

Kind = Literal["spatial", "pointwise", "depthwise", "dense", "attention", "norm", "merge", "gate", "padding", "other"]

_KERNELS = frozenset({"spatial", "pointwise", "depthwise", "dense"})
# A cut may be crossed by so many tensors: cells of NASNet read the two cells before them.
_MOST_TENSORS = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One layer call.

    Attributes:
        name: of the layer.
        kind: what it does; "merge" joins paths, "gate" multiplies one by another, "dense" is a kernel without
            positions, "other" is all that neither mixes channels nor joins paths.
        reads: numbers of the tensors that go in; `writes` those that come out.
        extent: height × width (or number of tokens) of what comes out; 0 where there are no positions or where their
            number is not known.
        weights: whether the layer has variables.
        activates: whether it, or its own activation, is nonlinear.
        head: whether it belongs to a head that was put on later.
    """

    name: str
    kind: Kind
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    extent: int = 0
    weights: bool = False
    activates: bool = False
    head: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """A run of steps that are frozen or trained together.

    Attributes:
        name: such as `stem`, `stage1.block2`, `head_conv`.
        start: position of its first step; `stop` that behind its last.
        leaves: numbers of the tensors that later steps read across its end; of the network's outputs at the last block.
        legal_cut: whether so few tensors cross that the network can be cut there.
    """

    name: str
    start: int
    stop: int
    leaves: tuple[int, ...]
    legal_cut: bool


def named(names: Sequence[str], name: str) -> range | None:
    """Returns the positions of the blocks that `name` means, a block or a whole stage; None if there is none.

    >>> named(["stem", "stage1.block1", "stage1.block2", "stage2.block1"], "stage1")
    range(1, 3)
    """
    found = [at for at, own in enumerate(names) if own == name or own.startswith(f"{name}.")]
    return range(found[0], found[-1] + 1) if found else None


def addressable(names: Sequence[str]) -> list[str]:
    """Returns what `named` finds among these names: stages, then blocks."""
    return list(dict.fromkeys([*(name.partition(".")[0] for name in names), *names]))


def find_blocks(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Block, ...]:
    """Returns the blocks of a network, input first, which cover all steps.

    Args:
        steps: in an order in which they can run.
        outputs: numbers of the tensors that the network gives.
    """
    alive = crossing(steps, outputs)
    ends = _with_weights(steps, _close(steps, _ends(steps, alive)))
    ends = _join_stem(_spans(steps, ends))
    spans = _spans(steps, ends)
    names = _names(spans)
    return tuple(
        Block(
            name=name,
            start=span.start,
            stop=span.stop,
            leaves=alive[span.stop - 1],
            legal_cut=0 < len(alive[span.stop - 1]) <= _MOST_TENSORS,
        )
        for name, span in zip(names, spans, strict=True)
    )


def _spans(steps: Sequence[Step], ends: list[int]) -> list["_Span"]:
    return [_Span(steps, start, stop) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]


class _Span:
    """Steps from `start` to before `stop`, and what can be said of them."""

    def __init__(self, steps: Sequence[Step], start: int, stop: int):
        self.start, self.stop = start, stop
        self.steps = steps[start:stop]
        self.kernels = [step for step in self.steps if step.kind in _KERNELS]
        mixing = [step.extent for step in self.steps if step.kind in _KERNELS or step.kind in ("merge", "attention")]
        self.extent = next((extent for extent in reversed(mixing) if extent), 0)

    @property
    def merges(self) -> bool:
        """Whether paths come together in it that differ in a kernel; adding a position embedding is no such merge."""
        before: dict[int, frozenset[int]] = {}
        for at, step in enumerate(self.steps):
            paths = [before.get(tensor, frozenset()) for tensor in step.reads]
            if step.kind == "merge" and _differ_in_kernel(self.steps, paths):
                return True
            before.update(dict.fromkeys(step.writes, frozenset({at}).union(*paths)))
        return False

    @property
    def plain(self) -> bool:
        """Whether it is one convolution, or a chain of them that ends in an activation, none of them depthwise."""
        if not self.kernels or self.merges or any(step.kind not in ("spatial", "pointwise") for step in self.kernels):
            return False
        last = max(position for position, step in enumerate(self.steps) if step.kind in _KERNELS)
        return len(self.kernels) == 1 or _activated(self.steps, last)


def _differ_in_kernel(steps: Sequence[Step], paths: Sequence[frozenset[int]]) -> bool:
    own = frozenset().union(*paths) - frozenset.intersection(*paths)
    return any(steps[at].kind in _KERNELS for at in own)


def crossing(steps: Sequence[Step], outputs: Sequence[int]) -> list[tuple[int, ...]]:
    """Returns, for each position, the tensors written up to there that are read behind it."""
    last_use = {tensor: position for position, step in enumerate(steps) for tensor in step.reads}
    last_use.update(dict.fromkeys(outputs, len(steps)))
    alive: dict[int, None] = {}
    result = []
    for position, step in enumerate(steps):
        alive.update(dict.fromkeys(step.writes))
        alive = {tensor: None for tensor in alive if last_use.get(tensor, -1) > position}
        result.append(tuple(alive))
    return result


def _ends(steps: Sequence[Step], alive: list[tuple[int, ...]]) -> list[int]:
    """Returns the positions behind which a new block begins, the end of the network among them."""
    ends: set[int] = set()
    chain_start = 0
    attention = False  # the block so far is the attention half of a transformer block
    for start, stop in _regions(steps, alive):
        region = _Span(steps, start, stop)
        if steps[stop - 1].kind != "merge" or not region.merges:
            continue
        if attention and start == chain_start and not _has_attention(region):
            ends.discard(start)
        attention = _has_attention(region)
        ends.update(_chain_ends(steps, chain_start, start, alive))
        ends.add(stop)
        chain_start = stop
    ends.update(_chain_ends(steps, chain_start, len(steps), alive))
    heads = [position for position, step in enumerate(steps) if step.head]
    if heads:
        ends = {end for end in ends if end <= heads[0]} | {heads[0]}
    return sorted((ends | {len(steps)}) - {0})


def _regions(steps: Sequence[Step], alive: list[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Returns the runs of steps between two cuts within which the network has several paths."""
    cuts = [position + 1 for position, tensors in enumerate(alive) if len(tensors) == 1]
    kernels = sum(step.kind in _KERNELS for step in steps)
    regions = []
    for start, stop in zip([0, *cuts], cuts, strict=False):
        if stop - start < 2:
            continue
        inside = sum(step.kind in _KERNELS for step in steps[start:stop])
        if inside > max(20, kernels / 3):
            regions += _wide_regions(steps, alive, start, stop)
        else:
            regions.append((start, stop))
    return regions


def _wide_regions(steps: Sequence[Step], alive: list[tuple[int, ...]], start: int, stop: int) -> list[tuple[int, int]]:
    """Splits a region that is most of the network where paths come together and few tensors cross (NASNet's cells)."""
    inner = [
        position + 1
        for position in range(start, stop)
        if steps[position].kind == "merge" and len(steps[position].reads) > 2 and len(alive[position]) <= _MOST_TENSORS
    ]
    edges = sorted({start, *inner, stop})
    return list(itertools.pairwise(edges))


def _has_attention(span: _Span) -> bool:
    return any(step.kind == "attention" for step in span.steps)


def _chain_ends(steps: Sequence[Step], start: int, stop: int, alive: list[tuple[int, ...]]) -> list[int]:
    """Returns where blocks end in a run of steps without merging regions.

    What stands between the last kernel and the next region, and begins with a norm, belongs to the region's block.
    """
    ends = []
    kernels = [position for position in range(start, stop) if steps[position].kind in _KERNELS]
    if not kernels:
        return []
    for before, position in itertools.pairwise(kernels):
        since = ends[-1] if ends else start
        unit = [steps[p].kind for p in kernels if since <= p < position]
        if _begins(steps, before, position, unit):
            ends += _legal_end(steps, before + 1, position, alive)
    return ends + _legal_end(steps, kernels[-1] + 1, stop, alive)


def _legal_end(steps: Sequence[Step], start: int, stop: int, alive: list[tuple[int, ...]]) -> list[int]:
    """Returns the first cut behind the steps from `start` that belong to the kernel before them, if there is one."""
    cut = _tail(steps, start, stop)
    while cut < stop and len(alive[cut - 1]) != 1:
        cut += 1
    return [cut] if len(alive[cut - 1]) == 1 else []


def _begins(steps: Sequence[Step], before: int, position: int, unit: list[str]) -> bool:
    """Whether a new block begins with the kernel at `position`, in a chain whose block so far holds kernels `unit`."""
    kind = steps[position].kind
    if kind == "dense" or "dense" in unit:
        return True
    if not _activated(steps[:position], before) and steps[before].kind != "depthwise":
        return True  # a linear bottleneck
    if kind == "depthwise":
        return "depthwise" in unit or unit[-1] == "spatial"
    return kind == "spatial" and ("spatial" in unit or "depthwise" in unit)


def _activated(steps: Sequence[Step], position: int) -> bool:
    """Whether something nonlinear stands between the kernel at `position` and the next kernel."""
    if steps[position].activates:
        return True
    for step in steps[position + 1 :]:
        if step.kind in _KERNELS:
            return False
        if step.activates or step.kind == "gate":
            return True
    return False


def _tail(steps: Sequence[Step], position: int, stop: int) -> int:
    """Returns where the block of the kernel before `position` ends: norm, activation and pooling go with it."""
    norm = False
    while position < stop:
        if steps[position].kind == "padding" and (position + 1 == stop or steps[position + 1].kind in _KERNELS):
            break
        if steps[position].kind == "norm" and (norm or steps[position - 1].kind not in _KERNELS):
            break  # a norm that follows anything but a kernel belongs to what comes next
        norm = norm or steps[position].kind == "norm"
        position += 1
    return position


def _close(steps: Sequence[Step], ends: list[int]) -> list[int]:
    """Moves each end behind the steps that belong to the block before it: activation, dropout, pooling."""
    moved = []
    for end, limit in zip(ends, [*ends[1:], len(steps)], strict=True):
        while end < limit and steps[end].kind == "other" and not steps[end].weights and not steps[end].head:
            if len(steps[end].reads) != 1 or _read_elsewhere(steps, end):
                break
            end += 1
        moved.append(end)
    return sorted(set(moved))


def _read_elsewhere(steps: Sequence[Step], position: int) -> bool:
    """Whether what the step reads is read by a later step too, so that moving a cut behind it would widen the cut."""
    read = steps[position].reads[0]
    return any(read in step.reads for step in steps[position + 1 :])


def _with_weights(steps: Sequence[Step], ends: list[int]) -> list[int]:
    """Leaves out ends of blocks that hold no variable or no kernel: they join their neighbour."""
    kept: list[int] = []
    for end in ends:
        start = kept[-1] if kept else 0
        if any(step.weights and (step.kind != "norm" or not kept) for step in steps[start:end]):
            kept.append(end)
        elif kept and (end == len(steps) or steps[end].head):
            kept[-1] = end
    if not kept or kept[-1] != len(steps):
        kept = [*kept[:-1], len(steps)]
    return kept


def _join_stem(spans: list[_Span]) -> list[int]:
    """Returns the ends of spans, the leading convolutions of a network that is not one plain chain as one span."""
    leading = 0
    while leading < len(spans) and spans[leading].plain:
        leading += 1
    body = [span for span in spans[leading:] if span.extent]
    return [span.stop for span in spans[max(0, leading - 1) if body else 0 :]]


def _names(spans: list[_Span]) -> list[str]:
    names: list[str] = []
    body = [span for span in spans if not span.steps[0].head]
    stage, block, extent = 0, 0, -1
    for index, span in enumerate(body):
        role = _role(body, index)
        if not span.extent:
            role = next((step.name for step in span.steps if step.kind in _KERNELS), span.steps[0].name)
        elif role not in ("stem", "head_conv"):
            # What pools at the end of a transition opens the next stage, as a convolution with a stride does.
            given = span.steps[-1].extent or span.extent if role == "transition" else span.extent
            if given < extent or stage == 0:
                stage, block = stage + 1, 0
            extent = given
            block += role == "block"
            role = f"stage{stage}.{role}{block if role == 'block' else ''}"
        names.append(role)
    return _unique([*names, *(["head"] * (len(spans) - len(body)))])


def _role(spans: list[_Span], index: int) -> str:
    span = spans[index]
    if index == 0 and span.plain and not all(later.plain for later in spans if later.extent):
        return "stem"
    if span.merges or len(span.kernels) != 1:
        return "block"
    kind = span.kernels[0].kind
    around = [spans[at].merges for at in (index - 1, index + 1) if 0 <= at < len(spans)]
    if kind == "pointwise" and all(not later.extent for later in spans[index + 1 :]) and index:
        return "head_conv"
    if len(around) == 2 and all(around):
        return "transition" if kind == "pointwise" else "downsample"
    return "block"


def _unique(names: list[str]) -> list[str]:
    counts: dict[str, int] = {}
    result = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        result.append(name if counts[name] == 1 else f"{name}.{counts[name]}")
    return result

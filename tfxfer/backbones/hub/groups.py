"""Groups the variables of a SavedModel by their saved names, which is all that is left of its structure."""

import dataclasses
import re
from collections.abc import Sequence

# Within the name of a layer, what announces the block it belongs to: of Keras, of TF-Slim, of text encoders.
_BLOCK = re.compile(r"^((?:conv\d+_block|block_?|layer_?|stage_?|unit_?)\d+[a-z]?|expanded_conv(?:_\d+)?)(?=_|$)")
_AFFINE = re.compile(r"(gamma|beta)(_\d+)?$")
_MOVING = re.compile(r"moving_(mean|variance|var)(_\d+)?$")


@dataclasses.dataclass(frozen=True)
class NamedGroup:
    """Variables that belong together, as positions in the list that was given; `batch_norm` are gamma and beta."""

    name: str
    members: tuple[int, ...]
    batch_norm: tuple[int, ...]


def by_name(names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> tuple[NamedGroup, ...]:
    """Returns groups that cover all of `names` once, in the order in which they first appear.

    Names with folders are grouped by the first one below the folders that all share. Names without, as Keras 3
    writes them, begin a group at each kernel. What holds no kernel, such as batch norm, joins what stands before it.

    Args:
        names: as saved, such as `MobilenetV2/Conv/BatchNorm/gamma`, in the order of creation.
        shapes: of the same variables.
    """
    keys = _by_folder(names) if any("/" in name for name in names) else _by_kernel(names, shapes)
    groups: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    merged: dict[str, list[int]] = {}
    for key, members in groups.items():
        if merged and all(len(shapes[position]) < 2 for position in members):
            merged[next(reversed(merged))] += members
        else:
            merged[key] = members
    norm = _of_batch_norm(names, keys)
    return tuple(
        NamedGroup(name=key, members=tuple(members), batch_norm=tuple(p for p in members if p in norm))
        for key, members in merged.items()
    )


def _by_folder(names: Sequence[str]) -> list[str]:
    folders = [name.split("/")[:-1] for name in names]
    filled = [folder for folder in folders if folder]
    shared = 0
    while len({tuple(folder[: shared + 1]) for folder in filled}) == 1 and len(filled[0]) > shared:
        shared += 1
    keys = []
    for folder, name in zip(folders, names, strict=True):
        key = (folder or [name])[: shared + 1]
        match = _BLOCK.match(key[-1])
        keys.append("/".join([*key[:-1], match[1] if match else key[-1]]))
    return keys


def _by_kernel(names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> list[str]:
    number, keys = 0, []
    # The moving statistics of some writers stand behind everything else: each joins its gamma or beta, by shape.
    waiting: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for name, shape in zip(names, shapes, strict=True):
        number += len(shape) >= 2 or number == 0
        key = f"layer{number}"
        if _AFFINE.match(name) and key not in waiting.get(("mean", shape), ()):
            for statistic in ("mean", "variance", "var"):
                waiting.setdefault((statistic, shape), []).append(key)
        if (match := _MOVING.match(name)) and waiting.get((match[1], shape)):
            key = waiting[match[1], shape].pop(0)
        keys.append(key)
    return keys


def _of_batch_norm(names: Sequence[str], keys: Sequence[str]) -> set[int]:
    """Returns the positions of gamma and beta that have moving statistics beside them."""
    parts = [name.rpartition("/") for name in names]
    places = [folder if slash else key for (folder, slash, _), key in zip(parts, keys, strict=True)]
    leaves = [leaf for _, _, leaf in parts]
    moving = {place for place, leaf in zip(places, leaves, strict=True) if _MOVING.match(leaf)}
    return {p for p, leaf in enumerate(leaves) if _AFFINE.match(leaf) and places[p] in moving}

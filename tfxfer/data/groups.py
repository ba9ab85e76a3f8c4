"""Which examples must stay together: one patient, one scene, one video. By a table's column, or by names of files."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from tfxfer.data.pictures import Pictures
from tfxfer.errors import DataError


@dataclasses.dataclass(frozen=True)
class Groups:
    """The group of each example.

    Attributes:
        names: of each example its group; None for one that stands alone.
        by: what makes the groups, in words, such as "the column 'patient'".
    """

    names: Sequence[str | None]
    by: str

    def at(self, positions: np.ndarray) -> "Groups":
        """Returns the groups of some examples."""
        return Groups([self.names[index] for index in positions], self.by)

    @property
    def count(self) -> int:
        """Number of groups, without those that stand alone."""
        return len(set(self.names) - {None})


def by_file_name(pictures: Pictures, expression: str, source: str) -> Groups:
    """Returns the groups that a regular expression finds in the names of files, folders apart.

    Args:
        pictures: of the source.
        expression: with one group in parentheses, which is found anywhere in a name: `(.*)_nohash_` for names such as
            `leaf7_nohash_2.jpg`. What it is not found in stands alone.
        source: for errors.

    Raises:
        DataError: the pictures lie in no files, or the expression is found in no name.
    """
    pattern = re.compile(expression)
    known: dict[str, str] = {}  # one text for a group, not one for each of its pictures
    names: list[str | None] = []
    for index in range(len(pictures)):
        match = pattern.search(pictures.file_name(index))
        group = match and match.group(1)
        names.append(known.setdefault(group, group) if group else None)
    if not known:
        example = next(filter(None, map(pictures.file_name, range(len(pictures)))), None)
        if example is None:
            raise DataError(f"data.group_by looks into names of files, and the images of {source} have none.")
        raise DataError(
            f"data.group_by={expression!r} is found in none of the {len(pictures):,} names of files, such as "
            f"{example!r}."
        )
    return Groups(names, f"what {expression!r} finds in names of files")

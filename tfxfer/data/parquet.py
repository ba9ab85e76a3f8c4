"""Parquet files: columns as text, and pictures that lie in a column as encoded bytes. Needs pyarrow."""

import contextlib
import importlib.util
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfxfer.data import images, slices, tables
from tfxfer.data.pictures import Encoded
from tfxfer.errors import ConfigError, DataError

INSTALL = "pip install 'tfxfer[parquet]'"
_ROWS_AT_ONCE = 16_384
# Of pictures that the file keeps together, in bytes: to read one of them all are read, into three times the memory.
_MOST_TOGETHER = 256 << 20
_PICTURES_AT_ONCE, _BUFFER = 64, 1 << 20


def check_installed() -> None:
    """Looks for pyarrow without importing it.

    Raises:
        ConfigError: says what to type.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(f"parquet: needs pyarrow, which is not installed. Type: {INSTALL}")


class File:
    """An open Parquet file.

    Attributes:
        path: of it.
        headings: of its columns.
        count: how many rows it has.
    """

    def __init__(self, path: pathlib.Path):
        """Reads what the end of the file tells.

        Raises:
            DataError: no such file, or no Parquet.
        """
        tables.check_regular(path)
        self.path = path
        with self._readable():
            import pyarrow.parquet

            self._opened = pyarrow.parquet.ParquetFile(path)
            self.headings = tuple(self._opened.schema_arrow.names)
            self.count = self._opened.metadata.num_rows

    def texts(self, columns: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        """Yields each row's number, from 1, and its cells in these columns as text, empty where nothing stands.

        Raises:
            DataError: a column holds what is no text and no number, or the file is damaged.
        """
        names = [self.headings[column] for column in columns]
        number = 0
        with self._readable():
            for batch in self._opened.iter_batches(_ROWS_AT_ONCE, columns=names):
                cells = [self._as_text(batch.column(name), name) for name in names]
                for row in zip(*cells, strict=True):
                    number += 1
                    yield number, list(row)

    def holds_bytes(self, column: int) -> bool:
        """Whether a column holds encoded pictures: bytes, or a structure that has some, called bytes."""
        import pyarrow

        return _is_binary(self._type(column)) or (
            pyarrow.types.is_struct(self._type(column))
            and any(field.name == "bytes" and _is_binary(field.type) for field in self._type(column))
        )

    def pictures(self, column: int) -> "Cells":
        """Returns the pictures of such a column.

        Raises:
            DataError: the file is damaged.
        """
        metadata = self._opened.metadata
        counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
        if min(counts, default=0) < 0:
            raise DataError(f"{self.path} cannot be read as Parquet (it says that it has {min(counts)} rows).")
        return Cells(self, self.headings[column], np.cumsum([0, *counts]))

    def is_coarse(self, column: int) -> bool:
        """Whether the file keeps so many pictures together that none can be read alone in bearable memory."""
        metadata, heading = self._opened.metadata, self.headings[column]
        largest = 0
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            leaves = map(group.column, range(group.num_columns))
            mine = (leaf for leaf in leaves if leaf.path_in_schema.split(".")[0] == heading.split(".")[0])
            largest = max(largest, sum(leaf.total_uncompressed_size for leaf in mine))
        return largest > _MOST_TOGETHER

    def copied(self, column: int) -> slices.Slices:
        """Returns the pictures of such a column, copied one by one.

        Raises:
            DataError: the file is damaged, or there is no room.
        """
        copying = slices.Copying(f"parquet:{self.path}")
        with self._readable():
            import pyarrow.parquet

            stream = pyarrow.parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=_BUFFER)
            for batch in stream.iter_batches(_PICTURES_AT_ONCE, columns=[self.headings[column]]):
                for cell in batch.column(0):
                    copying.add(_content(cell) or b"")
        count = copying.count
        return copying.pictures(["row"], np.zeros(count, np.int32), np.arange(1, count + 1))

    def row_group(self, number: int, heading: str) -> Any:
        """Returns one column of some consecutive rows, as the file keeps them together.

        Raises:
            DataError: the file is damaged.
        """
        with self._readable():
            return self._opened.read_row_group(number, columns=[heading]).column(0)

    def _type(self, column: int) -> Any:
        return self._opened.schema_arrow.field(column).type

    def _as_text(self, column: Any, name: str) -> list[str]:
        import pyarrow

        try:
            texts = column.cast(pyarrow.string()).to_pylist()
        except pyarrow.ArrowException as error:
            raise DataError(
                f"the column {name!r} of {self.path} holds {column.type}, expected texts or numbers. Name another one."
            ) from error
        lacking = (None, "nan") if pyarrow.types.is_floating(column.type) else (None,)
        return ["" if text in lacking else text for text in texts]

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        import pyarrow

        try:
            yield
        # Of damaged files pyarrow's own errors, and Python's where a name or a text is no UTF-8.
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            if isinstance(error, DataError):
                raise
            reason = str(error).splitlines()[0].rstrip(".")
            raise DataError(f"{self.path} cannot be read as Parquet ({reason}).") from error


class Cells(Encoded):
    """Pictures in a column of a Parquet file; the rows that it keeps together are in memory while they are used."""

    def __init__(self, file: File, heading: str, begins: np.ndarray):
        """Takes the file, the heading, and the row at which each row group begins, with the number of rows at last."""
        self._file, self._heading, self._begins = file, heading, begins
        self._lock = threading.Lock()  # a reader of Parquet is for one thread
        self._at, self._column = -1, None

    def __len__(self) -> int:
        return int(self._begins[-1])

    def name(self, index: int) -> str:
        """Returns the row, counted from 1."""
        return f"row {index + 1}"

    def file_name(self, index: int) -> str:
        """Returns nothing: there is no file."""
        return ""

    def content(self, index: int) -> bytes:
        """Returns the encoded bytes."""
        with self._lock:
            number = int(np.searchsorted(self._begins, index, side="right")) - 1
            if number != self._at:
                try:
                    self._column = self._file.row_group(number, self._heading)
                except DataError as error:
                    raise images.UnreadableImageError(str(error).rstrip(".")) from error
                self._at = number
            at = index - int(self._begins[number])
            if at >= len(self._column):
                raise images.UnreadableImageError("the file is damaged: it has fewer images than rows")
            content = _content(self._column[at])
        if content is None:
            raise images.UnreadableImageError("the cell is empty")
        return content


def _content(cell: Any) -> bytes | None:
    import pyarrow

    if cell.is_valid and pyarrow.types.is_struct(cell.type):
        cell = cell["bytes"]
    return cell.as_py()


def _is_binary(kind: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)

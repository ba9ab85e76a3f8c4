"""Lists images that could not be read in `report/bad_images.csv`: each with its path and the reason."""

import contextlib
import csv
import io
import pathlib
from collections.abc import Callable, Iterable, Iterator

from tfxfer import files
from tfxfer.display import clean
from tfxfer.errors import BadImagesError
from tfxfer.facts import BadImage, DataFacts
from tfxfer.folders import BAD_IMAGES


def write_bad_images(bad: Iterable[BadImage], folder: pathlib.Path) -> pathlib.Path:
    """Writes the list, or removes that of an earlier try where there is nothing to list; returns where it is.

    Args:
        bad: as they were found.
        folder: of the report.

    Raises:
        WorkdirError: it cannot be written.
    """
    path, rows = folder / BAD_IMAGES, [(clean(image.name), clean(image.reason)) for image in bad]
    if not rows:
        path.unlink(missing_ok=True)
        return path
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("path", "reason"), *rows])
    files.write_text(path, text.getvalue())
    return path


@contextlib.contextmanager
def bad_images_listed(folder: pathlib.Path | None) -> Iterator[Callable[[DataFacts], None]]:
    """Gives what writes the list once data is open; writes it where the block ends for such images, and says so.

    Args:
        folder: of the report; None: nothing is written, since another process does it.
    """

    def opened(facts: DataFacts) -> None:
        if folder is not None:
            write_bad_images(facts.skipped, folder)

    try:
        yield opened
    except BadImagesError as error:
        if folder is None:
            raise
        bad = (BadImage(name=name, reason=reason) for name, reason in error.images)
        path = write_bad_images(bad, folder)
        raise BadImagesError(f"{error} All of them are listed in {path}.", error.images) from error

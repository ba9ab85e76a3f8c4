"""Answers pictures one after the other into a table, while the next are decoded."""

import contextlib
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from tfxfer import export, files, prediction, progress, view_averaging
from tfxfer.data.finding import Listing
from tfxfer.display import clean
from tfxfer.errors import DataError
from tfxfer.labelling import tables
from tfxfer.labelling.outputs import LINES, Outputs

_BATCH = 32


def label(
    bundle: pathlib.Path,
    listing: Listing,
    outputs: Outputs,
    *,
    top: int | None = 3,
    allow_unsafe_model_code: bool = False,
    tta: int = 1,
) -> int:
    """Labels pictures with a bundle; returns how many could not be read.

    Args:
        bundle: its folder.
        listing: the pictures, of `data.finding.find`.
        outputs: where the answers go, of `choose_outputs`; files appear whole, at the end.
        top: how many classes for each image, ≥ 1; None: all.
        allow_unsafe_model_code: whether ops of a SavedModel in its network may run that the scan refuses.
        tta: views of each picture, over which answers are averaged, ≥ 1; 1: the picture itself alone.

    Raises:
        ConfigError: more views than training had.
        BundleError: the bundle is damaged.
        BackboneError: features are wanted of a network without a head of `swap_head`.
        DataError: standard input named no picture.
        WorkdirError: a file cannot be written.
    """
    opened = export.open_bundle(bundle, allow_unsafe_model_code=allow_unsafe_model_code)
    return label_with(opened, listing, outputs, top=top, tta=tta)


def label_with(
    bundle: export.Bundle,
    listing: Listing,
    outputs: Outputs,
    *,
    top: int | None = 3,
    threads: int | None = None,
    after_each: Callable[[], None] = lambda: None,
    tta: int = 1,
) -> int:
    """Does the same with a bundle that is open.

    Args:
        bundle: as opened.
        listing: the pictures.
        outputs: where the answers go.
        top: how many classes for each image, ≥ 1; None: all.
        threads: that decode; None: one for each core.
        after_each: called when an answer is written.
        tta: views of each picture.
    """
    network = bundle.model if outputs.embeddings is None else prediction.with_features(bundle.model)
    if tta > 1:
        augment = view_averaging.augment_of(bundle.folder)
        network = view_averaging.averaged(network, augment, tta, bundle.task)
        print(view_averaging.told(augment, tta, bundle.task), file=sys.stderr)
    names = bundle.class_names
    # A single picture does not wait for 31 copies of it.
    batch_size = _BATCH if listing.count is None else min(_BATCH, max(listing.count, 1))
    answers = prediction.predict_files(
        network, listing.pictures, framing=bundle.framing, task=bundle.task, batch_size=batch_size, threads=threads
    )
    number = unreadable = 0
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(_writing(outputs.table))
        top = len(names) if top is None else min(top, len(names))
        table = tables.table_of(outputs.kind, write, names, top, bundle.task.kind)
        embeddings = None
        if outputs.embeddings is not None:
            stream = stack.enter_context(_beside(outputs.embeddings))
            embeddings = tables.Embeddings(stream, network.output_shape[1][1])
        advance = stack.enter_context(_progress(listing.count, outputs))
        stack.enter_context(contextlib.closing(answers))
        for answer in answers:
            number += 1
            unreadable += bool(answer.problem)
            table.add(answer)
            if embeddings is not None:
                embeddings.add(answer)
            advance()
            after_each()
        if not number:
            raise DataError("standard input named no images. Give it paths, one a line: ls *.jpg | tfxfer predict … -")
        if embeddings is not None:
            embeddings.finish()
    if outputs.table is not None:
        print(_said(number, unreadable, outputs, network))
    return unreadable


@contextlib.contextmanager
def _writing(path: pathlib.Path | None) -> Iterator[Callable[[str], object]]:
    """Gives what writes text to a file, which appears at the block's end, or to standard output."""
    if path is None:
        yield tables.write_to_standard_output
        return
    with _beside(path) as stream:
        yield lambda text: stream.write(tables.encoded(text))


@contextlib.contextmanager
def _beside(path: pathlib.Path) -> Iterator[BinaryIO]:
    with files.replacing(path, overwrite=False) as beside, beside.open("wb") as stream:
        yield stream


@contextlib.contextmanager
def _progress(count: int | None, outputs: Outputs) -> Iterator[Callable[[], None]]:
    """Shows a bar where the answers do not go to the same terminal."""
    if outputs.table is None and (outputs.kind == LINES or sys.stdout.isatty()):
        yield lambda: None
        return
    start, done = time.monotonic(), 0

    def advance() -> None:
        nonlocal done
        done += 1
        tell(1, f"{done / max(time.monotonic() - start, 1e-3):,.0f} images/s")

    with progress.bar("labelling", count, kind="images") as tell:
        yield advance


def _said(number: int, unreadable: int, outputs: Outputs, network) -> str:
    text = f"{number:,} {'image' if number == 1 else 'images'} labelled in {clean(str(outputs.table))}"
    if unreadable:
        text += f", {unreadable:,} of them unreadable"
    if outputs.embeddings is not None:
        text += f"; {network.output_shape[1][1]:,} features of each in {clean(str(outputs.embeddings))}"
    return text

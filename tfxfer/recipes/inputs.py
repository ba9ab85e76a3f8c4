"""What a run begins with, as values: the examples and the pretrained network."""

import csv
import dataclasses
import re
from typing import Literal

from tfxfer import values
from tfxfer.framing import Framing, Resize, colour_problems
from tfxfer.tasks import Kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Which examples, and how they become pixels.

    Attributes:
        source: `folder:<dir>`, `csv:<file>`, `parquet:<file>`, `npz:<file>`, `tfrecord:<pattern>`, `tfds:<name>`,
            `sample:digits`, or `arrays:` for what is handed to `run`.
        on_bad_image: what an unreadable image does: "error" names all of them and stops, "skip" leaves them
            out and lists them in the report.
        on_duplicate: what one picture in two splits does: "error" names the pairs and stops, "drop" leaves the copy
            on the side of training out.
        resize: "squash" to the square, "crop" its centre after scaling the shorter side, or "pad" to it after
            scaling the longer one.
        background: what shows through transparent pixels, and around a padded image: "white", "black" or "#rrggbb".
        validation_fraction: share of each class for validation where the source has no split, 0 < f < 1.
        test_fraction: share of each class for the test, 0 < f < 1.
        image_column: of `csv:` and `parquet:`, the heading of the paths, which are relative to the file, or of encoded
            images; "" for image, path, file or filename.
        label_column: likewise, that of the classes; "" for label, class, class_name or category. Several, split by
            commas, for labels that are 0 or 1 each, or for several numbers; a heading with a comma in quotes.
        split_column: likewise, that of the splits train, validation and test; "" for split where there is one, none for
            splits decided here.
        group_column: likewise, that of what never stands in two splits, such as a patient; "" for group where there is
            one, none for no groups.
        weight_column: likewise, that of numbers above 0, by which examples count in the loss, their mean in training
            being made 1; accuracies count all alike. "" for weight where there is one, none for no weights.
        group_by: a regular expression with one group, which is found in names of files and makes groups of them, such
            as `(.*)_nohash_`; "" for none.
        task: what is to be told of a picture: "single_label", one class; "multi_label", any of some labels;
            "regression", one or several numbers; "ordinal", one class of several that have an order; "auto":
            multi_label where there is a `label_separator` or there are several columns of labels, else single_label.
        label_separator: what stands between the labels in one cell, such as "|"; "" for one label in each.
        class_order: for ordinal, the classes, the lowest first; () for numbers, which have an order.
        examples_per_class: how many training examples of each class are drawn, the rest being left out; none for all.
        proportions: what the fractions are of: "class": of each class, to one example; "total": of all examples, to
            one, where classes too small for their share are made up for by others; "hash": of the range of hashes, so
            that no example that is added moves another one, and the fractions are met on average only.
        folds: for cross-validation, into how many parts what is not for the test is cut, stratified and grouped like
            the splits, 2 to 100; the test stays, and what the source has for validation goes into the folds. None for
            a share, `validation_fraction`.
        fold: which of them is the validation, from 0; the others are trained on.
        split_seed: of the splits and of the draw of `examples_per_class`, ≥ 0; none: that of the recipe, which all
            other random numbers go by.
    """

    source: str = "arrays:"
    on_bad_image: Literal["error", "skip"] = "error"
    on_duplicate: Literal["error", "drop"] = "error"
    resize: Resize = Framing.resize
    background: str = Framing.background
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    image_column: str = ""
    label_column: str = ""
    split_column: str | None = ""
    group_column: str | None = ""
    weight_column: str | None = ""
    group_by: str = ""
    task: Kind | Literal["auto"] = "auto"
    label_separator: str = ""
    class_order: tuple[str, ...] = ()
    examples_per_class: int | None = None
    proportions: Literal["class", "total", "hash"] = "class"
    folds: int | None = None
    fold: int = 0
    split_seed: int | None = None

    def __post_init__(self):
        """Refuses values outside their ranges."""
        if isinstance(self.class_order, list):
            object.__setattr__(self, "class_order", tuple(self.class_order))
        problems = values.check_fields(self)
        if not problems:
            if ":" not in self.source:
                problems.append(f"source={self.source!r} names no kind of source; write {_meant(self.source)}")
            problems += colour_problems(self.background)
            problems += self._columns_that_cannot_be()
            problems += self._tasks_that_cannot_be()
            if self.examples_per_class is not None and self.examples_per_class < 1:
                problems.append(f"examples_per_class={self.examples_per_class} must be at least 1, or none")
            problems += self._folds_that_cannot_be()
            if self.split_seed is not None and not 0 <= self.split_seed < 2**31:
                problems.append(f"split_seed={self.split_seed} must be 0 to {2**31 - 1}, or none")
            for name in ("validation_fraction", "test_fraction"):
                if not 0 < getattr(self, name) < 1:
                    problems.append(f"{name}={getattr(self, name)} must be above 0 and below 1")
            if self.validation_fraction + self.test_fraction >= 1:
                problems.append("validation_fraction + test_fraction must leave something to train on")
        values.refuse(self, problems)

    @property
    def framing(self) -> Framing:
        """How pictures become squares."""
        return Framing(resize=self.resize, background=self.background)

    @property
    def is_table(self) -> bool:
        """Whether the source is a table with a row for each image."""
        return self.source.partition(":")[0] in ("csv", "parquet")

    def _folds_that_cannot_be(self) -> list[str]:
        if self.folds is None:
            return [f"fold={self.fold} is one of folds, and folds is not given; write folds=5"] if self.fold else []
        if not 2 <= self.folds <= 100:
            return [f"folds={self.folds} must be 2 to 100, or none"]
        if not 0 <= self.fold < self.folds:
            return [f"fold={self.fold} must be 0 to {self.folds - 1}, the folds being counted from 0"]
        return []

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The headings in `label_column`."""
        return headings_in(self.label_column)

    @property
    def kind(self) -> Kind:
        """The task, where it is "auto" the one that the columns tell."""
        if self.task != "auto":
            return self.task
        return "multi_label" if self.label_separator or len(self.label_columns) > 1 else "single_label"

    def _tasks_that_cannot_be(self) -> list[str]:
        kind, several, separator = self.kind, len(self.label_columns) > 1, self.label_separator
        problems = []
        if separator and kind != "multi_label":
            problems.append(f"label_separator={separator!r} makes several labels of a cell, and task={kind} has none")
        if separator and several:
            problems.append(
                f"label_separator={separator!r} is of one column, and label_column={self.label_column!r} names "
                f"{len(self.label_columns)} of 0 and 1; give one of the two"
            )
        if separator and ":" in self.source and not self.is_table:
            problems.append(f"label_separator={separator!r} is of csv: and parquet:, and the source is {self.source}")
        if kind == "multi_label" and self.is_table and not separator and not several:
            problems.append(
                'task=multi_label needs label_separator="|" (what stands between labels in a cell), or label_column='
                "cat,dog (a column of 0 and 1 for each label)"
            )
        if several and kind in ("single_label", "ordinal"):
            problems.append(f"label_column={self.label_column!r} names several columns, and task={kind} has one")
        if any(not name for name in self.label_columns) and several:
            problems.append(f"label_column={self.label_column!r} has an empty name between commas")
        if len(set(map(str.lower, self.label_columns))) < len(self.label_columns):
            problems.append(f"label_column={self.label_column!r} names a column twice")
        if self.class_order and kind != "ordinal":
            problems.append(f"class_order is of task=ordinal, and the task is {kind}")
        if len(set(self.class_order)) < len(self.class_order):
            problems.append("class_order names a class twice")
        if self.examples_per_class is not None and kind in ("multi_label", "regression"):
            problems.append(f"examples_per_class={self.examples_per_class} draws classes, and task={kind} has none")
        return problems

    def _columns_that_cannot_be(self) -> list[str]:
        problems = []
        for name in ("image_column", "label_column", "split_column", "group_column", "weight_column"):
            heading = getattr(self, name)
            if heading and ":" in self.source and not self.is_table:
                problems.append(f"{name}={heading!r} is of csv: and parquet:, and the source is {self.source}")
        if self.group_by:
            try:
                groups = re.compile(self.group_by).groups
            except re.error as error:
                problems.append(f"group_by={self.group_by!r} is no regular expression ({error})")
            else:
                if groups != 1:
                    problems.append(
                        f"group_by={self.group_by!r} has {groups} groups in parentheses and must have one, such as "
                        "'(.*)_nohash_'; (?:…) groups nothing"
                    )
            if self.group_column:
                problems.append(f"group_by and group_column={self.group_column!r} both make groups; give one")
        return problems


def headings_in(text: str) -> tuple[str, ...]:
    """Returns the headings that a text names, split by commas; one with a comma in it stands in quotes."""
    try:
        found = next(csv.reader([text], skipinitialspace=True), ())
    except csv.Error:  # a line break, which no comma is meant with
        return (text,)
    return tuple(name.strip() for name in found)


def _meant(source: str) -> str:
    suffix = source.rpartition(".")[2].lower()
    if suffix in ("csv", "tsv"):
        return f"csv:{source} for a table"
    if suffix == "parquet":
        return f"parquet:{source} for a table"
    if suffix == "npz":
        return f"npz:{source} for a file of arrays"
    if suffix in ("tfrecord", "tfrecords"):
        return f"tfrecord:{source} for records"
    return f"folder:{source} for a folder"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """Which pretrained network.

    Attributes:
        handle: `source:name`, such as `builtin:efficientnet_lite0` or `keras:MobileNetV2`.
        weights: "pretrained", "random", or a path to a weights file of this network.
        at: layer group, stage or layer behind which the network is cut, also `layers[7]` or an expression "re:…" that
            is found in one layer's name; "" for all of it.
        output: which output of a network that has several by name; "" where there is one.
        allow_unsafe_model_code: whether code that the network's file brings may run.
    """

    handle: str = "builtin:efficientnet_lite0"
    weights: str = "pretrained"
    at: str = ""
    output: str = ""
    allow_unsafe_model_code: bool = False

    def __post_init__(self):
        """Refuses values of another type."""
        values.refuse(self, values.check_fields(self))

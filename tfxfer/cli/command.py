"""What a sub-command is: its flags, its words of help, and what it does with the values."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from tfxfer import config, objectives
from tfxfer.errors import ConfigError
from tfxfer.formats import FORMATS
from tfxfer.recipes import PRESETS, Recipe
from tfxfer.values import Change

# The width and indentation of the help's second column.
_INDENT = " " * 29
_PRESETS = textwrap.fill(
    f"auto, {', '.join(PRESETS[:-1])} or {PRESETS[-1]}", 100, initial_indent=_INDENT, subsequent_indent=_INDENT
).lstrip()
_LOSSES, _METRICS = (
    "\n".join(
        textwrap.fill(f"{kind}: {', '.join(names)}", 120, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ")
        for kind, names in table.items()
    )
    for table in (objectives.LOSSES, objectives.METRICS)
)
# Flags of whatever reads labelled images.
COLUMNS = {
    "image_column": ("NAME", "of a table, the column of paths; default image, path, file or filename"),
    "label_column": (
        "NAME",
        "likewise, that of classes; default label, class, class_name or category; several by commas",
    ),
    "label_separator": ("TEXT", "likewise, what stands between several labels in one cell: --label_separator='|'"),
}
# Flags that stand for one field of the recipe: the field, the value in words, and what it is.
RECIPE_FLAGS = {
    "data": (
        "data.source",
        "SOURCE",
        f"the examples: folder:<dir>, csv:<file>, parquet:<file>, npz:<file>,\n{_INDENT}tfrecord:<pattern>, "
        "tfds:<name> or sample:digits",
    ),
    "image_column": ("data.image_column", "NAME", COLUMNS["image_column"][1]),
    "label_column": ("data.label_column", "NAME", COLUMNS["label_column"][1]),
    "task": ("data.task", "NAME", "single_label, multi_label, regression or ordinal; default auto, by the columns"),
    "label_separator": ("data.label_separator", "TEXT", COLUMNS["label_separator"][1]),
    "on_bad_image": ("data.on_bad_image", "error|skip", "what an unreadable image does"),
    "backbone": (
        "backbone.handle",
        "HANDLE",
        "the network, such as builtin:efficientnet_lite0, keras:MobileNetV2",
    ),
    "allow_unsafe_model_code": (
        "backbone.allow_unsafe_model_code",
        "true|false",
        "whether code that the backbone's file brings may run",
    ),
    "stages": ("stages", "PRESET", _PRESETS),
    "budget": ("budget", "SECONDS", "of a race of strategies, of which the best is trained; with --stages=auto"),
    "loss": ("loss", "NAME", f"what is made small; default that of the task:\n{_LOSSES}"),
    "metrics": ("metrics", "NAMES", f"shown besides those of the task, split by commas:\n{_METRICS}"),
    "image_size": ("image_size", "PIXELS", "height and width that the network sees, or auto"),
    "batch_size": ("batch_size", "N", "examples in one optimizer step"),
    "seed": ("seed", "N", "of the split, the order and all random numbers"),
    "precision": (
        "precision",
        "NAME",
        "what the backbone computes in: float32, mixed_bfloat16 or mixed_float16",
    ),
    "strategy": (
        "running.strategy",
        "NAME",
        f"how devices share the work: auto, one_device, mirrored, multi_worker_mirrored,\n{_INDENT}tpu (experimental)",
    ),
    "devices": (
        "running.devices",
        "DEVICES",
        "auto, gpu:all, gpu:0,1, cpu, or cpu:4 for four logical ones, to try a strategy",
    ),
    "workers": ("running.workers", "ADDRESSES", "host:port of each process that trains along, split by commas"),
    "task_index": ("running.task_index", "N", "which of the workers this process is, from 0"),
    "checkpoint_seconds": ("running.checkpoint_seconds", "S", "from one checkpoint within a stage to the next"),
    "resume": ("running.resume", "auto|must|never", "whether a run in the workdir goes on, must be there, or must not"),
    "jit_compile": ("running.jit_compile", "auto|true|false", "whether XLA compiles the steps"),
    "deterministic": (
        "running.deterministic",
        "auto|true|false",
        "whether ops sum in the same order each time",
    ),
    "profile_steps": (
        "running.profile_steps",
        "10:20",
        "optimizer steps of each stage to be profiled for TensorBoard",
    ),
}
# What a recipe and the command that exports again have in common.
EXPORT_FLAGS = {
    "formats": (
        "NAMES",
        "besides model.keras and the SavedModels, split by commas:\n"
        + textwrap.fill(", ".join(FORMATS), 90, initial_indent=_INDENT, subsequent_indent=_INDENT),
    ),
    "assert_accuracy_at_least": ("0.9", "below it, on the test split, nothing is exported and the exit code is 3"),
    "hub_archive": ("FILE.tar.gz", "also the SavedModel, packed as TF Hub hosts it"),
}
RECIPE_FLAGS |= {name: (f"export.{name}", *told) for name, told in EXPORT_FLAGS.items()}
# A flag of commands that ask a network.
TTA = {"tta": ("N", "views of each picture, moved as in training, over which answers are averaged")}
_MOST_VIEWS = 64
# A flag of commands that open files of others, and what it says in them.
CONSENT = {"allow_unsafe_model_code": ("true|false", "whether code that a model file brings may run")}
_RECIPE_HELP = """\
  --config=FILE.py          a Python file with get_config() that returns a Recipe; it is run, so trust it
  --config.FIELD=VALUE      sets one field of the recipe: --config.stages[1].epochs=3"""


@dataclasses.dataclass(frozen=True)
class Command:
    """One sub-command.

    Attributes:
        usage: behind `tfxfer <name>`.
        own_flags: for each flag of its own, its value in words and what it is.
        takes_recipe: whether it has the flags of a recipe.
        takes_paths: whether words that are no flags are allowed.
        when_stopped: what is said when it is asked to stop.
        action: what it does with the values; returns the exit code.
        example: a command line.
    """

    usage: str
    own_flags: dict[str, tuple[str, str]]
    action: Callable[["Values"], int]
    example: str
    takes_recipe: bool = False
    takes_paths: bool = False
    when_stopped: str = "stopped; no file was written."

    def run(self, arguments: Sequence[str]) -> int:
        """Parses the arguments behind the command's name and acts.

        Raises:
            flags.Error: an unknown flag, or a value of another type.
            ConfigError: a word too many, or an override without a value.
        """
        rest, overrides = _take_overrides(arguments) if self.takes_recipe else (list(arguments), [])
        parser = flags.FlagValues()
        rest = [f"{word}=true" if word.startswith("--") and word[2:] in self._switches() else word for word in rest]
        for name, (_, text) in self._flags().items():
            flags.DEFINE_string(name, None, text, flag_values=parser)
        paths = parser(["tfxfer", *rest], known_only=False)[1:]
        if paths and not self.takes_paths:
            raise ConfigError(f"{paths[0]!r} is no flag. Flags begin with two dashes: --data=folder:photos.")
        given = {name: parser[name].value for name in self._flags() if parser[name].value is not None}
        return self.action(Values(given, tuple(paths), overrides))

    def help(self, name: str, what: str) -> str:
        """Returns the page of help."""
        lines = [
            f"  --{flag + '=' + value:<24} {text}" for flag, (value, text) in self._flags().items() if flag != "config"
        ]
        recipe = [_RECIPE_HELP] if self.takes_recipe else []
        return "\n".join(
            [
                f"tfxfer {name}: {what}",
                "",
                f"usage: tfxfer {name} {self.usage}",
                "",
                *recipe,
                *lines,
                "",
                f"example:\n  {self.example}",
            ]
        )

    def _switches(self) -> list[str]:
        """Flags that mean yes when they stand without a value."""
        return [name for name, (value, _) in self._flags().items() if value == "true|false"]

    def _flags(self) -> dict[str, tuple[str, str]]:
        recipe = {name: (value, text) for name, (_, value, text) in RECIPE_FLAGS.items()}
        config_file = {"config": ("FILE.py", "a Python file with get_config() that returns a Recipe")}
        return {**(config_file | recipe if self.takes_recipe else {}), **self.own_flags}


@dataclasses.dataclass(frozen=True)
class Values:
    """The parsed command line."""

    given: dict[str, Any]
    paths: tuple[str, ...]
    overrides: list[Change]

    def need(self, flag: str, example: str) -> str:
        """Returns the value of a flag that must be given.

        Raises:
            ConfigError: it was not.
        """
        if flag not in self.given:
            raise ConfigError(f"--{flag} is missing. Write --{flag}={example}.")
        return self.given[flag]

    def views(self) -> int:
        """Returns how many views of each picture are looked at.

        Raises:
            ConfigError: no number from 1 to 64.
        """
        text = self.given.get("tta", "1")
        if not text.isdecimal() or not 1 <= int(text) <= _MOST_VIEWS:
            raise ConfigError(f"--tta={text} is no number from 1 to {_MOST_VIEWS}. Write --tta=4.")
        return int(text)

    def is_on(self, switch: str) -> bool:
        """Whether a flag that is true or false was given, and not as false.

        Raises:
            ConfigError: its value is neither.
        """
        text = self.given.get(switch, "false").lower()
        if text not in ("true", "false"):
            raise ConfigError(f"--{switch}={text} is neither true nor false. Write --{switch}.")
        return text == "true"

    def recipe(self, config_file: str | None = None) -> Recipe:
        """Returns the recipe of the config file, the flags and the overrides, in that order.

        Args:
            config_file: None for that of --config.

        Raises:
            ConfigError: one of them cannot be.
        """
        short = [
            Change(RECIPE_FLAGS[name][0], text, f"--{name}={text}")
            for name, text in self.given.items()
            if name in RECIPE_FLAGS
        ]
        recipe = config.read_recipe(config_file or self.given.get("config"), [*short, *self.overrides])
        if recipe.data.source == "arrays:":
            raise ConfigError("the recipe names no data. Write --data=folder:photos.")
        return recipe


def _take_overrides(arguments: Sequence[str]) -> tuple[list[str], list[Change]]:
    """Takes `--config.field=value` and `--config.field value` out of the arguments."""
    rest, overrides = [], []
    pending = iter(arguments)
    for argument in pending:
        if not argument.lstrip("-").startswith("config.") or not argument.startswith("-"):
            rest.append(argument)
            continue
        field, equals, text = argument.lstrip("-").removeprefix("config.").partition("=")
        if not equals:
            text = next(pending, None)
            if text is None:
                raise ConfigError(f"{argument} has no value. Write {argument}=…")
        overrides.append(Change(field, text, f"--config.{field}={text}"))
    return rest, overrides

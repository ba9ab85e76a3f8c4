"""What is exported besides Keras's own file and the SavedModels, as a value; none of it changes what is learned."""

import dataclasses

from tfxfer import formats as formats_of
from tfxfer import values
from tfxfer.errors import suggest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """What is exported, and from which accuracy on.

    Attributes:
        formats: besides `model.keras` and the SavedModels `saved_model/1` and `feature_vector/1`, which a bundle always
            has: names of `tfxfer.formats`, such as ("litert_int8", "onnx").
        assert_accuracy_at_least: on the test split, in [0, 1]: below it nothing is exported, and a command ends with
            exit code 3.
        hub_archive: a file that gets the SavedModel as TF Hub hosts it, such as "model.tar.gz"; "": none.
    """

    formats: tuple[str, ...] = ()
    assert_accuracy_at_least: float = 0.0
    hub_archive: str = ""

    def __post_init__(self):
        """Refuses unknown formats, and what is no share."""
        if isinstance(self.formats, list):
            object.__setattr__(self, "formats", tuple(self.formats))
        problems = values.check_fields(self)
        if not problems:
            choices = (*formats_of.ALWAYS, *formats_of.FORMATS)
            for name in self.formats:
                if name not in choices:
                    near = suggest(name, choices)
                    problems.append(f"formats: {name!r} is none of {', '.join(choices)}{'.' if near else ''}{near}")
            if not 0 <= self.assert_accuracy_at_least <= 1:
                problems.append(
                    f"assert_accuracy_at_least={self.assert_accuracy_at_least} must be a share from 0 to 1, such as 0.9"
                )
            if self.hub_archive and not self.hub_archive.endswith((".tar.gz", ".tgz")):
                problems.append(f"hub_archive={self.hub_archive!r} must end with .tar.gz, as in model.tar.gz")
        values.refuse(self, problems)

    @property
    def optional_formats(self) -> tuple[str, ...]:
        """Those that a bundle does not have anyway, each once, in the order asked for."""
        return tuple(name for name in dict.fromkeys(self.formats) if name in formats_of.FORMATS)

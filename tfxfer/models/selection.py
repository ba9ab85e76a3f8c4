"""Which variables of a model `train=` and `frozen=` mean: what `tfxfer.selection` decides, on Keras variables."""

from tfxfer import selection
from tfxfer.addressing import Places
from tfxfer.recipes import Frozen, Train


def selected(places: Places, train: Train | None, frozen: Frozen | None) -> set[int]:
    """Returns the `id` of every variable that is to train, the head's among them.

    Args:
        places: of the model.
        train: as in `freeze`; exclusive with `frozen`.
        frozen: as in `freeze`.

    Raises:
        ConfigError: both are given, a name means nothing, a pattern matches nothing, or a layer would be torn apart.
        BackboneError: the model has no head, or nothing that could train.
    """
    return {id(places.places[number].variable) for number in selection.selected(places.outline, train, frozen)}

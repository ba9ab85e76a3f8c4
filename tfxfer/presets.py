"""Named ways to fine-tune: each function returns the stages of one and says where it comes from.

`Recipe(stages="partial")` takes a preset as it is; `Recipe(stages=presets.partial(train="stage4"))` adapts it.
"""

from tfxfer.recipes import PRESETS, Stage


def feature_extraction(*, epochs: int = 20, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """Only the head learns; the backbone is a fixed extractor, its features computed once.

    The first of the four cases of the textbook table (little data, similar to the source); Kornblith et al.
    2019 and VTAB call it the linear probe.
    """
    return (Stage(train="head", epochs=epochs, label_smoothing=label_smoothing),)


def partial(*, train: int | float | str = 0.5, epochs: int = 10, label_smoothing: float = 0.1) -> tuple[Stage, ...]:
    """The head and the last groups learn together, from a zero head.

    "Freeze the first k layers, retrain the other n−k", the second of the four cases; that general features sit
    in the lowest layers is Yosinski et al. 2014. One stage and one rate, because a zero head lets no gradient
    into the groups before it has learned something; `tools/bench_drawings.py` measures it against a probe.
    """
    return (Stage(train=train, epochs=epochs, head_to_body=1.0, label_smoothing=label_smoothing),)


def full(*, head_epochs: int = 3, epochs: int = 8, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """The head first, then everything at a small rate.

    The order of fastai's `fine_tune` and of Keras's transfer-learning guide; that the head goes first so
    that its random start does not distort the features is LP-FT, Kumar et al. 2022.
    """
    return (
        Stage(train="head", epochs=head_epochs, label_smoothing=label_smoothing),
        Stage(train="all", epochs=epochs, label_smoothing=label_smoothing),
    )


def gradual(*, groups: int = 4, epochs: int = 2, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """The head, then one layer group more at each stage, from the output down, `groups` in all.

    Gradual unfreezing of ULMFiT, Howard and Ruder 2018, with their 2.6 between the rates of head and groups.
    """
    counts = ["head", *range(1, groups + 1)]
    return tuple(
        Stage(train=count, epochs=epochs, head_to_body=2.6, label_smoothing=label_smoothing) for count in counts
    )


def scratch(*, epochs: int = 30, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """Everything learns from random weights: the architecture only.

    The case "much data, unlike the source", and the control of every claim that transfer helps (He et al.
    2018). One rate for all, batch norm trains.
    """
    return (
        Stage(
            train="all",
            epochs=epochs,
            head_to_body=1.0,
            batch_norm="train",
            weight_decay=1e-4,
            label_smoothing=label_smoothing,
        ),
    )


def by_name(name: str) -> tuple[Stage, ...]:
    """Returns the stages of the preset `name`, one of `recipes.PRESETS`, as it stands."""
    functions = dict(zip(PRESETS, (feature_extraction, partial, full, gradual, scratch), strict=True))
    return functions[name]()

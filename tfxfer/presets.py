"""Named ways to fine-tune: each function returns the stages of one and says where it comes from.

`Recipe(stages="partial")` takes a preset as it is; `Recipe(stages=presets.partial(train="stage4"))` adapts it. Those of
the literature keep the figures of their sources; what differs is said with each. None brings augmentation, which the
sources have. `surgical` and `bit_hyperrule` need an argument, so they have no name in a recipe.
"""

from tfxfer import recipes
from tfxfer.recipes import SGD, Adam, Gradual, Searching, Stage, Train

# Published rates of lp_ft and BiT go with plain momentum.
_MOMENTUM = SGD(momentum=0.9, nesterov=False)


def feature_extraction(*, epochs: int = 20, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """Only the head learns; the backbone is a fixed extractor, its features computed once.

    The first of the four cases of the textbook table (little data, similar to the source); Kornblith et al.
    2019 and VTAB call it the linear probe.
    """
    return (Stage(train="head", epochs=epochs, label_smoothing=label_smoothing),)


def partial(*, train: Train = 0.5, epochs: int = 10, label_smoothing: float = 0.1) -> tuple[Stage, ...]:
    """The head and the last groups learn together, from a zero head.

    "Freeze the first k layers, retrain the other n−k", the second of the four cases; that general features sit
    in the lowest layers is Yosinski et al. 2014. One stage and one rate, because a zero head lets no gradient
    into the groups before it has learned something; `tools/bench_drawings.py` measures it against a probe.
    """
    return (Stage(train=train, epochs=epochs, head_to_body=1.0, label_smoothing=label_smoothing),)


def full(*, head_epochs: int = 3, epochs: int = 8, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """The head first, then everything.

    The order of fastai's `fine_tune` and of Keras's transfer-learning guide; that the head goes first so
    that its random start does not distort the features is LP-FT, Kumar et al. 2022.

    Not as there: the rate of the second stage is not lower than that of the first. With a tenth of it for the groups
    below the head, the default of `head_to_body`, so few epochs teach them too little: from 1,000 labelled digits
    EfficientNet-Lite0 (64 pixels, one split) had 93.4 instead of 96.5 % of 2,000 others right, from 4,000 inverted
    clothes 87.0 instead of 90.1 %; from 200 digits MobileNetV2 83.6 instead of 88.2 %, VGG16 61.1 instead of 81.1 %.
    From 400 drawings the two do not differ by more than the noise. All that is with SGD; with Adam the groups have
    0.0001 either way, and the head no more.
    """
    return (
        Stage(train="head", epochs=head_epochs, label_smoothing=label_smoothing),
        Stage(train="all", epochs=epochs, head_to_body=1.0, label_smoothing=label_smoothing),
    )


def fastai_fine_tune(*, epochs: int = 10, freeze_epochs: int = 1, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """The head for one epoch, then everything, each in one cycle of the rate.

    `Learner.fine_tune` of fastai 2.8.12 (callback/schedule.py): first the head with a peak of 0.002 after 99 % of the
    steps, then all with 0.001 for the head and, in even ratios, a hundredth of it for the input, peaks after 30 %.
    The first cycle begins at 1/25 of its peak, the second at 1/5. Adam, its first number from 0.95 to 0.85 at the peak
    and back, 0.99 and epsilon 1e-5, decoupled weight decay 0.01 but for biases and batch norm, no clipping.

    Not as there: fastai spreads the hundredth over its two or three groups (here over all), and trains batch norm
    throughout, in frozen layers too (here as the plan's rule decides). Peaks are at whole steps.
    """
    adam = Adam(beta_1=0.95, beta_1_at_peak=0.85, beta_2=0.99, epsilon=1e-5, epsilon_of="pytorch")
    common = {
        "optimizer": adam,
        "schedule": "one_cycle",
        "weight_decay": 0.01,
        "clip_norm": None,
        "label_smoothing": label_smoothing,
    }
    hundredth_at_the_input = 100 ** (-1 / 12)
    return (
        Stage(train="head", epochs=freeze_epochs, learning_rate=2e-3, warmup=0.99, **common),
        Stage(
            train="all",
            epochs=epochs,
            learning_rate=1e-3,
            warmup=0.3,
            cycle_start=1 / 5,
            head_to_body=1.0,
            layer_decay=hundredth_at_the_input,
            **common,
        ),
    )


def ulmfit(
    *, parts: int = 4, epochs: int = 1, last_epochs: int = 10, label_smoothing: float = 0.0
) -> tuple[Stage, ...]:
    """The head, then a part of the layer groups more at each stage, from the output down, until all train.

    Gradual unfreezing with discriminative rates and slanted triangles, Howard and Ruder 2018: one epoch for each part
    and the last until it converges; 2.6 from part to part; the rate rises from 1/32 of its peak over a tenth of the
    steps and falls back along a line; Adam with 0.7 and 0.99.

    Not as there: their network has four groups, of which each stage wakes one; here a stage wakes a quarter of the
    groups, and 2.6 lies between quarters (between all groups it would be `group_factor=2.6`, which leaves the lower
    ones of a deep network nearly still). Their peak of 0.01 is for LSTMs; here it is the plan's. Each stage starts with
    a fresh optimizer; `gradual` wakes groups within one `fit` and keeps its state.

    Args:
        parts: in which the groups wake, ≥ 1.
        epochs: of each stage but the last.
        last_epochs: of the stage in which all train.
        label_smoothing: of all stages.
    """
    trained = ["head", *(part / parts for part in range(1, parts)), "all"]
    return tuple(
        Stage(
            train=train,
            epochs=last_epochs if train == "all" else epochs,
            optimizer=Adam(beta_1=0.7, beta_2=0.99),
            schedule="slanted_triangular",
            warmup=0.1,
            head_to_body=1.0,
            layer_decay=2.6 ** (-parts / 12),
            label_smoothing=label_smoothing,
        )
        for train in trained
    )


def lp_ft(*, head_epochs: int = 20, epochs: int = 20, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """A linear probe, then everything from there at a lower rate, so that a random head distorts no features.

    LP-FT, Kumar et al. 2022 (against plain fine-tuning 1 % better within the distribution and 10 % outside of it, over
    ten data sets): SGD with momentum 0.9, no weight decay, cosine, one rate for all out of 3e-7 to 1e-2, here 0.001;
    batch norm normalises by what is stored. Before the second stage the head is scaled to logits of standard
    deviation 1 and gradients are clipped at norm 1, without which it diverged in our own trials.

    Not as there: their probe is logistic regression with an L2 penalty chosen on validation examples, solved to the
    end; here it is a stage of SGD. They let gamma and beta of batch norm train, which is `batch_norm="affine"`.
    """
    return (
        Stage(train="head", epochs=head_epochs, optimizer=_MOMENTUM, label_smoothing=label_smoothing),
        Stage(
            train="all",
            epochs=epochs,
            optimizer=_MOMENTUM,
            learning_rate=1e-3,
            head_to_body=1.0,
            batch_norm="frozen",
            label_smoothing=label_smoothing,
            rescale_head=True,
        ),
    )


def caffe(*, epochs: int = 20, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """Everything at once, the new layer ten times as fast, down to a tenth after each fifth of the run.

    models/finetune_flickr_style of Caffe: base rate 0.001 (so 0.01 for the head), `lr_mult` 10 for the new layer,
    step policy with gamma 0.1 at 20,000 steps of 100,000, momentum 0.9; biases at twice the rate of their kernels, and
    weight decay 5e-4 on kernels alone, as a part of the gradient that momentum carries on.

    Not as there: its batches have 50 examples, and its stairs come a step earlier. Its network has no batch norm; here
    the shift of one is a bias.
    """
    return (
        Stage(
            train="all",
            epochs=epochs,
            optimizer=SGD(momentum=0.9, nesterov=False, decay_in_gradient=True),
            learning_rate=0.01,
            schedule="staircase",
            warmup=0.0,
            decay_at=(0.2, 0.4, 0.6, 0.8),
            head_to_body=10.0,
            bias_rate=2.0,
            weight_decay=5e-4,
            clip_norm=None,
            label_smoothing=label_smoothing,
        ),
    )


def keras_guide(*, head_epochs: int = 20, epochs: int = 10, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """The head by Adam at 0.001, then everything at 0.00001, constant rates, batch norm frozen.

    "Transfer learning & fine-tuning" of keras.io, with its epochs. There `base_model(x, training=False)` is to hold
    batch norm; it lets gamma and beta train, and up to Keras 3.15 its statistics may move. Here it is frozen, and a
    check says so.
    """
    common = {
        "optimizer": Adam(),
        "schedule": "constant",
        "warmup": 0.0,
        "head_to_body": 1.0,
        "batch_norm": "frozen",
        "clip_norm": None,
        "label_smoothing": label_smoothing,
    }
    return (
        Stage(train="head", epochs=head_epochs, learning_rate=1e-3, **common),
        Stage(train="all", epochs=epochs, learning_rate=1e-5, **common),
    )


def bit_hyperrule(examples: int, *, batch_size: int = 32, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """Everything at one rate, with steps, warm-up and stairs by the number of examples.

    BiT-HyperRule, Kolesnikov et al. 2020 (bit_hyperrule.py): below 20,000 examples 500 steps, warm-up over 100, a
    tenth behind 200, 300 and 400; below 500,000 10,000 steps, 500, and 3,000, 6,000 and 9,000; else 20,000, 500, and
    6,000, 12,000 and 18,000. SGD with momentum 0.9 at 0.003 for a batch of 512, in proportion; no weight decay; a head
    of zeros, as `heads.Linear` is. The size of small pictures is the same rule's, see "auto" of `Recipe.image_size`.

    Not as there: from 20,000 examples on it mixes pictures up (alpha 0.1), its pictures are cropped and flipped, and
    its networks have no batch norm.

    Args:
        examples: to train on, ≥ 1.
        batch_size: of the recipe, to which the rate is adapted.
        label_smoothing: 0 ≤ smoothing < 1.
    """
    if examples < 20_000:
        steps, warmup, stairs = 500, 100, (200, 300, 400)
    elif examples < 500_000:
        steps, warmup, stairs = 10_000, 500, (3000, 6000, 9000)
    else:
        steps, warmup, stairs = 20_000, 500, (6000, 12_000, 18_000)
    return (
        Stage(
            train="all",
            steps=steps,
            optimizer=_MOMENTUM,
            learning_rate=0.003 * batch_size / 512,
            schedule="staircase",
            warmup=warmup / steps,
            decay_at=tuple(step / steps for step in stairs),
            head_to_body=1.0,
            clip_norm=None,
            label_smoothing=label_smoothing,
        ),
    )


def layer_decay(*, decay: float = 0.75, epochs: int = 20, label_smoothing: float = 0.1) -> tuple[Stage, ...]:
    """Everything by AdamW, each layer group slower than the one above it.

    As timm, MAE and BEiT fine-tune: decay 0.75 (timm's default, MAE for ViT-L and -H; 0.65 for a ViT-B of MAE and
    BEiT, 0.7 to 0.8 for ConvNeXt), weight decay 0.05 but for vectors, warm-up over 5 of 100 epochs, cosine, label
    smoothing 0.1. The rate is the plan's: 1e-4 for a batch of 32; MAE's comes to 6e-5 and BEiT's to 1.3e-4.

    Not as there: the decay is for each twelfth of the depth, so that it means the same in networks of more and fewer
    groups than a ViT-B; and stochastic depth, mixup and random erasing are missing.
    """
    return (
        Stage(
            train="all",
            epochs=epochs,
            optimizer=Adam(),
            warmup=0.05,
            head_to_body=1.0,
            layer_decay=decay,
            weight_decay=0.05,
            label_smoothing=label_smoothing,
        ),
    )


def surgical(block: str, *, head_epochs: int = 3, epochs: int = 10, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """The head, then one block alone, wherever it is in the network.

    Surgical fine-tuning, Lee et al. 2023: where the new pictures differ in their pixels (noise, blur) the first block,
    where features differ a middle one, where classes differ the last. Adam, weight decay 1e-4, a constant rate out of
    1e-1 to 1e-5, here 0.001.

    Not as there: their networks keep their head, which is part of what stays; here it is new, so it learns first and
    goes on with the block. They choose block and rate on validation examples.

    Args:
        block: a layer group, stage or layer, such as "stage2" or "stem"; "re:…", "layers[4:8]"; several with commas.
        head_epochs: in which the head learns alone.
        epochs: of the block.
        label_smoothing: of both stages.
    """
    return (
        Stage(train="head", epochs=head_epochs, optimizer=Adam(), label_smoothing=label_smoothing),
        _stage_of_lee(train=recipes.names_in(block), epochs=epochs, label_smoothing=label_smoothing),
    )


def auto_rgn(*, head_epochs: int = 3, epochs: int = 10, label_smoothing: float = 0.0) -> tuple[Stage, ...]:
    """The head, then everything, each variable in proportion to its relative gradient norm.

    Auto-RGN, Lee et al. 2023: before each epoch the norm of a variable's gradient over that of the variable itself, on
    five batches, divided by the largest of them, is its share of the rate. Adam, weight decay 1e-4, a constant rate of
    0.001; batch norm does not train.

    Not as there: the optimizer keeps its state from epoch to epoch, where theirs starts anew; the head is new, so it
    learns first and is not measured, but has the whole rate; no share falls below a thousandth.
    """
    return (
        Stage(train="head", epochs=head_epochs, optimizer=Adam(), label_smoothing=label_smoothing),
        _stage_of_lee(train="all", epochs=epochs, label_smoothing=label_smoothing, group_rates="auto_rgn"),
    )


def gradual(
    *, groups: int | float | tuple[str, ...] = 0.25, every: int = 1, epochs: int = 10, label_smoothing: float = 0.0
) -> tuple[Stage, ...]:
    """The head, then a part of the layer groups more after each epoch, from the output down, within one `fit`.

    Gradual unfreezing, Howard and Ruder 2018, in one stage: one optimizer, which keeps its state for what trains
    already, and one curve of the rate through all of it. Adam at the plan's rate, a tenth of it for the groups.

    Not as there: each of their steps begins with a fresh optimizer and a triangle of its own, which is `ulmfit`.

    Args:
        groups: that wake at a time, see `recipes.Gradual`; a quarter of them for the four of the paper.
        every: epochs from one waking to the next.
        epochs: in all.
        label_smoothing: 0 ≤ smoothing < 1.
    """
    unfreezing = Gradual(groups=groups, every=every)
    return (
        Stage(train="all", epochs=epochs, optimizer=Adam(), unfreezing=unfreezing, label_smoothing=label_smoothing),
    )


def searching(
    *,
    groups: int | float | tuple[str, ...] = 0.125,
    head_epochs: int = 3,
    epochs: int = 10,
    label_smoothing: float = 0.0,
) -> tuple[Stage, ...]:
    """The head, then layer groups from the output down as long as validation improves by it, within one `fit`.

    The textbook's "unlock one or two layers at a time and see whether validation improves; if not, put them back": an
    eighth of the groups is tried for an epoch, one or two of them in most networks. Adam at a constant rate, a tenth of
    it for the groups, since nobody knows beforehand when the search ends.

    What an epoch more would have brought without waking anything is not told apart from what the waking brought, there
    as here. And what chose by validation examples is measured too well on them; the test examples decide nothing.

    Args:
        groups: that are tried at a time, see `recipes.Searching`.
        head_epochs: in which the head learns alone, in a stage of its own.
        epochs: of the search at most, the first of which wakes nothing.
        label_smoothing: of both stages.
    """
    common = {"optimizer": Adam(), "schedule": "constant", "label_smoothing": label_smoothing}
    return (
        Stage(train="head", epochs=head_epochs, **common),
        Stage(train="all", epochs=epochs, warmup=0.0, unfreezing=Searching(groups=groups), **common),
    )


def _stage_of_lee(**fields) -> Stage:
    """Returns a stage with the optimizer of Lee et al. 2023."""
    return Stage(
        optimizer=Adam(),
        learning_rate=1e-3,
        schedule="constant",
        warmup=0.0,
        head_to_body=1.0,
        batch_norm="frozen",
        weight_decay=1e-4,
        clip_norm=None,
        **fields,
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
    functions = (
        feature_extraction, partial, full, fastai_fine_tune, ulmfit, lp_ft, caffe, keras_guide, layer_decay, auto_rgn,
        gradual, searching, scratch,
    )  # fmt: skip
    return {function.__name__: function for function in functions}[name]()

"""What a recipe accepts, what it answers to the rest, and how two recipes are told apart."""

import dataclasses
import json

import pytest

from tfxfer import config, values
from tfxfer.errors import ConfigError
from tfxfer.heads import MLP, Linear
from tfxfer.recipes import (
    PRESETS,
    SGD,
    Adam,
    Backbone,
    Data,
    Gradual,
    Recipe,
    Searching,
    Stage,
    WhenStalled,
    differences,
)
from tfxfer.values import Change

INFINITY, NAN = float("inf"), float("nan")


def refusal(kind, **settings) -> str:
    with pytest.raises(ConfigError) as caught:
        kind(**settings)
    return str(caught.value)


def test_a_recipe_needs_nothing_and_reads_texts_as_data_and_backbone():
    recipe = Recipe(data="folder:photos", backbone="keras:VGG16", stages=[Stage(epochs=1)])
    assert recipe.data == Data(source="folder:photos")
    assert recipe.backbone == Backbone(handle="keras:VGG16", weights="pretrained")
    assert recipe.stages == (Stage(epochs=1),)
    assert Recipe().stages == "auto"


def test_a_recipe_cannot_be_changed_and_equal_ones_are_one_key():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().seed = 3
    assert len({Recipe(), Recipe(), Recipe(seed=1)}) == 2


def test_splits_go_by_the_seed_of_the_recipe_unless_they_have_their_own():
    assert Recipe(seed=3).split_seed == 3
    assert Recipe(data=Data(source="folder:photos", split_seed=0), seed=3).split_seed == 0


def test_the_scratch_preset_starts_from_random_weights_and_no_other_does():
    assert Recipe(stages="scratch").weights == "random"
    assert Recipe(stages="full").weights == "pretrained"
    assert Recipe(backbone=Backbone(weights="mine.h5")).weights == "mine.h5"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "photos"}, "Data: source='photos' names no kind of source; write folder:photos for a folder."),
        ({"on_bad_image": "skp"}, "Data: on_bad_image='skp' is not one of 'error', 'skip'."),
        ({"resize": "stretch"}, "Data: resize='stretch' is not one of 'squash', 'crop', 'pad'."),
        (
            {"background": "#12345"},
            "Data: background='#12345' is no colour; write white, black or #rrggbb, such as #808080 for grey.",
        ),
        ({"validation_fraction": 0.0}, "Data: validation_fraction=0.0 must be above 0 and below 1."),
        ({"validation_fraction": NAN}, "Data: validation_fraction=nan must be above 0 and below 1."),
        (
            {"test_fraction": 1.0},
            "Data: test_fraction=1.0 must be above 0 and below 1; validation_fraction + test_fraction must leave "
            "something to train on.",
        ),
        (
            {"test_fraction": 0.5, "validation_fraction": 0.5},
            "Data: validation_fraction + test_fraction must leave something to train on.",
        ),
        ({"source": 3}, "Data: source=3 is not a text."),
        ({"source": "a.tsv"}, "Data: source='a.tsv' names no kind of source; write csv:a.tsv for a table."),
        (
            {"source": "a.parquet"},
            "Data: source='a.parquet' names no kind of source; write parquet:a.parquet for a table.",
        ),
        (
            {"source": "folder:x", "split_column": "fold"},
            "Data: split_column='fold' is of csv: and parquet:, and the source is folder:x.",
        ),
        ({"examples_per_class": 0}, "Data: examples_per_class=0 must be at least 1, or none."),
        ({"split_seed": -1}, "Data: split_seed=-1 must be 0 to 2147483647, or none."),
        ({"label_column": None}, "Data: label_column=None is not a text."),
    ],
)
def test_data_that_cannot_be(settings, message):
    assert refusal(Data, **settings) == message


def test_a_backbone_of_another_type():
    assert refusal(Backbone, handle=None) == "Backbone: handle=None is not a text."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"epochs": None, "steps": 0}, "steps=0 must be at least 1"),
        ({"epochs": None}, "epochs=None and steps=None, but exactly one of the two must be given"),
        ({"steps": 5}, "epochs=1 and steps=5, but exactly one of the two must be given"),
        ({"epochs": 1.5}, "epochs=1.5 is not a whole number or none"),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0 and at most 10"),
        ({"learning_rate": -1}, "learning_rate=-1 must be above 0 and at most 10"),
        ({"learning_rate": 11}, "learning_rate=11 must be above 0 and at most 10"),
        ({"learning_rate": NAN}, "learning_rate=nan must be above 0 and at most 10"),
        ({"learning_rate": "fast"}, "learning_rate='fast' is not a number or 'auto'"),
        ({"warmup": 1.0}, "warmup=1.0 must be at least 0 and below 1"),
        ({"warmup": -0.1}, "warmup=-0.1 must be at least 0 and below 1"),
        ({"head_to_body": 0.5}, "head_to_body=0.5 must be 1 to 10000"),
        ({"head_to_body": INFINITY}, "head_to_body=inf must be 1 to 10000"),
        ({"layer_decay": 0}, "layer_decay=0 must be above 0 and at most 1"),
        ({"layer_decay": 1.1}, "layer_decay=1.1 must be above 0 and at most 1"),
        ({"batch_norm": "thaw"}, "batch_norm='thaw' is not one of 'frozen', 'affine', 'train' or 'auto'"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1 must be 0 to 1"),
        ({"weight_decay": 2}, "weight_decay=2 must be 0 to 1"),
        ({"clip_norm": 0.0}, "clip_norm=0.0 must be above 0, or none"),
        ({"clip_norm": INFINITY}, "clip_norm=inf must be above 0, or none"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 must be at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing=-0.1 must be at least 0 and below 1"),
        ({"train": 0}, "train=0 must be at least 1 group"),
        ({"train": -2}, "train=-2 must be at least 1 group"),
        ({"train": 0.0}, "train=0.0 is a share of the groups and must be between 0 and 1"),
        ({"train": 1.0}, "train=1.0 is a share of the groups and must be between 0 and 1"),
        ({"train": NAN}, "train=nan is a share of the groups and must be between 0 and 1"),
        (
            {"train": None},
            "train=None is not one of 'head', 'all' or a whole number or a number or a text or Sequence(…)",
        ),
        (
            {"train": True},
            "train=True is not one of 'head', 'all' or a whole number or a number or a text or Sequence(…)",
        ),
        ({"train": ()}, "train=() must be names, at least one; write train='head' to train the head alone"),
        ({"train": (1, 2)}, "train=(1, 2) must be names, at least one; write train='head' to train the head alone"),
        (
            {"train": ("a", "a")},
            "train=('a', 'a') must name each layer or layer group once; write train='all' for all of them",
        ),
        (
            {"train": "b,all"},
            "train=('b', 'all') must name each layer or layer group once; write train='all' for all of them",
        ),
        (
            {"train": 2, "frozen": 3},
            "train=2 and frozen=3 say the same thing twice; give frozen and train='head', or train and frozen=None",
        ),
        ({"frozen": -1}, "frozen=-1 must be at least 0 groups"),
        ({"frozen": 1.0}, "frozen=1.0 is a share of the groups and must be between 0 and 1"),
        ({"frozen": "100%"}, "frozen='100%' is a share of the weights and must be between 0% and 100%"),
        ({"train": "-5%"}, "train='-5%' is a share of the weights and must be between 0% and 100%"),
        ({"frozen": ()}, "frozen=() must be names, at least one; write train='head' to train the head alone"),
        ({"train": "0%"}, "train='0%' is a share of the weights and must be between 0% and 100%"),
        ({"train": "100 %"}, "train='100 %' is a share of the weights and must be between 0% and 100%"),
        ({"optimizer": "Adam"}, "optimizer='Adam' is not SGD(…) or Adam(…)"),
        (
            {"schedule": "cosin"},
            "schedule='cosin' is not one of 'cosine', 'constant', 'one_cycle', 'slanted_triangular', 'staircase'",
        ),
        ({"group_rates": "rgn"}, "group_rates='rgn' is not one of 'planned', 'auto_rgn'"),
        ({"group_factor": 0.5}, "group_factor=0.5 must be 1 to 100"),
        ({"group_factor": NAN}, "group_factor=nan must be 1 to 100"),
        ({"rescale_head": 1}, "rescale_head=1 is not true or false"),
        ({"bias_rate": 0.001}, "bias_rate=0.001 must be 0.01 to 100"),
        ({"bias_rate": 101}, "bias_rate=101 must be 0.01 to 100"),
        ({"bias_rate": NAN}, "bias_rate=nan must be 0.01 to 100"),
        ({"schedule": "one_cycle", "cycle_start": 0.0}, "cycle_start=0.0 must be above 0 and at most 1"),
        ({"schedule": "one_cycle", "cycle_start": 1.1}, "cycle_start=1.1 must be above 0 and at most 1"),
        ({"cycle_start": 0.2}, "cycle_start=0.2 belongs to schedule='one_cycle', not to 'cosine'"),
        (
            {"optimizer": Adam(beta_1_at_peak=0.85)},
            "beta_1_at_peak=0.85 belongs to schedule='one_cycle', not to 'cosine'",
        ),
        (
            {"optimizer": SGD(decay_in_gradient=True)},
            "decay_in_gradient=true says where weight decay goes, and there is none; write weight_decay=0.0005",
        ),
        ({"decay_at": (0.5,)}, "decay_at=(0.5,) belongs to schedule='staircase', not to 'cosine'"),
        (
            {"schedule": "staircase"},
            "schedule='staircase' needs to know where it falls; write decay_at=(0.4, 0.6, 0.8)",
        ),
        (
            {"schedule": "staircase", "decay_at": (0.1, 0.5)},
            "decay_at=(0.1, 0.5) must be shares of the steps in order, above warmup=0.1 and below 1",
        ),
        (
            {"schedule": "staircase", "decay_at": (0.5, 0.4)},
            "decay_at=(0.5, 0.4) must be shares of the steps in order, above warmup=0.1 and below 1",
        ),
        (
            {"schedule": "staircase", "decay_at": (0.5, 1.0)},
            "decay_at=(0.5, 1.0) must be shares of the steps in order, above warmup=0.1 and below 1",
        ),
        (
            {"schedule": "staircase", "decay_at": (NAN,)},
            "decay_at=(nan,) must be shares of the steps in order, above warmup=0.1 and below 1",
        ),
        (
            {"schedule": "one_cycle", "warmup": 0.0},
            "schedule='one_cycle' begins with a rise, and warmup=0 leaves none; write schedule='cosine'",
        ),
        (
            {"schedule": "slanted_triangular", "warmup": 0},
            "schedule='slanted_triangular' begins with a rise, and warmup=0 leaves none; write schedule='cosine'",
        ),
        (
            {"layer_decay": 0.8, "group_factor": 2.6},
            "layer_decay=0.8 and group_factor=2.6 both say how the rate falls toward the input; leave one of them at 1",
        ),
        (
            {"train": "all", "group_rates": "auto_rgn", "layer_decay": 0.8},
            "group_rates='auto_rgn' measures the rates that layer_decay and group_factor would give; leave both at 1",
        ),
        (
            {"train": ("head",), "group_rates": "auto_rgn"},
            "group_rates='auto_rgn' has nothing to measure where only the head trains; write train='all'",
        ),
    ],
)
def test_a_stage_that_cannot_be(settings, message):
    assert refusal(Stage, **{"epochs": 1, **settings}) == f"Stage: {message}."


@pytest.mark.parametrize(
    ("optimizer", "settings", "message"),
    [
        (SGD, {"momentum": 1.0}, "SGD: momentum=1.0 must be at least 0 and below 1."),
        (SGD, {"momentum": -0.1}, "SGD: momentum=-0.1 must be at least 0 and below 1."),
        (SGD, {"momentum": 0}, "SGD: nesterov=true looks ahead by momentum, and momentum=0; write nesterov=false."),
        (SGD, {"nesterov": 1}, "SGD: nesterov=1 is not true or false."),
        (
            Adam,
            {"beta_1": 1, "beta_2": NAN},
            "Adam: beta_1=1 must be at least 0 and below 1; beta_2=nan must be at least 0 and below 1.",
        ),
        (Adam, {"epsilon": 0.0}, "Adam: epsilon=0.0 must be above 0 and at most 1."),
        (Adam, {"beta_1_at_peak": 1.0}, "Adam: beta_1_at_peak=1.0 must be at least 0 and below 1."),
        (Adam, {"beta_1_at_peak": "low"}, "Adam: beta_1_at_peak='low' is not a number or 'same'."),
        (Adam, {"epsilon_of": "jax"}, "Adam: epsilon_of='jax' is not one of 'keras', 'pytorch'."),
        (SGD, {"decay_in_gradient": 1}, "SGD: decay_in_gradient=1 is not true or false."),
    ],
)
def test_an_optimizer_that_cannot_be(optimizer, settings, message):
    assert refusal(optimizer, **settings) == message


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["stage1", "stem"], ("stage1", "stem")),
        ("stage1, stem", ("stage1", "stem")),
        ("(stage1,stem)", ("stage1", "stem")),
        ("stage1,", ("stage1",)),  # as a tuple of one is written in Python: this one alone, not all above it
        ("stage1", "stage1"),
        ("30%", "30%"),
        ("re:a{1,2}", "re:a{1,2}"),  # commas within an expression are its own
        ("re:(a,b)", "re:(a,b)"),
        ("stem, re:a{1,2},b", ("stem", "re:a{1,2},b")),
        ("layers[:8]", "layers[:8]"),
        ("layers[:2],layers[5]", ("layers[:2]", "layers[5]")),
        ("[stem, layers[5]]", ("stem", "layers[5]")),
        (["stem", "re:a,b"], ("stem", "re:a,b")),
    ],
)
def test_names_with_commas_are_several(given, meant):
    assert Stage(train=given, epochs=1).train == meant
    assert Stage(frozen=given, epochs=1).frozen == meant


def test_the_head_in_a_tuple_is_the_head_alone():
    assert Stage(train=("head",), epochs=1).trains_head_alone
    assert not Stage(frozen=1, epochs=1).trains_head_alone


def test_values_at_the_ends_of_their_ranges_are_accepted():
    Stage(steps=1, schedule="staircase", warmup=0, decay_at=[0.001, 0.999], group_factor=100, optimizer=Adam(beta_1=0))
    Stage(steps=1, group_factor=1, layer_decay=0.5, optimizer=SGD(momentum=0, nesterov=False), schedule="constant")
    Stage(steps=1, warmup=0, head_to_body=1, layer_decay=1, weight_decay=0, clip_norm=None, learning_rate=10)
    Stage(steps=1, schedule="one_cycle", cycle_start=1, optimizer=Adam(beta_1_at_peak=0), bias_rate=100)
    Stage(steps=1, bias_rate=0.01)
    Stage(epochs=1, warmup=0.99, head_to_body=10_000, layer_decay=0.01, weight_decay=1, label_smoothing=0.9)
    Recipe(image_size=16, batch_size=1, seed=0)
    Recipe(image_size=2048, batch_size=65_536, seed=2**31 - 1)


def test_all_mistakes_of_a_stage_are_named_at_once():
    said = refusal(Stage, epochs=0, warmup=2.0, train=-1)
    assert said == (
        "Stage: epochs=0 must be at least 1; warmup=2.0 must be at least 0 and below 1; train=-1 must be at least 1 "
        "group."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 15}, "image_size=15 must be 16 to 2048 pixels."),
        ({"image_size": 2049}, "image_size=2049 must be 16 to 2048 pixels."),
        ({"image_size": "big"}, "image_size='big' is not a whole number or 'auto'."),
        ({"batch_size": 0}, "batch_size=0 must be 1 to 65536."),
        ({"batch_size": 65_537}, "batch_size=65537 must be 1 to 65536."),
        ({"batch_size": True}, "batch_size=True is not a whole number."),
        ({"seed": -1}, "seed=-1 must be 0 to 2147483647."),
        ({"seed": 2**31}, "seed=2147483648 must be 0 to 2147483647."),
        ({"stages": ()}, "stages=() trains nothing; write stages='auto' or a tuple of Stage(…)."),
        (
            {"stages": "partail"},
            f"stages='partail' is no preset, expected one of auto, {', '.join(PRESETS)}. Did you mean 'partial'?",
        ),
        (
            {"stages": "whole"},
            f"stages='whole' is no preset, expected one of auto, {', '.join(PRESETS)}.",
        ),
        ({"head": "MLP"}, "head='MLP' is not Linear(…) or MLP(…) or Cosine(…)."),
        ({"data": 3}, "data=3 is not Data(…)."),
    ],
)
def test_a_recipe_that_cannot_be(settings, message):
    assert refusal(Recipe, **settings) == f"Recipe: {message}"


def test_one_stage_without_its_tuple_is_refused():
    said = refusal(Recipe, stages=Stage(epochs=1))
    assert said.startswith("Recipe: stages=Stage(train='head', frozen=None, epochs=1,")
    names = ", ".join(map(repr, PRESETS))
    assert said.endswith(f"is not a list of Stage(…) or one of {names} or 'auto'.")


def test_an_unknown_keyword_is_an_error_of_python():
    with pytest.raises(TypeError, match="image_sise"):
        Recipe(image_sise=96)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(stages="ulmfit", head=Linear(dropout=0.1), image_size=96),
        Recipe(
            data=Data(source="folder:fotos/möbel", test_fraction=0.25, on_bad_image="skip"),
            backbone=Backbone(handle="keras:VGG16", weights="random"),
            head=MLP(hidden=(64, 32), outputs=5),
            stages=(
                Stage(train="head", epochs=2),
                Stage(train=3, steps=100, learning_rate=0.01, clip_norm=None),
                Stage(train=0.5, epochs=1, layer_decay=0.8, batch_norm="affine"),
                Stage(train="block9", epochs=1, optimizer=SGD(momentum=0.0, nesterov=False), group_factor=2.6),
                Stage(train=("block2", "block9"), epochs=1, optimizer=Adam(beta_2=0.99), rescale_head=True),
                Stage(frozen=("stem", "layers[4:8]"), epochs=1),
                Stage(train="re:a{1,2}", epochs=1),
                Stage(epochs=1, bias_rate=2.0, optimizer=SGD(decay_in_gradient=True), weight_decay=0.1),
                Stage(epochs=1, schedule="one_cycle", cycle_start=0.2, optimizer=Adam(beta_1_at_peak=0.85)),
                Stage(train="30%", epochs=1, schedule="staircase", decay_at=(0.5, 0.75), group_rates="auto_rgn"),
            ),
        ),
    ],
)
def test_a_recipe_comes_back_from_json_as_it_was(recipe):
    back = values.from_json(Recipe, json.loads(json.dumps(values.to_json(recipe))))
    assert back == recipe
    assert differences(back, recipe) == []


def test_the_mlp_in_json_says_that_it_is_one():
    written = values.to_json(Recipe(head=MLP(hidden=(64,))))["head"]
    assert (written["kind"], written["hidden"]) == ("MLP", [64])


def test_a_recipe_of_before_there_were_optimizers_has_the_one_of_then():
    written = values.to_json(Recipe(stages=(Stage(epochs=1),)))
    later = "optimizer schedule decay_at group_rates group_factor rescale_head bias_rate cycle_start"
    for name in later.split():
        del written["stages"][0][name]
    back = values.from_json(Recipe, written)
    assert back.stages[0].optimizer == SGD(momentum=0.9, nesterov=True)
    assert (back.stages[0].schedule, back.stages[0].warmup) == ("cosine", 0.1)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("train=stage2,stage4", "train", ("stage2", "stage4")),
        ("train=stage2,", "train", ("stage2",)),
        ("train=stage2", "train", "stage2"),
        ("train=30%", "train", "30%"),
        ("train=all", "train", "all"),
        ("train=3", "train", 3),
        ("train=0.5", "train", 0.5),
        ("optimizer=Adam", "optimizer", Adam()),
        ("optimizer.momentum=0.8", "optimizer", SGD(momentum=0.8)),
        ("schedule=constant", "schedule", "constant"),
        ("group_rates=auto_rgn", "group_rates", "auto_rgn"),
        ("group_factor=2.6", "group_factor", 2.6),
        ("rescale_head=true", "rescale_head", True),
        ("bias_rate=2", "bias_rate", 2.0),
    ],
)
def test_each_field_of_a_stage_can_be_typed(text, field, value):
    path, _, typed = f"stages[1].{text}".partition("=")
    recipe = config.read_recipe(None, [Change("stages", "full", "--stages=full"), Change(path, typed, text)])
    assert getattr(recipe.stages[1], field) == value


def test_fields_that_need_each_other_are_typed_together():
    typed = {"schedule": "staircase", "decay_at": "0.4,0.8", "optimizer": "Adam", "optimizer.beta_2": "0.99"}
    changes = [Change(f"stages[0].{name}", text, name) for name, text in typed.items()]
    stage = config.read_recipe(None, [Change("stages", "full", "--stages=full"), *changes]).stages[0]
    assert (stage.schedule, stage.decay_at, stage.optimizer) == ("staircase", (0.4, 0.8), Adam(beta_2=0.99))


def test_json_of_a_recipe_with_a_key_of_another_version():
    written = values.to_json(Recipe())
    written["data"]["sources"] = "folder:x"
    with pytest.raises(ConfigError, match=r"Recipe\.data\.sources does not exist\. Did you mean 'source'\?$"):
        values.from_json(Recipe, written)


def test_differences_are_named_field_by_field():
    one = Recipe(data="folder:a", stages=(Stage(epochs=1), Stage(train=2, epochs=3)))
    other = Recipe(data="folder:b", stages=(Stage(epochs=1), Stage(train=2, epochs=4)), seed=7)
    assert differences(one, other) == [
        "data.source: 'folder:a' → 'folder:b'",
        "stages[1].epochs: 3 → 4",
        "seed: 0 → 7",
    ]


def test_another_number_of_stages_or_kind_of_head_is_one_difference_each():
    one = Recipe(stages="full")
    other = Recipe(stages=(Stage(epochs=1),), head=MLP())
    head, stages = differences(one, other)
    assert head.startswith("head: {'kind': 'Linear', ")
    assert stages.startswith("stages: 'full' → [{'train': 'head', 'frozen': None, 'epochs': 1")


def test_what_the_docstrings_list_are_the_fields():
    for cls in (Data, Backbone, SGD, Adam, Stage, Recipe, Linear, MLP):
        attributes = cls.__doc__.split("Attributes:\n")[1].splitlines()
        listed = [line.strip().split(":")[0] for line in attributes if line.startswith(" " * 8) and line[8] != " "]
        assert listed == [field.name for field in dataclasses.fields(cls)], cls


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Gradual, {"groups": 0}, "groups=0 must be at least 1 group at a time"),
        (Gradual, {"groups": 1.0}, "groups=1.0 is a share of the groups and must be between 0 and 1"),
        (Gradual, {"groups": NAN}, "groups=nan is a share of the groups and must be between 0 and 1"),
        (
            Gradual,
            {"groups": ()},
            "groups=() wakes nothing; name layer groups, or write groups=1 for one after the other",
        ),
        (Gradual, {"groups": ("",)}, "groups=('',) has an empty name"),
        (Gradual, {"groups": ["a", "a"]}, "groups=('a', 'a') names one twice, and it can wake only once"),
        (Gradual, {"groups": "stem"}, "groups='stem' is not a whole number or a number or a list of texts"),
        (Gradual, {"every": 0}, "every=0 must be at least 1"),
        (Gradual, {"unit": "hours"}, "unit='hours' is not one of 'epochs', 'steps'"),
        (Gradual, {"warmup_steps": -1}, "warmup_steps=-1 must be at least 0"),
        (WhenStalled, {"patience": 0}, "patience=0 must be at least 1"),
        (WhenStalled, {"min_delta": NAN}, "min_delta=nan must be a number of at least 0"),
        (WhenStalled, {"monitor": "loss"}, "monitor='loss' is not one of 'val_loss', 'val_accuracy'"),
        (Searching, {"epochs": 0}, "epochs=0 must be at least 1"),
        (Searching, {"min_delta": -0.1}, "min_delta=-0.1 must be a number of at least 0"),
        (Searching, {"groups": True}, "groups=True is not a whole number or a number or a list of texts"),
    ],
)
def test_unfreezing_that_cannot_be(kind, settings, message):
    assert refusal(kind, **settings) == f"{kind.__name__}: {message}."


def test_unfreezing_needs_more_than_a_head():
    assert refusal(Stage, epochs=1, unfreezing=Gradual()) == (
        "Stage: unfreezing=Gradual has nothing to wake where only the head trains; write train='all'."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "refresh_statistics=true measures statistics that move, and only the head trains"),
        ({"train": 1, "batch_norm": "frozen"}, "and with batch_norm='frozen' none do; write batch_norm='train'"),
    ],
)
def test_statistics_that_stand_still_are_not_measured_anew(settings, message):
    assert message in refusal(Stage, epochs=1, refresh_statistics=True, **settings)


@pytest.mark.parametrize("unfreezing", [None, Gradual(groups=0.5), WhenStalled(groups=("a", "b")), Searching()])
def test_unfreezing_survives_a_file_and_is_replaced_from_text(unfreezing):
    recipe = Recipe(stages=(Stage(train="all", epochs=9, unfreezing=unfreezing),))
    assert values.from_json(Recipe, json.loads(json.dumps(values.to_json(recipe)))) == recipe
    change = [
        Change("stages[0].unfreezing", "Searching", "--x"),
        Change("stages[0].unfreezing.groups", "stage5,stage4", "--y"),
    ]
    assert values.replace(recipe, change).stages[0].unfreezing == Searching(groups=("stage5", "stage4"))

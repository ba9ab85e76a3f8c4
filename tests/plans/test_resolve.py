"""From recipe and facts to a plan, worked out by hand on a backbone of four groups."""

import dataclasses

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts, outline_of

from tfxfer import plans, values
from tfxfer.augmentation import Augment
from tfxfer.errors import ConfigError
from tfxfer.heads import MLP, Cosine, Linear
from tfxfer.plans.heads import with_head
from tfxfer.recipes import SGD, Adam, Backbone, Data, Recipe, Stage
from tfxfer.reuse import Cache

GROUPS = backbone_facts().groups
ALL = ("stem", "block1", "block2", "block3")


def resolve(recipe=None, *, data=None, backbone=None, machine=None, **settings) -> plans.Plan:
    return plans.resolve(
        recipe or Recipe(**settings),
        data or data_facts(),
        backbone or backbone_facts(),
        machine or machine_facts(),
    )


def one_stage(**settings) -> plans.StagePlan:
    batch_size = settings.pop("batch_size", 32)
    settings.setdefault("epochs", 1)
    (stage,) = resolve(stages=(Stage(**settings),), batch_size=batch_size).what.stages
    return stage


@pytest.mark.parametrize(
    ("train", "names"),
    [
        ("head", ()),
        ("all", ALL),
        (1, ("block3",)),
        (3, ("block1", "block2", "block3")),
        (4, ALL),
        (0.5, ("block2", "block3")),
        (0.01, ("block3",)),  # a share is never nothing
        (0.99, ALL),
        ("block3", ("block3",)),
        ("block1", ("block1", "block2", "block3")),
        ("stem", ALL),
        (("block1",), ("block1",)),  # in a tuple these alone
        (("block3", "stem"), ("stem", "block3")),
        (("head", "block2"), ("block2",)),
        ("1%", ("block3",)),  # 4000 of 7100 weights: batch norm goes with the layer before it
        ("70%", ("block3",)),  # 0.56 is nearer than 0.85
        ("71%", ("block2", "block3")),
        ("99%", ("block1", "block2", "block3")),  # a share is never all
        ("block2_conv", ("block2", "block3")),
        ("re:_conv$", ALL),
        ("re:block[13]", ("block1", "block3")),
        ("layers[:4]", ("stem", "block1")),
        ("layers[9]", ("block3",)),
        ("re:^head", ()),
    ],
)
def test_what_a_stage_trains_counts_from_the_output(train, names):
    assert one_stage(train=train).trained == names


@pytest.mark.parametrize(
    ("asked", "trained", "layers"),
    [
        ({"frozen": 1}, ("block1", "block2", "block3"), ((), (), ())),
        ({"frozen": 0}, ALL, ((), (), (), ())),
        ({"frozen": 4}, (), ()),
        ({"frozen": "stem"}, ("block1", "block2", "block3"), ((), (), ())),
        ({"frozen": "block3_conv"}, ("block3",), (("block3/block3_bn",),)),
        ({"frozen": "layers[:7]"}, ("block2", "block3"), (("block2/block2_bn",), ())),
        ({"frozen": ("block1", "block2_bn")}, ("stem", "block2", "block3"), ((), ("block2/block2_conv",), ())),
        ({"frozen": "70%"}, ("block3",), ((),)),
        ({"train": "block3_bn"}, ("block3",), (("block3/block3_bn",),)),
        ({"train": "layers[-4:]"}, ("block3",), (("block3/block3_bn",),)),  # pooling and logits count, as in Keras
        ({"train": "1%"}, ("block3",), ((),)),
        ({"train": ("stem/stem_conv", "block3_bn")}, ("stem", "block3"), (("stem/stem_conv",), ("block3/block3_bn",))),
        ({"train": "re:_bn$"}, ALL, tuple((f"{name}/{name}_bn",) for name in ALL)),
    ],
)
def test_only_some_layers_of_a_group_may_train(asked, trained, layers):
    stage = one_stage(batch_norm="affine", **asked)
    assert (stage.trained, stage.trained_layers, len(stage.rates)) == (trained, layers, len(trained))
    moved = [
        variable.size
        for layer, variable in outline_of(GROUPS).variables
        if layer.group in trained
        and (not (own := layers[trained.index(layer.group)]) or f"{layer.group}/{layer.name}" in own)
    ]
    assert (stage.trainable_weights, stage.trainable_tensors) == (33 + sum(moved), 2 + len(moved))


def test_a_group_of_which_only_batch_norm_would_train_is_frozen_with_it():
    stage = one_stage(frozen="layers[:7]", batch_norm="frozen")
    assert (stage.trained, stage.trained_layers) == (("block3",), ((),))
    with pytest.raises(ConfigError, match=r"^stage 1 trains re:_bn\$, which is batch norm alone.*batch_norm=affine\."):
        one_stage(train="re:_bn$", batch_norm="frozen")


def test_what_freeze_is_told_is_what_is_planned():
    stage = one_stage(train=("block1", "block3_bn"), batch_norm="affine")
    assert stage.addresses() == ("block1", "block3/block3_bn")
    assert stage.addresses(("block3",)) == ("block3/block3_bn",)
    assert stage.groups_of(("block3/block3_bn",)) == ("block3",)


def test_layers_that_are_called_the_same_cannot_be_told_apart():
    facts = backbone_facts()
    layers = [dataclasses.replace(at, name="twin") if at.group == "block3" else at for at in facts.outline.layers]
    facts = dataclasses.replace(facts, outline=dataclasses.replace(facts.outline, layers=tuple(layers)))
    assert resolve(stages=(Stage(train="twin", epochs=1),), backbone=facts).what.stages[0].trained == ("block3",)
    with pytest.raises(ConfigError, match=r"called the same.*block3/twin"):
        resolve(stages=(Stage(train="layers[9]", epochs=1),), backbone=facts)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"train": "blok2"},
            "train='blok2' is neither a layer group nor a layer of 'tiny:net'. Did you mean 'block2'? Groups: stem, "
            "block1, block2, block3, head. More than one at a time: re:<expression>, layers[:8].",
        ),
        ({"train": ("stem", "blok2")}, "train='blok2' is neither"),
        ({"frozen": "block2_cov"}, "frozen='block2_cov' is neither a layer group nor a layer of 'tiny:net'. Did you "),
        ({"train": "re:blok2_conv"}, "train='re:blok2_conv' matches no variable of 'tiny:net'. Did you mean 'block2_c"),
        ({"train": "layers[-20:]"}, "train='layers[-20:]' reaches beyond the 14 layers of 'tiny:net'."),
        ({"frozen": 5}, "frozen=5 must be 0 to 4, as so many layer groups are below the head of 'tiny:net'"),
        ({"frozen": "head"}, "frozen='head' means the head only, which always trains."),
        ({"train": "re:gamma"}, "train='re:gamma' would train stem_bn/gamma and freeze stem_bn/beta."),
    ],
)
def test_what_means_nothing_is_told_before_training(asked, message):
    with pytest.raises(ConfigError) as caught:
        resolve(stages=(Stage(epochs=1, **asked),))
    assert str(caught.value).startswith(message)


def test_a_stage_name_in_a_tuple_is_all_of_its_groups():
    names = ("stem", "stage1.block1", "stage1.block2", "stage2.block1")
    groups = tuple(dataclasses.replace(group, name=name) for group, name in zip(GROUPS, names, strict=True))

    def trained(train):
        stages = (Stage(train=train, epochs=1),)
        return resolve(stages=stages, backbone=backbone_facts(groups=groups)).what.stages[0].trained

    assert trained(("stage1",)) == names[1:3]
    assert trained("stage1") == names[1:]


def test_head_misspelt_is_answered_too():
    with pytest.raises(ConfigError, match=r"Did you mean 'head'\?"):
        one_stage(train="haed")


def test_more_groups_than_there_are():
    with pytest.raises(ConfigError, match="train=5 asks for more layer groups than the 4 there are"):
        resolve(stages=(Stage(train=5, epochs=1),))


def test_the_last_step_of_an_epoch_may_be_smaller():
    stage = one_stage(epochs=3)
    assert stage.steps_per_epoch == 7  # 210 / 32 = 6.56
    assert stage.steps == 21
    assert one_stage(epochs=3, batch_size=30).steps == 21  # 210 / 30 = 7 exactly
    assert one_stage(epochs=3, batch_size=300).steps == 3


def test_steps_may_be_given_instead_of_epochs():
    stage = one_stage(epochs=None, steps=10)
    assert (stage.steps, stage.steps_per_epoch) == (10, 7)


def test_warmup_is_a_share_of_the_steps():
    assert one_stage(epochs=3).warmup_steps == 2  # 0.1 · 21
    assert one_stage(epochs=3, warmup=0).warmup_steps == 0
    assert one_stage(epochs=3, warmup=0.5).warmup_steps == 10  # 10.5, to the even number


def test_the_rate_of_each_group_with_layer_decay_and_a_faster_head():
    """Depths 0, ¼, ½, ¾ of the way to the head: 0.8 to the 12th, 9th, 6th and 3rd, over 10."""
    stage = one_stage(train="all", layer_decay=0.8, head_to_body=10.0)
    assert stage.rates == pytest.approx((0.0068719476736, 0.0134217728, 0.0262144, 0.0512))


def test_the_rate_of_a_group_depends_on_its_depth_not_on_what_else_trains():
    stage = one_stage(train=2, layer_decay=0.8, head_to_body=10.0)
    assert stage.trained == ("block2", "block3")
    assert stage.rates == pytest.approx((0.0262144, 0.0512))


def test_without_layer_decay_all_groups_have_one_rate():
    assert one_stage(train=2).rates == (0.1, 0.1)
    assert one_stage(train=2, head_to_body=1.0).rates == (1.0, 1.0)
    assert one_stage(train="head").rates == ()


def test_layer_decay_stops_at_a_thousandth():
    stage = one_stage(train="all", layer_decay=0.5, head_to_body=1.0)
    assert stage.rates == pytest.approx((0.001, 1 / 512, 1 / 64, 1 / 8))  # 2^-12 would be 0.00024


def test_a_factor_between_groups_counts_from_the_head():
    stage = one_stage(train="all", group_factor=2.0, head_to_body=1.0)
    assert stage.rates == (1 / 16, 1 / 8, 1 / 4, 1 / 2)
    assert one_stage(train=2, group_factor=2.0).rates == (1 / 40, 1 / 20)
    assert one_stage(train="all", group_factor=100.0, head_to_body=1.0).rates[0] == 0.001


def test_the_group_of_a_tuple_has_the_rate_of_its_place():
    stage = one_stage(train=("block1",), group_factor=2.0, head_to_body=1.0)
    assert (stage.trained, stage.rates, stage.name) == (("block1",), (1 / 8,), "1 only block1")


def test_what_the_optimizer_keeps_for_each_weight():
    plain = one_stage(optimizer=SGD(momentum=0, nesterov=False))
    assert (plain.slot_bytes, one_stage().slot_bytes, one_stage(optimizer=Adam()).slot_bytes) == (0, 132, 264)


def test_stairs_are_shares_of_the_steps():
    stage = one_stage(epochs=None, steps=500, schedule="staircase", warmup=0.2, decay_at=(0.4, 0.6, 0.8))
    assert (stage.warmup_steps, stage.decay_steps) == (100, (200, 300, 400))


def test_a_fixed_scale_cannot_be_rescaled():
    stages = (Stage(epochs=1), Stage(train="all", epochs=1, rescale_head=True))
    assert resolve(stages=stages, head=Cosine()).what.stages[1].rescale_head
    with pytest.raises(ConfigError, match=r"^stage 2 has rescale_head, and the scale of this Cosine head is fixed\."):
        resolve(stages=stages, head=Cosine(learn_scale=False))


def test_the_head_s_rate_is_scaled_by_the_batch():
    assert one_stage().learning_rate == pytest.approx(0.01)
    assert one_stage(train=1).learning_rate == pytest.approx(0.03)
    assert one_stage(learning_rate=0.2).learning_rate == 0.2


def test_biases_have_a_rate_of_their_own_where_there_are_any():
    assert one_stage(train=1, bias_rate=2).bias_rate == 2.0
    with pytest.raises(ConfigError, match=r"^bias_rate=2 in a stage in which no variable .* called a bias \(bias, "):
        resolve(stages=(Stage(epochs=1, bias_rate=2.0),), head=Cosine())


def test_nothing_is_left_open_in_a_plan():
    plan = resolve()
    text = str(values.to_json(plan))
    assert "'auto'" not in text
    assert "None" not in text
    assert one_stage(clip_norm=None).clip_norm == 0.0


def head_weights(head, **facts) -> tuple[int, int]:
    """How many numbers, and in how many variables, a head on ten features has."""
    sizes = [v.size for layer, v in with_head(backbone_facts(**facts), head).variables if layer.group == "head"]
    return sum(sizes), len(sizes)


def test_a_linear_head_has_a_weight_for_each_feature_and_class_and_a_bias():
    assert head_weights(Linear(outputs=3)) == (10 * 3 + 3, 2)
    assert head_weights(Linear(outputs=3, pooling="max")) == (33, 2)
    assert head_weights(Linear(outputs=3, pooling="both")) == (20 * 3 + 3, 2)


def test_an_mlp_head_has_its_hidden_layers_too():
    assert head_weights(MLP(outputs=3, hidden=(8,))) == (10 * 8 + 8 + 8 * 3 + 3, 4)
    assert head_weights(MLP(outputs=3, hidden=(8, 4), pooling="both")) == (20 * 8 + 8 + 8 * 4 + 4 + 4 * 3 + 3, 6)
    assert head_weights(MLP(outputs=3, hidden=())) == (33, 2)


def test_features_without_positions_are_not_pooled():
    for pools, names in ((True, ["head_pool", "head_logits"]), (False, ["head_logits"])):
        outline = with_head(backbone_facts(feature_map=pools), Linear(outputs=3))
        assert [layer.name for layer in outline.layers if layer.group == "head"] == names


def test_the_head_gets_an_output_for_each_class():
    assert resolve(head=MLP(hidden=(8,))).what.head == MLP(outputs=3, hidden=(8,))
    assert resolve(head=Linear(outputs=3)).what.head == Linear(outputs=3)


def test_a_head_of_another_number_of_outputs_is_refused():
    with pytest.raises(ConfigError, match=r"head\.outputs=5, but the data has 3 classes\."):
        resolve(head=Linear(outputs=5))


@pytest.mark.parametrize(
    ("settings", "weights", "tensors"),
    [
        ({"train": "head"}, 33, 2),
        ({"train": 1, "batch_norm": "frozen"}, 33 + 4000 - 64, 2 + 6 - 2),
        ({"train": 1, "batch_norm": "affine"}, 33 + 4000, 2 + 6),
        ({"train": 1, "batch_norm": "train"}, 33 + 4000, 2 + 6),
        ({"train": "all", "batch_norm": "frozen"}, 33 + 7100 - 120, 2 + 22 - 8),
    ],
)
def test_the_weights_that_train_are_counted_without_frozen_gamma_and_beta(settings, weights, tensors):
    stage = one_stage(**settings)
    assert (stage.trainable_weights, stage.trainable_tensors) == (weights, tensors)
    assert stage.slot_bytes == 4 * weights


def test_batch_norm_by_rule_is_given_with_its_reason():
    plan = resolve(stages=(Stage(train=1, epochs=1), Stage(train=1, epochs=1, batch_norm="affine")))
    assert [stage.batch_norm for stage in plan.what.stages] == ["frozen", "affine"]
    about = [reason for reason in plan.reasons if reason.startswith("batch norm")]
    assert about == ["batch norm frozen in stage 1 1: 7 steps are too few for new statistics (fewer than 2000)"]


def test_a_long_stage_trains_batch_norm():
    plan = resolve(stages=(Stage(train=1, steps=2000),))
    assert plan.what.stages[0].batch_norm == "train"


def test_stages_are_named_by_number_and_what_they_train():
    plan = resolve(stages=(Stage(epochs=1), Stage(train=0.5, epochs=1), Stage(train="block1", epochs=1)))
    assert [stage.name for stage in plan.what.stages] == ["1 head", "2 0.5", "3 block1"]
    (many,) = resolve(stages=(Stage(train=("stem", "block1", "block2", "block3"), epochs=1),)).what.stages
    assert many.name == "1 only stem+block1+block2 and 1 more"


def test_auto_stages_follow_the_size_of_the_data_and_say_why():
    plan = resolve()
    assert [stage.trained for stage in plan.what.stages] == [("block2", "block3")]
    assert plan.reasons[0] == "stages partial: 70 training examples a class are enough for the later groups"
    few = resolve(data=data_facts(train_counts=(9, 9, 9)))
    assert [stage.trained for stage in few.what.stages] == [()]
    assert few.reasons[0].startswith("stages feature_extraction: 9 training examples a class are too few")


def test_a_preset_by_name_needs_no_reason():
    plan = resolve(stages="full", image_size=224)
    assert [stage.trained for stage in plan.what.stages] == [(), ALL]
    assert [reason for reason in plan.reasons if reason.startswith("stages")] == []


def test_the_scratch_preset_trains_batch_norm_however_short():
    (stage,) = resolve(stages="scratch").what.stages
    assert (stage.batch_norm, stage.rates) == ("train", (1.0,) * 4)


def test_random_weights_train_batch_norm_by_rule():
    plan = resolve(
        backbone=None, recipe=Recipe(backbone=Backbone(weights="random"), stages=(Stage(train=1, epochs=1),))
    )
    assert plan.what.stages[0].batch_norm == "train"


def test_the_size_is_the_backbone_s_as_it_was_loaded_and_its_reason_is_given():
    small = resolve(data=data_facts(height=28, width=28), backbone=backbone_facts(image_size=128))
    assert small.what.image_size == 128
    assert "image size 128: the pictures have 28×28 pixels, below 96×96 (BiT-HyperRule)" in small.reasons
    given = resolve(image_size=96, backbone=backbone_facts(image_size=96))
    assert given.what.image_size == 96
    assert not [reason for reason in given.reasons if reason.startswith("image size")]


def caches_of(**settings) -> dict[str, plans.StageCache]:
    """Returns caches by the name of their stage; views leave nothing to save in one epoch."""
    settings.setdefault("augment", Augment(views=1))
    return {cache.stage: cache for cache in resolve(**settings).how.caches}


def test_frozen_parts_are_computed_once_where_the_network_can_be_cut():
    stages = tuple(Stage(train=train, epochs=2) for train in ("head", 1, 2, 3, "all"))
    caches = caches_of(stages=stages, cache=Cache(precision="float32"))
    examples = 210 + 30  # the test split is measured on pixels
    assert {name: (cache.cut, cache.bytes) for name, cache in caches.items()} == {
        "1 head": ("features", examples * 10 * 4),  # pooled features
        "2 1": ("block2", examples * 200 * 4),
        "3 2": ("stem", examples * 400 * 4),  # behind block1 there is no legal cut
        "4 3": ("stem", examples * 400 * 4),
        # nothing is frozen in the last stage
    }


def test_below_a_block_in_the_middle_everything_is_computed_once():
    caches = caches_of(stages=(Stage(train=("block1",), epochs=2),), cache=Cache(precision="float32"))
    assert [(cache.cut, cache.bytes) for cache in caches.values()] == [("stem", 240 * 400 * 4)]


def test_both_poolings_keep_twice_the_features():
    caches = caches_of(stages=(Stage(epochs=2),), head=Linear(pooling="both"), cache=Cache(precision="float32"))
    assert [cache.bytes for cache in caches.values()] == [240 * 20 * 4]


def test_what_takes_more_than_a_quarter_of_the_memory_and_may_not_go_to_disk_is_computed_anew():
    """The stem's cut takes 240 · 400 · 4 = 384,000 bytes."""
    settings = {"stages": (Stage(train=3, epochs=2),), "cache": Cache(store="memory", precision="float32")}
    assert list(caches_of(machine=machine_facts(memory_bytes=4 * 384_000 + 4), **settings)) == ["1 3"]
    assert caches_of(machine=machine_facts(memory_bytes=4 * 384_000), **settings) == {}


def test_decoded_pictures_go_to_disk_where_they_do_not_fit():
    pixels = 300 * 224 * 224 * 3
    enough = resolve(machine=machine_facts(memory_bytes=4 * pixels + 4)).how
    assert (enough.pixel_bytes, enough.pixel_store) == (pixels, "memory")
    assert resolve(machine=machine_facts(memory_bytes=4 * pixels)).how.pixel_store == "disk"


@pytest.mark.parametrize(
    ("modes", "installed", "decoder", "reason"),
    [
        ((("RGB", 3_990), ("L", 10)), True, "simplejpeg and numba", "4,000 images, and both are installed"),
        ((("RGB", 4_000),), False, "Pillow", "pip install 'tfxfer[fast]' decodes JPEGs faster, to the same bytes"),
        ((("RGB", 3_999), ("array", 1)), True, "Pillow", None),  # so few are not worth a word
        ((), True, "Pillow", None),
    ],
)
def test_many_pictures_in_files_are_decoded_by_what_is_faster(modes, installed, decoder, reason):
    plan = resolve(data=data_facts(modes=modes), machine=machine_facts(has_fast_decoders=installed))
    assert plan.how.decoder == decoder
    told = [text for text in plan.reasons if text.startswith("JPEGs are decoded by")]
    assert told == ([f"JPEGs are decoded by {decoder}: {reason}"] if reason else [])


def test_a_batch_is_shared_by_the_devices():
    machine = machine_facts(devices=("gpu:0", "gpu:1", "gpu:2"))
    assert resolve(machine=machine).how.per_replica_batch == 11  # 32 / 3
    assert machine.kind == "gpu"
    assert machine_facts().kind == "cpu"


def test_a_plan_comes_back_from_json_as_it_was():
    plan = resolve(head=MLP(hidden=(8,)), stages="ulmfit")
    back = values.from_json(plans.Plan, values.to_json(plan))
    assert back == plan
    assert back.digest == plan.digest


BASE = Recipe(stages=(Stage(train=1, epochs=2),))


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": machine_facts(devices=("gpu:0", "gpu:1"))},
        {"machine": machine_facts(memory_bytes=1000, cores=64, versions=())},
        {"data": data_facts(split="otherwise", source="folder:moved")},
        # "auto" and what it stands for are one plan.
        {"recipe": dataclasses.replace(BASE, image_size=224)},
        {"recipe": dataclasses.replace(BASE, head=Linear(outputs=3))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, steps=14, batch_norm="frozen"),))},
    ],
)
def test_the_digest_is_blind_to_how(changes):
    assert resolve(**{"recipe": BASE, **changes}).digest == resolve(BASE).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"data": data_facts(fingerprint="another")},
        {"data": data_facts(class_names=("cat", "dog", "owl"))},
        {"backbone": backbone_facts(weights_digest="another")},
        {"backbone": backbone_facts(image_size=128)},
        {"recipe": dataclasses.replace(BASE, seed=1)},
        {"recipe": dataclasses.replace(BASE, batch_size=16)},
        {"recipe": dataclasses.replace(BASE, head=MLP())},
        {"recipe": dataclasses.replace(BASE, head=Linear(dropout=0.1))},
        {"recipe": dataclasses.replace(BASE, data=Data(resize="crop"))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=3),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, label_smoothing=0.1),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, head_to_body=5.0),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, group_factor=2.6),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, optimizer=Adam()),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, optimizer=SGD(momentum=0.8)),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, schedule="constant"),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, group_rates="auto_rgn"),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, rescale_head=True),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train=1, epochs=2, bias_rate=2.0),))},
        {"recipe": dataclasses.replace(BASE, stages=(Stage(train="layers[9]", epochs=2),))},
    ],
)
def test_the_digest_sees_every_what(changes):
    assert resolve(**{"recipe": BASE, **changes}).digest != resolve(BASE).digest

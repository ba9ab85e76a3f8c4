"""Saved names tell which variables belong together."""

from tfxfer.backbones.hub.groups import by_name

KERNEL, VECTOR = (3, 3, 3, 4), (4,)


def grouped(*names: str, shapes=None) -> list[tuple[str, list[str], list[str]]]:
    shapes = shapes or [KERNEL if name.endswith(("kernel", "weights")) else VECTOR for name in names]
    found = by_name(names, shapes)
    assert sorted(p for group in found for p in group.members) == list(range(len(names)))
    return [(g.name, [names[p] for p in g.members], [names[p] for p in g.batch_norm]) for g in found]


def test_names_of_slim_are_grouped_below_what_all_share():
    first = ["MobilenetV2/Conv/weights", "MobilenetV2/Conv/BatchNorm/gamma", "MobilenetV2/Conv/BatchNorm/moving_mean"]
    then = ["MobilenetV2/expanded_conv_3/expand/weights", "MobilenetV2/expanded_conv_3/project/weights"]
    assert grouped(*first, *then) == [
        ("MobilenetV2/Conv", first, first[1:2]),
        ("MobilenetV2/expanded_conv_3", then, []),
    ]


def test_batch_norm_of_its_own_folder_joins_the_convolution_before():
    names = ["conv1/kernel", "conv1/bias", "bn1/gamma", "bn1/beta", "bn1/moving_variance", "conv2/kernel"]
    assert grouped(*names) == [("conv1", names[:5], names[2:4]), ("conv2", names[5:], [])]


def test_blocks_are_read_from_the_names_of_layers():
    names = [
        "conv2_block1_1_conv/kernel",
        "conv2_block1_1_bn/gamma",
        "conv2_block1_2_conv/kernel",
        "block_12_add/kernel",
    ]
    assert [name for name, _, _ in grouped(*names)] == ["conv2_block1", "block_12"]


def test_a_layer_norm_is_no_batch_norm():
    names = ["a/kernel", "a/norm/gamma", "a/norm/beta", "b/kernel"]
    assert [norm for _, _, norm in grouped(*names)] == [[], []]


def test_names_without_folders_begin_a_group_at_each_kernel():
    names = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "kernel", "bias"]
    assert grouped(*names) == [("layer1", names[:6], names[2:4]), ("layer2", names[6:], [])]


def test_statistics_written_behind_everything_join_their_batch_norm():
    names = ["kernel", "gamma", "beta", "kernel", "gamma", "beta", "moving_mean", "moving_variance", "moving_mean"]
    shapes = [KERNEL, (4,), (4,), KERNEL, (8,), (8,), (8,), (8,), (4,)]
    assert [g.members for g in by_name(names, shapes)] == [(0, 1, 2, 8), (3, 4, 5, 6, 7)]
    assert [g.batch_norm for g in by_name(names, shapes)] == [(1, 2), (4, 5)]


def test_one_layer_or_one_variable_is_one_group():
    assert grouped("net/dense/kernel", "net/dense/bias")[0][0] == "net/dense"
    assert grouped("w")[0][0] == "layer1"
    assert grouped("a/kernel", "step")[0][1] == ["a/kernel", "step"]
    assert by_name([], []) == ()

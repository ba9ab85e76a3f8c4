"""Stages and blocks of networks written down by hand, without Keras."""

import pytest

from tfxfer.blocks import Step, crossing, find_blocks, named


class Network:
    """Steps as they are called; each writes one tensor, whose number is its position."""

    def __init__(self):
        self.steps = []

    def add(self, kind, *reads, extent=100, name=None):
        number = len(self.steps)
        self.steps.append(
            Step(
                name=name or f"{kind}{number}",
                kind="other" if kind in ("input", "relu", "pool", "embedding") else kind,
                reads=reads,
                writes=(number,),
                extent=extent,
                weights=kind in ("spatial", "pointwise", "depthwise", "dense", "norm", "embedding", "attention"),
                activates=kind == "relu",
                head=(name or "").startswith("head"),
            )
        )
        return number

    def chain(self, x, *kinds, extent=100):
        for kind in kinds:
            x = self.add(kind, x, extent=extent)
        return x

    def groups(self, *outputs):
        blocks = find_blocks(self.steps, outputs or (len(self.steps) - 1,))
        assert [block.start for block in blocks[1:]] == [block.stop for block in blocks[:-1]]
        assert (blocks[0].start, blocks[-1].stop) == (0, len(self.steps))
        return {block.name: (block.start, block.stop) for block in blocks}


def test_a_plain_chain_has_a_block_for_each_spatial_convolution_and_a_stage_for_each_resolution():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "relu", "spatial", "relu")
    x = net.add("pool", x, extent=25)
    net.chain(x, "spatial", "relu", extent=25)
    assert net.groups() == {"stage1.block1": (0, 3), "stage1.block2": (3, 6), "stage2.block1": (6, 8)}


def test_a_residual_block_ends_behind_its_addition_and_activation():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "norm", "relu")
    y = net.chain(x, "spatial", "norm", "relu", "spatial", "norm")
    x = net.add("relu", net.add("merge", x, y))
    y = net.chain(x, "spatial", "norm", extent=25)
    x = net.add("merge", net.chain(x, "spatial", extent=25), y, extent=25)
    assert net.groups() == {"stem": (0, 4), "stage1.block1": (4, 11), "stage2.block1": (11, 15)}


def test_a_norm_before_a_residual_block_belongs_to_it():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "pool", "norm", "relu")
    x = net.add("merge", net.chain(x, "spatial"), net.chain(x, "spatial"))
    net.chain(x, "norm", "relu")
    assert net.groups() == {"stem": (0, 3), "stage1.block1": (3, 10)}


def test_an_inverted_bottleneck_ends_without_an_activation_and_its_gate_is_inside():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "norm", "relu")
    x = net.chain(x, "depthwise", "norm", "relu", "pointwise", "norm")
    x = net.chain(x, "pointwise", "norm", "relu", "depthwise", "norm", "relu", extent=25)
    gate = net.chain(x, "pool", "pointwise", "relu", "pointwise", extent=1)
    x = net.chain(net.add("gate", x, gate, extent=25), "pointwise", "norm", extent=25)
    net.chain(x, "pointwise", "norm", "relu", extent=25)
    assert net.groups() == {
        "stem": (0, 4),
        "stage1.block1": (4, 9),
        "stage2.block1": (9, 22),
        "head_conv": (22, 25),
    }


def test_depthwise_separable_blocks_begin_with_the_depthwise_convolution():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "relu")
    for extent in (100, 25):
        x = net.chain(x, "depthwise", "relu", "pointwise", "relu", extent=extent)
    assert net.groups() == {"stem": (0, 3), "stage1.block1": (3, 7), "stage2.block1": (7, 11)}


def test_a_padding_belongs_to_the_convolution_behind_it():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "relu", "depthwise", "relu", "pointwise", "relu")
    net.chain(x, "padding", "depthwise", "relu", "pointwise", "relu", extent=25)
    assert net.groups()["stage2.block1"] == (7, 12)


def test_dense_connections_have_transitions():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "norm", "relu")
    x = net.add("merge", x, net.chain(x, "norm", "relu", "spatial"))
    x = net.add("pool", net.chain(x, "norm", "relu", "pointwise"), extent=25)
    net.add("merge", x, net.chain(x, "norm", "relu", "spatial", extent=25), extent=25)
    assert list(net.groups()) == ["stem", "stage1.block1", "stage2.transition", "stage2.block1"]


def test_attention_and_what_follows_it_are_one_block_and_positions_belong_to_the_stem():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "other")
    x = net.add("merge", x, net.add("embedding", x))
    for _ in range(2):
        x = net.add("merge", x, net.chain(x, "norm", "attention"))
        x = net.add("merge", x, net.chain(x, "norm", "pointwise", "relu", "pointwise"))
    net.add("norm", x)
    assert net.groups() == {"stem": (0, 5), "stage1.block1": (5, 13), "stage1.block2": (13, 22)}


def test_two_tensors_may_cross_a_cut_where_cells_read_the_two_before_them():
    net = Network()
    p = x = net.chain(net.add("input"), "spatial")
    for _ in range(4):
        parts = [net.chain(t, "pointwise", "spatial", "spatial") for t in (p, p, x, x)]
        p, x = x, net.add("merge", *parts)
    blocks = find_blocks(net.steps, (x,))
    assert [block.name for block in blocks] == ["stem", *(f"stage1.block{n}" for n in (1, 2, 3, 4))]
    assert [len(block.leaves) for block in blocks] == [1, 2, 2, 2, 1]
    assert all(block.legal_cut for block in blocks)


def test_the_head_is_a_group_of_its_own():
    net = Network()
    x = net.chain(net.add("input"), "spatial", "relu", "spatial", "relu")
    x = net.add("pool", x, extent=0, name="head_pool")
    net.add("dense", x, extent=0, name="head_logits")
    assert list(net.groups()) == ["stage1.block1", "stage1.block2", "head"]


def test_a_last_norm_belongs_to_the_last_block_also_below_a_head():
    net = Network()
    x = net.chain(net.add("input"), "spatial")
    x = net.chain(net.add("merge", x, net.chain(x, "norm", "relu", "spatial")), "norm", "relu")
    net.add("dense", net.add("pool", x, extent=0, name="head_pool"), extent=0, name="head_logits")
    assert net.groups() == {"stem": (0, 2), "stage1.block1": (2, 8), "head": (8, 10)}


def test_a_convolution_in_front_that_only_mixes_channels_is_part_of_the_stem():
    net = Network()
    x = net.chain(net.add("input"), "pointwise", "spatial", "relu")
    net.add("merge", x, net.chain(x, "spatial"))
    assert list(net.groups()) == ["stem", "stage1.block1"]


def test_layers_without_positions_keep_their_names():
    net = Network()
    x = net.add("input", extent=0)
    for name in ("first", "second"):
        x = net.add("dense", x, extent=0, name=name)
    assert list(net.groups()) == ["first", "second"]


def test_what_crosses_is_what_is_read_later():
    net = Network()
    a = net.add("input")
    b, c = net.add("spatial", a), net.add("spatial", a)
    net.add("merge", b, c)
    assert crossing(net.steps, (3,)) == [(0,), (0, 1), (1, 2), (3,)]


@pytest.mark.parametrize(
    ("name", "found"),
    [("stage1", range(1, 3)), ("stage1.block2", range(2, 3)), ("stem", range(1)), ("stage", None), ("block1", None)],
)
def test_a_stage_means_all_its_blocks(name, found):
    assert named(["stem", "stage1.block1", "stage1.block2", "stage10.block1"], name) == found

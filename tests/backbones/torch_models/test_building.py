"""Networks of the zoos as Keras models: names, shapes, what is refused, saving without tfxfer."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from backbones.torch_models import drawn

from tfxfer import graph
from tfxfer.backbones import torch_models
from tfxfer.backbones.conventions import CONVENTIONS
from tfxfer.errors import ConfigError

ONE_OF_EACH = ["mobilenetv2_100", "resnet18", "vgg11", "densenet121", "convnext_tiny", "vit_small_patch16_224"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet19", 64), r"no architecture 'resnet19'. Did you mean 'resnet1?8'\? There are: efficientnet_lite0"),
        (("resnet18", 31), "image_size=31 is below the 32 pixels that resnet18 needs"),
        (("vit_small_patch16_224", 100), r"no multiple of 16, the patches of vit_small_patch16_224. Write 96 or 112"),
        (("vit_small_patch16_224", 8), "below the 16 pixels"),
        (("resnet18", 64, "tim"), r"no naming 'tim'. Did you mean 'timm'\? It has: torchvision, timm"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        torch_models.build(*arguments)


def test_an_unknown_pixel_convention_is_refused():
    with pytest.raises(ConfigError, match=r"no pixel convention 'imagenett'. Did you mean 'imagenet'\? There are"):
        torch_models.build("resnet18", 32, pixels="imagenett")


def test_the_head_of_vgg_takes_one_size_only():
    with pytest.raises(ConfigError, match=r"takes a 7×7 feature map, this one is 2×2\. Build it for image_size=224"):
        torch_models.build("vgg11", 64, head=10)


@pytest.mark.parametrize("pixels", ["imagenet", "-1..1", "lite"])
def test_the_pixel_convention_is_mean_and_deviation(pixels):
    model = torch_models.build("vgg11", 32, pixels=pixels)
    convention = keras.Model(model.input, model.get_layer("pixel_convention").output)
    mean, deviation = CONVENTIONS[pixels].means, CONVENTIONS[pixels].deviations
    found = convention(drawn.pictures(32).astype(np.float32))
    np.testing.assert_allclose(found, (drawn.pictures(32) - np.array(mean)) / deviation, atol=1e-5)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_layer_groups_cover_each_network(name):
    model = torch_models.build(name, 32)
    groups = graph.layer_groups(model)
    covered = [id(variable) for group in groups for variable in group.variables]
    assert len(covered) == len(set(covered))
    assert set(covered) == {id(variable) for variable in model.variables}
    assert len(groups) > 4
    assert all(group.facts.legal_cut for group in groups)


@pytest.mark.slow
def test_the_saved_network_loads_without_tfxfer(shallow, tmp_path):
    """ViT and ConvNeXt have parameters for which Keras has no obvious layer; they hold no class of ours."""
    names = ("vit_small_patch16_224_shallow", "convnext_tiny_shallow")
    pixels = drawn.pictures(32).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    for name in names:
        model = torch_models.build(name, 32)
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", model(pixels))
    code = (
        "import sys; sys.modules['tfxfer'] = None; import keras, numpy as np\n"
        f"for name in {names}:\n"
        "    found = keras.models.load_model(f'{name}.keras')(np.load('pixels.npy'))\n"
        "    np.testing.assert_allclose(found, np.load(f'{name}.npy'), rtol=1e-4, atol=1e-5)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, cwd=tmp_path)


def test_position_embeddings_and_class_token_train(shallow):
    model = torch_models.build("vit_small_patch16_224_shallow", 32)
    before = model.get_layer("position_embedding").embeddings.numpy()
    model.compile(keras.optimizers.SGD(1.0, momentum=0.9, nesterov=True, global_clipnorm=1.0), "mse", jit_compile=False)
    model.train_on_batch(drawn.pictures(32).astype(np.float32), np.ones((2, 384)))
    after = model.get_layer("position_embedding").embeddings.numpy()
    assert (np.abs(after - before).max(axis=1) > 0).all()


def test_layers_have_the_names_that_people_type():
    names = {layer.name for layer in torch_models.build("resnet18", 32).layers}
    assert {"pixels", "pixel_convention", "stem_conv", "stage4_block2_conv2_bn"} <= names
    names = {layer.name for layer in torch_models.build("vit_small_patch16_224", 32).layers}
    assert {"patch_embedding", "position_embedding", "block11_attention", "final_norm"} <= names

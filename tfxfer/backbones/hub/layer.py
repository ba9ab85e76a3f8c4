"""A TF Hub module or other SavedModel as a layer of Keras 3: it trains, freezes, saves and loads like any other.

    layer = SavedModelLayer("mobilenet/", trainable=True)
    features = layer(images)            # float32 [batch, height, width, 3] in [0, 1], as its publisher says

Its weights are the SavedModel's own variables, not copies. Which of them train is said for all by
`layer.trainable`, for one by `variable.trainable`, and by group with `layer.variable_groups()`.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import pathlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxfer.backbones.hub import contract, groups, places, reading, scan
from tfxfer.errors import BackboneError, ConfigError

# Of `batch_norm`: the first two use the stored statistics, as there is no telling one batch norm from another.
_MODES = ("frozen", "affine", "train")
_INSIDE = "saved_model"
_trusted: contextvars.ContextVar[bool | None] = contextvars.ContextVar("saved_models_allowed", default=None)
# Folders opened with consent to unsafe ops: a clone of such a layer needs no second one.
_consented: set[str] = set()


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariableGroup:
    """Variables of a SavedModel that are frozen or trained together.

    Attributes:
        name: what their saved names have in common, such as `MobilenetV2/expanded_conv_3`; `layer1` and so on
            where saved names say nothing.
        trainable: those that its publisher lists as trainable, whatever is frozen now.
        batch_norm: those of them that are gamma or beta of batch norm.
        statistics: the others: moving means and variances, counters.
    """

    name: str
    trainable: tuple[keras.Variable, ...]
    batch_norm: tuple[keras.Variable, ...]
    statistics: tuple[keras.Variable, ...]


@contextlib.contextmanager
def saved_models_allowed(*, allow_unsafe_model_code: bool = False) -> Iterator[None]:
    """Within it `keras.models.load_model` opens the SavedModels that a `.keras` file brings, in safe mode too.

    Their ops are scanned before they run. The argument lets those through that the scan would refuse.
    """
    token = _trusted.set(allow_unsafe_model_code)
    try:
        yield
    finally:
        _trusted.reset(token)


@keras.saving.register_keras_serializable("tfxfer")
class SavedModelLayer(keras.layers.Layer):
    """Calls a SavedModel.

    The call takes what the SavedModel takes: for pictures float `[batch, height, width, 3]`, RGB in [0, 1]. Floats
    are cast to the type that was traced, and the output to the compute type of the layer; whole numbers are refused
    where floats belong. To compile it with XLA, set `layer.supports_jit = True`: not every SavedModel can be.

    A `.keras` file with this layer holds the SavedModel, as published, and the values of the variables. Such a file
    is a program: `keras.models.load_model` opens it with `safe_mode=False`, or within `saved_models_allowed()`, and
    the ops are scanned either way.

    Args:
        directory: the folder of the SavedModel.
        trainable: whether its variables train.
        output: which output of a SavedModel that has several.
        arguments: hyper-parameters by name, such as `{"batch_norm_momentum": 0.99}`.
        batch_norm: "frozen" or "affine": the stored statistics are used, and dropout inside is off; "train": while all
            its variables train, the SavedModel is told that it trains, so statistics move. What "frozen" means for
            gamma and beta is up to their own `trainable` (see `VariableGroup.batch_norm`).
        allow_unsafe_model_code: whether ops that reach beyond the network may run.

    Raises:
        BackboneError: it is no SavedModel, cannot be called, is refused, or cannot train but is asked to.
        ConfigError: it has no such output or argument.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        *,
        trainable: bool = False,
        output: str = "",
        arguments: Mapping[str, Any] | None = None,
        batch_norm: str = "frozen",
        allow_unsafe_model_code: bool = False,
        saved_state: Mapping[str, Any] | None = None,
        **kwargs,
    ):
        # `autocast` would cut the inputs to the compute type before the traced type is known to want more.
        super().__init__(**{"autocast": False, **kwargs})
        self._folder = str(pathlib.Path(directory).resolve())
        self._output, self._arguments = output, dict(arguments or {})
        self._allow_unsafe = allow_unsafe_model_code
        self._saved_model = self._function = self._offer = None
        self._recorded: dict[str, tuple[tuple[int | None, ...], str]] = {}
        self.batch_norm = batch_norm
        self.supports_jit = False
        if saved_state is None:
            self._why_frozen = ""
            self._wrap(*self._open(pathlib.Path(self._folder), {}))
        else:
            self._wrap_closed(saved_state)
        self.trainable = trainable
        self.built = True

    def __setattr__(self, name, value):
        # Keras drops an assignment of the value that is there already: no check, and variables keep flags of their own.
        if name == "trainable":
            SavedModelLayer.trainable.fset(self, bool(value))
        else:
            super().__setattr__(name, value)

    @property
    def batch_norm(self) -> str:
        """What batch norm inside does while training; a change takes effect at the next `compile`."""
        return self._batch_norm

    @batch_norm.setter
    def batch_norm(self, value: str):
        if value not in _MODES:
            raise ConfigError(f"batch_norm={value!r} is not one of {', '.join(map(repr, _MODES))}.")
        self._batch_norm = value

    @property
    def trainable(self) -> bool:
        """Whether variables of the layer train. Setting it sets all of them, as in any layer of Keras."""
        return keras.layers.Layer.trainable.fget(self)

    @trainable.setter
    def trainable(self, value: bool):
        if value and self._why_frozen:
            raise BackboneError(
                f"the SavedModel in {self._folder} cannot train: it {self._why_frozen}. Use it frozen, as features: "
                "leave trainable=False, and in a recipe train only the head."
            )
        keras.layers.Layer.trainable.fset(self, value)

    @property
    def saved_model(self):
        """The object that TensorFlow loaded; `tf.saved_model.save` writes it, as trained, as a reusable SavedModel."""
        self._open_if_closed()
        return self._saved_model

    @property
    def offer(self) -> contract.Contract:
        """What the SavedModel takes and gives."""
        self._open_if_closed()
        return self._offer

    @property
    def saved_names(self) -> dict[str, keras.Variable]:
        """The variables by their saved names; of several with one name (Keras 3 writes such), the first."""
        named: dict[str, keras.Variable] = {}
        for name, variable in zip(self._names, self._held, strict=True):
            named.setdefault(name, variable)
        return named

    @property
    def kept_within(self) -> tuple[Any, ...]:
        """What the SavedModel reads that is no variable of the layer: other variables; in TF1 what fills tables too.

        An object to be saved with a function that calls the layer must own these, the layer's variables and the lookup
        tables. Files that it does not own would be saved as paths to where they are now.
        """
        self._open_if_closed()
        held = {id(variable.value) for variable in self._held}
        within = [v for v in _read_by(self._saved_model, self._offer) if id(v) not in held]
        if self._offer.kind == "tf1":
            within += [self._saved_model.initializer, *self._saved_model.asset_paths]
        return tuple(within)

    def variable_groups(self) -> tuple[VariableGroup, ...]:
        """Returns groups of variables by saved name, input first as far as the order of creation tells.

        A SavedModel without variables of its own to show, such as a TF1 module, is one group of none.
        """
        if not self._held:
            return (VariableGroup(name=_INSIDE, trainable=(), batch_norm=(), statistics=()),)
        listed = {id(variable) for variable in self._tunable}
        result = []
        for group in groups.by_name(self._names, [tuple(v.shape) for v in self._held]):
            members = [self._held[position] for position in group.members]
            result.append(
                VariableGroup(
                    name=group.name,
                    trainable=tuple(v for v in members if id(v) in listed),
                    batch_norm=tuple(v for p in group.batch_norm if id(v := self._held[p]) in listed),
                    statistics=tuple(v for v in members if id(v) not in listed),
                )
            )
        return tuple(result)

    def call(self, inputs, training=None):
        """Returns the chosen output of the SavedModel."""
        self._open_if_closed()
        outputs = self._run(self._cast(inputs), training=bool(training) and self._may_update())
        for loss, variables in self._losses_of_saved_model:
            if self.trainable and any(variable.trainable for variable in variables):
                self.add_loss(loss())
        key = _key(inputs)
        if key not in self._recorded:
            self._recorded[key] = ((None, *outputs.shape[1:]), outputs.dtype.name)
        if outputs.shape.rank in (None, len(self._recorded[key][0])):
            outputs.set_shape((None, *self._recorded[key][0][1:]))
        return tf.cast(outputs, self._outside(outputs.dtype.name))

    def compute_output_spec(self, inputs, training=None):
        """Returns the shape and type of the output."""
        key = _key(inputs)
        if key not in self._recorded:
            self._open_if_closed()
            self._recorded[key] = self._traced(inputs)
        shape, dtype = self._recorded[key]
        return keras.KerasTensor(shape, dtype=self._outside(dtype))

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs, the shapes of the variables included."""
        tunable = {id(variable) for variable in self._tunable}
        return {
            **super().get_config(),
            "directory": self._folder,
            "output": self._output,
            "arguments": dict(self._arguments),
            "batch_norm": self.batch_norm,
            "saved_state": {
                "variables": [
                    [name, list(v.shape), v.dtype, id(v) in tunable, number]
                    for name, v, number in zip(self._names, self._held, self._numbers, strict=True)
                ],
                "frozen": [p for p, v in enumerate(self._held) if id(v) in tunable and not v.trainable],
                "why_frozen": self._why_frozen,
                "outputs": [[key, list(shape), dtype] for key, (shape, dtype) in self._recorded.items()],
            },
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SavedModelLayer:
        """Returns the layer that `get_config` described.

        While a file is loaded, the SavedModel comes later, with `load_assets`; otherwise it is opened where it was.

        Raises:
            BackboneError: Keras is in safe mode, which a file that brings a program does not pass.
        """
        state, safe_mode = config.get("saved_state"), _safe_mode()
        if not isinstance(state, Mapping) or not {"variables", "frozen", "why_frozen", "outputs"} <= set(state):
            raise BackboneError("the config of a SavedModelLayer is damaged: it does not say what the SavedModel has.")
        if safe_mode and _trusted.get() is None:
            raise BackboneError(
                "the file holds a SavedModel, which is a program, and Keras is in safe mode. If you trust the file, "
                "type keras.models.load_model(path, safe_mode=False); ops that reach files, processes or Python are "
                "refused even then, unless within saved_models_allowed(allow_unsafe_model_code=True)."
            )
        in_file = safe_mode is not None
        # Consent to a folder holds for clones of its layer, not for what a file says comes from there.
        allowed = bool(_trusted.get()) or (not in_file and config["directory"] in _consented)
        settings = {key: value for key, value in config.items() if key != "saved_state"}
        layer = cls(**{**settings, "allow_unsafe_model_code": allowed}, saved_state=state if in_file else None)
        for position in state["frozen"] if layer.trainable else ():
            layer._held[position].trainable = False
        return layer

    def save_assets(self, folder: str):
        """Copies the SavedModel, as it was published, into a `.keras` file."""
        place = pathlib.Path(folder) / _INSIDE
        place.mkdir(parents=True, exist_ok=True)
        places.copy(pathlib.Path(self._folder), place)
        if not (place / "saved_model.pb").is_file():
            raise BackboneError(f"{self._folder} is gone, so that the SavedModel of {self.name!r} cannot be saved.")

    def load_assets(self, folder: str):
        """Opens the SavedModel of a `.keras` file around the variables, which have their values already."""
        kept = places.keep(pathlib.Path(folder) / _INSIDE)
        self._reopen(kept, keep_values=True)

    # Opening.

    def _open(self, folder: pathlib.Path, adopted: Mapping[int, tf.Variable]):
        """Loads the SavedModel, with `adopted` in place of the variables that it would create at these numbers.

        Returns all it created in their order, and the function to call.
        """
        allowed = self._allow_unsafe
        scan.check(folder, allow_unsafe_model_code=allowed)
        offer = contract.contract(folder)
        offer.check_arguments(self._arguments)
        offer.choose_output(self._output)
        reading.forget()
        created: list[tf.Variable] = []

        def create(next_creator, **kwargs):
            given = adopted.get(len(created))
            if given is not None and not _is_same(given, kwargs):
                raise BackboneError(f"the SavedModel in {folder} does not fit what the file says of its variables.")
            created.append(next_creator(**kwargs) if given is None else given)
            return created[-1]

        try:
            with tf.init_scope(), tf.variable_creator_scope(create):
                saved_model = tf.saved_model.load(str(folder), tags=offer.tags if offer.tags is None else [*offer.tags])
        except BackboneError:
            raise
        except Exception as error:  # TensorFlow raises whatever its parts do
            raise BackboneError(f"the SavedModel in {folder} cannot be loaded: {error}") from error
        if allowed:
            _consented.add(str(folder))
        self._folder, self._offer, self._saved_model = str(folder), offer, saved_model
        self._function = saved_model if offer.kind == "reusable" else saved_model.signatures[offer.endpoint]
        return created, _variables_of(saved_model, offer)

    def _wrap(self, created: list[tf.Variable], variables: list[tf.Variable]):
        """Makes Keras variables around those of the SavedModel."""
        self._why_frozen = self._offer.why_frozen()
        listed = {} if self._why_frozen else {id(v): v for v in self._saved_model.trainable_variables}
        stuck = [v.name.partition(":")[0] for v in listed.values() if not v.trainable]
        if stuck:
            warnings.warn(
                f"the SavedModel in {self._folder} lists variables as trainable to which TensorFlow gives no "
                f"gradient, since they were created with trainable=False. They stay as they are: {', '.join(stuck)}.",
                stacklevel=4,
            )
        numbers = {id(variable): number for number, variable in enumerate(created)}
        self._hold(
            (v, v.name.partition(":")[0], id(v) in listed and v.trainable, numbers.get(id(v), -1)) for v in variables
        )
        self._tie_losses()

    def _wrap_closed(self, state: Mapping[str, Any]):
        """Makes Keras variables of the shapes that the SavedModel has, for values and optimizers to wait for it."""
        self._why_frozen = state["why_frozen"]
        self._recorded.update({key: (tuple(shape), dtype) for key, shape, dtype in state["outputs"]})
        self._losses_of_saved_model = ()
        self._hold(
            (tf.Variable(tf.zeros(shape, dtype), name=name, trainable=trains, dtype=dtype), name, trains, number)
            for name, shape, dtype, trains, number in state["variables"]
        )

    def _hold(self, described):
        held, names, numbers, tunable = [], [], [], []
        with keras.name_scope(self.name):
            for variable, name, trains, number in described:
                # Without a dtype of its own Keras would cast, which makes a copy that nothing calls.
                held.append(
                    keras.Variable(
                        variable,
                        trainable=trains,
                        dtype=variable.dtype.name,
                        autocast=False,
                        name=name.replace("/", "_"),
                    )
                )
                names.append(name)
                numbers.append(number)
                if trains:
                    tunable.append(held[-1])
        self._names, self._numbers = tuple(names), tuple(numbers)
        self._held = held
        self._tunable = tuple(tunable)

    def _tie_losses(self):
        """Finds which variables each regularisation loss is about, so that losses of frozen ones can be left out."""
        losses = [] if self._why_frozen else getattr(self._saved_model, "regularization_losses", None) or []
        held = {id(variable.value): variable for variable in self._held}
        tied = []
        for loss in losses:
            read = {id(v) for trace in getattr(loss, "concrete_functions", ()) for v in trace.variables}
            tied.append((loss, [held[key] for key in read if key in held] or list(self._tunable)))
        self._losses_of_saved_model = tuple(tied)

    def _reopen(self, folder: pathlib.Path, *, keep_values: bool):
        values = [variable.numpy() for variable in self._held] if keep_values else None
        adopted = {n: v.value for n, v in zip(self._numbers, self._held, strict=True)}
        _, variables = self._open(folder, adopted)
        if {id(v) for v in variables} != {id(v.value) for v in self._held}:
            raise BackboneError(f"the SavedModel in {folder} has other variables than the file says.")
        if values is not None:
            for variable, value in zip(self._held, values, strict=True):
                variable.assign(value)
        self._tie_losses()

    def _open_if_closed(self):
        """Opens the SavedModel where the config says, for a layer that was made from a config without a file."""
        if self._function is None:
            given = any(np.any(variable.numpy()) for variable in self._held)
            with tf.init_scope():
                self._reopen(places.find(self._folder), keep_values=given)

    # Calling.

    def _may_update(self) -> bool:
        """Whether the SavedModel is told that it trains."""
        return self.batch_norm == "train" and self.trainable and all(variable.trainable for variable in self._tunable)

    def _run(self, inputs, *, training: bool):
        if self._offer.kind == "reusable":
            arguments = {"training": training} if self._offer.has_training else {}
            outputs = self._function(inputs, **arguments, **self._arguments)
        else:
            outputs = self._function(**{self._offer.inputs[0].name: inputs})
        return contract.flatten(outputs)[self._offer.choose_output(self._output).name]

    def _cast(self, inputs):
        """Returns the inputs in the types that were traced."""
        expected = self._offer.inputs
        leaves = tf.nest.flatten(inputs)
        if len(leaves) != len(expected):
            raise BackboneError(f"{self.name!r} was given {len(leaves)} inputs, but {self._offer.described}.")
        cast = []
        for leaf, tensor in zip(leaves, expected, strict=True):
            given, wanted = keras.backend.standardize_dtype(leaf.dtype), tensor.dtype
            if _family(given) != _family(wanted):
                hint = " Divide the pixels by 255: keras.layers.Rescaling(1 / 255)." if given == "uint8" else ""
                raise BackboneError(f"{self.name!r} was given {given}, but the SavedModel takes {tensor}.{hint}")
            cast.append(tf.cast(leaf, wanted) if given != wanted else leaf)
        return tf.nest.pack_sequence_as(inputs, cast)

    def _traced(self, inputs) -> tuple[tuple[int | None, ...], str]:
        """Returns shape and type of the output for inputs of these shapes, by tracing or, failing that, by running."""
        specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), inputs)

        def infer(tensors):
            return self._run(self._cast(tensors), training=False)

        try:
            with tf.init_scope():
                traced = tf.function(infer, autograph=False).get_concrete_function(specs).outputs[0]
        except (ValueError, TypeError) as error:
            if isinstance(error, BackboneError | ConfigError):
                raise
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tf.nest.flatten(inputs))
            raise BackboneError(
                f"{self.name!r} was given {shapes}, but the SavedModel {self._offer.described}."
            ) from error
        shape = traced.shape
        known = all(None not in spec.shape[1:] for spec in tf.nest.flatten(specs))
        if known and (shape.rank is None or None in shape[1:]):
            with tf.init_scope():
                blank = tf.nest.map_structure(_blank, specs)
                shape = infer(blank).shape
        if shape.rank is None:
            raise BackboneError(
                f"the output of {self.name!r} has no shape that can be told. Give inputs of a fixed size to find out."
            )
        return (None, *shape[1:]), traced.dtype.name

    def _outside(self, dtype: str) -> str:
        return self.compute_dtype if _family(dtype) == "float" else dtype


def _variables_of(saved_model, offer: contract.Contract) -> list[tf.Variable]:
    """Returns the variables that become those of the layer; those of TF1 and all that are no numbers stay within."""
    if offer.kind == "tf1":
        return []
    kept = (tf.string, tf.variant, tf.resource)
    return [variable for variable in _read_by(saved_model, offer) if variable.dtype not in kept]


def _read_by(saved_model, offer: contract.Contract) -> list[tf.Variable]:
    """Returns the variables that the function reads, in the publisher's order where there is a list.

    For TF1 all of the graph: what the function and the initialiser read of them is not told apart.
    """
    if offer.kind == "tf1":
        return list(saved_model.variables)
    listed = list(getattr(saved_model, "variables", None) or ()) if offer.kind == "reusable" else []
    function = saved_model.__call__ if offer.kind == "reusable" else saved_model.signatures[offer.endpoint]
    for trace in getattr(function, "concrete_functions", None) or [function]:
        listed += trace.variables
    return list({id(variable): variable for variable in listed}.values())


def _is_same(given: tf.Variable, wanted: Mapping[str, Any]) -> bool:
    return tf.TensorShape(wanted["shape"]) == given.shape and tf.dtypes.as_dtype(wanted["dtype"]) == given.dtype


def _family(dtype: str) -> str:
    kind = tf.dtypes.as_dtype(dtype)
    return "float" if kind.is_floating else "integer" if kind.is_integer and dtype != "uint8" else dtype


def _blank(spec: tf.TensorSpec) -> tf.Tensor:
    shape = [1, *spec.shape[1:]]
    return tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype)


def _key(inputs) -> str:
    """Returns the shapes of inputs but for the batch, as text."""
    return str([[None, *tensor.shape[1:]] for tensor in tf.nest.flatten(inputs)])


def _safe_mode() -> bool | None:
    # Keras hands this to no layer. tests/backbones/hub/test_layer.py fails when it moves.
    from keras.src.saving import serialization_lib

    return serialization_lib.in_safe_mode()

"""One Keras optimizer whose variables move at their own share of one learning rate, and may come and go.

A share multiplies the *update*: scaling gradients would change nothing under Adam. Variables that begin to train at the
same time form a cohort, an instance of the wrapped optimizer with its own slots and its own count of steps, so that
one that wakes late moves as under a fresh optimizer, and those that were awake keep every bit of their state.
"""

import collections
import contextlib
import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfxfer import addressing
from tfxfer.errors import ConfigError
from tfxfer.optimizers import multipliers as rules
from tfxfer.optimizers import replicas
from tfxfer.optimizers.cohorts import Cohort, copy_slots
from tfxfer.optimizers.wrapped import Wrapped


@dataclasses.dataclass(frozen=True)
class _Share:
    """What one variable gets.

    Attributes:
        multiplier: of its update.
        label: the name that this goes by.
        weight_decay: if any.
        place: layer and variable by name, by which one that is asleep is found again in a model that was loaded; the
            whole path of a variable may be another there.
    """

    multiplier: float
    label: str
    weight_decay: float | None
    place: str


@keras.saving.register_keras_serializable("tfxfer")
class DifferentialLearningRate(keras.optimizers.Optimizer):
    """Any optimizer of Keras but Ftrl, with a multiplier in (0, 1] on the update of each variable.

    >>> optimizer = DifferentialLearningRate(keras.optimizers.Adam(1e-3), {"head": 1.0, "...": 0.1}, model=model)
    >>> model.compile(optimizer, loss="sparse_categorical_crossentropy")
    >>> optimizer.effective_rates()
    {'stage5.block2': 0.0001, 'head': 0.001}

    `learning_rate` is that of a multiplier of 1, the head's; it can be read, set, scheduled and watched as with any
    optimizer. Clipping, averaging (EMA), accumulation and loss scaling are those of the wrapped optimizer, over all
    variables and replicas together. `tfxfer.freeze` on a compiled model makes it follow what trains, slots kept.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        multipliers: rules.Multipliers,
        *,
        model: keras.Model | None = None,
        weight_decay_follows: bool = True,
        decays: Callable[[keras.Variable], bool] | str | Sequence[str] | None = None,
        decay_in_gradient: bool = False,
        highest: float = 1.0,
        beta_1: keras.optimizers.schedules.LearningRateSchedule | None = None,
        name: str = "differential",
        cohorts: Sequence[dict[str, Any]] = (),
        asleep: Sequence[Sequence] = (),
    ):
        """Wraps `optimizer`, which itself stays as it is.

        Args:
            optimizer: not built yet, any but Ftrl, whose update is not proportional to its rate. Where that cannot be
                known, as for Adafactor or your own, the update is scaled after it was made, at the cost of a copy.
            multipliers: a function from variable to multiplier; or a mapping from names to multipliers, see
                `tfxfer.multipliers`, that covers every variable of `model`.
            model: built; needed for a mapping, to find the names.
            weight_decay_follows: whether weight decay is multiplied too.
            decays: which variables weight decay shrinks: a function, or one or more addresses in `model`, such as
                "re:kernel$"; by default those that the wrapped optimizer does not exclude.
            decay_in_gradient: whether weight decay is a part of the gradient, added behind clipping, so that momentum
                carries it on, as in Caffe and PyTorch; apart from it otherwise (decoupled).
            highest: multiplier that there may be, ≥ 1; above 1 where something is to move faster than `learning_rate`
                tells, such as biases under Caffe's rule.
            beta_1: of Adam or AdamW at each step, in place of a fixed one; not for other optimizers.
            name: of the optimizer.
            cohorts: what `get_config` says about variables in training, for loading.
            asleep: what it says about others that may wake.

        Raises:
            ConfigError: an optimizer that cannot be wrapped, a mapping without its model, a multiplier out of range,
                a variable without a rule or with two, arguments that do not go together.
        """
        wrapped = Wrapped(optimizer)
        if decay_in_gradient and not weight_decay_follows:
            raise ConfigError(
                "weight decay in the gradient is multiplied with it. Leave weight_decay_follows=False out, or "
                "decay_in_gradient=True."
            )
        if beta_1 is not None:
            wrapped.check_beta_1()
        super().__init__(wrapped.rate, name=name, **wrapped.shared)
        self._wrapped = wrapped
        if isinstance(decays, (str, list, tuple)):
            decays = _meant(decays, model)
        self._decays = decays or (lambda variable: not wrapped.excludes(variable))
        self._follows = weight_decay_follows
        self._decay_in_gradient, self._beta_1 = decay_in_gradient, beta_1
        self._highest = rules.checked_highest(highest)
        self._checkpointed = tf.Module()
        self._keep(
            _rule=None, _known={}, _order=[], _to_load=list(cohorts), _asleep=[_Share(*share) for share in asleep]
        )
        self._arrange([])
        if not cohorts:
            self.set_multipliers(multipliers, model=model)

    @property
    def variables(self) -> list[keras.Variable]:
        """Its state, in an order that does not tell when variables came and went."""
        # `Optimizer.variables` would list what an optimizer has made ever since.
        return [*self._variables, *(slot for cohort in self._cohorts for slot in cohort.optimizer.variables)]

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """What it moves now."""
        return list(self._trainable_variables)

    def effective_rates(self) -> dict[str, float]:
        """Returns the learning rate of each name at this step: name in the mapping, or layer group, → rate.

        Only names under which something trains; all of a mapping before the first step, when that is not known yet.
        Variables that share a name but not a rate, as those in a warm-up beside others, are told apart by `name (k)`.
        """
        rate = self.learning_rate
        pairs = [(cohort.warm(rate), self._share(v)) for cohort in self._cohorts for v in cohort.variables]
        found: dict[str, list[float]] = {}
        for own, share in pairs or [(rate, share) for share in self._known.values()]:
            value = float(keras.ops.convert_to_numpy(own)) * share.multiplier
            rates = found.setdefault(share.label, [])
            if value not in rates:
                rates.append(value)
        return {
            label if number == 0 else f"{label} ({number + 1})": own
            for label, rates in found.items()
            for number, own in enumerate(rates)
        }

    def multiplier(self, variable: keras.Variable) -> float:
        """Returns the multiplier of a variable, whether it trains now or not.

        Raises:
            ConfigError: no rule covers it.
        """
        return self._share(variable).multiplier

    def set_multipliers(self, multipliers: rules.Multipliers, *, model: keras.Model | None = None) -> None:
        """Gives every variable its multiplier anew; slots, counts of steps and averages stay.

        A train function that was traced before must be made again: `model.make_train_function(force=True)`.

        Args:
            multipliers: as of the class.
            model: as of the class.

        Raises:
            ConfigError: as of the class.
        """
        known, rule = {}, None
        if callable(multipliers):
            rule = multipliers
        elif not isinstance(multipliers, Mapping):
            raise ConfigError(
                f"multipliers={multipliers!r} is neither a function of a variable nor a mapping from names, such as "
                '{"head": 1.0, "...": 0.1}.'
            )
        elif model is None:
            raise ConfigError(
                "multipliers by name need the model that the names are of: "
                "DifferentialLearningRate(optimizer, multipliers, model=model)."
            )
        else:
            known = {
                self._var_key(variable): self._new_share(variable, value, label)
                for variable, value, label in rules.resolved(multipliers, model, self._highest)
            }
        for variable in self._trainable_variables:
            self._found(variable, known, rule)
        self._keep(_known=known, _rule=rule)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes slots for `variables`, and for nothing else.

        Raises:
            ConfigError: a variable without a multiplier.
        """
        if self.built:
            return
        variables = list(variables)
        self._arrange(self._loaded(variables) if self._to_load else [self._cohort(variables)])
        self._keep(_order=[self._var_key(variable) for variable in variables])
        self.built = True

    def follow(self, variables: Sequence[keras.Variable], *, warmup_steps: int = 0) -> None:
        """Moves exactly `variables` from the next step on.

        Those that trained already keep slots, count of steps and average bit for bit; those that wake start as under a
        fresh optimizer at the present rate; of those that leave nothing is kept. A train function that was traced
        before must be made again, `model.make_train_function(force=True)`; `tfxfer.freeze` does both.

        Args:
            variables: of the model, such as `model.trainable_variables`.
            warmup_steps: ≥ 0, of the newly woken, in which their rate rises linearly to its place.

        Raises:
            ConfigError: a variable without a multiplier.
        """
        if not (isinstance(warmup_steps, int) and warmup_steps >= 0):
            raise ConfigError(f"warmup_steps={warmup_steps!r} must be a whole number of at least 0.")
        if not self.built:
            self.build(variables)
            return
        keys = [self._var_key(variable) for variable in variables]
        asleep = [v for key, v in zip(keys, variables, strict=True) if key not in self._trainable_variables_indices]
        woken = [self._cohort(asleep, warmup_steps)] if asleep else []
        with self._scope():
            cohorts = [kept for cohort in self._cohorts if (kept := self._reduced(cohort, set(keys)))]
            for cohort in woken:
                cohort.start_averages()
        self._arrange(cohorts + woken)
        self._keep(_order=keys)

    def apply(self, grads, trainable_variables=None) -> None:
        """Moves the variables by their gradients, as every optimizer of Keras does."""
        grads = list(grads)
        super().apply(grads, trainable_variables)
        for cohort in self._cohorts if grads else ():
            cohort.count_step()

    def finalize_variable_values(self, var_list) -> None:
        """Puts averages in the place of the variables, if there are any; called by `fit` at its end."""
        # Keras pairs averages with `var_list` by position, which is another order after a waking.
        super().finalize_variable_values(self.trained_variables)

    def set_weights(self, weights) -> None:
        """Sets all of `variables` to arrays of their shapes."""
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def get_config(self) -> dict[str, Any]:
        """Returns what is needed to make it again, the multipliers of what trains now included."""
        rate = self._learning_rate
        template = self._wrapped.fresh(float(rate.numpy()) if isinstance(rate, keras.Variable) else rate)
        place = {key: number for number, key in enumerate(self._order)}
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(template),
            "weight_decay_follows": self._follows,
            "decay_in_gradient": self._decay_in_gradient,
            "highest": self._highest,
            "beta_1": keras.saving.serialize_keras_object(self._beta_1),
            "cohorts": [
                {
                    "positions": [place[self._var_key(v)] for v in cohort.variables],
                    "shares": [dataclasses.astuple(self._share(v)) for v in cohort.variables],
                    "warmup_steps": cohort.warmup_steps,
                }
                for cohort in self._cohorts
            ],
            "asleep": [dataclasses.astuple(share) for share in self._asleep_now()],
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Returns the optimizer that `get_config` described; variables are matched by position when it is built.

        Raises:
            ConfigError: it was saved before it was built, so that nobody knows which variable gets which multiplier.
        """
        if not config["cohorts"]:
            raise ConfigError(
                "this DifferentialLearningRate was saved before it was built, and multipliers are kept by variable. "
                "Load with compile=False and compile again."
            )
        config = dict(config)
        for name in ("optimizer", "beta_1"):
            config[name] = keras.saving.deserialize_keras_object(config.get(name), custom_objects=custom_objects)
        return cls(config.pop("optimizer"), {}, **config)

    def _loaded(self, variables: list[keras.Variable]) -> list[Cohort]:
        """Returns the cohorts of the optimizer that was saved, on the variables of the model that was loaded."""
        saved = sum(len(cohort["positions"]) for cohort in self._to_load)
        if saved != len(variables):
            raise ConfigError(
                f"this DifferentialLearningRate was saved with {saved} variables in training, the model now trains "
                f"{len(variables)}. Load with compile=False, freeze, and compile with a new one."
            )
        cohorts = []
        for cohort in self._to_load:
            own = [variables[position] for position in cohort["positions"]]
            for variable, share in zip(own, cohort["shares"], strict=True):
                self._known[self._var_key(variable)] = _Share(*share)
            cohorts.append(self._cohort(own, cohort["warmup_steps"]))
        return cohorts

    def _asleep_now(self) -> list[_Share]:
        """Returns the shares of variables that do not train, each under a place that no other has."""
        met = {share.place for share in self._known.values()}
        asleep = [share for key, share in self._known.items() if key not in self._trainable_variables_indices]
        asleep += [share for share in self._asleep if share.place not in met]
        places = collections.Counter(share.place for share in asleep)
        return [share for share in asleep if places[share.place] == 1]

    def _share(self, variable: keras.Variable) -> _Share:
        return self._found(variable, self._known, self._rule)

    def _found(self, variable: keras.Variable, known: dict[str, _Share], rule: Callable | None) -> _Share:
        """Returns the share of a variable, and remembers it in `known`."""
        key = self._var_key(variable)
        if key not in known:
            former = [share for share in self._asleep if share.place == _place(variable)]
            if rule is None and former:
                known[key] = former[0]
                return former[0]
            if rule is None:
                raise ConfigError(
                    f"{variable.path} has no multiplier. Multipliers by name are for one model, and a file has those "
                    "of what trained when it was saved. Give them for this model: "
                    "optimizer.set_multipliers(multipliers, model=model)."
                )
            value = rules.checked(rule(variable), f"the multiplier of {variable.path}", self._highest)
            known[key] = self._new_share(variable, value, variable.path)
        return known[key]

    def _new_share(self, variable: keras.Variable, multiplier: float, label: str) -> _Share:
        former = self._known.get(self._var_key(variable))
        if former is not None:  # a file knows what decays, but not why
            return dataclasses.replace(former, multiplier=multiplier, label=label)
        decay = self._wrapped.weight_decay(variable) if self._decays(variable) else None
        return _Share(multiplier, label, decay, _place(variable))

    def _keep(self, **attributes) -> None:
        """Sets attributes past Keras's tracking, which would take variables of the model for our own."""
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def _arrange(self, cohorts: list[Cohort]) -> None:
        """Sets the cohorts, and makes of them the lists by variable in which Keras looks."""
        variables = [variable for cohort in cohorts for variable in cohort.variables]
        self._keep(
            _cohorts=cohorts,
            _trainable_variables=variables,
            _trainable_variables_indices={self._var_key(variable): at for at, variable in enumerate(variables)},
            _accumulated_gradients=[slot for cohort in cohorts for slot in cohort.accumulators],
        )
        if self.use_ema:  # `SwapEMAWeights` asks whether the attribute is there
            self._keep(_model_variables_moving_average=[slot for cohort in cohorts for slot in cohort.averages])
        self._show_to_checkpoints([cohort.optimizer for cohort in cohorts])

    def _show_to_checkpoints(self, optimizers: list[keras.optimizers.Optimizer]) -> None:
        """Keeps a list for `tf.train.Checkpoint`, which restores what is added later, but refuses one that shrinks."""
        listed = getattr(self._checkpointed, "cohorts", None)
        if listed and len(listed) <= len(optimizers) and all(map(operator.is_, listed, optimizers)):
            listed.extend(optimizers[len(listed) :])
        elif optimizers:
            self._checkpointed.cohorts = optimizers

    def _cohort(self, variables: list[keras.Variable], warmup_steps: int = 0) -> Cohort:
        """Returns a cohort with fresh slots for `variables`."""
        for variable in variables:
            self._share(variable)
        with self._scope():
            optimizer = self._wrapped.fresh(0.0)
            optimizer.build(variables)
        optimizer.update_step = functools.partial(self._update, optimizer, optimizer.update_step)
        optimizer._all_reduce_sum_gradients = lambda pairs: pairs  # done before clipping, for all cohorts at once
        return Cohort(variables, optimizer, warmup_steps)

    def _reduced(self, cohort: Cohort, wanted: set) -> Cohort | None:
        """Returns the cohort without the variables that are not wanted; itself if all are, `None` if none is."""
        kept = [number for number, variable in enumerate(cohort.variables) if self._var_key(variable) in wanted]
        if len(kept) in (0, len(cohort.variables)):
            return cohort if kept else None
        fewer = self._cohort([cohort.variables[number] for number in kept], cohort.warmup_steps)
        copy_slots(cohort, fewer, kept)
        return fewer

    def _scope(self) -> contextlib.AbstractContextManager:
        """Returns where variables are created: in the strategy's scope, and outside of a function that is traced."""
        if tf.distribute.get_strategy() is not self._distribution_strategy:
            return self._distribution_strategy.scope()
        return contextlib.nullcontext() if tf.distribute.has_strategy() else tf.init_scope()

    def _check_variables_are_known(self, variables) -> None:
        unknown = [v.path for v in variables if self._var_key(v) not in self._trainable_variables_indices]
        if unknown:
            raise ConfigError(
                f"{len(unknown)} variables train that the optimizer does not know of, such as {unknown[0]}. After a "
                "change of `trainable`: optimizer.follow(model.trainable_variables), or change it by tfxfer.freeze."
            )

    def _clip_gradients(self, grads):
        """Leaves clipping to `_backend_update_step`: here a replica knows its own gradients only."""
        return grads

    def _apply_weight_decay(self, variables) -> None:
        """Leaves weight decay to `_update`, which knows the multiplier."""

    def _backend_apply_gradients(self, grads, trainable_variables) -> None:
        if not self.gradient_accumulation_steps or not replicas.waits_for_others():
            super()._backend_apply_gradients(grads, trainable_variables)
            return

        def branch(strategy, grads, variables):
            each = strategy.extended.call_for_each_replica
            keras.ops.cond(
                (self._iterations + 1) % self.gradient_accumulation_steps == 0,
                lambda: each(self._step_of_accumulated, args=(grads, variables)),
                lambda: each(self._accumulate, args=(grads, variables)),
            )

        # Keras takes the branch in each replica alone, where the update of a variable fails: it waits for the others.
        replicas.together(branch, grads, trainable_variables)
        if self.use_ema:
            self._update_model_variables_moving_average(self._trainable_variables)

    def _step_of_accumulated(self, grads, variables) -> None:
        whole = zip(grads, self._accumulators_of(variables), strict=True)
        means = [(gradient + before) / self.gradient_accumulation_steps for gradient, before in whole]
        self._backend_update_step(means, variables, self.learning_rate)
        self._backend_reset_gradient_accumulators()

    def _accumulate(self, grads, variables) -> None:
        self._backend_increment_gradient_accumulators(grads, self._accumulators_of(variables))

    def _accumulators_of(self, variables) -> list[keras.Variable]:
        return [self._accumulated_gradients[self._get_variable_index(variable)] for variable in variables]

    def _backend_update_step(self, grads, trainable_variables, learning_rate) -> None:
        """Hands each cohort its own, by the method that Keras's optimizers override for what they do in each step."""
        pairs = self._all_reduce_sum_gradients(list(zip(grads, trainable_variables, strict=True)))
        grads = super()._clip_gradients([gradient for gradient, _ in pairs])
        gradients = {self._var_key(v): g for g, v in zip(grads, trainable_variables, strict=True)}
        for cohort in self._cohorts:
            own = [v for v in cohort.variables if self._var_key(v) in gradients]
            if own:
                given = [gradients[self._var_key(v)] for v in own]
                cohort.optimizer._backend_update_step(given, own, self._with_beta_1(cohort.warm(learning_rate)))

    def _with_beta_1(self, rate):
        """Returns a rate, and this step's beta_1 beside it where that changes: Keras hands one tensor on."""
        if self._beta_1 is None:
            return rate
        return keras.ops.stack([keras.ops.cast(x, "float32") for x in (rate, self._beta_1(self._iterations))])

    def _update(self, optimizer, plain: Callable, gradient, variable, learning_rate) -> None:
        """Moves one variable: `plain` is the update of the wrapped `optimizer`, what it was before it became this."""
        rate = keras.ops.cast(learning_rate, variable.dtype)
        if self._beta_1 is None:
            self._move(plain, gradient, variable, rate)
            return
        given = optimizer.beta_1
        optimizer.beta_1 = rate[1]
        try:
            self._move(plain, gradient, variable, rate[0])
        finally:
            optimizer.beta_1 = given

    def _move(self, plain: Callable, gradient, variable, rate) -> None:
        share = self._known[self._var_key(variable)]
        own = rate if share.multiplier == 1 else rate * share.multiplier
        if share.weight_decay is not None:
            decay = keras.ops.cast(share.weight_decay, variable.dtype)
            if self._decay_in_gradient:
                gradient = keras.ops.cast(gradient, variable.dtype) + variable * decay
            else:
                variable.assign_sub(variable * decay * (own if self._follows else rate))
        if self._wrapped.is_linear or share.multiplier == 1:
            plain(gradient, variable, own)
            return
        before = tf.identity(variable)
        plain(gradient, variable, rate)
        variable.assign(before + (variable - before) * share.multiplier)


def _meant(addresses: str | Sequence[str], model: keras.Model | None) -> Callable[[keras.Variable], bool]:
    """Returns whether a variable is meant by any of the addresses.

    Raises:
        ConfigError: there is no model to look them up in, or one means nothing.
    """
    if model is None:
        raise ConfigError(f"decays={addresses!r} are names in a model. Write model=… beside them.")
    places = addressing.Places(model)
    each = [addresses] if isinstance(addresses, str) else addresses
    meant = {id(place.variable) for address in each for place in places.at(address)}
    return lambda variable: id(variable) in meant


def _place(variable: keras.Variable) -> str:
    return "/".join(variable.path.split("/")[-2:])


def of(model: keras.Model) -> DifferentialLearningRate | None:
    """Returns the optimizer of a compiled model if it is ours, also within a `LossScaleOptimizer`; else `None`."""
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer if isinstance(optimizer, DifferentialLearningRate) else None

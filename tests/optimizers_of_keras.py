"""Every optimizer of Keras that can be wrapped, in the variants that differ in their slots."""

import keras
import pytest

KINDS = {
    "SGD": lambda: keras.optimizers.SGD(0.1),
    "SGD, momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "SGD, Nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "Adam, amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01),
    "RMSprop, all": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "Lion": lambda: keras.optimizers.Lion(0.01, weight_decay=0.1),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.01),
    # Keras takes min(rate, 1/√step), so a share of the rate is no share of the update.
    "Adafactor, high rate": lambda: keras.optimizers.Adafactor(10.0),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "Adadelta": lambda: keras.optimizers.Adadelta(1.0),
    "Adamax": lambda: keras.optimizers.Adamax(0.01),
    "Nadam": lambda: keras.optimizers.Nadam(0.01),
    "Lamb": lambda: keras.optimizers.Lamb(0.01),
    "Muon": lambda: keras.optimizers.Muon(0.01, weight_decay=0.1, adam_weight_decay=0.5),
    "ScheduleFreeAdamW": lambda: keras.optimizers.ScheduleFreeAdamW(0.01),
}
KINDS = {name: make for name, make in KINDS.items() if hasattr(keras.optimizers, name.partition(",")[0])}
NAMED = ("SGD, momentum", "SGD, Nesterov", "Adam", "AdamW", "RMSprop", "Lion", "Adafactor", "Adafactor, high rate")
# For tests that take a while for each: the others go to the slow tier.
IN_TIERS = [kind if kind in NAMED else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]

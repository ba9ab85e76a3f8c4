"""What a network is like when all stages are behind it: nothing is frozen that can train."""

import pytest

import tfxfer
from tfxfer import models, pipeline, training
from tfxfer.framing import Framing


def test_everything_trains_again_and_held_statistics_stay_held(plugin, colours, tmp_path):
    """A network from a file may have its batch norm within `StoredStatistics`, which no mode moves."""
    stages = (tfxfer.Stage(train="head", epochs=1),)
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=stages, batch_size=8)
    ready = pipeline.prepare(recipe, with_seconds=False)
    pixels = ready.examples.pixels(24, Framing())
    plain = models.swap_head(ready.backbone, ready.plan.what.head)
    for model, statistics in ((models.with_stored_statistics(plain), "held"), (plain, "free")):
        place = tmp_path / statistics
        training.fit(model, ready.examples, pixels, ready.plan, place, tell=lambda *_: None, note=pytest.fail)
        assert all(layer.trainable for layer in model.layers)
        assert models.has_held_statistics(model) == (statistics == "held")
        frozen = [v for v in model.weights if not v.trainable and "moving" not in v.path]
        assert not frozen

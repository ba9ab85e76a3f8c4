"""Values that say how work is used again refuse what they cannot mean."""

import math

import pytest

from tfxfer.errors import ConfigError
from tfxfer.reuse import Augment, Cache


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Cache, {"store": "ram"}, "store='ram'"),
        (Cache, {"precision": "float8"}, "precision='float8'"),
        (Cache, {"memory_gb": 0}, "memory_gb=0 must be above 0; write store='off' for no cache"),
        (Cache, {"memory_gb": -1.0}, "memory_gb=-1.0 must be above 0"),
        (Cache, {"memory_gb": "much"}, "memory_gb='much'"),
        (Cache, {"disk_gb": math.inf}, "disk_gb=inf must be above 0"),
        (Cache, {"disk_gb": math.nan}, "disk_gb=nan must be above 0"),
        (Augment, {"views": 0}, "views=0 must be 1 to 64, or auto; for a new one in each epoch: live=true"),
        (Augment, {"views": 65}, "views=65 must be 1 to 64"),
        (Augment, {"views": "few"}, "views='few'"),
        (Augment, {"rotation": 181}, "rotation=181 must be 0 to 180"),
        (Augment, {"shift": -0.1}, "shift=-0.1 must be 0 to 0.5"),
        (Augment, {"zoom": 0.6}, "zoom=0.6 must be 0 to 0.5"),
        (Augment, {"mixup": 4.1}, "mixup=4.1 must be 0 to 4"),
        (Augment, {"mixup": math.nan}, "mixup=nan must be 0 to 4"),
        (Augment, {"brightness": 1.5}, "brightness=1.5 must be 0 to 1"),
        (Augment, {"live": True, "brightness": 0.1}, "brightness is for cached activations, and live=true leaves none"),
    ],
)
def test_what_means_nothing_is_refused_with_its_range(kind, settings, message):
    with pytest.raises(ConfigError) as caught:
        kind(**settings)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError, match=r"(?s)views=99.*zoom=2"):
        Augment(views=99, zoom=2.0)


def test_the_ends_of_the_ranges_are_allowed():
    Cache(memory_gb=0.001, disk_gb=1e9)
    Augment(views=64, rotation=180.0, shift=0.5, zoom=0.5, mixup=4.0, brightness=1.0)
    Augment(views=1, rotation=0.0, shift=0.0, zoom=0.0)

"""Values that say how work is used again refuse what they cannot mean."""

import math

import pytest

from tfxfer.errors import ConfigError
from tfxfer.reuse import Cache


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
    ],
)
def test_what_means_nothing_is_refused_with_its_range(kind, settings, message):
    with pytest.raises(ConfigError) as caught:
        kind(**settings)
    assert message in str(caught.value)


def test_the_ends_of_the_ranges_are_allowed():
    Cache(memory_gb=0.001, disk_gb=1e9)

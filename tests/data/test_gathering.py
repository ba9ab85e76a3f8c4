"""What is known of decided examples; the rest of it is tested through those who ask: `test_examples.py`."""

import numpy as np
import pytest

from tfxfer.data import gathering
from tfxfer.errors import DataError


def test_a_weight_beyond_all_others_is_refused_and_one_that_is_nothing_stays_above_0():
    with pytest.raises(DataError, match=r"an example has 1.23e\+04 times the mean weight .*, at most 10,000 times can"):
        gathering.normalised(np.array([1.0] * 3 + [12_345.6]), np.array([True] * 3 + [False]))
    least = gathering.normalised(np.array([1.0, 1.0, 5e-320]), np.ones(3, bool)).min()
    assert least > 0
    assert np.float32(least) * np.float32(0.5) > 0

"""Which code decodes: what is installed, and whether it pays to load it."""

import importlib.util

import pytest

from tfxfer import decoders


@pytest.mark.parametrize(
    ("pictures", "installed", "chosen", "why"),
    [
        (3_999, True, decoders.PILLOW, "take longer to load than they save"),
        (4_000, True, decoders.FAST, "4,000 images, and both are installed"),
        (4_000, False, decoders.PILLOW, "pip install 'tfxfer[fast]'"),
        (0, False, decoders.PILLOW, "take longer"),
    ],
)
def test_many_pictures_are_decoded_by_what_is_faster(pictures, installed, chosen, why):
    name, reason = decoders.choose(pictures, installed=installed)
    assert name == chosen
    assert why in reason


@pytest.mark.parametrize("missing", ["numba", "simplejpeg"])
def test_both_are_needed(monkeypatch, missing):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    assert not decoders.installed()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert decoders.installed()

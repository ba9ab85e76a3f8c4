"""Clothes by a small network: trained on digits before, against from random weights; all else is the same.

python tools/fetch_assets.py fashion
tfxfer train --config=configs/small_digits.py --workdir=runs/small_digits
tfxfer compare --config=configs/compare_fashion.py --workdir=runs/compare_fashion
"""

import pathlib
import runpy

from tfxfer import Data, Recipe, Stage
from tfxfer.errors import ConfigError
from tfxfer.recipes import Backbone

_ASSETS = pathlib.Path(__file__).resolve().parents[1] / "tools" / "fetch_assets.py"
_NETWORK = pathlib.Path("runs/small_digits/bundle/model.keras")


def get_config() -> Recipe:
    clothes = runpy.run_path(str(_ASSETS))["fashion_place"]()
    if not clothes.is_file():
        raise ConfigError(f"{clothes} is not there. Type: python tools/fetch_assets.py fashion")
    if not _NETWORK.is_file():
        raise ConfigError(
            f"{_NETWORK} is not there. Type: tfxfer train --config=configs/small_digits.py --workdir=runs/small_digits"
        )
    return Recipe(
        data=Data(source=f"npz:{clothes}", validation_fraction=0.05, test_fraction=0.5, examples_per_class=100),
        backbone=Backbone(handle=f"file:{_NETWORK}"),
        image_size=32,
        # As `presets.scratch` has it, so that both sides differ by their weights alone.
        stages=(Stage(train="all", epochs=15, head_to_body=1.0, batch_norm="train", weight_decay=1e-4),),
    )

"""VGG16 on 1,000 digits: the first 8 layers stay frozen, the rest is retrained; much better than from random weights.

tfxfer train --config=configs/vgg16_digits_first8.py --workdir=runs/vgg16_digits_first8

The weights, `python tools/fetch_assets.py vgg16-hed`, are VGG16's convolutions, fine-tuned by HED to find edges.
2 min 17 s on 2 cores in use by others too, 1 min 42 s of it training. Accuracy on 3,500 test digits:

    these weights    95.2 % (95 % interval 94.4 to 95.8); seeds 1 and 2: 95.2, 95.1
    random weights   87.5 % (86.4 to 88.6); 82.5, 89.6
                     --config.backbone.weights=random --config.stages[0].learning_rate=0.1

On the 500 validation digits, in %, after epochs 1 to 5 of seed 0: 52, 89, 91, 95, 95; from random weights 19, 36, 62,
89, 89. Each has the best of the rates 0.01, 0.03 and 0.1: 92.6, 94.8, 94.6; from random weights 56.4, 77.2, 88.8 (and,
at 0.3, 46.2). The control is the same recipe, with its first 8 layers frozen as they were drawn. What either would
reach in more epochs was not measured.
"""

import pathlib
import runpy

from tfxfer import Data, Recipe, Stage
from tfxfer.errors import ConfigError
from tfxfer.recipes import Backbone

_ASSETS = pathlib.Path(__file__).resolve().parents[1] / "tools" / "fetch_assets.py"


def get_config() -> Recipe:
    return Recipe(
        data=Data(source="sample:digits", validation_fraction=0.1, test_fraction=0.7),
        backbone=Backbone(handle="keras:VGG16", weights=_pretrained()),
        image_size=32,
        # From the input layer to block3_conv1.
        stages=(Stage(frozen="layers[:8]", epochs=5, learning_rate=0.03, head_to_body=1.0),),
    )


def _pretrained() -> str:
    weights = runpy.run_path(str(_ASSETS))["vgg16_hed_place"]()
    if not weights.is_file():
        raise ConfigError(f"{weights} is not there. Type: python tools/fetch_assets.py vgg16-hed")
    return str(weights)

"""Real handwritten digits, 5,000 MNIST images, from ImageNet features.

tfxfer train --config=configs/digits.py --workdir=runs/digits
"""

from tfxfer import Data, Recipe, Stage


def get_config() -> Recipe:
    return Recipe(
        data=Data(source="sample:digits"),
        backbone="builtin:efficientnet_lite0",
        image_size=64,
        stages=(Stage(train="stage3", epochs=5, learning_rate=0.05, head_to_body=1.0),),
    )

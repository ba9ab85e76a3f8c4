"""Networks that PyTorch zoos publish, built in Keras so that their weights give the same features."""

from tfxfer import lazy

__all__ = ["assign", "build", "expected_shapes", "recognise"]

_HOMES = {
    "assign": "tfxfer.backbones.torch_models.assignment",
    "build": "tfxfer.backbones.torch_models.building",
    "expected_shapes": "tfxfer.backbones.torch_models.assignment",
    "recognise": "tfxfer.backbones.torch_models.recognition",
}
__getattr__, _ = lazy.attributes(__name__, _HOMES)

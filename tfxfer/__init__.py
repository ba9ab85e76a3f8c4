"""tfxfer: transfer learning for Keras 3 and TensorFlow, from labelled images to a measured, reusable network.

    import tfxfer

    recipe = tfxfer.Recipe(data="folder:photos")
    report = tfxfer.run(recipe, workdir="runs/photos")

Single pieces work in anyone's Keras code: `load_backbone`, `swap_head`, `heads`, `layer_groups`, `freeze`.
Importing this package does not load TensorFlow; the first use of a piece that needs it does.
"""

from tfxfer import lazy

_HOMES = {
    "Data": "tfxfer.recipes",
    "Recipe": "tfxfer.recipes",
    "Stage": "tfxfer.recipes",
    "check_pixel_scale": "tfxfer.pixels",
    "freeze": "tfxfer.models.freezing",
    "heads": "tfxfer.heads:",
    "layer_groups": "tfxfer.graph",
    "load_backbone": "tfxfer.backbones",
    "load_classifier": "tfxfer.backbones",
    "presets": "tfxfer.presets:",
    "run": "tfxfer.pipeline",
    "swap_head": "tfxfer.models.heads",
    "with_stored_statistics": "tfxfer.models.batch_norm",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)

"""tfxfer: transfer learning for Keras 3 and TensorFlow, from labelled images to a measured, reusable network.

    import tfxfer

    recipe = tfxfer.Recipe(data="folder:photos")
    report = tfxfer.run(recipe, workdir="runs/photos")

Single pieces work in anyone's Keras code: `load_backbone`, `swap_head`, `heads`, `layer_groups`, `freeze`.
Importing this package does not load TensorFlow; the first use of a piece that needs it does.
"""

from tfxfer import lazy

_HOMES = {
    "Adam": "tfxfer.recipes",
    "Augment": "tfxfer.augmentation",
    "AutoRGN": "tfxfer.callbacks",
    "BatchNormDrift": "tfxfer.callbacks",
    "Cache": "tfxfer.reuse",
    "Data": "tfxfer.recipes",
    "DifferentialLearningRate": "tfxfer.optimizers",
    "Events": "tfxfer.callbacks",
    "Export": "tfxfer.recipes",
    "FreezeGuard": "tfxfer.callbacks",
    "Gradual": "tfxfer.recipes",
    "GradualUnfreezing": "tfxfer.callbacks",
    "Imbalance": "tfxfer.imbalance",
    "Recipe": "tfxfer.recipes",
    "Running": "tfxfer.recipes",
    "SGD": "tfxfer.recipes",
    "Searching": "tfxfer.recipes",
    "Stage": "tfxfer.recipes",
    "WhenStalled": "tfxfer.recipes",
    "advise": "tfxfer.advice",
    "batch_norm_momentum": "tfxfer.models.batch_norm",
    "cached_prefix": "tfxfer.activations.prefix",
    "check_pixel_scale": "tfxfer.pixels",
    "compare": "tfxfer.comparison",
    "export_hub": "tfxfer.export.hub",
    "find_learning_rate": "tfxfer.lr_finder.sweep",
    "freeze": "tfxfer.models.freezing",
    "heads": "tfxfer.heads:",
    "layer_groups": "tfxfer.graph",
    "load_backbone": "tfxfer.backbones",
    "load_classifier": "tfxfer.backbones",
    "multipliers": "tfxfer.optimizers.multipliers:",
    "presets": "tfxfer.presets:",
    "rank": "tfxfer.advice",
    "refresh_statistics": "tfxfer.models.statistics",
    "rescale_head": "tfxfer.models.rescaling",
    "run": "tfxfer.advice.running",
    "runtime": "tfxfer.runtime:",
    "scores": "tfxfer.scores:",
    "set_batch_norm_momentum": "tfxfer.models.batch_norm",
    "swap_head": "tfxfer.models.heads",
    "with_moving_statistics": "tfxfer.models.batch_norm",
    "with_stored_statistics": "tfxfer.models.batch_norm",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)

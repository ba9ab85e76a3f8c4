"""What is done to training pictures before the network sees them, as a value, and the presets of it."""

import dataclasses
from typing import Any, Literal

from tfxfer import values

Preset = Literal["none", "light", "medium", "strong"]
Flip = Literal["none", "horizontal", "vertical", "both"]
Policy = Literal["none", "randaugment", "trivialaugment", "augmix"]

# What a field means that is "auto", by the preset. "light" moves pictures a little, as was measured with a few cached
# views. "medium" is the usual way with photos: random resized crop, mirror, colour. "strong" is for long training of
# all layers: RandAugment, erasing and mixing as MAE and DeiT fine-tune with them, crops no smaller than a quarter.
_NOTHING = {
    "views": "auto", "live": False, "flip": "none", "rotation": 0.0, "shift": 0.0, "zoom": 0.0, "crop_area": 1.0,
    "crop_aspect": 1.0, "lightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grey": 0.0,
    "policy": "none", "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0,
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "none": _NOTHING,
    "light": _NOTHING | {"flip": "horizontal", "rotation": 12.0, "shift": 0.1, "zoom": 0.1},
    "medium": _NOTHING | {
        "live": True, "flip": "horizontal", "rotation": 10.0, "crop_area": 0.5, "crop_aspect": 4 / 3,
        "lightness": 0.2, "contrast": 0.2, "saturation": 0.2,
    },
    "strong": _NOTHING | {
        "live": True, "flip": "horizontal", "crop_area": 0.25, "crop_aspect": 4 / 3,
        "policy": "randaugment", "erasing": 0.25, "mixup": 0.2, "cutmix": 1.0,
    },
}  # fmt: skip
# Fields that say what a view may differ in; `magnitude` and `operations` say how much a policy does.
VIEW_FIELDS = (
    "flip", "rotation", "shift", "zoom", "crop_area", "crop_aspect", "lightness", "contrast", "saturation", "hue",
    "grey", "policy", "operations", "magnitude", "erasing",
)  # fmt: skip
# Of those, the ones that move pixels and leave their colours.
GEOMETRY_FIELDS = ("flip", "rotation", "shift", "zoom", "crop_area", "crop_aspect")
# What there was before presets, in runs that may still go on, with its values.
_BEFORE = {
    "views": "auto", "live": False, "flip": False, "rotation": 12.0, "shift": 0.1, "zoom": 0.1, "mixup": 0.0,
    "brightness": 0.0,
}  # fmt: skip
# The least and the most that a number may be.
_LIMITS = {
    "rotation": (0, 180), "shift": (0, 0.5), "zoom": (0, 0.5), "crop_area": (0.05, 1), "crop_aspect": (1, 3),
    "lightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1), "hue": (0, 0.5), "grey": (0, 1),
    "operations": (1, 4), "magnitude": (0, 30), "erasing": (0, 1), "mixup": (0, 4), "cutmix": (0, 4),
    "brightness": (0, 1),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """What is done to training pictures before the network sees them; validation and test are never touched.

    Each picture has a few views, itself the first, and shows one in each epoch, so that activations of frozen layers
    can be computed once for each view. Four views bring about 90 % of what many do: a linear probe on 100 digits went
    from 69.6 to 80.4 % with 4 and to 81.5 % with 16, on 1,000 digits from 89.7 to 91.4 % with one more view and to
    91.6 % with 4.

    A view is a function of the seed, the picture and the view's number. What is asked for is done in this order:
    turned, moved and scaled; cropped; mirrored; lit, contrasted, saturated, its hue turned, made grey; the policy;
    erased. All that moves pixels is done at once, with bilinear interpolation, and beyond an edge its pixels go on.

    Attributes:
        preset: what the fields mean that are "auto": "none": nothing; "light": a few views, mirrored and moved a
            little; "medium": new views in each epoch, cropped, mirrored, lit and coloured; "strong": these with
            RandAugment, erasing, mixup and CutMix, for long training of all layers; "auto": "light" without mirroring
            where a class of middle size has few training examples, else "none".
        views: of each picture, 1 to 64, 1 being the picture alone; "auto": 400 over the number of training examples in
            a class of middle size, at least 1, at most 8. With a preset by name or anything else asked for, at least 4.
        live: whether every epoch shows views that no epoch before has; then nothing can be computed once.
        flip: which mirror images are among the views, of equal shares: "horizontal": left to right; "vertical": top to
            bottom; "both": these, and both at once. The first views are exact ones. `True` is "horizontal".
        rotation: most degrees by which a view is turned, 0 to 180.
        shift: most by which it is moved along each axis, as a share of the size, 0 to 0.5.
        zoom: most by which it is scaled up or down, as a share, 0 to 0.5.
        crop_area: least share of the picture's area that a view may show, 0.05 to 1; 1 for no cropping. The share is
            uniform (random resized crop: Szegedy et al. 2015).
        crop_aspect: most by which a crop may be wider than high, or higher than wide, 1 to 3.
        lightness: most by which colours are scaled up or down, as a share, 0 to 1.
        contrast: most by which they are moved away from the mean grey, or to it, as a share, 0 to 1.
        saturation: most by which they are moved away from their own grey, or to it, as a share, 0 to 1.
        hue: most by which they are turned around the grey axis, as a share of the whole turn, 0 to 0.5.
        grey: share of the views that have no colours, 0 to 1.
        policy: one of "randaugment" (Cubuk et al. 2020), "trivialaugment" (Müller & Hutter 2021, "wide") and "augmix"
            (Hendrycks et al. 2020, without its loss), or "none".
        operations: how many one after the other in "randaugment", 1 to 4.
        magnitude: of those of "randaugment", and the most of "augmix", 0 to 30.
        erasing: share of the views in which a rectangle of 2 to 33 % of the area gets one random colour, 0 to 1
            (Zhong et al. 2020).
        mixup: alpha of the beta distribution from which pairs of examples in a batch are mixed, rows and labels alike
            (Zhang et al. 2018), 0 to 4; 0 for none. Where activations are computed once they are mixed, else pixels.
        cutmix: alpha of the beta distribution of the share of a picture that a rectangle of another one leaves
            (Yun et al. 2019), 0 to 4; 0 for none. Labels get the shares of pixels. It needs pixels, so that nothing is
            computed once. With `mixup` too each batch gets one of both, in equal shares.
        brightness: most by which each channel of cached activations is shifted, as a share of its range in the
            example, 0 to 1; 0 for none (FroFA, channel-wise: Bär et al. 2024). It needs cached feature maps.
    """

    preset: Preset | Literal["auto"] = "auto"
    views: int | Literal["auto"] = "auto"
    live: bool | Literal["auto"] = "auto"
    flip: bool | Flip | Literal["auto"] = "auto"
    rotation: float | Literal["auto"] = "auto"
    shift: float | Literal["auto"] = "auto"
    zoom: float | Literal["auto"] = "auto"
    crop_area: float | Literal["auto"] = "auto"
    crop_aspect: float | Literal["auto"] = "auto"
    lightness: float | Literal["auto"] = "auto"
    contrast: float | Literal["auto"] = "auto"
    saturation: float | Literal["auto"] = "auto"
    hue: float | Literal["auto"] = "auto"
    grey: float | Literal["auto"] = "auto"
    policy: Policy | Literal["auto"] = "auto"
    operations: int = 2
    magnitude: float = 9.0
    erasing: float | Literal["auto"] = "auto"
    mixup: float | Literal["auto"] = "auto"
    cutmix: float | Literal["auto"] = "auto"
    brightness: float = 0.0

    def __post_init__(self):
        """Reads true and false as flips; refuses values outside their ranges."""
        if isinstance(self.flip, bool):
            object.__setattr__(self, "flip", "horizontal" if self.flip else "none")
        problems = values.check_fields(self)
        if not problems:
            if self.views != "auto" and not 1 <= self.views <= 64:
                problems.append(f"views={self.views} must be 1 to 64, or auto; for a new one in each epoch: live=true")
            for name, (least, most) in _LIMITS.items():
                given = getattr(self, name)
                if given != "auto" and not least <= given <= most:
                    problems.append(f"{name}={given} must be {least} to {most}")
            if self.live is True and self.brightness:
                problems.append("brightness is for cached activations, and live=true leaves none; set one of them")
            if self.cutmix not in ("auto", 0) and self.brightness:
                problems.append("brightness is for cached activations, and cutmix leaves none; set one of them to 0")
        values.refuse(self, problems)

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the fields that say something of views and mixing, and not "auto"."""
        return tuple(name for name in _NOTHING if getattr(self, name) != "auto")


def settled(augment: Augment, preset: Preset | None = None) -> Augment:
    """Returns the same with each field that is "auto" as the preset has it; `views` may stay "auto".

    Args:
        augment: as it was asked for.
        preset: instead of its own, which may be "auto".
    """
    preset = preset or ("light" if augment.preset == "auto" else augment.preset)
    meant = {name: value for name, value in PRESETS[preset].items() if getattr(augment, name) == "auto"}
    return dataclasses.replace(augment, preset=preset, **meant)


def described(augment: Augment, fields: tuple[str, ...] = VIEW_FIELDS) -> str:
    """Returns in words what is asked for of some fields of a settled value, the rest being nothing; or "nothing"."""
    of_policy = {"operations": ("randaugment",), "magnitude": ("randaugment", "augmix")}
    said = []
    for name in fields:
        value = getattr(augment, name)
        if name in of_policy:
            is_said = augment.policy in of_policy[name]
        else:
            is_said = value not in ("auto", _NOTHING[name])  # an older plan has fields that are left open
        if is_said:
            said.append(f"{name.replace('_', ' ')} {value if isinstance(value, str) else f'{value:g}'}")
    return ", ".join(said) or "nothing"


def counted(augment: Augment) -> dict[str, Any]:
    """Returns the JSON of a settled value by which plans are told apart.

    What came with presets counts only where it does something, and nothing counts of views where there is one, so that
    a run from before goes on.
    """
    told = {name: value for name, value in values.to_json(augment).items() if name in _BEFORE}
    told["flip"] = {"none": False, "horizontal": True}.get(augment.flip, augment.flip)
    if augment.views == 1 and not augment.live:
        told |= {name: _BEFORE[name] for name in GEOMETRY_FIELDS if name in _BEFORE}
    else:
        later = tuple(name for name in VIEW_FIELDS if name not in _BEFORE)
        told |= {"others": described(augment, later)} if described(augment, later) != "nothing" else {}
    return told | ({"cutmix": augment.cutmix} if augment.cutmix not in ("auto", 0) else {})


def of_now(recipe: dict[str, Any]) -> dict[str, Any]:
    """Returns the JSON of a recipe from before presets as it is written now: what nobody had asked for is "auto"."""
    asked = recipe.get("augment")
    if not isinstance(asked, dict) or "preset" in asked:
        return recipe
    kept = {name: value for name, value in asked.items() if name not in _BEFORE or value != _BEFORE[name]}
    return {**recipe, "augment": kept}

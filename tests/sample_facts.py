"""Facts about a data set, a backbone and a machine that do not exist, with round numbers for sums done by hand."""

from tfxfer.facts import (
    BackboneCard,
    BackboneFacts,
    DataFacts,
    GroupFacts,
    LayerFacts,
    MachineFacts,
    Outline,
    VariableFacts,
)

# Name, parameters, gamma and beta among them, variables, those of batch norm, legal cut, numbers at the cut.
_GROUPS = (
    ("stem", 100, 8, 4, 2, True, 400),
    ("block1", 1000, 16, 6, 2, False, 0),
    ("block2", 2000, 32, 6, 2, True, 200),
    ("block3", 4000, 64, 6, 2, True, 160),
)


def data_facts(**changes) -> DataFacts:
    """Three classes with 100 examples each: 70 train, 10 validation, 20 test."""
    settings = {
        "source": "folder:photos",
        "class_names": ("cat", "dog", "fox"),
        "train_counts": (70, 70, 70),
        "validation_counts": (10, 10, 10),
        "test_counts": (20, 20, 20),
        "height": 300,
        "width": 400,
        "channels": 3,
        "split": "by content hash with seed 0, stratified",
        "fingerprint": "0123456789abcdef",
    }
    return DataFacts(**{**settings, **changes})


def card(**changes) -> BackboneCard:
    """A backbone for pictures of 224 pixels, at least 32."""
    settings = {
        "handle": "tiny:net",
        "native_size": 224,
        "minimum_size": 32,
        "pixels": "x / 255, RGB",
        "license": "Apache-2.0",
        "origin": "nowhere",
    }
    return BackboneCard(**{**settings, **changes})


def outline_of(groups: tuple[GroupFacts, ...]) -> Outline:
    """Of each group the layers `<group>_conv`, which has a kernel and biases, `<group>_bn`, and `<group>_relu`."""
    layers = []
    for group in groups:
        at, kernels = len(layers), group.tensors - group.batch_norm_tensors
        sizes = [group.parameters - group.batch_norm_parameters - (kernels - 1), *[1] * (kernels - 1)]
        conv = tuple(VariableFacts(name=f"v{i}", size=size) for i, size in enumerate(sizes))
        half = group.batch_norm_parameters // 2
        norm = tuple(VariableFacts(name=name, size=half, batch_norm=True) for name in ("gamma", "beta"))
        layers += [
            LayerFacts(name=f"{group.name}_{name}", group=group.name, positions=(("", at + i),), variables=own)
            for i, (name, own) in enumerate((("conv", conv), ("bn", norm), ("relu", ())))
        ]
    names = tuple(group.name for group in groups)
    return Outline(name="tiny:net", groups=names, layers=tuple(layers), lengths=(("", len(layers)),))


def backbone_facts(**changes) -> BackboneFacts:
    """Four groups, stem to block3, of 100 to 4000 parameters; 10 features."""
    groups = tuple(
        GroupFacts(
            name=name,
            layers=3,
            parameters=parameters,
            batch_norm_parameters=batch_norm,
            tensors=tensors,
            batch_norm_tensors=batch_norm_tensors,
            statistics=batch_norm,
            legal_cut=legal_cut,
            output_size=output_size,
        )
        for name, parameters, batch_norm, tensors, batch_norm_tensors, legal_cut, output_size in _GROUPS
    )
    settings = {
        "card": card(),
        "weights": "pretrained",
        "weights_digest": "fedcba9876543210",
        "image_size": 224,
        "channels": 3,
        "feature_channels": 10,
        "groups": groups,
        "outline": outline_of(changes.get("groups", groups)),
    }
    return BackboneFacts(**{**settings, **changes})


def machine_facts(**changes) -> MachineFacts:
    """One processor and a memory of 1 GB."""
    settings = {
        "devices": ("cpu:0",),
        "strategy": "one_device",
        "strategy_reason": "no GPU is there",
        "cores": 2,
        "memory_bytes": 1_000_000_000,
        "versions": (("keras", "3.12"),),
    }
    return MachineFacts(**{**settings, **changes})

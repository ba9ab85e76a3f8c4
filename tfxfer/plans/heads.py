"""What a head will be made of, before it is built: the layers of `models.heads` by name, and their variables."""

import dataclasses
import itertools

from tfxfer import outlines
from tfxfer.facts import BackboneFacts, LayerFacts, Outline, VariableFacts
from tfxfer.heads import MLP, Cosine, Head


def with_head(backbone: BackboneFacts, head: Head) -> Outline:
    """Returns the outline of a backbone with a head on it, whose number of outputs is known."""
    outline = backbone.outline
    below = dict(outline.lengths)[""]
    layers = [
        LayerFacts(name=name, group=outlines.HEAD, positions=(("", below + at),), variables=variables)
        for at, (name, variables) in enumerate(_layers(head, backbone.feature_channels, pools=backbone.feature_map))
    ]
    return dataclasses.replace(
        outline,
        groups=(*outline.groups, outlines.HEAD),
        layers=(*outline.layers, *layers),
        lengths=tuple((name, count + len(layers) * (not name)) for name, count in outline.lengths),
    )


def _layers(head: Head, channels: int, *, pools: bool) -> list[tuple[str, tuple[VariableFacts, ...]]]:
    """Returns the name and the variables of each layer of a head, as `swap_head` builds it."""
    pooling = {"avg": ["pool"], "max": ["pool_max"], "both": ["pool", "pool_max", "concat"]}[head.pooling]
    layers = [(name, ()) for name in pooling] if pools else []
    width = channels * (2 if head.pooling == "both" else 1)
    dropout = [("dropout", ())] if head.dropout else []
    if isinstance(head, Cosine):
        kernel = VariableFacts(name="kernel", size=width * head.outputs)
        layers += [*dropout, ("features", ()), ("unit", ()), ("cosine", (kernel,))]
        if head.learn_scale:
            layers += [("column", ()), ("scale", (VariableFacts(name="kernel", size=1),))]
        layers.append(("logits", ()))
    else:
        hidden = head.hidden if isinstance(head, MLP) else ()
        for number, (inputs, units) in enumerate(itertools.pairwise([width, *hidden])):
            layers += _hidden_layer(head, number, inputs, units)
        layers += [*dropout, ("logits", _dense(hidden[-1] if hidden else width, head.outputs))]
    return [(f"{outlines.HEAD}_{name}", variables) for name, variables in layers]


def _hidden_layer(head: MLP, number: int, inputs: int, units: int) -> list[tuple[str, tuple[VariableFacts, ...]]]:
    if not head.batch_norm:
        dropout = [(f"dropout_{number}", ())] if head.dropout else []
        return [*dropout, (f"hidden_{number}", _dense(inputs, units))]
    norm = tuple(VariableFacts(name=name, size=units, batch_norm=True) for name in ("gamma", "beta"))
    kernel, _ = _dense(inputs, units)
    return [(f"hidden_{number}", (kernel,)), (f"norm_{number}", norm), (f"relu_{number}", ())]


def _dense(inputs: int, units: int) -> tuple[VariableFacts, VariableFacts]:
    return VariableFacts(name="kernel", size=inputs * units), VariableFacts(name="bias", size=units)

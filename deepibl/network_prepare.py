"""The fields that MATLAB's training expects in a network's layers, set and removed."""

import numpy as np

from matlab_compat.simplenn import LayerKey, SimpleNN
from matlab_compat.simplenn_layer import Layer
from matlab_compat.simplenn_tidy import cell_row

_EMPTY = np.zeros((0, 0))


def prepare_for_training(net: SimpleNN, backprop_to: LayerKey = 0) -> SimpleNN:
    """A network whose layers have what MATLAB's SGD needs; weights are shared with the one given.

    From layer `backprop_to` (a name, or a position from 0) on: momentum zero, learningRate and weightDecay
    ones where they are not set. `precious` marks the layers whose output the backward pass needs: all from
    the one before `backprop_to` on, but none before a ReLU, and not the last.

    Raises ArgumentError for a layer that is not there.

    Ported from: netvlad/netPrepareForTrain.m
    """
    first = net.index(backprop_to)
    prepared = net.with_layers([layer.copy() for layer in net])
    layers = list(prepared)
    for i, layer in enumerate(layers):
        if i >= first and _has_weights_field(layer):
            _set_state(layer)
        needed = i >= first - 1 and i + 1 < len(layers) and layers[i + 1].type != "relu"
        layer.set_field("precious", np.array([[needed]]))
    return prepared


def prepare_for_testing(
    net: SimpleNN, *, remove_dropout: bool = False, remove_extras: bool = False
) -> SimpleNN:
    """A network none of whose layers is precious; weights are shared with the one given.

    remove_dropout: leaves the dropout layers out. remove_extras: empties the momentum.

    Ported from: netvlad/netPrepareForTest.m
    """
    kept = [layer.copy() for layer in net if not (remove_dropout and layer.type == "dropout")]
    for layer in kept:
        layer.set_field("precious", np.zeros((1, 1), dtype=bool))
        if remove_extras and "momentum" in layer.fields:
            layer.set_field("momentum", _EMPTY)
    return net.with_layers(kept)


def _has_weights_field(layer: Layer) -> bool:
    return bool(layer.weight_specs) or "weights" in layer.fields


def _set_state(layer: Layer) -> None:
    """Momentum and rates; a layer without weights gets empty rates, as in the original."""
    shapes = layer.weight_shapes()
    if shapes:
        layer.set_field("momentum", cell_row([np.zeros(shape, dtype=np.float32) for shape in shapes]))
    for name in ("learningRate", "weightDecay"):
        if not np.size(layer.fields.get(name, _EMPTY)):
            layer.set_field(name, np.ones((1, len(shapes)), dtype=np.float32))

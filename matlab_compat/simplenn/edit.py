"""relja_matlab's helpers for networks: names, cropping, swapping, output size, moving between devices.

All take a `SimpleNN` (ArgumentError for anything else) and never change it: what returns a network returns a
new one that shares the layers (and so the weights) with the old. Layer positions count from 0."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.numeric import maps_to_torch
from matlab_compat.simplenn.layers import Pool, ReLU
from matlab_compat.simplenn.network import SimpleNN, require_network


def relja_layerNames(net: SimpleNN) -> list[str]:
    """The names of a network's layers, in order.

    Ported from: relja_matlab/matconvnet/relja_layerNames.m
    """
    return require_network(net, "relja_layerNames").names


def relja_layerTypes(net: SimpleNN) -> list[str]:
    """The types of a network's layers, in order; 'custom' for class objects.

    Ported from: relja_matlab/matconvnet/relja_layerTypes.m
    """
    return require_network(net, "relja_layerTypes").types


def relja_whichLayer(net: SimpleNN, layerName: str | Sequence[str]) -> int:
    """The position, from 0, of the layer of that name (case matters; a list of one name will do).

    Raises ArgumentError where no layer or more than one has the name, or it is no text.

    Ported from: relja_matlab/matconvnet/relja_whichLayer.m
    """
    if not isinstance(layerName, str) and isinstance(layerName, Sequence) and len(layerName) == 1:
        layerName = layerName[0]
    if not isinstance(layerName, str):
        raise ArgumentError(f"layerName is {layerName!r}: expected the name of one layer")
    return require_network(net, "relja_whichLayer").index(layerName)


def relja_cropToLayer(net: SimpleNN, layerName: str) -> SimpleNN:
    """The network up to and with the layer of that name; raises what relja_whichLayer raises.

    Ported from: relja_matlab/matconvnet/relja_cropToLayer.m
    """
    last = relja_whichLayer(net, layerName)
    return net.with_layers(list(net)[: last + 1])


def relja_swapLayers(
    net: SimpleNN, layerName1: str, layerName2: str, forceConsecutive: bool = True
) -> SimpleNN:
    """The network with two layers exchanged.

    forceConsecutive: refuses (ArgumentError) unless the second directly follows the first. Raises what
    relja_whichLayer raises.

    Ported from: relja_matlab/matconvnet/relja_swapLayers.m
    """
    first, second = relja_whichLayer(net, layerName1), relja_whichLayer(net, layerName2)
    if forceConsecutive and first + 1 != second:
        raise ArgumentError(
            f"'{layerName2}' (layer {second}) does not directly follow '{layerName1}' (layer {first});"
            " with forceConsecutive=False they are swapped nevertheless"
        )
    layers = list(net)
    layers[first], layers[second] = layers[second], layers[first]
    return net.with_layers(layers)


def relja_swapLayersForEfficiency(net: SimpleNN) -> SimpleNN:
    """The network with every ReLU that a max pooling directly follows put behind it: the same result, on
    fewer pixels.

    Ported from: relja_matlab/matconvnet/relja_swapLayersForEfficiency.m
    """
    layers = list(require_network(net, "relja_swapLayersForEfficiency"))
    position = 0
    while position < len(layers) - 1:
        first, second = layers[position : position + 2]
        if isinstance(first, ReLU) and isinstance(second, Pool) and second.method == "max":
            layers[position : position + 2] = [second, first]
            position += 1
        position += 1
    return net.with_layers(layers)


def _example_input(net: SimpleNN, imDim: Any) -> torch.Tensor:
    if isinstance(imDim, torch.Tensor):
        return imDim
    if imDim is None:
        if (
            not isinstance(net.meta.get("normalization"), dict)
            or "averageImage" not in net.meta["normalization"]
        ):
            raise ArgumentError("meta has no normalization.averageImage to run the network on: give imDim")
        return maps_to_torch(np.asarray(net.meta["normalization"]["averageImage"], dtype=np.float32))
    array = np.asarray(imDim)
    if array.ndim > 1 and array.size > 4:
        return maps_to_torch(array.astype(np.float32))
    sides = [*(int(side) for side in array.ravel()), 1, 1][:4]
    if array.size not in (2, 3, 4):
        raise ArgumentError(f"imDim is {imDim!r}: expected [height width depth], or an image")
    return torch.zeros(sides[3], sides[2], sides[0], sides[1])


def relja_netOutputDim(net: SimpleNN, imDim: Any = None) -> tuple[int, tuple[int, ...]]:
    """How many numbers a network puts out, found by running it.

    Args:
        net: the network; run in eval mode.
        imDim: height, width and depth of an image; or an image, (N, 3, H, W) tensor or H x W x C array;
            default: meta's averageImage itself, which has to be as large as an image then.

    Returns:
        (outDim, sz): the number of elements, and MATLAB's size of the output, (height, width, depth[,
        number]).

    Raises:
        ArgumentError: nothing to run it on. NetworkFormatError: an image that is too small; names the
        layer.

    Ported from: relja_matlab/matconvnet/relja_netOutputDim.m
    """
    example = _example_input(require_network(net, "relja_netOutputDim"), imDim)
    device = next((weight.device for weight in net.parameters()), torch.device("cpu"))
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad():
            y = net(example.to(device))
    finally:
        net.train(was_training)
    size = [y.shape[2], y.shape[3], y.shape[1], y.shape[0]]
    while len(size) > 2 and size[-1] == 1:
        size.pop()
    return y.numel(), tuple(size)


def vl_simplenn_move(net: SimpleNN, destination: str) -> SimpleNN:
    """Moves a network to the 'cpu' or the 'gpu' (any torch device name is taken too) and returns it.

    Unlike the other functions here it changes the network that it is given, as torch does.

    Ported from: matconvnet/matlab/simplenn/vl_simplenn_move.m
    """
    try:
        device = torch.device("cuda" if destination == "gpu" else destination)
    except RuntimeError as error:
        raise ArgumentError(f"destination '{destination}' is not known: expected 'cpu' or 'gpu'") from error
    return require_network(net, "vl_simplenn_move").to(device)


def relja_simplenn_move(net: SimpleNN, destination: str) -> SimpleNN:
    """Moves a network to the 'cpu' or the 'gpu' and returns it; the same as vl_simplenn_move.

    Ported from: relja_matlab/matconvnet/relja_simplenn_move.m
    """
    return vl_simplenn_move(net, destination)


def relja_netSave(net: SimpleNN, fn: str | os.PathLike[str]) -> None:
    """Saves a network as the variable `net` of a .mat file (v7), whatever else the file holds kept.

    Class objects are written as plain structs with a field class__. The file is replaced when the new one
    is whole.

    Ported from: relja_matlab/matconvnet/relja_netSave.m
    """
    struct = require_network(net, "relja_netSave").to_matlab()
    others = matfile.load(fn) if Path(fn).exists() else {}
    matfile.save(fn, {**others, "net": struct})

"""relja_matlab's helpers for networks: names, cropping, swapping, output size, moving between devices.

All take a `SimpleNN` (ArgumentError for anything else). A network that is returned is a new one, which shares
the layers (and so the weights) with the given one. Layer positions count from 0.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.numeric import maps_to_torch
from matlab_compat.simplenn.base import drop_trailing_ones
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
    """The position, from 0, of the layer of that name (case-sensitive; may be a list of one name).

    Raises ArgumentError where no layer or several have the name, or it is not a string.
    Ported from: relja_matlab/matconvnet/relja_whichLayer.m
    """
    if not isinstance(layerName, str) and isinstance(layerName, Sequence) and len(layerName) == 1:
        layerName = layerName[0]
    if not isinstance(layerName, str):
        raise ArgumentError(f"layerName is {layerName!r}: expected the name of one layer")
    return require_network(net, "relja_whichLayer").index(layerName)


def relja_cropToLayer(net: SimpleNN, layerName: str) -> SimpleNN:
    """The network up to and including the layer of that name; raises what relja_whichLayer raises.

    Ported from: relja_matlab/matconvnet/relja_cropToLayer.m
    """
    return net.with_layers(list(net)[: relja_whichLayer(net, layerName) + 1])


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
        found = f"{net.label(second)} does not directly follow {net.label(first)}"
        raise ArgumentError(f"{found}; forceConsecutive=False swaps them all the same")
    layers = list(net)
    layers[first], layers[second] = layers[second], layers[first]
    return net.with_layers(layers)


def relja_swapLayersForEfficiency(net: SimpleNN) -> SimpleNN:
    """The network with each ReLU moved behind a max pooling that directly follows: the same result, faster.

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
        normalization = net.meta.get("normalization")
        if not isinstance(normalization, dict) or "averageImage" not in normalization:
            raise ArgumentError("meta has no normalization.averageImage to run the network on: give imDim")
        average = np.asarray(normalization["averageImage"], dtype=np.float32)
        if average.shape[:2] != (1, 1) or "imageSize" not in normalization:
            return maps_to_torch(average)
        imDim = np.ravel(normalization["imageSize"])[:3]  # the average is a pixel
    array = np.asarray(imDim)
    if array.ndim > 1 and array.size > 4:
        return maps_to_torch(array.astype(np.float32))
    sides = [*(int(side) for side in array.ravel()), 1, 1][:4]
    if array.size not in (2, 3, 4):
        raise ArgumentError(f"imDim is {imDim!r}: expected [height width depth], or an image")
    return torch.zeros(sides[3], sides[2], sides[0], sides[1])


def relja_netOutputDim(net: SimpleNN, imDim: Any = None) -> tuple[int, tuple[int, ...]]:
    """The number of elements of a network's output, found by running it.

    imDim: height, width and depth of an image; or an image, (N, 3, H, W) tensor or H x W x C array; default:
    meta's averageImage itself, or, where that is one pixel, an image of meta's imageSize.
    Returns (outDim, sz): that number, and MATLAB's size of the output, (height, width, depth[, number]).

    Raises ArgumentError: nothing to run it on. NetworkFormatError: an image that is too small.
    Ported from: relja_matlab/matconvnet/relja_netOutputDim.m
    """
    example = _example_input(require_network(net, "relja_netOutputDim"), imDim)
    device = next((weight.device for weight in net.parameters()), torch.device("cpu"))
    with torch.no_grad():
        y = net.with_layers(net).eval()(example.to(device))
    return y.numel(), drop_trailing_ones((y.shape[2], y.shape[3], y.shape[1], y.shape[0]))


def vl_simplenn_move(net: SimpleNN, destination: str) -> SimpleNN:
    """Moves a network, in place, to the 'cpu' or the 'gpu' (or any torch device) and returns it.

    Ported from: matconvnet/matlab/simplenn/vl_simplenn_move.m
    """
    try:
        device = torch.device("cuda" if destination == "gpu" else destination)
    except RuntimeError as error:
        raise ArgumentError(f"destination must be 'cpu' or 'gpu'; got '{destination}'") from error
    return require_network(net, "vl_simplenn_move").to(device)


def relja_simplenn_move(net: SimpleNN, destination: str) -> SimpleNN:
    """The same as vl_simplenn_move.

    Ported from: relja_matlab/matconvnet/relja_simplenn_move.m
    """
    return vl_simplenn_move(net, destination)


def relja_netSave(net: SimpleNN, fn: StrPath) -> None:
    """Saves a network as the variable `net` of a .mat file (v7); the file keeps its other variables.

    Class objects are written as plain structs with a field class__. The file is replaced by a whole one only.
    Ported from: relja_matlab/matconvnet/relja_netSave.m
    """
    struct = require_network(net, "relja_netSave").to_matlab()
    others = matfile.load(fn) if Path(fn).exists() else {}
    matfile.save(fn, {**others, "net": struct})

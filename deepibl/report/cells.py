"""NetVLAD's cells: which cluster a cell of the last convolution belongs to, and its part in a similarity.

A NetVLAD descriptor is a sum over cells, so the similarity of two images is a sum over the cells of either
one: `cell_shares` gives each cell's term, with the normalisations as the constant factors that they are for
this image. The terms add up to the cosine of the two descriptors, less a constant where whitening subtracts a
mean.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.layers import NetVLAD
from deepibl.networks.backbones import is_normaliser
from deepibl.networks.build import LayerVLAD, LayerVLADv2
from deepibl.report.heatmap import descriptor, frozen
from deepibl.runtime.devices import device_of
from matlab_compat.errors import ArgumentError


@dataclass(frozen=True)
class CellAssignment:
    """weights: (K, h, w) float32, the soft assignment of each cell to the clusters; sums to 1 over K."""

    weights: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The cluster (from 0) that each cell belongs to most, (h, w) int64."""
        return self.weights.argmax(axis=0)

    @property
    def certainty(self) -> np.ndarray:
        """The weight of that cluster, (h, w) float32."""
        return self.weights.max(axis=0)


@dataclass(frozen=True)
class CellShares:
    """shares: (h, w) float32, each cell's term of the similarity; similarity = shares.sum() + constant."""

    shares: np.ndarray
    similarity: float
    constant: float

    def strongest(self, count: int, apart: int = 1) -> list[tuple[int, int]]:
        """(row, column) of the `count` cells with the largest terms, largest first.

        apart: cells closer than this (in rows and columns) to a larger one are left out; 1 leaves out none.
        """
        chosen: list[tuple[int, int]] = []
        for place in np.argsort(-self.shares, axis=None, kind="stable").tolist():
            row, column = divmod(place, self.shares.shape[1])
            if all(max(abs(row - r), abs(column - c)) >= apart for r, c in chosen):
                chosen.append((row, column))
            if len(chosen) == count:
                break
        return chosen


def cell_assignment(net: nn.Module, image: Tensor) -> CellAssignment:
    """The clusters of an image's cells. image: (3, H, W), RGB 0–255. Raises what `vlad_of` raises."""
    layer = vlad_of(net)
    with frozen(net), torch.no_grad(), _watching(layer) as seen:
        descriptor(net, image)
        return CellAssignment(_weights(layer, seen.maps)[0].cpu().numpy())


def cell_shares(net: nn.Module, image: Tensor, other: Tensor) -> CellShares:
    """What each cell of `image` adds to its cosine to `other`. Images are (3, H, W), RGB 0–255.

    Raises what `vlad_of` raises.
    """
    layer = vlad_of(net)
    with frozen(net), ExitStack() as stack:
        target = descriptor(net, other)
        target = target / target.norm().clamp_min(1e-12)
        seen = stack.enter_context(_watching(layer))
        stack.enter_context(_constant_norms(net))
        pixels = image[None].to(device_of(net))
        output = net(net.prepare(pixels)).flatten(1)[0]  # type: ignore[operator]
        similarity = (output @ target) / output.detach().norm().clamp_min(1e-12)
        (slope,) = torch.autograd.grad(similarity, seen.vlad)  # (1, D, 1, K)
        with torch.no_grad():
            shares = _shares(layer, seen.maps, slope[0, :, 0])
    total = float(similarity.detach())
    return CellShares(shares.cpu().numpy(), total, total - float(shares.sum()))


def vlad_of(net: nn.Module) -> nn.Module:
    """The network's NetVLAD layer. Raises ArgumentError if it has none, or several."""
    found = [module for module in net.modules() if isinstance(module, NetVLAD | LayerVLAD | LayerVLADv2)]
    if len(found) != 1:
        raise ArgumentError(
            f"cells and clusters need a network with one NetVLAD layer; this one has {len(found) or 'none'}"
        )
    return found[0]


@dataclass
class _Seen:
    """A NetVLAD layer's input (1, D, h, w) and output (1, D, 1, K); the output is a leaf."""

    maps: Tensor
    vlad: Tensor


@contextmanager
def _watching(layer: nn.Module) -> Iterator[_Seen]:
    seen = _Seen(torch.empty(0), torch.empty(0))

    def note(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        seen.maps, seen.vlad = inputs[0].detach(), output.detach().requires_grad_(torch.is_grad_enabled())
        return seen.vlad

    hook = layer.register_forward_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def _constant_norms(net: nn.Module) -> Iterator[None]:
    """Inside, normalisations multiply by constants: all that follows NetVLAD is affine in its output."""

    def rescale(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        rows = inputs[0]
        if output.shape != rows.shape:  # WholeL2Normalize's order: rows fastest, then columns
            rows = rows.transpose(2, 3).flatten(1)[:, :, None, None]
        factors = torch.where(rows == 0, torch.zeros_like(rows), output / rows)
        return rows * factors.detach()

    hooks = [module.register_forward_hook(rescale) for module in net.modules() if is_normaliser(module)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _parameters(layer: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Assignment (D, K), offset (D, K) and biases (K,) or None of any of the NetVLAD layers."""
    if isinstance(layer, NetVLAD):
        return layer.assign, layer.offset, layer.bias
    return layer.assign.flatten(1).t(), layer.offset.flatten(1).t(), layer.biases()


def _weights(layer: nn.Module, maps: Tensor) -> Tensor:
    """Soft assignment (1, K, h, w) of maps (1, D, h, w)."""
    assign, _, bias = _parameters(layer)
    scores = torch.einsum("dk,ndhw->nkhw", assign, maps)
    if bias is not None:
        scores = scores + bias.reshape(1, -1, 1, 1)
    return scores.softmax(1)


def _shares(layer: nn.Module, maps: Tensor, slope: Tensor) -> Tensor:
    """Terms (h, w): the sum over k of a_k * (x + offset_k) . slope_k, for slope (D, K)."""
    _, offset, _ = _parameters(layer)
    along = torch.einsum("dk,dhw->khw", slope, maps[0]) + (offset * slope).sum(0)[:, None, None]
    return (_weights(layer, maps)[0] * along).sum(0)

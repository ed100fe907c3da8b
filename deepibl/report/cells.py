"""NetVLAD's cells: which cluster a cell of the last convolution belongs to, and its part in a similarity.

A NetVLAD descriptor is a sum over cells, so the similarity of two images is a sum over the cells of either
one: `cell_shares` gives each cell's term, with the normalisations as the constant factors that they are for
this image. The terms add up to the cosine of the two descriptors, less a constant where whitening subtracts a
mean. It is a sum over pairs of cells, too, one of each image: `matching_parts` gives the largest.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepibl.layers import NetVLAD, pixel_l2
from deepibl.networks.backbones import is_normaliser
from deepibl.networks.build import LayerVLAD, LayerVLADv2
from deepibl.report.heatmap import descriptor, frozen
from deepibl.report.overlay import Box
from deepibl.runtime.devices import device_of
from matlab_compat.errors import ArgumentError

_ROWS = 8  # of blocks of cells along an image's shorter side, for matching parts
_UNKNOWN = (
    "what follows this network's NetVLAD layer is not affine, nor a normalisation that is known, so that no "
    "cell has a share of the similarity: normalise with NetVLAD(…, normalize=True), deepibl.layers.PixelL2, "
    "WholeL2Normalize or torch.nn.functional.normalize, or take another map, e.g. the method guided"
)


@dataclass(frozen=True)
class CellShares:
    """shares: (h, w) float32, each cell's term of the similarity; similarity = shares.sum() + constant."""

    shares: np.ndarray
    similarity: float
    constant: float


@dataclass(frozen=True)
class Part:
    """A block of cells of an image and the one of the other image that it is alike to.

    here, there: the blocks; share: what the pair adds to the cosine.
    """

    here: Box
    there: Box
    share: float


def cell_assignment(net: nn.Module, image: Tensor) -> np.ndarray:
    """The soft assignment of an image's cells to the clusters, (K, h, w) float32; sums to 1 over K.

    image: (3, H, W), RGB 0–255. Raises what `vlad_of` raises.
    """
    layer = vlad_of(net)
    with frozen(net), torch.no_grad(), _watching(layer) as seen:
        descriptor(net, image)
        return _weights(layer, seen.maps)[0].cpu().numpy()


def cell_shares(net: nn.Module, image: Tensor, other: Tensor) -> CellShares:
    """What each cell of `image` adds to its cosine to `other`. Images are (3, H, W), RGB 0–255.

    Raises what `vlad_of` raises.
    """
    layer = vlad_of(net)
    seen, slope, total = _slope(net, layer, image, descriptor(net, other))
    with torch.no_grad():
        _, offset, _ = _parameters(layer)
        along = torch.einsum("dk,dhw->khw", slope, seen.maps[0]) + (offset * slope).sum(0)[:, None, None]
        shares = (_weights(layer, seen.maps)[0] * along).sum(0)  # over k: a_k * (x + offset_k) . slope_k
    return CellShares(shares.cpu().numpy(), total, total - float(shares.sum()))


def matching_parts(net: nn.Module, image: Tensor, other: Tensor, count: int = 6) -> list[Part]:
    """The pairs of blocks that add most to the cosine of two images, largest first; each block is in one.

    Blocks that touch one that was chosen are left out. Where layers after NetVLAD mix its clusters
    (whitening), a share is what it would be if they did not. Raises what `vlad_of` raises.
    """
    layer = vlad_of(net)
    with frozen(net), torch.no_grad(), _watching(layer) as there:
        target = descriptor(net, other)
    here, slope, _ = _slope(net, layer, image, target)
    with torch.no_grad():
        vlad = there.vlad[0, :, 0]
        factors = (slope * vlad).sum(0) / vlad.square().sum(0).clamp_min(1e-12)  # (K,): of each cluster
        (own, grid), (others, grid_there) = (_blocks(layer, of.maps[0]) for of in (here, there))
        terms = ((own * factors).flatten(1) @ others.flatten(1).t()).cpu().numpy()
    parts: list[Part] = []
    left, shape = terms.copy(), (*grid, *grid_there)
    while len(parts) < count and left.max() > 0:
        y, x, v, u = np.unravel_index(int(left.argmax()), shape)
        share = float(terms.reshape(shape)[y, x, v, u])
        parts.append(Part(_box(int(y), int(x), grid), _box(int(v), int(u), grid_there), share))
        view = left.reshape(shape)
        view[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0
        view[:, :, max(0, v - 1) : v + 2, max(0, u - 1) : u + 2] = 0
    return parts


def legible(field: np.ndarray, rows: int) -> np.ndarray:
    """Sums (..., h, w) over blocks of cells, so that the shorter side has at most `rows` of them."""
    size = max(1, -(-min(field.shape[-2:]) // rows))
    planes = torch.as_tensor(field, dtype=torch.float32).reshape(-1, 1, *field.shape[-2:])
    summed = F.avg_pool2d(planes, size, ceil_mode=True, divisor_override=1).numpy()
    return summed.reshape(*field.shape[:-2], *summed.shape[-2:])


def vlad_of(net: nn.Module) -> nn.Module:
    """The network's NetVLAD layer. Raises ArgumentError if it has none, or several."""
    found = _vlads(net)
    if len(found) != 1:
        raise ArgumentError(
            f"cells and clusters need a network with one NetVLAD layer; this one has {len(found) or 'none'}"
        )
    return found[0]


def has_vlad(net: nn.Module) -> bool:
    """Whether `vlad_of` finds a layer."""
    return len(_vlads(net)) == 1


def _vlads(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, NetVLAD | LayerVLAD | LayerVLADv2)]


@dataclass
class _Seen:
    """A NetVLAD layer's input (1, D, h, w) and output (1, D, 1, K), a leaf; both without `normalize`."""

    maps: Tensor
    vlad: Tensor


@contextmanager
def _watching(layer: nn.Module) -> Iterator[_Seen]:
    seen = _Seen(torch.empty(0), torch.empty(0))
    normalize = getattr(layer, "normalize", False)  # then preL2 and what follows are inside the layer

    def before(module: nn.Module, inputs: Any) -> Any:
        return (pixel_l2(inputs[0]),) if normalize else None

    def note(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        seen.maps, seen.vlad = inputs[0].detach(), output.detach().requires_grad_(torch.is_grad_enabled())
        if normalize:
            return _rescaled(seen.vlad, F.normalize(pixel_l2(output).flatten(1)).view_as(output))
        return seen.vlad

    with layer.register_forward_pre_hook(before), layer.register_forward_hook(note):
        if isinstance(layer, NetVLAD):
            layer.normalize = False
        try:
            yield seen
        finally:
            if isinstance(layer, NetVLAD):
                layer.normalize = normalize


def _slope(net: nn.Module, layer: nn.Module, image: Tensor, target: Tensor) -> tuple[_Seen, Tensor, float]:
    """An image's maps and VLAD, the slope (D, K) of its cosine to `target` by its VLAD, and that cosine."""
    target = target / target.norm().clamp_min(1e-12)
    with frozen(net), _watching(layer) as seen, _constant_norms(net):
        output = net(net.prepare(image[None].to(device_of(net)))).flatten(1)[0]  # type: ignore[operator]
        similarity = (output @ target) / output.detach().norm().clamp_min(1e-12)
        (slope,) = torch.autograd.grad(similarity, seen.vlad, create_graph=True)  # (1, D, 1, K)
        if slope.requires_grad:  # affine, if the slope is the same everywhere
            bend = torch.autograd.grad(slope.square().sum(), seen.vlad, allow_unused=True)[0]
            if bend is not None and bool((bend != 0).any()):
                raise ArgumentError(_UNKNOWN)
    return seen, slope.detach()[0, :, 0], float(similarity.detach())


@contextmanager
def _constant_norms(net: nn.Module) -> Iterator[None]:
    """Inside, normalisations multiply by constants: all that follows NetVLAD is affine in its output."""

    def rescale(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        rows = inputs[0]
        if output.shape != rows.shape:  # WholeL2Normalize's order: rows fastest, then columns
            rows = rows.transpose(2, 3).flatten(1)[:, :, None, None]
        return _rescaled(rows, output)

    with ExitStack() as hooks:
        for module in filter(is_normaliser, net.modules()):
            hooks.enter_context(module.register_forward_hook(rescale))
        hooks.enter_context(_ConstantNormalize())
        yield


class _ConstantNormalize(TorchFunctionMode):
    """Inside, F.normalize multiplies by constants, too: `from_torch` uses it, and networks of one's own."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        return _rescaled(args[0] if args else kwargs["input"], output) if function is F.normalize else output


def _rescaled(rows: Tensor, output: Tensor) -> Tensor:
    """The output that a normalisation made of `rows`, as a product of these and constants."""
    return rows * torch.where(rows == 0, torch.zeros_like(rows), output / rows).detach()


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


def _blocks(layer: nn.Module, maps: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The VLAD (B, D, K) of each block of cells of maps (D, h, w) by itself, and the grid of blocks."""
    _, offset, _ = _parameters(layer)
    weights = _weights(layer, maps[None])[0]
    size = max(1, -(-min(maps.shape[1:]) // _ROWS))
    tiles = [each.split(size, 2) for each in weights.split(size, 1)]
    vlads = [
        torch.einsum("khw,dhw->dk", part, cells) + offset * part.sum((1, 2))
        for row, of in zip(tiles, maps.split(size, 1), strict=True)
        for part, cells in zip(row, of.split(size, 2), strict=True)
    ]
    return torch.stack(vlads), (len(tiles), len(tiles[0]))


def _box(row: int, column: int, grid: tuple[int, int]) -> Box:
    return row / grid[0], column / grid[1], (row + 1) / grid[0], (column + 1) / grid[1]

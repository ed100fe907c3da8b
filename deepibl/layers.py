"""NetVLAD, GeM, global pooling and L2 normalisation as torch modules; custom layers are made of them.

Maps are (N, D, H, W). Outputs keep MatConvNet's four dimensions in torch's order, so that their `.flatten(1)`
is MATLAB's column of the image: NetVLAD returns (N, D, 1, K), index k + K*d (0-based) when flattened.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError
from matlab_compat.nn.geometry import check_maps
from matlab_compat.nn.pool import vl_nnpool

_EPSILON = 1e-12  # beside the norm, outside the root


def vlad_aggregate(x: Tensor, assign: Tensor, offset: Tensor, bias: Tensor | None = None) -> Tensor:
    """Vectors of locally aggregated descriptors with soft assignment.

    With a = softmax over k of (assign' x + bias) at each pixel,
    V(k, d) = sum over pixels of a(k) * (x(d) + offset(d, k)), computed by two matrix products without forming
    the residuals. Sums are in float32 at least, also under autocast and for half precision.

    x: (N, D, H, W) maps. assign: (D, K) assignment weights. offset: (D, K), minus the cluster centres. bias:
    K assignment biases (layerVLADv2), or None. Returns (N, K*D) in MATLAB's order, index k + K*d; x's class,
    but float32 for half precision. Raises ArgumentError: shapes that do not fit.

    Ported from: netvlad/layerVLAD.m, netvlad/layerVLADv2.m
    """
    check_maps(x)
    if assign.shape != offset.shape or assign.ndim != 2 or assign.shape[0] != x.shape[1]:
        raise ArgumentError(
            f"assignment {tuple(assign.shape)}, offset {tuple(offset.shape)}: expected ({x.shape[1]}, K) both"
        )
    if bias is not None and bias.numel() != assign.shape[1]:
        raise ArgumentError(f"{bias.numel()} assignment biases for {assign.shape[1]} clusters")
    with _without_autocast(x):
        exact = torch.promote_types(x.dtype, torch.float32)
        pixels = x.to(exact).flatten(2)  # (N, D, P)
        assign, offset = assign.to(exact), offset.to(exact)
        if torch.compiler.is_compiling():  # torch.export would fold the batch, and refuse a single image
            scores = torch.bmm(assign.t().expand(pixels.shape[0], -1, -1), pixels)  # (N, K, P)
        else:
            scores = assign.t() @ pixels
        if bias is not None:
            scores = scores + bias.to(exact).reshape(-1, 1)
        weights = torch.softmax(scores, 1)
        sums = pixels @ weights.transpose(1, 2)  # (N, D, K)
        return (sums + offset * weights.sum(2)[:, None, :]).flatten(1)


def _without_autocast(x: Tensor) -> torch.autocast:
    return torch.autocast("cpu" if x.device.type == "meta" else x.device.type, enabled=False)


class NetVLAD(nn.Module):
    """NetVLAD pooling, by default without its normalisations: (N, D, H, W) maps to (N, D, 1, K).

    `output.flatten(1)` is in MATLAB's order, index k + K*d. The parameters are those of MatConvNet's layer:
    `assign` (D, K), `offset` (D, K) = minus the centres, and with v2 `bias` (K,). They are trained
    independently of each other; the sharpness alpha is part of the weights.

    num_clusters: K. dim: D, the channels of the maps. v2: with assignment biases, as layerVLADv2. normalize:
    with the normalisations of vlad_preL2_intra: of each pixel's channels before it, of each cluster's part
    and of the whole vector after it. device, dtype: of the parameters; on 'meta' they have no values.

    >>> NetVLAD(64, 512)(torch.zeros(2, 512, 7, 9)).shape
    torch.Size([2, 512, 1, 64])

    Ported from: netvlad/layerVLAD.m, netvlad/layerVLADv2.m
    """

    bias: Tensor | None

    def __init__(
        self,
        num_clusters: int,
        dim: int,
        *,
        v2: bool = False,
        normalize: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_clusters < 1 or dim < 1:
            raise ArgumentError(f"NetVLAD({num_clusters}, {dim}): both numbers must be positive")
        self.normalize = normalize
        self.assign = nn.Parameter(torch.empty(dim, num_clusters, device=device, dtype=dtype))
        self.offset = nn.Parameter(torch.empty_like(self.assign))
        self.register_parameter("bias", nn.Parameter(torch.empty_like(self.assign[0])) if v2 else None)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws an assignment by random directions, and random unit vectors as centres."""
        self.assign.normal_().div_(math.sqrt(self.dim))
        self.offset.copy_(-F.normalize(self.offset.normal_(), dim=0))
        if self.bias is not None:
            self.bias.zero_()

    @classmethod
    def from_weights(cls, assign: Tensor, offset: Tensor, bias: Tensor | None = None) -> NetVLAD:
        """A layer with these weights: assign and offset (D, K), bias (K,) for v2. Their class is kept."""
        dim, num_clusters = assign.shape
        layer = cls(num_clusters, dim, v2=bias is not None)
        layer.assign = nn.Parameter(assign.clone(memory_format=torch.contiguous_format))
        layer.offset = nn.Parameter(offset.clone(memory_format=torch.contiguous_format))
        if bias is not None:
            layer.bias = nn.Parameter(bias.reshape(-1).clone())
        return layer

    @classmethod
    def from_clusters(cls, clusters: Tensor, alpha: float, *, v2: bool = False) -> NetVLAD:
        """The initial layer of a k-means clustering: (K, D) centres, alpha the sharpness of the assignment.

        v2: assign by alpha * -|x - c|^2; else by alpha times the product with the unit centre.
        """
        columns = clusters.t()
        if v2:
            return cls.from_weights(2 * alpha * columns, -columns, -alpha * clusters.square().sum(1))
        return cls.from_weights(alpha * columns / columns.norm(dim=0), -columns)

    @property
    def num_clusters(self) -> int:
        """K."""
        return self.assign.shape[1]

    @property
    def dim(self) -> int:
        """D."""
        return self.assign.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, H, W) maps to (N, D, 1, K)."""
        x = pixel_l2(x) if self.normalize else x
        vlad = vlad_aggregate(x, self.assign, self.offset, self.bias)
        vlad = vlad.view(x.shape[0], self.dim, 1, self.num_clusters)
        return F.normalize(pixel_l2(vlad).flatten(1)).view_as(vlad) if self.normalize else vlad

    def extra_repr(self) -> str:
        """Sizes, for print(layer)."""
        more = ", normalize=True" if self.normalize else ""
        return f"num_clusters={self.num_clusters}, dim={self.dim}, v2={self.bias is not None}{more}"


def generalised_mean(x: Tensor, p: Tensor | float, eps: float = 1e-6) -> Tensor:
    """The mean of x^p over pixels, and its p-th root: (N, C, H, W) to (N, C, 1, 1), float32 at least.

    p: 1 is the mean; larger values approach the maximum. eps: values are at least this.
    """
    check_maps(x)
    with _without_autocast(x):
        exact = x.to(torch.promote_types(x.dtype, torch.float32)).clamp(min=eps)
        return exact.pow(p).mean((2, 3), keepdim=True).pow(1 / p)


class GeM(nn.Module):
    """Generalised-mean pooling: (N, C, H, W) to (N, C, 1, 1); see `generalised_mean`.

    p: the first power, one for all channels; learn_p: whether it is trained. device, dtype: of p.
    """

    def __init__(
        self,
        p: float = 3.0,
        *,
        learn_p: bool = True,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not 0 < p < math.inf:
            raise ArgumentError(f"GeM's power must be positive; got {p}")
        self.first, self.eps = p, eps
        self.p = nn.Parameter(torch.empty(1, device=device, dtype=dtype), requires_grad=learn_p)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Sets p to the first power."""
        nn.init.constant_(self.p, self.first)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) maps to (N, C, 1, 1)."""
        return generalised_mean(x, self.p, self.eps)

    def extra_repr(self) -> str:
        """The first power and whether it is trained, for print(layer)."""
        return f"p={self.first:g}, learn_p={self.p.requires_grad}"


def pixel_l2(x: Tensor) -> Tensor:
    """Each pixel's channels as a unit vector: x / sqrt(1e-12 + sum x^2), (N, C, H, W), float32 at least."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return x * (x.square().sum(1, keepdim=True) + _EPSILON).rsqrt()


class PixelL2(nn.Module):
    """`pixel_l2` as a module, as preL2 and vlad:intranorm."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return pixel_l2(x)


class TotalMaxPool(nn.Module):
    """The maximum of each channel: (N, C, H, W) to (N, C, 1, 1).

    Of equal values, the first in column-major order gets the gradient.

    Ported from: netvlad/layerTotalMaxPool.m
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) maps to (N, C, 1, 1)."""
        if torch.compiler.is_compiling() and not torch.is_grad_enabled():
            return x.amax((2, 3), keepdim=True)  # a window would have the example's size
        return vl_nnpool(x, x.shape[2:], method="max")


class TotalAvgPool(nn.Module):
    """The mean of each channel: (N, C, H, W) to (N, C, 1, 1).

    Ported from: netvlad/layerTotalAvgPool.m
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) maps to (N, C, 1, 1)."""
        check_maps(x)
        return x.mean((2, 3), keepdim=True)


class WholeL2Normalize(nn.Module):
    """Each image's maps as one unit vector: x / (|x| + 1e-12), (N, C, H, W) to (N, C*H*W, 1, 1).

    The flattening is MATLAB's: rows fastest, then columns, then channels. A zero vector stays zero, and its
    gradient is dzdy / 1e-12, as in the original. Half precision is normalised in float32.

    Ported from: netvlad/layerWholeL2Normalize.m
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) maps to (N, C*H*W, 1, 1)."""
        check_maps(x)
        # (N, C, H, W) -> (N, C, W, H) -> (N, C*W*H)
        rows = x.to(torch.promote_types(x.dtype, torch.float32)).transpose(2, 3).flatten(1)
        norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)  # its gradient at 0 is 0
        return (rows / (norms + _EPSILON))[:, :, None, None]

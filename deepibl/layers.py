"""NetVLAD, global pooling and L2 normalisation as torch modules; a network's custom layers are made of them.

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

    Args:
        x: (N, D, H, W) maps.
        assign: (D, K) assignment weights.
        offset: (D, K), minus the cluster centres.
        bias: K assignment biases (layerVLADv2), or None.

    Returns:
        (N, K*D) in MATLAB's order, index k + K*d; x's class, but float32 for half precision.

    Raises:
        ArgumentError: shapes that do not fit.

    Ported from: netvlad/layerVLAD.m, netvlad/layerVLADv2.m
    """
    check_maps(x)
    if assign.shape != offset.shape or assign.ndim != 2 or assign.shape[0] != x.shape[1]:
        raise ArgumentError(
            f"assignment {tuple(assign.shape)} and offset {tuple(offset.shape)} on {x.shape[1]} channels:"
            f" expected ({x.shape[1]}, K) both"
        )
    if bias is not None and bias.numel() != assign.shape[1]:
        raise ArgumentError(f"{bias.numel()} assignment biases for {assign.shape[1]} clusters")
    with torch.autocast(x.device.type, enabled=False):
        exact = torch.promote_types(x.dtype, torch.float32)
        pixels = x.to(exact).flatten(2)  # (N, D, P)
        assign, offset = assign.to(exact), offset.to(exact)
        scores = _products(assign.t(), pixels)
        if bias is not None:
            scores = scores + bias.to(exact).reshape(-1, 1)
        weights = torch.softmax(scores, 1)
        sums = pixels @ weights.transpose(1, 2)  # (N, D, K)
        return (sums + offset * weights.sum(2)[:, None, :]).flatten(1)


def _products(matrix: Tensor, batch: Tensor) -> Tensor:
    """(K, D) times each of (N, D, P): (N, K, P)."""
    if torch.compiler.is_compiling():  # torch.export would fold the batch, and refuse a single image
        return torch.bmm(matrix.expand(batch.shape[0], -1, -1), batch)
    return matrix @ batch


class NetVLAD(nn.Module):
    """NetVLAD pooling without its normalisations: (N, D, H, W) maps to (N, D, 1, K).

    `output.flatten(1)` is in MATLAB's order, index k + K*d. The parameters are those of MatConvNet's layer:
    `assign` (D, K), `offset` (D, K) = minus the centres, and with v2 `bias` (K,). They are trained
    independently of each other; the sharpness alpha is part of the weights.

    Args:
        num_clusters: K.
        dim: D, the channels of the maps.
        v2: with assignment biases, as layerVLADv2.

    >>> NetVLAD(64, 512)(torch.zeros(2, 512, 7, 9)).shape
    torch.Size([2, 512, 1, 64])

    Ported from: netvlad/layerVLAD.m, netvlad/layerVLADv2.m
    """

    bias: Tensor | None

    def __init__(self, num_clusters: int, dim: int, *, v2: bool = False) -> None:
        super().__init__()
        if num_clusters < 1 or dim < 1:
            raise ArgumentError(f"NetVLAD({num_clusters}, {dim}): both numbers must be positive")
        self.assign = nn.Parameter(torch.randn(dim, num_clusters) / math.sqrt(dim))
        self.offset = nn.Parameter(-F.normalize(torch.randn(dim, num_clusters), dim=0))
        self.register_parameter("bias", nn.Parameter(torch.zeros(num_clusters)) if v2 else None)

    @classmethod
    def from_weights(cls, assign: Tensor, offset: Tensor, bias: Tensor | None = None) -> NetVLAD:
        """A layer with these weights: assign and offset (D, K), bias (K,) for v2. Their class is kept."""
        dim, num_clusters = assign.shape
        layer = cls(num_clusters, dim, v2=bias is not None)
        layer.assign = nn.Parameter(assign.clone())
        layer.offset = nn.Parameter(offset.clone())
        if bias is not None:
            layer.bias = nn.Parameter(bias.reshape(-1).clone())
        return layer

    @classmethod
    def from_clusters(cls, clusters: Tensor, alpha: float, *, v2: bool = False) -> NetVLAD:
        """The initial layer of a k-means clustering.

        Args:
            clusters: (K, D) centres.
            alpha: sharpness of the assignment.
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
        vlad = vlad_aggregate(x, self.assign, self.offset, self.bias)
        return vlad.view(x.shape[0], self.dim, 1, self.num_clusters)

    def extra_repr(self) -> str:
        """Sizes, for print(layer)."""
        return f"num_clusters={self.num_clusters}, dim={self.dim}, v2={self.bias is not None}"


class TotalMaxPool(nn.Module):
    """The maximum of each channel: (N, C, H, W) to (N, C, 1, 1).

    Of equal values, the first in column-major order gets the gradient.

    Ported from: netvlad/layerTotalMaxPool.m
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) maps to (N, C, 1, 1)."""
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

"""What the project is measured against: the straightforward PyTorch port that people use today.

Eager float32 in NCHW, ReLU and pooling as modules in the published order, NetVLAD by the residual tensor,
PIL decoding in the loop, a full distance matrix for search. Nothing is slowed down: no gradients, eval mode,
as many threads as torch takes, whole batches at once. Same weights, same images, same outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from matlab_compat.simplenn import SimpleNN


class NetVLADByResiduals(nn.Module):
    """NetVLAD as hloc and OpenIBL write it: the tensor (N, K, D, P) of all residuals, then its sum."""

    def __init__(self, assign: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.score = nn.Conv1d(assign.shape[1], assign.shape[0], 1, bias=False)
        self.score.weight.data = assign[:, :, None].clone()
        self.centres = nn.Parameter(-offset.clone())  # (K, D)

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, H, W) maps to (N, D, K), each cluster's vector of unit length."""
        pixels = F.normalize(x.flatten(2), dim=1)  # (N, D, P)
        weights = F.softmax(self.score(pixels), dim=1)  # (N, K, P)
        residuals = pixels[:, None] - self.centres[None, :, :, None]  # (N, K, D, P)
        sums = (weights[:, :, None] * residuals).sum(-1)  # (N, K, D)
        # as MatConvNet's; F.normalize would make unit vectors of clusters that are nearly empty
        return (sums * (sums.square().sum(2, keepdim=True) + 1e-12).rsqrt()).transpose(1, 2)


class Port(nn.Module):
    """NetVLAD on VGG-16, whitened or not, with the weights of `net`; 0-255 images to descriptors."""

    def __init__(self, net: SimpleNN) -> None:
        super().__init__()
        convolutions = [layer for layer in net if layer.type == "conv"]
        whitening = [layer for layer in convolutions if net.index(layer.name) > net.index("vlad:core")]
        backbone = convolutions[: len(convolutions) - len(whitening)]
        self.register_buffer("mean", net.mean_pixel.view(1, 3, 1, 1))
        modules: list[nn.Module] = []
        for i, layer in enumerate(backbone):
            weight = layer.weight
            modules.append(nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1))
            modules[-1].weight.data, modules[-1].bias.data = weight.data.clone(), layer.bias.data.clone()
            if i + 1 < len(backbone):
                modules.append(nn.ReLU(inplace=True))
                if backbone[i + 1].name[4] != layer.name[4]:  # conv1_2, conv2_1: a new block
                    modules.append(nn.MaxPool2d(2))
        self.backbone = nn.Sequential(*modules)
        vlad = net["vlad:core"]
        self.vlad = NetVLADByResiduals(vlad.assign.detach().flatten(1), vlad.offset.detach().flatten(1))
        self.whitening: nn.Linear | None = None
        for layer in whitening:
            self.whitening = nn.Linear(1, 1)
            self.whitening.weight.data = layer.weight.data.flatten(1).clone()
            self.whitening.bias.data = layer.bias.data.clone()

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float32 to (N, 4096), without whitening (N, K*D)."""
        vlad = F.normalize(self.vlad(self.backbone(images - self.mean)).flatten(1), dim=1)
        return vlad if self.whitening is None else F.normalize(self.whitening(vlad), dim=1)


def read(paths: Sequence[Path]) -> Tensor:
    """Images (N, 3, H, W) float32, decoded by PIL one after the other."""
    batch = []
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        batch.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1).float())
    return torch.stack(batch)


def extract(port: Port, paths: Sequence[Path], batch_size: int) -> np.ndarray:
    """Descriptors of image files: decoded by PIL in the loop."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(paths), batch_size):
            found.append(port(read(paths[start : start + batch_size])))
    return torch.cat(found).numpy()


def learn_from(port: Port, blocks: int) -> nn.Parameter:
    """Freezes the backbone's convolutions but the last `blocks`, as OpenIBL does; the lowest that learns."""
    convolutions = [module for module in port.backbone if isinstance(module, nn.Conv2d)]
    for module in convolutions[:-blocks]:
        module.requires_grad_(False)
    return convolutions[-blocks].weight


def tuple_step(port: Port, lowest: nn.Parameter, paths: Sequence[Path]) -> Tensor:
    """Forward and backward of one tuple, query, positive and negatives, with the SARE-Ind loss (Gauss).

    All images go through the whole network at once; autograd's graph begins at `lowest`.
    """
    port.zero_grad(set_to_none=True)
    features = port(read(paths))
    squared = (features[:1] - features[1:]).square().sum(1)
    F.softplus(squared[0] - squared[1:]).sum().backward()
    assert lowest.grad is not None
    return lowest.grad


def search(queries: np.ndarray, database: np.ndarray, k: int) -> np.ndarray:
    """Ids (Q, k) of the nearest rows: the whole distance matrix, then a sort of every row."""
    q, v = torch.from_numpy(queries), torch.from_numpy(database)
    distances = q.square().sum(1, keepdim=True) + v.square().sum(1)[None] - 2 * q @ v.t()
    return distances.argsort(dim=1)[:, :k].numpy()

"""Any torch network as an extractor: its maps are pooled (mean, GeM, NetVLAD) and L2-normalised.

>>> import torchvision
>>> net = from_torch(torchvision.models.resnet18(), layers=-2)  # without its last two layers
>>> net(net.prepare(torch.zeros(2, 3, 64, 96))).flatten(1).shape
torch.Size([2, 512])

The result is an `Extractor` (see `deepibl.networks.identity`): every function that takes a network takes it.

`BeforeLastNormalisation` gives what enters the normalisations at the end of a network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from deepibl.layers import NetVLAD, WholeL2Normalize
from deepibl.networks.clusters import cluster, local_descriptors, vlad_alpha
from deepibl.networks.identity import digest
from deepibl.runtime.progress import ProgressCallback
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.layer import Layer

_EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The normalisation of images that a network expects: (pixels * scale - mean) / std for each channel.

    Pixels are 0..255. mean and std are in the network's order of channels: RGB or, with `bgr`, BGR.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float = 1 / 255
    bgr: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, normalised."""
        if self.bgr:
            images = images.flip(1)
        mean, std = (
            torch.tensor(values).to(images.device, non_blocking=True)[:, None, None]
            for values in (self.mean, self.std)
        )
        return (images * self.scale - mean) / std


IMAGENET = Preprocessing()  # the usual one of torchvision and timm
CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), scale=1.0, bgr=True)


class PowerMean(nn.Module):
    """(N, C, H, W) -> (N, C, 1, 1): the mean of x^power over pixels, and its root. 1 is the mean, 3 GeM.

    With a power other than 1, values are clamped to at least 1e-6.
    """

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        if self.power == 1:
            return x.mean((2, 3), keepdim=True)
        return x.clamp(min=1e-6).pow(self.power).mean((2, 3), keepdim=True).pow(1 / self.power)

    def extra_repr(self) -> str:
        """The power, for print(net)."""
        return f"power={self.power:g}"


class PixelL2(nn.Module):
    """Each pixel's channels as a unit vector: x / sqrt(1e-12 + sum x^2), as preL2 and vlad:intranorm."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x * (x.square().sum(1, keepdim=True) + _EPSILON).rsqrt()


class TorchExtractor(nn.Module):
    """A backbone (images -> maps), a head that pools the maps, and the preprocessing of images."""

    def __init__(self, backbone: nn.Module, head: nn.Module, preprocessing: Preprocessing = IMAGENET) -> None:
        super().__init__()
        self.backbone, self.head, self.preprocessing = backbone, head, preprocessing
        self.eval()

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, as the backbone takes them."""
        return self.preprocessing(images)

    def maps(self, x: Tensor) -> Tensor:
        """The backbone's maps (N, C, h, w) of prepared images; NetworkFormatError for any other output."""
        found = self.backbone(x)
        if not isinstance(found, Tensor) or found.ndim != 4:
            what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise NetworkFormatError(f"the backbone must return maps (N, C, h, w), not {what}")
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Prepared images -> descriptors (N, D, 1, 1) of length 1."""
        return self.head(self.maps(x))

    def network_id(self) -> str:
        """SHA-256 over the modules' description, their weights, and the preprocessing."""
        state = self.state_dict()
        structure = [repr(self), dataclasses.astuple(self.preprocessing), list(state)]
        return digest(structure, list(state.values()))


def from_torch(
    module: nn.Module,
    *,
    head: str | nn.Module = "mean",
    preprocessing: Preprocessing = IMAGENET,
    layers: int | None = None,
) -> TorchExtractor:
    """An extractor made of any torch module that turns images into maps (N, C, h, w).

    module: the backbone; its weights are shared.
    head: 'mean', 'gem' (power mean, 3), or a module from maps to (N, D, …). For NetVLAD see
        `with_netvlad`.
    preprocessing: the one that the backbone was trained with.
    layers: how many of the module's children to keep; a negative number drops that many at the end.
    Raises ArgumentError: an unknown head.
    """
    if layers is not None:
        module = nn.Sequential(*list(module.children())[:layers])
    if isinstance(head, str):
        powers = {"mean": 1.0, "gem": 3.0}
        if head not in powers:
            raise ArgumentError(
                f"head must be {', '.join(powers)} or a module (NetVLAD: with_netvlad()); got {head!r}"
            )
        head = nn.Sequential(PowerMean(powers[head]), WholeL2Normalize())
    return TorchExtractor(module, head, preprocessing)


def with_netvlad(
    extractor: TorchExtractor,
    images: Callable[[int], Tensor],
    count: int,
    *,
    clusters: int = 64,
    total: int = 50000,
    per_image: int = 100,
    progress: ProgressCallback | bool | None = None,
) -> TorchExtractor:
    """The extractor with a NetVLAD head, initialised by k-means of the images' local descriptors.

    extractor: its backbone and preprocessing are shared; its head is not used.
    images: image i as (3, H, W), RGB, 0..255.
    count: the number of images.
    clusters: K; the descriptor has K*D numbers.
    total, per_image: at most this many local descriptors in all, and of each image.
    progress: see `deepibl.extract`.
    Ported from: netvlad/addLayers.m
    """
    pixels = TorchExtractor(extractor.backbone, PixelL2(), extractor.preprocessing)
    device = next((weight.device for weight in pixels.parameters()), torch.device("cpu"))
    found = local_descriptors(
        pixels, images, count, total=total, per_image=per_image, device=device, progress=progress
    )
    centres = cluster(found, clusters, progress)
    return TorchExtractor(
        extractor.backbone, netvlad_head(centres, found).to(device), extractor.preprocessing
    )


def netvlad_head(centres: np.ndarray, descriptors: np.ndarray) -> nn.Module:
    """preL2, NetVLAD, intra-normalisation, L2: (N, D, h, w) -> (N, K*D, 1, 1).

    centres: (K, D) of the unit descriptors (N, D).
    """
    layer = NetVLAD.from_clusters(torch.from_numpy(centres), vlad_alpha(centres, descriptors))
    return nn.Sequential(PixelL2(), layer, PixelL2(), WholeL2Normalize())


_NO_CHANGE = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)


def is_normaliser(module: nn.Module) -> bool:
    """Whether a module makes unit vectors: of each pixel, or of the whole image."""
    if isinstance(module, Layer):
        return module.classname == "layerWholeL2Normalize" or _is_pixel_l2(module)
    return isinstance(module, WholeL2Normalize | PixelL2)


class BeforeLastNormalisation:
    """A context in which `result` is what enters the normalisations that end a network's forward pass.

    It is None before a pass, and where the last layer is not a known normalisation.
    """

    def __init__(self, net: nn.Module) -> None:
        self.result: Tensor | None = None
        self._leaves = [module for module in net.modules() if not any(module.children())]
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> BeforeLastNormalisation:
        self._hooks = [leaf.register_forward_hook(self._note) for leaf in self._leaves]
        return self

    def __exit__(self, *problem: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if is_normaliser(module):
            self.result = inputs[0] if self.result is None else self.result
        elif not isinstance(module, _NO_CHANGE):
            self.result = None


def _is_pixel_l2(layer: Layer) -> bool:
    """A MatConvNet normalize layer (a window of channels, kappa, alpha, beta) with x / |x| as its formula."""
    if layer.type not in ("normalize", "lrn"):  # type: ignore[comparison-overlap]
        return False
    param = np.asarray(layer.fields.get("param", []), dtype=np.float64).ravel()
    return len(param) == 4 and param[1] <= 1e-6 and param[2] == 1 and param[3] == 0.5

"""Which pixels of an image determine its descriptor: gradients, guided and smoothed gradients, and occlusion.

=========  =====================================================================================
gradient   how much a small change of each pixel changes the similarity to another image; without
           another image, the length of the descriptor before its last normalisation
guided     the same, with only positive gradients passing back through each ReLU
smooth     the length of the mean gradient over noisy copies of the image (SmoothGrad)
occlusion  a grey patch slides over the image: how far the descriptor moves when a place is covered
           (with another image: how much farther away from that image's descriptor)
=========  =====================================================================================

None is known to be that of the SARE paper's figure 7. The NetVLAD paper describes occlusion; the patch's size
and step are this project's choice. Images are (3, H, W) float32, RGB 0–255; maps are (H, W) float32.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepibl.engine.batch import extract_batch
from deepibl.networks.backbones import BeforeLastNormalisation
from deepibl.runtime.devices import device_of, evaluating, exact_products, inference
from deepibl.runtime.progress import ProgressCallback, counting
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.layer import Layer

METHODS = ("smooth", "gradient", "guided", "occlusion")
PIXELS_AT_ONCE = 3 * 2**20  # in a batch of covered images: bounds its memory
_GREY = 128.0
_PATCHES_ALONG_SHORTER_SIDE = 6
_COPIES, _NOISE = 12, 0.15  # SmoothGrad's: noisy images, the noise's sigma as a share of the image's range


def heat(
    net: nn.Module, image: Tensor, method: str = "guided", *, against: Tensor | None = None, **settings: Any
) -> np.ndarray:
    """The map (H, W) float32 of an image by one of METHODS. settings: of `occlusion_map`.

    Raises ArgumentError for another method, and what `gradient_map` or `occlusion_map` raises.
    """
    if method in ("gradient", "guided", "smooth"):
        copies = _COPIES if method == "smooth" else 0
        how: Any = {"guided": method == "guided", "copies": copies, "progress": settings.get("progress")}
        return gradient_map(net, image, against=against, **how)
    if method == "occlusion":
        return occlusion_map(net, image, against=against, **settings)
    raise ArgumentError(f"method must be one of {', '.join(METHODS)}; got {method!r}")


def gradient_map(
    net: nn.Module,
    image: Tensor,
    *,
    against: Tensor | None = None,
    guided: bool = False,
    copies: int = 0,
    progress: ProgressCallback | bool | None = None,
) -> np.ndarray:
    """The norm of the gradient at each pixel (over its three channels), (H, W) float32.

    net: a SimpleNN or any extractor. image: (3, H, W).
    against: another image, of any size: the gradient is of the cosine of the two descriptors; None: of the
    descriptor's length before the normalisations that end the network (after them it is always 1).
    guided: only positive gradients pass each ReLU. copies: the mean gradient of as many noisy copies of the
    image (the same noise each time); 0: of the image itself. progress: see `deepibl.extract`.
    Raises ArgumentError if guided finds no ReLU, or if the layer that normalises the descriptor is unknown.
    """
    with frozen(net), guided_relus(net) if guided else nullcontext():
        where, total = device_of(net), torch.zeros_like(image)
        other = None if against is None else descriptor(net, against)[None]
        noise, sigma = torch.Generator().manual_seed(0), _NOISE * float(image.max() - image.min())
        with counting(progress if copies else False, "gradients of noisy copies") as count:
            for number in range(max(1, copies)):
                added = sigma * torch.randn(image.shape, generator=noise) if copies else torch.zeros(())
                pixels = (image + added.to(image))[None].to(where).detach().requires_grad_()
                if other is None:
                    score = _raw_length(net, pixels)
                else:
                    score = F.cosine_similarity(_describe(net, pixels), other).sum()
                total += torch.autograd.grad(score, pixels)[0][0].to(total)
                count(number + 1, copies)
    return torch.linalg.vector_norm(total / max(1, copies), dim=0).cpu().numpy()


def occlusion_map(
    net: nn.Module,
    image: Tensor,
    *,
    against: Tensor | None = None,
    patch: int | None = None,
    step: int | None = None,
    batch_size: int = 10,
    progress: ProgressCallback | bool | None = None,
) -> np.ndarray:
    """How far the descriptor moves (L2) when a grey patch covers a place, (H, W) float32.

    Each pixel has the mean over the patches that cover it. against: another image; the map is then how much
    farther the covered image is from it than the whole one: positive where it speaks for the match, negative
    where it speaks against it.
    patch: the patch's side in pixels (default: a sixth of the shorter side). step: pixels between patches
    (default: half a patch). batch_size: covered images at a time, fewer for large ones; changes no result.
    progress: see `deepibl.extract`. The grey is the network's mean pixel.
    Raises ArgumentError for a patch larger than the image or settings below 1.
    """
    height, width = image.shape[1:]
    side = max(1, min(height, width) // _PATCHES_ALONG_SHORTER_SIDE) if patch is None else patch
    stride = max(1, side // 2) if step is None else step
    if not 1 <= side <= min(height, width) or stride < 1 or batch_size < 1:
        raise ArgumentError(
            "patch must fit into the image, and patch, step and batch size must be 1 or more; got patch "
            f"{side}, step {stride}, batch size {batch_size} for an image of {width} x {height}"
        )
    corners = [(y, x) for y in _starts(height, side, stride) for x in _starts(width, side, stride)]
    at_once = max(1, min(batch_size, PIXELS_AT_ONCE // (height * width)))
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    grey = mean_pixel(net).to(image.device)[:, None, None]
    with inference(net) as where, counting(progress, "occlusion, patches") as count:
        plain = extract_batch(net, image[None].to(where))
        reference = plain if against is None else extract_batch(net, against[None].to(where))
        before = (plain - reference).norm()
        for first in range(0, len(corners), at_once):
            part = corners[first : first + at_once]
            copies = image[None].repeat(len(part), 1, 1, 1)
            for copy, (y, x) in zip(copies, part, strict=True):
                copy[:, y : y + side, x : x + side] = grey
            described = extract_batch(net, copies.to(where))
            moved = (described - reference).norm(dim=1) - before
            for (y, x), value in zip(part, moved.tolist(), strict=True):
                total[y : y + side, x : x + side] += value
                covered[y : y + side, x : x + side] += 1
            count(first + len(part), len(corners))
    return (total / np.maximum(covered, 1)).astype(np.float32)


def descriptor(net: nn.Module, image: Tensor) -> Tensor:
    """The descriptor (D,) of one image, without gradients, on the network's device."""
    with torch.no_grad():
        return _describe(net, image[None].to(device_of(net)))[0]


def fit(image: Tensor, max_pixels: int) -> Tensor:
    """The image, scaled down (antialiased) if it has more than max_pixels: bounds the memory of gradients."""
    height, width = image.shape[1:]
    if height * width <= max_pixels:
        return image
    factor = (max_pixels / (height * width)) ** 0.5
    size = max(1, int(height * factor)), max(1, int(width * factor))
    return F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Inside, the network is in eval mode, its weights take no gradients and products are in full float32.

    Gradients are recorded, whatever the caller has set. All of it is restored at the end.
    """
    where, wanted = device_of(net), [(weight, weight.requires_grad) for weight in net.parameters()]
    for weight, _ in wanted:
        weight.requires_grad_(False)
    try:
        with evaluating(net), exact_products(where), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for weight, flag in wanted:
            weight.requires_grad_(flag)


def relus_of(net: nn.Module) -> list[nn.Module]:
    """The ReLU modules of a network; transformers have none."""
    kinds = nn.ReLU, nn.ReLU6, nn.LeakyReLU
    return [
        each
        for each in net.modules()
        if (each.type == "relu" if isinstance(each, Layer) else isinstance(each, kinds))  # type: ignore[comparison-overlap]
    ]


@contextmanager
def guided_relus(net: nn.Module) -> Iterator[None]:
    """Inside, only positive gradients pass ReLU modules. Raises ArgumentError if the network has none."""
    relus = relus_of(net)
    if not relus:
        raise ArgumentError("guided gradients need ReLU layers; this network has none: use 'gradient'")

    def let_positive_through(module: nn.Module, inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.clamp(min=0))

    with ExitStack() as hooks:
        for relu in relus:
            hooks.enter_context(relu.register_forward_hook(let_positive_through))
        yield


def _describe(net: nn.Module, pixels: Tensor) -> Tensor:
    return net(net.prepare(pixels)).flatten(1)  # type: ignore[operator]


def _raw_length(net: nn.Module, pixels: Tensor) -> Tensor:
    with BeforeLastNormalisation(net) as watched:
        output = _describe(net, pixels)
    raw = watched.result
    if raw is None:
        length = float(output.detach().norm())
        if abs(length - 1) < 1e-4:
            raise ArgumentError(
                "the descriptor is normalised by an unknown layer: compare with another photo (--against)"
            )
        raw = output
    return raw.flatten(1).norm(dim=1).sum()


def _starts(length: int, side: int, step: int) -> list[int]:
    """Starts of the patches along a side; the last one ends at the border."""
    return sorted({*range(0, length - side + 1, step), length - side})


def mean_pixel(net: nn.Module) -> Tensor:
    """The mean pixel (3,) of a network, RGB 0–255; middle grey where it is not known."""
    try:
        return net.mean_pixel.detach().cpu().expand(3)  # type: ignore[union-attr,operator]
    except (AttributeError, NetworkFormatError):
        return torch.full((3,), _GREY)

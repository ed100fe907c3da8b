"""Which pixels of a photo make its descriptor: gradients, guided gradients, and occlusion.

=========  =====================================================================================
gradient   how much each pixel, changed a little, changes the similarity to another photo; without
           another photo, the length of the descriptor before its last normalisation
guided     the same, with only positive gradients let through each ReLU on the way back
occlusion  a grey patch slides over the photo: how far the descriptor moves when a place is covered
           (with another photo: how much farther away from its descriptor)
=========  =====================================================================================

The SARE paper shows such pictures (its figure 7) and does not say how they were made; these are the usual
ways, and none of them is known to be the paper's. Occlusion is what the NetVLAD paper describes; the size
of the patch and its step are chosen here. Images are (3, H, W) float32, RGB 0–255; maps are (H, W) float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepibl.engine.describe import describe_batch
from deepibl.networks.backbones import BeforeLastNormalisation
from deepibl.runtime.devices import device_of, exact_products, inference
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.layer import Layer

METHODS = ("gradient", "guided", "occlusion")

PIXELS_AT_ONCE = 3 * 2**20  # bounds the memory of a batch of covered photos

_GREY = 128.0

_PATCHES_ALONG_SHORTER_SIDE = 6


def heat(
    net: nn.Module,
    image: Tensor,
    method: str = "guided",
    *,
    against: Tensor | None = None,
    **settings: object,
) -> np.ndarray:
    """The map (H, W) of one of METHODS for an image; `settings` are those of `occlusion_map`.

    Raises ArgumentError for another method, and what the method's own function raises.
    """
    if method in ("gradient", "guided"):
        return gradient_map(net, image, against=against, guided=method == "guided")
    if method == "occlusion":
        return occlusion_map(net, image, against=against, **settings)  # type: ignore[arg-type]
    raise ArgumentError(f"a heatmap is one of {', '.join(METHODS)}, not {method!r}")


def gradient_map(
    net: nn.Module, image: Tensor, *, against: Tensor | None = None, guided: bool = False
) -> np.ndarray:
    """The length of the gradient at each pixel (over its three colours), (H, W) float32.

    net: a SimpleNN or any extractor; its weights are neither changed nor given gradients. image: (3, H, W).
    against: another image, of any size: the gradient is of the cosine of the two descriptors; None: of the
    descriptor's length before the normalisations that end the network (after them it is always 1).
    guided: only positive gradients pass each ReLU.
    Raises ArgumentError where guided finds no ReLU, or where it is not known which step normalises.
    """
    with frozen(net), guided_relus(net) if guided else nullcontext():
        where = device_of(net)
        pixels = image[None].to(where).detach().clone().requires_grad_()
        if against is None:
            score = _raw_length(net, pixels)
        else:
            other = descriptor(net, against)
            score = F.cosine_similarity(_describe(net, pixels), other[None]).sum()
        (gradient,) = torch.autograd.grad(score, pixels)
    return torch.linalg.vector_norm(gradient[0], dim=0).cpu().numpy()


def occlusion_map(
    net: nn.Module,
    image: Tensor,
    *,
    against: Tensor | None = None,
    patch: int | None = None,
    step: int | None = None,
    batch_size: int = 10,
    progress: Callable[[int, int], object] | None = None,
) -> np.ndarray:
    """How far the descriptor moves (L2) when a grey patch covers a place, (H, W) float32.

    Each pixel has the mean over the patches that cover it. against: another image; the map is then how much
    farther the covered photo is from that image than the photo itself: positive where it speaks for the
    match, negative where it speaks against.
    patch: the patch's side in pixels (default: a sixth of the shorter side); step: pixels between patches
    (default: half a patch). batch_size: covered photos at a time, fewer for large ones; changes no result.
    progress: called with (patches done, patches in all). The grey is the network's mean pixel.
    Raises ArgumentError for a patch larger than the image or settings below 1.
    """
    height, width = image.shape[1:]
    side = max(1, min(height, width) // _PATCHES_ALONG_SHORTER_SIDE) if patch is None else patch
    stride = max(1, side // 2) if step is None else step
    if not 1 <= side <= min(height, width) or stride < 1 or batch_size < 1:
        raise ArgumentError(
            f"a patch of {side} pixels every {stride} on an image of {width} x {height}, {batch_size} at a"
            " time: the patch has to fit into the image, and all have to be 1 or more"
        )
    corners = [(y, x) for y in _starts(height, side, stride) for x in _starts(width, side, stride)]
    at_once = max(1, min(batch_size, PIXELS_AT_ONCE // (height * width)))
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    with inference(net) as where:
        plain = describe_batch(net, image[None].to(where))
        reference = plain if against is None else describe_batch(net, against[None].to(where))
        before = (plain - reference).norm()
        for first in range(0, len(corners), at_once):
            part = corners[first : first + at_once]
            described = describe_batch(net, _cover(net, image, part, side).to(where))
            moved = (described - reference).norm(dim=1) - before
            for (y, x), value in zip(part, moved.tolist(), strict=True):
                total[y : y + side, x : x + side] += value
                covered[y : y + side, x : x + side] += 1
            if progress:
                progress(first + len(part), len(corners))
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
    """Within it the network is in eval mode, its weights take no gradients and it computes in full float32;
    all is put back.
    """
    wanted = [(weight, weight.requires_grad) for weight in net.parameters()]
    training = net.training
    net.eval()
    for weight, _ in wanted:
        weight.requires_grad_(False)
    try:
        with exact_products(device_of(net)):
            yield
    finally:
        for weight, flag in wanted:
            weight.requires_grad_(flag)
        net.train(training)


@contextmanager
def guided_relus(net: nn.Module) -> Iterator[None]:
    """Within it only positive gradients pass ReLU modules. Raises ArgumentError where there is none."""
    relus = [module for module in net.modules() if _is_relu(module)]
    if not relus:
        raise ArgumentError(
            "guided gradients need ReLU layers; this network has none: use the plain gradient"
        )
    hooks = [relu.register_forward_hook(_positive_gradients) for relu in relus]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _positive_gradients(module: nn.Module, inputs: object, output: Tensor) -> None:
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.clamp(min=0))


def _is_relu(module: nn.Module) -> bool:
    if isinstance(module, Layer):
        return module.type == "relu"  # type: ignore[comparison-overlap]
    return isinstance(module, nn.ReLU | nn.ReLU6 | nn.LeakyReLU)


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
                "the descriptor has length 1, but no layer known here makes it so, and after that step its "
                "length tells nothing: give another photo to compare with (--against)"
            )
        raw = output
    return raw.flatten(1).norm(dim=1).sum()


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where patches start along a side; the last one ends at the border."""
    return sorted({*range(0, length - side + 1, step), length - side})


def _cover(net: nn.Module, image: Tensor, corners: list[tuple[int, int]], side: int) -> Tensor:
    """Copies of the image (B, 3, H, W), each with a grey patch at one of the corners (y, x)."""
    copies = image[None].repeat(len(corners), 1, 1, 1)
    grey = _grey(net).to(image.device)
    for copy, (y, x) in zip(copies, corners, strict=True):
        copy[:, y : y + side, x : x + side] = grey[:, None, None]
    return copies


def _grey(net: nn.Module) -> Tensor:
    try:
        return net.mean_pixel.detach().cpu().expand(3)  # type: ignore[union-attr,operator]
    except (AttributeError, NetworkFormatError):
        return torch.full((3,), _GREY)

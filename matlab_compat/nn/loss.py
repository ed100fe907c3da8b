"""Classification losses, vl_nnloss and vl_nnsoftmaxloss; the p-distance between maps, vl_nnpdist.

Labels are 0-based and a negative one is ignored; in MATLAB they are 1-based and 0 is ignored. Attributes are
+1 or -1, and 0 is ignored, as in MATLAB.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.nn import geometry
from matlab_compat.nn.geometry import matlab_options


def _top_k_error(x: Tensor, labels: Tensor, *, count: int) -> Tensor:
    best = torch.sort(x, dim=1, descending=True, stable=True).indices[:, :count]
    return 1 - (best == labels).any(1, keepdim=True).to(x.dtype)


def _log(x: Tensor, labels: Tensor) -> Tensor:
    def backward(p: Tensor, dzdy: Tensor) -> tuple[Tensor]:
        return (-dzdy / p.clamp(min=1e-8),)

    return geometry.OriginalDerivative.apply(lambda p: -p.log(), backward, x.gather(1, labels))  # type: ignore


def _structured_hinge(x: Tensor, labels: Tensor) -> Tensor:
    others = x.scatter(1, labels, -torch.inf).max(1, keepdim=True).values
    return F.relu(1 - x.gather(1, labels) + others)


# name -> the loss at each pixel: of scores and labels (N, 1, H, W), of scores and attributes of one shape
_CLASS_LOSSES: dict[str, Callable[..., Tensor]] = {
    "classerror": lambda x, labels: (x.argmax(1, keepdim=True) != labels).to(x.dtype),
    "topkerror": _top_k_error,
    "log": _log,
    "softmaxlog": lambda x, labels: x.logsumexp(1, keepdim=True) - x.gather(1, labels),
    "mhinge": lambda x, labels: F.relu(1 - x.gather(1, labels)),
    "mshinge": _structured_hinge,
}

_ATTRIBUTE_LOSSES: dict[str, Callable[..., Tensor]] = {
    "binaryerror": lambda x, c, threshold: ((x - threshold).sign() != c).to(x.dtype),
    "binarylog": lambda x, c: -(c * (x - 0.5) + 0.5).log(),
    "logistic": lambda x, c: torch.logaddexp(-c * x, torch.zeros_like(x)),
    "hinge": lambda x, c: F.relu(1 - c * x),
}

_FLAT = ("classerror", "topkerror", "binaryerror")  # their derivative is zero


def _labels(x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Class labels at each pixel as (N, 1, H, W) indices, and their weights: 1, or 0 where ignored."""
    shape = (x.shape[0], 1, *x.shape[2:])
    if c.numel() == x.shape[0]:
        c = c.reshape(-1, 1, 1, 1).expand(shape)
    if c.shape != shape:
        raise ArgumentError(f"labels of shape {tuple(c.shape)}: expected {x.shape[0]} of them, or {shape}")
    labels = c.long()
    if labels.numel() and int(labels.max()) >= x.shape[1]:
        raise ArgumentError(f"label {int(labels.max())} with {x.shape[1]} classes: labels count from 0")
    return labels.clamp(min=0), (labels >= 0).to(x.dtype)


def _attributes(x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Attributes of each value, of x's shape and class, and their weights: 1, or 0 where ignored."""
    if c.numel() == x.shape[0]:
        c = c.reshape(-1, 1, 1, 1).expand(x.shape[0], 1, *x.shape[2:])
    if c.shape != x.shape:
        raise ArgumentError(f"attributes of shape {tuple(c.shape)}: expected {tuple(x.shape)}")
    return c.to(x.dtype), (c != 0).to(x.dtype)


@matlab_options
def vl_nnloss(
    x: Tensor,
    c: Tensor,
    dzdy: Tensor | float | None = None,
    *,
    loss: str = "softmaxlog",
    instanceWeights: Tensor | None = None,
    classWeights: Tensor | None = None,
    threshold: float = 0.0,
    normalise: bool = True,
    topK: int = 5,
) -> Tensor:
    """A classification loss, summed over pixels.

    x: (N, C, H, W) scores (or, for 'log' and 'binarylog', probabilities).
    loss: with labels c, counting from 0, N of them or (N, 1, H, W), negative ones ignored: 'classerror',
    'topkerror' (of topK), 'log', 'softmaxlog', 'mhinge', 'mshinge'; with attributes c, (N, C, H, W) of +1 and
    -1, zeros ignored: 'binaryerror' (at threshold), 'binarylog', 'logistic', 'hinge'.
    instanceWeights: a factor for each pixel, broadcast to c's shape; classWeights: not used, as in the
    original; normalise: divide by the number of images N.
    Returns a scalar tensor; with dzdy, a scalar, dzdx of x's shape.

    Raises ArgumentError: an unknown loss, labels that do not fit.
    Ported from: matconvnet/matlab/vl_nnloss.m
    """
    geometry.check_maps(x)
    name = loss.lower()
    if name in _CLASS_LOSSES:
        each = _CLASS_LOSSES[name]
        c, weights = _labels(x, c)
    elif name in _ATTRIBUTE_LOSSES:
        each = _ATTRIBUTE_LOSSES[name]
        c, weights = _attributes(x, c)
    else:
        known = ", ".join([*_CLASS_LOSSES, *_ATTRIBUTE_LOSSES])
        raise ArgumentError(f"loss must be one of {known}; got {loss!r}")
    if dzdy is not None and name in _FLAT:
        return torch.zeros_like(x)
    if name == "topkerror":
        each = partial(each, count=int(topK))
    elif name == "binaryerror":
        each = partial(each, threshold=threshold)
    if instanceWeights is not None:
        weights = weights * instanceWeights
    divisor = x.shape[0] if normalise else 1

    def total(scores: Tensor) -> Tensor:
        return (each(scores, c) * weights).sum() / divisor

    if dzdy is None:
        return total(x)
    (dzdx,) = geometry.derivatives(
        total, (x,), torch.as_tensor(dzdy, dtype=x.dtype, device=x.device).reshape(())
    )
    return dzdx  # type: ignore[return-value]


@matlab_options
def vl_nnsoftmaxloss(x: Tensor, c: Tensor, dzdy: Tensor | float | None = None) -> Tensor:
    """Softmax followed by the logistic loss, summed over pixels and divided by the number of images.

    x: (N, C, H, W) scores; c: labels counting from 0, negative ones ignored: N of them, (N, 1, H, W), or
    (N, 2, H, W) whose second channel is a weight for each pixel.
    Returns a scalar tensor; with dzdy, a scalar, dzdx of x's shape.

    Raises ArgumentError: labels that do not fit.
    Ported from: matconvnet/matlab/vl_nnsoftmaxloss.m
    """
    if c.ndim == 4 and c.shape[1] == 2:
        return vl_nnloss(x, c[:, :1], dzdy, instanceWeights=c[:, 1:].to(x.dtype))
    return vl_nnloss(x, c, dzdy)


@matlab_options
def vl_nnpdist(
    x: Tensor,
    x0: Tensor,
    p: float,
    dzdy: Tensor | None = None,
    *,
    noRoot: bool = False,
    epsilon: float = 1e-6,
    aggregate: bool = False,
    instanceWeights: Tensor | float | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The p-distance of each pixel's channels from a target: (sum over channels of |x - x0|^p)^(1/p).

    x: (N, C, H, W); x0: of its shape, or with sides of 1, which are repeated: (N, C, 1, 1) is one target for
    all pixels. p: the exponent; 0 counts the channels that differ, and needs noRoot, which leaves out the
    root (the original's is Inf). epsilon: the least divisor in the derivative alone. aggregate: sum over all
    pixels and images. instanceWeights: a factor for each pixel, a number or (N, 1, H, W).
    Returns (N, 1, H, W), or a scalar with aggregate. With dzdy, the derivative by that, the tuple
    (dzdx, dzdx0), both of x's shape as in the original: dzdx0 is not summed over the pixels that share a
    target. (Under autograd it is.)

    Raises ArgumentError: shapes that do not fit.
    Ported from: matconvnet/matlab/vl_nnpdist.m
    """
    geometry.check_maps(x)
    if x0.ndim != 4 or any(a != b and 1 not in (a, b) for a, b in zip(x.shape, x0.shape, strict=True)):
        raise ArgumentError(f"x0 has shape {tuple(x0.shape)}, x {tuple(x.shape)}: sides must be equal, or 1")
    if p == 0 and not noRoot:
        raise ArgumentError("p = 0 has no root: give noRoot=True")

    def weighted(values: Tensor) -> Tensor:
        on_device = isinstance(instanceWeights, Tensor)
        weights = instanceWeights.to(values.device) if on_device else instanceWeights  # type: ignore
        return values if weights is None else values * weights

    def forward(x: Tensor, x0: Tensor) -> Tensor:
        difference = (x - x0).abs()
        powers = difference.square() if p == 2 else difference if p == 1 else difference.pow(p)
        powers = (difference > 0).to(x.dtype) if p == 0 else powers
        y = powers.sum(1, keepdim=True)
        if not noRoot and p != 1:
            y = y.sqrt() if p == 2 else y.pow(1 / p)
        return weighted(y).sum() if aggregate else weighted(y)

    def backward(x: Tensor, x0: Tensor, dzdy: Tensor) -> tuple[Tensor, Tensor]:
        """The original's; epsilon is the least divisor: of the sum (p >= 1) or of |x - x0| (p < 1)."""
        difference, dzdx = x - x0, weighted(dzdy)
        if p == 1:
            dzdx = dzdx * difference.sign()
            return dzdx, -dzdx
        length = difference.abs()
        slope = length.clamp(min=epsilon) if p < 1 else length
        slope = difference if p == 2 else slope.pow(p - 1) * difference.sign()
        if noRoot:
            dzdx = p * dzdx * slope
        else:
            sums = length.pow(p).sum(1, keepdim=True)
            dzdx = dzdx * (sums.clamp(min=epsilon) if p >= 1 else sums).pow((1 - p) / p) * slope
        return dzdx, -dzdx

    if dzdy is None:
        return geometry.OriginalDerivative.apply(forward, backward, x, x0)
    with torch.no_grad():
        geometry.check_derivative(dzdy, forward(x, x0))
        return backward(x, x0, dzdy)

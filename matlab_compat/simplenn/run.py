"""vl_simplenn: runs a network as MATLAB does, with its modes, derivatives and memory rules.

For code that needs MATLAB's `res`; training and extraction call the network as a module, with autograd.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from matlab_compat import nn as blocks
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError, UnknownLayerError, located
from matlab_compat.matfile.values import scalar, text
from matlab_compat.simplenn.layer import Layer, UnknownLayer
from matlab_compat.simplenn.layers import BatchNorm, Dropout, Loss, PDist, ReLU, reference
from matlab_compat.simplenn.network import SimpleNN, require_network

Derivatives = tuple[Tensor | None, list[Tensor | None] | None]


@dataclass
class Result:
    """One element of `res`: the input of a layer (the output of the one before) and its derivatives.

    x, dzdx: (N, C, H, W); dzdw: one tensor per weight of the layer, in torch's layout; aux: a dropout mask;
    time, backwardTime: seconds.
    """

    x: Tensor | None = None
    dzdx: Tensor | None = None
    dzdw: list[Tensor | None] | None = None
    aux: Any = None
    stats: Any = None
    time: float = 0.0
    backwardTime: float = 0.0

    def kept(self) -> Tensor:
        """x; ArgumentError where it was dropped."""
        if self.x is None:
            raise ArgumentError("its input was not kept: mark layers as precious, or no conserveMemory")
        return self.x


def _forward(layer: Layer, x: Tensor, testing: bool) -> tuple[Tensor, Any]:
    """The layer's output, and dropout's mask."""
    if isinstance(layer, Loss):
        return layer.compute(x, reference(layer, x)).reshape(1, 1, 1, 1), None
    if isinstance(layer, Dropout):
        return (x, None) if testing else blocks.vl_nndropout(x, rate=layer.rate)  # type: ignore[return-value]
    if isinstance(layer, BatchNorm):
        weight, bias, moments = layer.weights_for(x)
        return layer.compute(x, weight, bias, moments=moments if testing else None), None
    return layer(x), None


def _backward(layer: Layer, before: Result, after: Result, testing: bool) -> Derivatives:
    """Derivatives by the layer's input and weights; of most layers, by autograd through the layer itself."""
    if isinstance(layer, Dropout) and testing:
        return after.dzdx, None
    assert after.dzdx is not None
    if isinstance(layer, UnknownLayer):
        raise UnknownLayerError(f"no derivatives: '{layer.classname or layer.type}' is not known here")
    if isinstance(layer, ReLU):
        seen = after.x if before.x is None else before.x  # the output has the signs of the input
        if seen is None:
            raise ArgumentError("neither its input nor its output was kept")
        return layer.compute(seen, after.dzdx), None
    x = before.kept()
    if isinstance(layer, Loss):
        return layer.compute(x, reference(layer, x), after.dzdx), None
    if isinstance(layer, Dropout):
        return blocks.vl_nndropout(x, after.dzdx, mask=after.aux), None  # type: ignore[return-value]
    if isinstance(layer, BatchNorm):
        weight, bias, _ = layer.weights_for(x)
        dzdx, *derivatives = layer.compute(x, weight, bias, after.dzdx)
        return dzdx, derivatives
    if isinstance(layer, PDist):
        return layer.compute(x, reference(layer, x), dzdy=after.dzdx)[0], None
    leaf = x.detach().requires_grad_()
    weights = {name: weight.detach().requires_grad_() for name, weight in layer.named_parameters()}
    with torch.enable_grad():
        y = torch.func.functional_call(layer, weights, (leaf,))
    found = torch.autograd.grad(y, [leaf, *weights.values()], after.dzdx.reshape(y.shape), allow_unused=True)
    by_name = dict(zip(weights, found[1:], strict=True))
    dzdw: list[Tensor | None] = [by_name.get(spec.name) for spec in layer.weight_specs]
    return found[0], dzdw or None


class _Run:
    """One call of vl_simplenn: the network, the options, the results so far."""

    def __init__(self, net: SimpleNN, res: list[Result], opts: Any, derivatives: bool) -> None:
        self.net, self.layers, self.res = net, list(net), res
        self.testing = text(opts.mode).lower() == "test"
        self.conserve, self.accumulate = bool(opts.conserveMemory), bool(opts.accumulate)
        self.derivatives = derivatives
        depth = min(float(scalar(opts.backPropDepth)), len(self.layers))
        self.lowest = len(self.layers) - int(depth)  # the last layer of the backward pass

    def _forgets_input(self, index: int) -> bool:
        """Whether the input of a layer is dropped once the layer has been computed."""
        if not self.conserve or (self.derivatives and index >= self.lowest):
            return False
        return index == 0 or not (isinstance(self.layers[index - 1], Loss) or self.layers[index - 1].precious)

    def forward(self) -> None:
        """Fills in every layer's output."""
        for index in range(len(self.layers)):
            before, after = self.res[index : index + 2]
            started = time.perf_counter()
            after.x, after.aux = self._named(index, _forward, before.kept())
            if self._forgets_input(index):
                before.x = None
            before.time = time.perf_counter() - started

    def backward(self, dzdy: Tensor) -> None:
        """Fills in the derivatives, from the last layer down to `lowest`."""
        self.res[-1].dzdx = dzdy
        for index in reversed(range(self.lowest, len(self.layers))):
            before, after = self.res[index : index + 2]
            started = time.perf_counter()
            before.dzdx, dzdw = self._named(index, _backward, before, after)
            if dzdw is not None and self.accumulate:
                if before.dzdw is None:
                    raise ArgumentError(f"accumulate needs res of a call with dzdy: {self.net.label(index)}")
                pairs = zip(before.dzdw, dzdw, strict=True)
                dzdw = [new if old is None or new is None else old + new for old, new in pairs]
            before.dzdw = before.dzdw if dzdw is None else dzdw
            if self.conserve and not self.layers[index].precious and after is not self.res[-1]:
                after.x = after.dzdx = None
            before.backwardTime = time.perf_counter() - started
        lowest = self.res[self.lowest]
        if self.lowest > 0 and self.conserve and not self.layers[self.lowest].precious:
            lowest.x = lowest.dzdx = None

    def _named(self, index: int, function: Any, *inputs: Any) -> Any:
        with located(self.net.label(index)):
            return function(self.layers[index], *inputs, self.testing)


_FLAGS = ("conserveMemory", "sync", "accumulate", "skipForward", "holdOn")
_DEFAULTS: dict[str, Any] = dict.fromkeys(_FLAGS, False)
_DEFAULTS |= {"mode": "normal", "cudnn": True, "backPropDepth": math.inf, "parameterServer": None}


def _last_derivative(run: _Run, dzdy: Any) -> Tensor:
    """dzdy in the shape of the network's output; it may be given as a number, or as features (N, D)."""
    y = run.res[-1].x
    if not isinstance(dzdy, Tensor):
        dzdy = torch.as_tensor(dzdy, dtype=torch.float32 if y is None else y.dtype)
    if y is None:
        return dzdy
    dzdy = dzdy.to(y.device)
    if dzdy.numel() == y.numel():
        return dzdy.reshape(y.shape)
    if dzdy.numel() == 1:
        return dzdy.expand(y.shape)
    raise ArgumentError(f"dzdy has shape {tuple(dzdy.shape)}, the network's output {tuple(y.shape)}")


@torch.no_grad()
def vl_simplenn(
    net: SimpleNN,
    x: Tensor | None,
    dzdy: Any = None,
    res: list[Result] | None = None,
    *args: Any,
    **kwargs: Any,
) -> list[Result]:
    """Runs a network forward, and with dzdy backward, and returns every intermediate result.

    x: (N, C, H, W); None with skipForward. dzdy: derivative by the output, of its shape, or features (N, D),
    or a number; None: no derivatives. res: of an earlier call, for skipForward and accumulate; it is changed
    in place.
    mode: 'normal' (dropout drops, batch normalisation uses this batch) or 'test'; conserveMemory: drops
    results that are no longer needed, except the outputs of precious layers; backPropDepth: the number of
    layers, from the last, that derivatives are computed of (all); skipForward: uses the results in res
    instead of computing them; accumulate: adds the derivatives of weights to those in res; sync, cudnn,
    holdOn: without effect.

    Returns L+1 results: res[i].x is the input of layer i, res[L].x the output, res[i].dzdw the derivatives of
    layer i's weights in torch's layout. As in the original, the derivative of batch normalisation is that of
    this batch's own moments even in 'test' mode, and these moments are returned as a fourth one; `net(x)`
    under autograd has the true one.

    Raises ArgumentError: unknown options, or options that exclude each other. NetworkFormatError: maps that
    do not fit a layer, or that were dropped; names the layer.
    Ported from: matconvnet/matlab/simplenn/vl_simplenn.m
    """
    require_network(net, "vl_simplenn")
    opts = options(_DEFAULTS, args, kwargs)
    mode = text(opts.mode).lower()
    if mode not in ("normal", "test"):
        raise ArgumentError(f"mode must be 'normal' or 'test'; got '{opts.mode}'")
    if not float(scalar(opts.backPropDepth)) > 0:
        raise ArgumentError(f"backPropDepth must be a number of layers above 0; got {opts.backPropDepth}")
    if opts.parameterServer is not None:
        raise ArgumentError("parameterServer is not supported: derivatives are returned in res")
    derivatives = dzdy is not None and not (isinstance(dzdy, Tensor) and dzdy.numel() == 0)
    if opts.skipForward and not derivatives:
        raise ArgumentError("skipForward without dzdy leaves nothing to do: give dzdy")
    if not res:
        if opts.skipForward:
            raise ArgumentError("skipForward without res: give the res of a forward pass")
        res = [Result() for _ in range(len(net) + 1)]
    if len(res) != len(net) + 1:
        raise ArgumentError(f"res has {len(res)} elements; for {len(net)} layers it needs {len(net) + 1}")
    run = _Run(net, res, opts, derivatives)
    if not opts.skipForward:
        if x is None:
            raise ArgumentError("no input: x may be None with skipForward only")
        res[0].x = x
        run.forward()
    if derivatives:
        run.backward(_last_derivative(run, dzdy))
    return res

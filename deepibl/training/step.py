"""One step of training: forward through the trained layers, loss, backward, and the original's SGD."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.engine.backbone import head_start
from deepibl.engine.winograd import WinogradGradients
from deepibl.errors import TrainingError
from deepibl.training.options import TrainingOptions
from deepibl.training.tuples import Objective, TupleOutcome
from matlab_compat.simplenn.display import data_sizes, geometry, view_module


@dataclass(frozen=True)
class LearnedWeight:
    """A trained weight: where it is, and MATLAB's factors of its learning rate and weight decay."""

    layer: int
    index: int
    weight: Tensor
    rate: float
    decay: float

    @property
    def key(self) -> tuple[int, int]:
        """Position of the layer, and of the weight in it."""
        return self.layer, self.index


class Stepper:
    """A network in training, on its device: which of its weights are trained, and their momenta.

    first: index of the lowest trained layer. fixed: names of layers above it that are not trained. momentum:
    to resume with; zeros for what it lacks. precision: fp32, or bf16 for the trained convolutions.
    """

    def __init__(
        self,
        net: Any,
        first: int,
        fixed: Sequence[str] = (),
        momentum: dict[tuple[int, int], Tensor] | None = None,
        precision: str = "fp32",
    ) -> None:
        self.net, self.first, self.precision = net, first, precision
        self.learned = _learned_weights(net, first, fixed)
        given = momentum or {}
        self.momentum = {
            each.key: given[each.key].to(each.weight) if each.key in given else torch.zeros_like(each.weight)
            for each in _learned_weights(net, first, (), momenta=True)
        }
        wanted = {id(each.weight) for each in self.learned}
        for parameter in net.parameters():
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
            parameter.requires_grad_(id(parameter) in wanted)
            parameter.grad = None

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    def features(self, maps: Tensor) -> Tensor:
        """(N, D) features of the trained layers' input (N, C, H, W), differentiable in their weights.

        In bf16 the layers before the pooling and its normalisation run in bfloat16. In fp32 large 3 x 3
        convolutions on a CPU get their gradients by Winograd's products (equal to rounding).
        """
        end = max(head_start(self.net), self.first) if self.precision == "bf16" else self.first
        if end > self.first:
            if maps.is_cuda:  # else cuDNN rearranges them for its tensor cores at every convolution
                maps = maps.contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                maps = self.net(maps, start=self.first, stop=end - 1)
            maps = maps.float()
        if end < len(self.net):
            with WinogradGradients():
                maps = self.net(maps, start=end)
        return maps.flatten(1)

    def accumulate(self, maps: Tensor, counts: Sequence[int], objective: Objective) -> list[TupleOutcome]:
        """Forward and backward of tuples; gradients add to those of the batch so far.

        maps: (N, C, H, W), input of the trained layers, one tuple after the other; counts: images of each.
        """
        outcomes = [objective(features) for features in self.features(maps).split(list(counts))]
        losses = [outcome.objective for outcome in outcomes if outcome.objective is not None]
        differentiable = [loss for loss in losses if loss.requires_grad]
        if differentiable:
            torch.stack(differentiable).sum().backward()
        return [outcome._replace(objective=None) for outcome in outcomes]

    def bytes_an_image(self, shape: Sequence[int]) -> float:
        """About the memory that maps (C, H, W) need forward and backward; inf where not known."""
        views = [view_module(layer, opaque_objects=False) for layer in list(self.net)[self.first :]]
        channels, height, width = shape
        sizes = data_sizes(views, geometry(views), (height, width, channels, 1))
        total = 2 * torch.float32.itemsize * float(np.prod(sizes, axis=0).sum())
        return total if np.isfinite(total) else np.inf

    def gradients_are_finite(self) -> bool:
        gradients = (each.weight.grad for each in self.learned)
        return _all_finite([each for each in gradients if each is not None])

    def weights_are_finite(self) -> bool:
        return _all_finite([*(each.weight for each in self.learned), *self.momentum.values()])

    @torch.no_grad()
    def update(self, options: TrainingOptions, rate: float, pairs: int) -> None:
        """The original's step: m = momentum*m - decay*w - gradient/pairs; w = w + rate*m.

        rate: the epoch's learning rate. pairs: of the whole batch; 0 changes nothing, not even momenta.
        """
        for each in self.learned:
            weight, gradient = each.weight, each.weight.grad
            if pairs and gradient is not None:
                velocity = self.momentum[each.key]
                velocity.mul_(options.momentum).add_(weight, alpha=-options.weight_decay * each.decay)
                velocity.add_(gradient, alpha=-1 / pairs)
                weight.add_(velocity, alpha=rate * each.rate)
            weight.grad = None

    def take_gradients(self) -> dict[int, Tensor]:
        """The gradients gathered so far, by position in `learned`; they are forgotten here."""
        found = {at: each.weight.grad for at, each in enumerate(self.learned)}
        self.clear()
        return {at: gradient for at, gradient in found.items() if gradient is not None}

    def add_gradients(self, gradients: Mapping[int, Tensor]) -> None:
        """Adds gradients by position in `learned`, of any shape, to those gathered so far."""
        for at, gradient in gradients.items():
            weight = self.learned[at].weight
            if weight.grad is None:
                weight.grad = gradient.reshape(weight.shape).clone()
            else:
                weight.grad += gradient.reshape(weight.shape)

    def clear(self) -> None:
        for each in self.learned:
            each.weight.grad = None


def _all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity; the device is asked once for all of them."""
    if not tensors:
        return True
    return bool(torch.stack([torch.isfinite(tensor.detach()).all() for tensor in tensors]).all())


def _learned_weights(
    net: Any, first: int, fixed: Sequence[str], *, momenta: bool = False
) -> list[LearnedWeight]:
    """The weights of layers from `first` on that are not `fixed`, in MATLAB's order.

    Raises TrainingError for a bnorm.
    """
    found = []
    for position, layer in enumerate(net.layers):
        if position < first or layer.name in fixed:
            continue
        weights = [weight for weight in layer.weights if weight is not None]
        if weights and layer.type == "bnorm" and not momenta:
            raise TrainingError(
                f"layer '{layer.name}' (bnorm) cannot be trained: the original steps its stored moments as "
                "if they were weights. Set backPropToLayer above it, or put it in fixLayers"
            )
        for index, weight in enumerate(layer.weights):
            if weight is not None:
                given = [layer.fields.get(name, ()) for name in ("learningRate", "weightDecay")]
                factors = [torch.as_tensor(values).flatten()[index:] for values in given]
                rate, decay = (float(values[0]) if len(values) else 1.0 for values in factors)
                found.append(LearnedWeight(position, index, weight, rate, decay))
    return found

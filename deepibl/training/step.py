"""One step of training: read a tuple's images, forward, loss, backward, and the original's SGD update."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deepibl.errors import TrainingError
from deepibl.images import read_image
from deepibl.mining import MinedTuple
from deepibl.objectives import Objective, TupleOutcome
from deepibl.training.options import TrainingOptions
from matlab_compat.numeric import round_half_away

TRUNK_CHUNK = 2  # images at once through the layers that do not learn: their maps are the largest


@dataclass(frozen=True)
class LearnedWeight:
    """A weight that learns: where it is, and MATLAB's factors of its learning rate and weight decay."""

    layer: int
    index: int
    weight: Tensor
    rate: float
    decay: float

    @property
    def key(self) -> tuple[int, int]:
        """Position of the layer, and of the weight in it."""
        return self.layer, self.index


class TupleReader:
    """Reads the images of tuples ahead of their use, with `numThreads` threads.

    dataset: has dbPath, dbImageFns, qPath, qImageFns. Use as a context manager.
    """

    def __init__(self, dataset: Any, options: TrainingOptions) -> None:
        self._dataset, self._scales = dataset, options.jitterScale
        self._pool = ThreadPoolExecutor(options.numThreads)
        self._side = min(read_image(self._database(0)).shape[-2:]) if options.jitterScale else 0

    def __enter__(self) -> "TupleReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ahead(self, tuples: Iterable[MinedTuple]) -> Iterable[tuple[MinedTuple, Tensor]]:
        """Each tuple with its images (2 + M, 3, H, W), 0 to 255: query, positive, negatives.

        While one is used the next is read. Raises ImageReadError naming an image that cannot be read, and
        TrainingError for a tuple whose images differ in size.
        """
        waiting: list[tuple[MinedTuple, list[Future[Any]]]] = []
        for mined in tuples:
            waiting.append((mined, self._start(mined)))
            if len(waiting) > 1:
                yield self._finish(*waiting.pop(0))
        for mined, images in waiting:
            yield self._finish(mined, images)

    def _start(self, mined: MinedTuple) -> list[Future[Any]]:
        resize = None
        if mined.scale is not None:
            resize = int(round_half_away(self._scales[mined.scale] * self._side))
        paths = [self._query(mined.query), *map(self._database, [mined.positive, *mined.negatives])]
        return [self._pool.submit(read_image, path, resize=resize) for path in paths]

    def _finish(self, mined: MinedTuple, images: Sequence[Future[Any]]) -> tuple[MinedTuple, Tensor]:
        read = [torch.as_tensor(image.result()) for image in images]
        shapes = {tuple(image.shape[-2:]) for image in read}
        if len(shapes) > 1:
            raise TrainingError(
                f"the tuple of query {mined.query} ({self._query(mined.query)}) has images of sizes "
                f"{sorted(shapes)}: a tuple's images must be of one size (resize the data set's images)"
            )
        stacked = torch.stack(read)
        return mined, stacked.flip(-1) if mined.flip else stacked

    def _query(self, query: int) -> str:
        return os.path.join(self._dataset.qPath, self._dataset.qImageFns[query])

    def _database(self, image: int) -> str:
        return os.path.join(self._dataset.dbPath, self._dataset.dbImageFns[image])


class Stepper:
    """A network in training: which of its weights learn, and their momenta.

    net: SimpleNN, already on its device. first: index of the lowest layer that learns. fixed: names of layers
    above it that do not. momentum: {(layer, index): tensor} to go on with; zeros for what it lacks.
    """

    def __init__(
        self,
        net: Any,
        first: int,
        fixed: Sequence[str] = (),
        momentum: dict[tuple[int, int], Tensor] | None = None,
    ) -> None:
        self.net, self.first = net, first
        self.learned = _learned_weights(net, first, fixed)
        self.momentum = {
            (each.layer, each.index): (momentum or {}).get(
                (each.layer, each.index), torch.zeros_like(each.weight)
            )
            for each in _learned_weights(net, first, (), momenta=True)
        }
        wanted = {id(each.weight) for each in self.learned}
        for parameter in net.parameters():
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
            parameter.requires_grad_(id(parameter) in wanted)
            parameter.grad = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.net.parameters()).device

    def features(self, images: Tensor) -> Tensor:
        """(N, D) features of images 0 to 255, differentiable in the weights that learn.

        Layers below the first that learns run without memory for gradients, two images at a time.
        """
        first = self.net.layers[0].name
        parts = images.split(TRUNK_CHUNK) if self.first else [images]
        maps = []
        with torch.no_grad():
            for part in parts:
                prepared = self.net.prepare(part)
                maps.append(self.net(prepared, start=first, stop=self.first - 1) if self.first else prepared)
        return self.net(torch.cat(maps), start=self.first).flatten(1)

    def accumulate(self, images: Tensor, objective: Objective) -> TupleOutcome:
        """Forward and backward of one tuple; gradients add to those of the batch so far."""
        outcome = objective(self.features(images.to(self.device)))
        if outcome.objective is not None and outcome.objective.requires_grad:
            outcome.objective.backward()
        return outcome._replace(objective=None)

    def gradients_are_finite(self) -> bool:
        """Whether the gradients gathered so far hold neither NaN nor infinity."""
        gradients = (each.weight.grad for each in self.learned)
        return all(bool(torch.isfinite(each).all()) for each in gradients if each is not None)

    def weights_are_finite(self) -> bool:
        """Whether all weights that learn, and their momenta, are finite."""
        tensors = [*(each.weight for each in self.learned), *self.momentum.values()]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    @torch.no_grad()
    def update(self, options: TrainingOptions, rate: float, pairs: int) -> None:
        """The original's step: m = momentum*m - decay*w - gradient/pairs; w = w + rate*m.

        rate: the epoch's learning rate. pairs: of the whole batch; 0 changes nothing, not even momenta.
        """
        for each in self.learned:
            weight, gradient = each.weight, each.weight.grad
            if pairs and gradient is not None:
                velocity = self.momentum[each.key]
                velocity.mul_(options.momentum).add_(weight, alpha=-options.weightDecay * each.decay)
                velocity.add_(gradient, alpha=-1 / pairs)
                weight.add_(velocity, alpha=rate * each.rate)
            weight.grad = None

    def clear(self) -> None:
        """Forgets the gradients gathered so far."""
        for each in self.learned:
            each.weight.grad = None


def _learned_weights(
    net: Any, first: int, fixed: Sequence[str], *, momenta: bool = False
) -> list[LearnedWeight]:
    """The weights of layers from `first` on whose names are not in `fixed`, in MATLAB's order.

    Raises TrainingError for a bnorm among them, unless only their momenta are wanted.
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
                rate, decay = (_factor(layer, name, index) for name in ("learningRate", "weightDecay"))
                found.append(LearnedWeight(position, index, weight, rate, decay))
    return found


def _factor(layer: Any, name: str, index: int) -> float:
    """MATLAB's factor of one weight; 1 where the layer has none."""
    values = torch.as_tensor(layer.fields.get(name, ())).flatten()
    return float(values[index]) if index < len(values) else 1.0

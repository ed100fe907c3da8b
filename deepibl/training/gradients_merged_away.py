"""The one place where tuples become losses and gradients: alone, or several in one forward and backward."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from deepibl.errors import TrainingError
from deepibl.mining import MinedTuple
from deepibl.objectives import Objective, TupleOutcome
from deepibl.training.reader import TupleReader
from deepibl.training.step import Stepper
from deepibl.training.trunk import Trunk, depends_on_its_batch
from deepibl.trunk_choice import GIGABYTE
from matlab_compat.errors import ArgumentError

Ready = tuple[MinedTuple, Tensor]


class TupleGradients:
    """Computes what a step is made of: the outcome of each tuple, and the sum of their gradients.

    Tuples whose maps are of one size go through the learning layers together while they take at most `limit`
    gigabytes (by the sizes of the layers' outputs, so that the same tuples always go together); one alone,
    however much it takes.
    """

    def __init__(
        self, stepper: Stepper, objective: Objective, trunk: Trunk, reader: TupleReader, limit: float
    ) -> None:
        self._stepper, self._objective = stepper, objective
        self._trunk, self._reader = trunk, reader
        alone = depends_on_its_batch(stepper.net)
        self._limit = 0.0 if alone else limit * GIGABYTE

    def __call__(
        self, tuples: Sequence[MinedTuple], computed: Callable[[], object] = lambda: None
    ) -> list[TupleOutcome]:
        """Outcomes in the tuples' order; gradients add to those that the weights have already.

        computed: called whenever those of some tuples that went together are there.
        Raises ImageReadError naming an image that cannot be read, and TrainingError for a tuple whose images
        differ in size; a loss that is not finite is for the caller to find.
        """
        outcomes: list[TupleOutcome] = []
        for group in self._together(self._ready(tuples)):
            maps = torch.cat([each for _, each in group])
            outcomes += self._stepper.accumulate(maps, [len(each) for _, each in group], self._objective)
            computed()
        return outcomes

    def _ready(self, tuples: Sequence[MinedTuple]) -> Iterator[Ready]:
        for mined, images in self._reader.ahead(tuples):
            try:
                yield mined, self._trunk.stack(images)
            except ArgumentError as error:
                raise TrainingError(
                    f"the tuple of query {mined.query} ({self._reader.query(mined.query)}): {error}. "
                    "A tuple's images must be of one size (resize the data set's images)"
                ) from error

    def _together(self, tuples: Iterable[Ready]) -> Iterator[list[Ready]]:
        group: list[Ready] = []
        for ready in tuples:
            if group and not self._fits([*group, ready]):
                yield group
                group = []
            group.append(ready)
        if group:
            yield group

    def _fits(self, group: list[Ready]) -> bool:
        shapes = {tuple(maps.shape[1:]) for _, maps in group}
        if not self._limit or len(shapes) > 1:
            return False
        images = sum(len(maps) for _, maps in group)
        return images * self._stepper.bytes_an_image(next(iter(shapes))) <= self._limit

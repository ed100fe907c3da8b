"""One training in several processes: process 0 trains, the others compute their share of what it asks for.

A batch's tuples are shared out in their order and their gradients added in that order, so that where tuples
go through the network one by one (on a CPU) the weights are bit for bit those of one process. Features and
the session's files are on a file system that all processes see.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch

from deepibl.features.backbone_cache import BackboneCache
from deepibl.runtime import processes
from deepibl.runtime.devices import exact_products
from deepibl.runtime.processes import ALONE, Team, require_visible
from deepibl.training.cached_features import FeatureMaker
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.gradients import TupleGradients, TupleReader, open_backbone, step_limit
from deepibl.training.listeners import Listeners, TrainingListener
from deepibl.training.options import OPTIONS, TrainingOptions
from deepibl.training.state import TrainingState
from deepibl.training.step import Stepper
from deepibl.training.tuples import MinedTuple, Objective, TupleOutcome
from matlab_compat import matfile
from matlab_compat.errors import MatlabCompatError
from matlab_compat.simplenn.network import SimpleNN


@dataclass(frozen=True)
class Tools:
    """What a training works with: the network that steps, both data sets, gradients and features."""

    stepper: Stepper
    sets: tuple[Any, Any]
    compute: Callable[..., list[TupleOutcome]]
    maker: FeatureMaker


@contextmanager
def tools_of(
    state: TrainingState,
    objective: Objective,
    sets: tuple[Any, Any],
    listeners: Listeners,
    team: Team = ALONE,
) -> Iterator[Tools]:
    """The tools of one process. sets: training, validation. team: the processes that keep maps beside it."""
    stepper, options = state.stepper, state.options

    events: Any = TrainingListener.noted, TrainingListener.computing, TrainingListener.extracting
    noted, computing, extracted = (partial(listeners.notify, event) for event in events)
    with (
        exact_products(stepper.device),
        open_backbone(stepper, options, sets, noted, team) as backbone,
        TupleReader(sets[0], options, backbone) as reader,
    ):
        kept = backbone if isinstance(backbone, BackboneCache) else None
        maker = FeatureMaker(state.net, options, computing, kept, stepper.precision, extracted=extracted)
        gradients = TupleGradients(stepper, objective, backbone, reader, step_limit(options, stepper.device))
        yield Tools(stepper, sets, gradients, maker)


def shared_gradients(team: Team, tools: Tools, tuples: Sequence[MinedTuple]) -> list[TupleOutcome]:
    """The outcomes of all tuples, the same in all processes; process 0 gets the sum of their gradients."""
    start, end = (len(tuples) * rank // team.size for rank in (team.rank, team.rank + 1))
    parcels: list[dict[int, torch.Tensor]] = []

    def computed() -> None:
        if not team.leads:  # the leader's tuples come first: their gradients stay where they are
            parcels.append(tools.stepper.take_gradients())

    def work() -> dict[str, Any]:
        outcomes = tools.compute(tuples[start:end], computed)
        plain = [[each.loss, each.pairs, each.very_hard] for each in outcomes]
        return {"outcomes": plain, "parcels": [list(parcel) for parcel in parcels]}

    answers = team.gather(work)
    for rank, answer in enumerate(answers):
        for number, positions in enumerate(answer["parcels"]):
            if team.rank == rank:
                team.tensors.send(_flat(list(parcels[number].values())), 0)
            elif team.leads:
                weights = [tools.stepper.learned[at].weight for at in positions]
                parts = team.tensors.receive(_flat(weights), rank).split([each.numel() for each in weights])
                tools.stepper.add_gradients(dict(zip(positions, parts, strict=True)))
    every = (outcome for answer in answers for outcome in answer["outcomes"])
    return [TupleOutcome(loss, None, pairs, very_hard) for loss, pairs, very_hard in every]


class Leading:
    def __init__(self, team: Team) -> None:
        self.team = team
        self._changed = False

    def begin(self, files: SessionFiles, state: TrainingState) -> None:
        """Gives the others network and options, by a file, and waits until they have read it."""
        if self.team.size == 1:
            return
        variables = state.to_matlab()
        matfile.save(files.start, {name: variables[name] for name in ("net", "opts")})
        ours = {each.name: getattr(state.options, each.name) for each in OPTIONS.values() if each.ours}
        start = {"prefix": files.prefix, "session": files.session, "ours": ours}
        self.team.lead(lambda: {**start, "size": files.start.stat().st_size})
        self.team.gather(lambda: None)
        self.team.connect()
        files.start.unlink()

    def share(self, tools: Tools) -> Tools:
        """Tools that make all processes work."""
        if self.team.size == 1:
            return tools
        maker = replace(tools.maker, compute=partial(self._features, tools))
        return replace(tools, compute=partial(self._gradients, tools), maker=maker)

    def _gradients(self, tools: Tools, tuples: Sequence[MinedTuple]) -> list[TupleOutcome]:
        plain = [[m.query, m.positive, np.asarray(m.negatives).tolist(), m.scale, m.flip] for m in tuples]
        self._order(tools, "gradients", tuples=plain)
        self._changed = True  # a step will follow
        return shared_gradients(self.team, tools, tuples)

    def _features(self, tools: Tools, dataset: Any, side: str, path: str) -> None:
        which = [each is dataset for each in tools.sets].index(True)
        self._order(tools, "features", set=which, side=side, path=path)
        with processes.alone(False):
            tools.maker.extract(dataset, side, path)

    def _order(self, tools: Tools, order: str, **what: Any) -> None:
        changed, self._changed = self._changed, False
        self.team.lead(lambda: {"order": order, "weights": changed, **what})
        if changed:
            _share_weights(self.team, tools.stepper)


@contextmanager
def leading(team: Team) -> Iterator[Leading]:
    """A context in which process 0 trains; its end, or the error that ended it, is sent to the others."""
    with processes.alone():
        try:
            yield Leading(team)
        except BaseException as error:
            with suppress(BaseException):  # the others raise it, too, and report what happens to them
                team.lead(partial(_raise, error))
            raise
        with suppress(MatlabCompatError):
            team.lead(lambda: {"order": "end", "weights": False})


def read_start(team: Team) -> tuple[SessionFiles, TrainingOptions, SimpleNN]:
    """What process 0 gives the others at the beginning (`Leading.begin`): files, options, network."""
    start = team.lead(lambda: None)
    files = SessionFiles(start["prefix"], start["session"])
    found: dict[str, Any] = {}

    def read() -> None:
        require_visible(files.start, start["size"])
        found.update(matfile.load(files.start, ["net", "opts"]))

    team.gather(read)
    team.connect()
    own = {"session": files.session, "output_prefix": files.prefix, **start["ours"]}
    options = replace(TrainingOptions.from_matlab(found["opts"]), **own)
    return files, options, SimpleNN.from_matlab(found["net"])


def follow(team: Team, tools: Tools) -> None:
    """Does what process 0 asks for until the training ends; raises the error that ends it."""
    while True:
        message = team.lead(lambda: None)
        if message["weights"]:
            _share_weights(team, tools.stepper)
        with suppress(MatlabCompatError, OSError):  # process 0 has it too: what it makes of it comes next
            match message["order"]:
                case "gradients":
                    tools.stepper.net.train()
                    tuples = []
                    for query, positive, negatives, scale, flip in message["tuples"]:
                        ids = np.asarray(negatives, dtype=np.int64)
                        tuples.append(MinedTuple(query, positive, ids, ids[:0], scale=scale, flip=flip))
                    shared_gradients(team, tools, tuples)
                case "features":
                    tools.maker.extract(tools.sets[message["set"]], message["side"], message["path"])
                case "end":
                    return


def _raise(error: BaseException) -> NoReturn:
    raise error


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@torch.no_grad()
def _share_weights(team: Team, stepper: Stepper) -> None:
    """Gives all processes the trained weights of process 0."""
    weights = [each.weight for each in stepper.learned]
    flat = _flat(weights)
    team.tensors.broadcast(flat, 0)
    if not team.leads:
        for weight, part in zip(weights, flat.split([each.numel() for each in weights]), strict=True):
            weight.copy_(part.view_as(weight))

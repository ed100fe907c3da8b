"""One training in several processes: process 0 trains, the others compute their share of what it asks for.

Process 0 runs the training as it would alone: it mines, draws, steps, saves, tests and prints. The others
have the network and wait for what it says: compute gradients of these tuples, or features of these images.
A batch's tuples are shared out in their order, and their gradients added in that order, so that where tuples
go through the network one by one (on a CPU) the weights are bit by bit those of one process.

Features and files of the session lie on a file system that all processes see."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from deepibl.features.shards import require_visible
from deepibl.features.trunk_cache import TrunkCache
from deepibl.runtime import processes
from deepibl.runtime.devices import exact_products
from deepibl.runtime.processes import ALONE, Team
from deepibl.training.cached_features import FeatureMaker
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.gradients import TupleGradients, TupleReader, open_trunk
from deepibl.training.listeners import TrainingListener
from deepibl.training.options import SpeedOptions, TrainingOptions
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
    listener: TrainingListener,
    team: Team = ALONE,
) -> Iterator[Tools]:
    """The tools of one process. sets: training, validation. team: those that keep maps on this machine."""
    stepper, speed, options = state.stepper, state.speed, state.options
    with (
        exact_products(stepper.device),
        open_trunk(stepper, options, speed, sets, listener.noted, team) as trunk,
        TupleReader(sets[0], options, trunk) as reader,
    ):
        kept = trunk if isinstance(trunk, TrunkCache) else None
        maker = FeatureMaker(state.net, options, listener, kept, stepper.precision)
        limit = speed.step_gb(stepper.device)
        yield Tools(stepper, sets, TupleGradients(stepper, objective, trunk, reader, limit), maker)


def shared_gradients(team: Team, tools: Tools, tuples: Sequence[MinedTuple]) -> list[TupleOutcome]:
    """Outcomes of all tuples, which all processes give alike; process 0 gets the sum of their gradients.

    Raises in all processes what one of them raised.
    """
    share = _shares(len(tuples), team.size)[team.rank]
    parcels: list[dict[int, torch.Tensor]] = []

    def computed() -> None:
        if not team.leads:  # the leader's tuples come first: their gradients stay where they are
            parcels.append(tools.stepper.take_gradients())

    def work() -> dict[str, Any]:
        outcomes = tools.compute([tuples[i] for i in share], computed)
        plain = [[each.loss, each.pairs, each.very_hard] for each in outcomes]
        return {"outcomes": plain, "parcels": [list(parcel) for parcel in parcels]}

    answers = team.gather(work)
    for rank, answer in enumerate(answers):
        for number, positions in enumerate(answer["parcels"]):
            if team.rank == rank:
                team.tensors.send(_flat(list(parcels[number].values())), 0)
            elif team.leads:
                _receive(team, tools.stepper, rank, positions)
    every = (outcome for answer in answers for outcome in answer["outcomes"])
    return [TupleOutcome(loss, None, pairs, very_hard) for loss, pairs, very_hard in every]


def _receive(team: Team, stepper: Stepper, rank: int, positions: Sequence[int]) -> None:
    weights = [stepper.learned[at].weight for at in positions]
    parts = team.tensors.receive(_flat(weights), rank).split([each.numel() for each in weights])
    stepper.add_gradients(dict(zip(positions, parts, strict=True)))


class Leading:
    """What process 0 asks of the others; in a team of one it does the work itself."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self._tools: Tools | None = None
        self._changed = False

    def begin(self, files: SessionFiles, state: TrainingState) -> None:
        """Gives the others network and options, by a file, and waits until they have read it."""
        if self.team.size == 1:
            return
        variables = state.to_matlab()
        matfile.save(files.start, {name: variables[name] for name in ("net", "opts")})
        start = {"prefix": files.prefix, "session": files.session, "speed": asdict(state.speed)}
        self.team.lead(lambda: {**start, "size": files.start.stat().st_size})
        self.team.gather(lambda: None)
        self.team.connect()
        files.start.unlink()

    def share(self, tools: Tools) -> Tools:
        """Tools that make all processes work."""
        if self.team.size == 1:
            return tools
        self._tools = tools
        return Tools(tools.stepper, tools.sets, self._gradients, replace(tools.maker, compute=self._features))

    def _gradients(self, tuples: Sequence[MinedTuple]) -> list[TupleOutcome]:
        assert self._tools is not None
        self._say({"do": "gradients", "tuples": [_tuple_to_plain(mined) for mined in tuples]})
        self._changed = True  # a step will follow
        return shared_gradients(self.team, self._tools, tuples)

    def _features(self, dataset: Any, side: str, path: str) -> None:
        assert self._tools is not None
        which = [each is dataset for each in self._tools.sets].index(True)
        self._say({"do": "features", "set": which, "side": side, "path": path})
        with processes.alone(False):
            self._tools.maker.extract(dataset, side, path)

    def _say(self, order: Mapping[str, Any]) -> None:
        assert self._tools is not None
        changed, self._changed = self._changed, False
        self.team.lead(lambda: {**order, "weights": changed})
        if changed:
            _share_weights(self.team, self._tools.stepper)


@contextmanager
def leading(team: Team) -> Iterator[Leading]:
    """Within it process 0 trains; at the end the others are told, an error too."""
    with processes.alone():
        try:
            yield Leading(team)
        except BaseException as error:
            _end(team, error)
            raise
        _end(team, None)


def read_start(team: Team) -> tuple[TrainingOptions, SpeedOptions, SimpleNN]:
    """What process 0 tells the others at the beginning (`Leading.begin`)."""
    start = team.lead(_nobody)
    files = SessionFiles(start["prefix"], start["session"])
    found: dict[str, Any] = {}

    def read() -> None:
        require_visible(files.start, start["size"])
        found.update(matfile.load(files.start, ["net", "opts"]))

    team.gather(read)
    team.connect()
    options = TrainingOptions.from_mapping(found["opts"])
    options = replace(options, sessionID=files.session, outPrefix=files.prefix)
    return options, SpeedOptions().changed(start["speed"]), SimpleNN.from_matlab(found["net"])


def follow(team: Team, tools: Tools) -> None:
    """Does what process 0 asks for until the training ends; raises the error that ends it."""
    while True:
        order = team.lead(_nobody)
        if order["do"] == "end":
            return
        if order["weights"]:
            _share_weights(team, tools.stepper)
        with suppress(MatlabCompatError, OSError):  # process 0 has it too, and says what follows from it
            if order["do"] == "gradients":
                tools.stepper.net.train()
                shared_gradients(team, tools, [_tuple_from_plain(each) for each in order["tuples"]])
            else:
                tools.maker.extract(tools.sets[order["set"]], order["side"], order["path"])


def _end(team: Team, error: BaseException | None) -> None:
    if team.size == 1:
        return

    def say() -> dict[str, str]:
        if error is not None:
            raise error
        return {"do": "end"}

    with suppress(BaseException if error is not None else MatlabCompatError):
        team.lead(say)


def _nobody() -> Any:
    raise AssertionError("process 0 leads a training, it does not follow one")


def _shares(count: int, size: int) -> list[range]:
    """Numbers 0 … count-1 in `size` consecutive parts, as equal as they can be."""
    ends = [count * (rank + 1) // size for rank in range(size)]
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _tuple_to_plain(mined: MinedTuple) -> list[Any]:
    return [mined.query, mined.positive, np.asarray(mined.negatives).tolist(), mined.scale, mined.flip]


def _tuple_from_plain(plain: Sequence[Any]) -> MinedTuple:
    query, positive, negatives, scale, flip = plain
    none = np.zeros(0, dtype=np.int64)
    ids = np.asarray(negatives, dtype=np.int64)
    return MinedTuple(query, positive, ids, none, scale=scale, flip=flip)


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


@torch.no_grad()
def _share_weights(team: Team, stepper: Stepper) -> None:
    """Gives all processes the weights of process 0 that learn."""
    weights = [each.weight for each in stepper.learned]
    flat = _flat(weights)
    team.tensors.broadcast(flat, 0)
    if not team.leads:
        for weight, part in zip(weights, flat.split([each.numel() for each in weights]), strict=True):
            weight.copy_(part.view_as(weight))

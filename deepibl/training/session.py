"""A training from the call to the last epoch: started new, gone on with after a kill, or from an epoch."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from deepibl.checkpoints import SessionFiles, unfinished_session, write_json
from deepibl.errors import SessionError
from deepibl.feature_cache import initial_names
from deepibl.network_prepare import prepare_for_training
from deepibl.objectives import ObjectiveMaker
from deepibl.training.events import TrainingListener
from deepibl.training.loop import train
from deepibl.training.options import OPTION_NAMES, TrainingOptions
from deepibl.training.speed import FREE_SPEED_OPTIONS, SpeedOptions, saved_speed
from deepibl.training.state import TrainingState, restore, take_momentum
from deepibl.training.step import Stepper
from matlab_compat.errors import ArgumentError
from matlab_compat.relja import relja_randomHex
from matlab_compat.rng import rng
from matlab_compat.simplenn import SimpleNN

# may differ between two calls that mean the same training
FREE_OPTIONS = ("numThreads", "printLoss", "printBatchLoss", "doDraw", "info")
SESSION_DIGITS = 4


@dataclass(frozen=True)
class Trainer:
    """A trainer: its name, what it minimises, and whether its files have the original's unused geo fields."""

    name: str
    objective: ObjectiveMaker
    geo_fields: bool = False


@dataclass(frozen=True)
class Course:
    """What a training is given: data sets, how to build the network, where random numbers come from.

    build: makes the network with its pooling layers from the options. prefix: what file names begin with
    where the options do not say. keep_momentum: False starts from an epoch with zero momenta, as the
    original does.
    """

    trainer: Trainer
    train_set: Any
    val_set: Any
    build: Callable[[TrainingOptions], SimpleNN]
    prefix: str = ""
    generator: Any = None
    keep_momentum: bool = True


def run_session(
    course: Course, given: Mapping[str, Any], listeners: Iterable[TrainingListener] = ()
) -> TrainingState:
    """Trains as the options in `given` say (of TrainingOptions, SpeedOptions), and returns the final state.

    A session that a kill or an error has ended goes on when the same is asked for again. With startEpoch > 1
    the session sessionID goes on from the end of the epoch before, with the options it had, changed by
    `given`.

    Raises ArgumentError for options that make no sense, SessionError for a session that is running, lacking
    or cannot be saved, and what `deepibl.training.loop.train` raises.
    """
    options = TrainingOptions.from_mapping(given)
    options.check()
    speed = SpeedOptions().changed(given)
    options.outPrefix = options.outPrefix or course.prefix
    options.dbTrainName, options.dbValName = course.train_set.name, course.val_set.name
    command = _command(course, given)
    files = SessionFiles(options.outPrefix, options.sessionID or _session(options, command))
    options.sessionID = files.session
    with files.locked():
        if _goes_on(files, command):
            state = _from_file(course, files, options, speed, given, None)
        elif options.startEpoch > 1:
            state = _from_file(course, files, options, speed, given, options.startEpoch - 1)
        else:
            files.remove_features()
            state = _new(course, options, speed)
        files.remove_leftovers()
        write_json(files.unfinished, {"session": files.session, "command": command})
        state.trainer, state.command = course.trainer.name, command
        objective = course.trainer.objective(state.options)
        train(state, course.train_set, course.val_set, objective, files, listeners)
        files.unfinished.unlink(missing_ok=True)
    return state


def _command(course: Course, given: Mapping[str, Any]) -> str:
    """What was asked for, as text that is equal when the same is asked for again."""
    free = {*FREE_OPTIONS, *FREE_SPEED_OPTIONS}
    asked = {name: value for name, value in sorted(given.items()) if name not in free}
    plain = json.dumps(asked, default=lambda value: np.asarray(value).tolist())
    sets = [(each.name, each.numQueries, each.numImages) for each in (course.train_set, course.val_set)]
    return f"{course.trainer.name} {sets} {plain}"


def _session(options: TrainingOptions, command: str) -> str:
    """The name of a session that was given none: that of the same one if it was interrupted, or a new one."""
    if options.startEpoch > 1:
        raise ArgumentError(f"startEpoch {options.startEpoch} goes on with a session: say which by sessionID")
    found = unfinished_session(options.outPrefix, command)
    while found is None:
        drawn = relja_randomHex(SESSION_DIGITS)
        taken = SessionFiles(options.outPrefix, drawn)
        found = None if taken.epochs() or taken.unfinished.exists() else drawn
    return found


def _goes_on(files: SessionFiles, command: str) -> bool:
    """Whether the session was interrupted while doing the same, and has saved a state."""
    if not files.unfinished.exists() or not files.latest.exists():
        return False
    return json.loads(files.unfinished.read_text()).get("command") == command


def _new(course: Course, options: TrainingOptions, speed: SpeedOptions) -> TrainingState:
    if options.checkpoint0suffix:
        options.checkpoint0suffix += "_"
    names = initial_names(options, course.train_set, course.val_set)
    if not course.trainer.geo_fields:
        del names["geoCenters"]
    for name, value in names.items():
        setattr(options, name, value)
    net = course.build(options)
    options.backPropToLayer = _lowest_layer(net, options.backPropToLayer) + 1
    return _state(course, options, speed, net, {})


def _from_file(
    course: Course,
    files: SessionFiles,
    asked: TrainingOptions,
    speed: SpeedOptions,
    given: Mapping[str, Any],
    epoch: int | None,
) -> TrainingState:
    """The state of a session file: of the epoch, or (None) the latest one, where it was interrupted."""
    variables = files.load(epoch)
    speed = speed.changed({**saved_speed(variables["auxData"].get("deepibl", {})), **given})
    options = TrainingOptions.from_mapping(variables["opts"])
    names = set(OPTION_NAMES if epoch is not None else FREE_OPTIONS) & set(given)
    options = replace(options, **{name: getattr(asked, name) for name in names})
    options = replace(options, sessionID=files.session, outPrefix=files.prefix, useGPU=asked.useGPU)
    net = SimpleNN.from_matlab(variables["net"])
    momentum = take_momentum(net)
    options.backPropToLayer = _lowest_layer(net, options.backPropToLayer) + 1
    if epoch is not None:
        options.startEpoch, options.test0 = asked.startEpoch, False
        _name_features(options, asked, epoch)
    momentum = momentum if epoch is None or course.keep_momentum else {}
    state = _state(course, options, speed, net, momentum)
    restore(state, variables, str(files.latest if epoch is None else files.epoch(epoch)))
    if epoch is not None:
        _stand_after(state, epoch)
    return state


def _stand_after(state: TrainingState, epoch: int) -> None:
    """Puts a state that was read at the end of an epoch, whose features may be gone."""
    if not state.epoch_done and state.batch:
        raise SessionError(
            f"epoch {epoch} of session {state.options.sessionID} was not finished; start the same command "
            f"again to finish it, or give startEpoch {epoch}"
        )
    state.epoch, state.epoch_done, state.complete, state.features = epoch, True, False, None


def _name_features(options: TrainingOptions, asked: TrainingOptions, epoch: int) -> None:
    """Names the files of the features that training goes on from; keeps the names of those before it."""
    options.dbCheckpoint0_orig = options.dbCheckpoint0_orig or options.dbCheckpoint0
    options.qCheckpoint0_orig = options.qCheckpoint0_orig or options.qCheckpoint0
    stem = "_".join([options.dbTrainName, options.netID, options.layerName, options.method, ""])
    stem = f"{options.outPrefix}{stem}{options.checkpoint0suffix}{options.sessionID}_ep{epoch:06d}"
    options.dbCheckpoint0 = asked.dbCheckpoint0 or f"{stem}_db.bin"
    options.qCheckpoint0 = asked.qCheckpoint0 or f"{stem}_q.bin"


def _state(
    course: Course,
    options: TrainingOptions,
    speed: SpeedOptions,
    net: SimpleNN,
    momentum: Mapping[tuple[int, int], torch.Tensor],
) -> TrainingState:
    """A state at the beginning, of a network on the device that the options ask for."""
    unknown = [name for name in options.fixLayers if name not in net.names]
    if unknown:
        raise ArgumentError(f"fixLayers: no layers {', '.join(unknown)}; there are {', '.join(net.names)}")
    first = int(options.backPropToLayer or 1) - 1
    options.backPropToLayerName, options.backPropDepth = net.names[first], len(net) - first
    net = prepare_for_training(net, first)
    take_momentum(net)
    net = net.to("cuda" if options.useGPU and torch.cuda.is_available() else "cpu")
    return TrainingState(
        options,
        Stepper(net, first, options.fixLayers, dict(momentum), speed.trainPrecision),
        rng() if course.generator is None else course.generator,
        [np.zeros(0, dtype=np.int64) for _ in range(course.train_set.numQueries)],
        speed,
        has_geo_fields=course.trainer.geo_fields,
    )


def _lowest_layer(net: SimpleNN, layer: int | str | None) -> int:
    """Position from 0 of the lowest layer that learns, given by name or MATLAB's number; none: the first."""
    if layer is None or layer == "":
        return 0
    if not isinstance(layer, str) and not 1 <= layer <= len(net):
        raise ArgumentError(
            f"backPropToLayer {layer}: the layers are 1 to {len(net)}, or {', '.join(net.names)}"
        )
    return net.index(layer) if isinstance(layer, str) else int(layer) - 1

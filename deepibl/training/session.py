"""A training from the call to the last epoch: started new, gone on with after a kill, or from an epoch."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from deepibl.errors import SessionError
from deepibl.networks.build import prepare_for_training
from deepibl.runtime import processes
from deepibl.runtime.devices import device_for
from deepibl.runtime.processes import Team
from deepibl.training.cached_features import initial_names
from deepibl.training.checkpoints import NO_STATE, SessionFiles, unfinished_session, write_json
from deepibl.training.listeners import TrainingListener
from deepibl.training.loop import train
from deepibl.training.options import (
    FREE_OPTIONS,
    OPTION_NAMES,
    Request,
    SpeedOptions,
    TrainingOptions,
    saved_speed,
)
from deepibl.training.state import TrainingState, restore, take_momentum
from deepibl.training.step import Stepper
from deepibl.training.together import Leading, follow, leading, read_start, tools_of
from deepibl.training.tuples import Trainer
from matlab_compat.errors import ArgumentError
from matlab_compat.files import damage_as
from matlab_compat.relja import relja_randomHex
from matlab_compat.rng import rng
from matlab_compat.simplenn.network import SimpleNN

_log = logging.getLogger(__name__)

SESSION_DIGITS = 4


@dataclass(frozen=True)
class Course:
    """What a training is given: data sets, how to build the network, where random numbers come from.

    build: makes the network with its pooling layers from the options. prefix: what file names begin with
    where the options do not say. keep_momentum: False starts from an epoch with zero momenta, as the
    original does. restart: throws away what the session has, and begins it anew.
    """

    trainer: Trainer
    train_set: Any
    val_set: Any
    build: Callable[[TrainingOptions], SimpleNN]
    prefix: str = ""
    generator: Any = None
    keep_momentum: bool = True
    restart: bool = False


def run_session(
    course: Course, given: Mapping[str, Any], listeners: Iterable[TrainingListener] = ()
) -> TrainingState:
    """Trains as the options in `given` say (of TrainingOptions, SpeedOptions), and returns the final state.

    A session that a kill or an error has ended goes on when the same is asked for again; one that is complete
    is left as it is. With startEpoch > 1 the session sessionID goes on from the end of the epoch before, with
    the options it had, changed by `given`.

    Raises ArgumentError for options that make no sense, SessionError for a session that is running, lacking,
    cannot be saved or has been started with other settings, and what `deepibl.training.train` raises.
    """
    options = TrainingOptions.from_mapping(given)
    options.check()
    speed = SpeedOptions().changed(given)
    options.outPrefix = options.outPrefix or course.prefix
    options.dbTrainName, options.dbValName = course.train_set.name, course.val_set.name
    request = Request.of(course.trainer.name, (course.train_set, course.val_set), given)
    team = processes.team()
    team.same("training", request.text)
    if not team.leads:
        return _follow(course, options.useGPU, team)
    with leading(team) as others:
        return _lead(course, options, speed, given, request, listeners, others)


def _lead(
    course: Course,
    options: TrainingOptions,
    speed: SpeedOptions,
    given: Mapping[str, Any],
    request: Request,
    listeners: Iterable[TrainingListener],
    others: Leading,
) -> TrainingState:
    """The session as process 0 runs it, or the only one."""
    files = SessionFiles(options.outPrefix, options.sessionID or _session(options, request))
    options.sessionID = files.session
    with files.locked():
        state = _state_to_begin_with(course, files, options, speed, given, request)
        files.remove_leftovers()
        others.begin(files, state)
        if state.complete and not files.unfinished.exists():
            _log.info("session %s is complete: nothing to do", files.session)
            return state
        write_json(files.unfinished, {"session": files.session, "command": request.text})
        state.trainer, state.command = course.trainer.name, request.text
        objective = course.trainer.objective(state.options)
        train(state, course.train_set, course.val_set, objective, files, listeners, others)
        files.unfinished.unlink(missing_ok=True)
    return state


def _follow(course: Course, use_gpu: bool, team: Team) -> TrainingState:
    """The session as the processes beyond the first take part in it: a state with the network alone."""
    options, speed, net = read_start(team)
    state = _state(course, replace(options, useGPU=use_gpu), speed, net, {})
    sets = (course.train_set, course.val_set)
    with tools_of(state, course.trainer.objective(options), sets, TrainingListener(), team) as tools:
        follow(team, tools)
    return state


def _state_to_begin_with(
    course: Course,
    files: SessionFiles,
    options: TrainingOptions,
    speed: SpeedOptions,
    given: Mapping[str, Any],
    request: Request,
) -> TrainingState:
    """Where a training begins: at the state that the same request left, at the epoch asked for, or anew."""
    from_epoch = options.startEpoch > 1
    if course.restart:
        if from_epoch:
            raise ArgumentError(
                f"startEpoch {options.startEpoch} goes on with what session {files.session} has, restart "
                "throws it away: give one of them"
            )
        state = _new(course, options, speed)  # first: a network that cannot be made costs nothing
        files.remove()
        return state
    before = files.request_before()
    if before == request.text and (files.unfinished.exists() or not from_epoch):
        return _from_file(course, files, options, speed, given, None)
    if from_epoch:
        return _from_file(course, files, options, speed, given, options.startEpoch - 1)
    if before is not None:
        raise SessionError(_other_settings(files, Request.from_text(before), request))
    files.remove_features()
    return _new(course, options, speed)


def _other_settings(files: SessionFiles, before: Request | None, request: Request) -> str:
    """Why a session that is there is not begun anew, and what can be done."""
    epochs = files.epochs()
    changed = "was not started by this program" if before is None else "was started with other settings"
    listed = "" if before is None else ": " + ", ".join(request.changes(before))
    at = f"epochs {epochs[0]} to {epochs[-1]}" if epochs else "no epochs"
    return (
        f"session {files.session} is there already ({files.latest}; {at}) and {changed}{listed}. Nothing was "
        f"changed. To go on from the end of epoch e with the settings given now, give startEpoch = e + 1; to "
        "train beside it, another sessionID or none; to throw it away and begin anew, restart (--restart)"
    )


def _session(options: TrainingOptions, request: Request) -> str:
    """The name of a session that was given none: that of the same one if it was interrupted, or a new one."""
    if options.startEpoch > 1:
        raise ArgumentError(f"startEpoch {options.startEpoch} goes on with a session: say which by sessionID")
    found = unfinished_session(options.outPrefix, request.text)
    while found is None:
        drawn = relja_randomHex(SESSION_DIGITS)
        taken = SessionFiles(options.outPrefix, drawn)
        found = None if taken.epochs() or taken.unfinished.exists() else drawn
    return found


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
    path = files.latest if epoch is None else files.epoch(epoch)
    with damage_as(SessionError, path, NO_STATE):
        return _from_variables(course, files, (asked, speed), given, epoch, variables)


def _from_variables(
    course: Course,
    files: SessionFiles,
    settings: tuple[TrainingOptions, SpeedOptions],
    given: Mapping[str, Any],
    epoch: int | None,
    variables: Mapping[str, Any],
) -> TrainingState:
    asked, speed = settings
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
    net = net.to(device_for(options.useGPU))
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

"""The seven trainers under their own names: trainGaussKernalInd(dbTrain, dbVal, 'netID', 'vd16', …).

All options (see `deepibl.training.TrainingOptions`, and what the original has not:
`deepibl.training.SpeedOptions`) as keywords or in MATLAB's style. Beside them, as
keywords only: paths (what localPaths takes), generator (where random numbers come from; default: MATLAB's
after start-up), listeners (`deepibl.training.TrainingListener`s; default: what the original prints and
draws), keep_momentum (False: from startEpoch on with zero momenta, as the original), restart (True: throws
away what the session sessionID has), stand_in and weights (see loadNet).
Each trains to the last epoch, going on with a session that was interrupted, and returns the sessionID. A
session that was started with other settings is not begun anew: the error says which they are.

Ported from: deepIBL/train*.m, netvlad/trainWeakly.m

Sessions of training: the best network, its table and curves, clearing up. Epochs count from 1.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.matlab.networks import addLayers, loadNet
from deepibl.networks.torch_backbones import split_for
from deepibl.runtime.paths import localPaths
from deepibl.training.checkpoints import SessionFiles, read_results, read_session_network
from deepibl.training.listeners import TrainingListener, draw_results, plot_training
from deepibl.training.options import OPTION_NAMES, SPEED_OPTION_NAMES, TrainingOptions
from deepibl.training.session import Course, run_session
from deepibl.training.state import Curves, History
from deepibl.training.tuples import TRAINERS
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError
from matlab_compat.matfile.values import scalar, text
from matlab_compat.relja import relja_display
from matlab_compat.rng import Generator, rng
from matlab_compat.simplenn.network import SimpleNN

_NOT_GIVEN = object()


def trainGaussKernalInd(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
    """SARE, Gaussian kernel, each negative apart. Ported from: deepIBL/trainGaussKernalInd.m"""
    return _train("trainGaussKernalInd", dbTrain, dbVal, args, **kwargs)


def trainGaussKernalJoint(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
    """SARE, Gaussian kernel, negatives together. Ported from: deepIBL/trainGaussKernalJoint.m"""
    return _train("trainGaussKernalJoint", dbTrain, dbVal, args, **kwargs)


def trainCauchyKernelInd(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
    """SARE, Cauchy kernel, each negative apart. Ported from: deepIBL/trainCauchyKernelInd.m"""
    return _train("trainCauchyKernelInd", dbTrain, dbVal, args, **kwargs)


def trainCauchyKernelJoint(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
    """SARE, Cauchy kernel, negatives together. Ported from: deepIBL/trainCauchyKernelJoint.m"""
    return _train("trainCauchyKernelJoint", dbTrain, dbVal, args, **kwargs)


def trainExpKernalInd(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
    """SARE, exponential kernel, each negative apart. Ported from: deepIBL/trainExpKernalInd.m"""
    return _train("trainExpKernalInd", dbTrain, dbVal, args, **kwargs)


def trainExpKernalJoint(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
    """SARE, exponential kernel, negatives together. Ported from: deepIBL/trainExpKernalJoint.m"""
    return _train("trainExpKernalJoint", dbTrain, dbVal, args, **kwargs)


def trainWeakly(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
    """NetVLAD's weakly supervised triplet ranking loss. Ported from: netvlad/trainWeakly.m"""
    return _train("trainWeakly", dbTrain, dbVal, args, **kwargs)


def trainer(name: str) -> Callable[..., str]:
    """The trainer of that name in `deepibl.training.tuples`: one of the seven, or of the losses it is compared with.

    Those (contrastive, lifted structure, N-pair, angular) are of deepIBL's history and have no function here.
    Raises ArgumentError for another name.
    """
    if name not in TRAINERS:
        raise ArgumentError(f"there is no trainer {name!r}; there are {', '.join(TRAINERS)}")

    def train(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
        return _train(name, dbTrain, dbVal, args, **kwargs)

    return train


def _train(
    name: str,
    db_train: Any,
    db_val: Any,
    args: tuple[Any, ...],
    *,
    paths: Any = None,
    generator: Any = None,
    listeners: Iterable[TrainingListener] | None = None,
    keep_momentum: bool = True,
    restart: bool = False,
    stand_in: str | None = None,
    weights: str = "pretrained",
    **kwargs: Any,
) -> str:
    """What all trainers do; name: of the trainer in `deepibl.training.tuples`."""
    where = localPaths(paths)

    def build(opts: TrainingOptions) -> SimpleNN:
        split = split_for(opts.netID, opts.backPropToLayer)
        net = loadNet(
            opts.netID, opts.layerName, paths=where, stand_in=stand_in, weights=weights, split=split
        )
        return addLayers(net, opts, db_train, paths=where)

    course = Course(
        TRAINERS[name], db_train, db_val, build, where.outPrefix, generator, keep_momentum, restart
    )
    given = exact_options(args, kwargs)
    if listeners is None:
        from deepibl.training.listeners import usual_listeners

        listeners = usual_listeners()
    return run_session(course, given, listeners).options.sessionID


def exact_options(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a caller gave, under their exact names; ArgumentError for an unknown one."""
    found = options(dict.fromkeys((*OPTION_NAMES, *SPEED_OPTION_NAMES), _NOT_GIVEN), args, kwargs)
    return {name: value for name, value in vars(found).items() if value is not _NOT_GIVEN}


def pickBestNet(
    sessionID: str,
    N: int = 5,
    verbose: int = 2,
    *,
    paths: Any = None,
    outPrefix: str | None = None,
    show: bool = False,
) -> tuple[int, SimpleNN]:
    """The best epoch of a session by validation Recall@N, and its network without momenta.

    verbose: 0 says nothing, 1 prints the original's table, 2 also writes its two figures as PNG beside the
    session's files. outPrefix: if the session was given one; otherwise localPaths'. show: the figures in
    windows, too, as the original does.
    Raises SessionError for a session that is not there or not tested.

    Ported from: netvlad/pickBestNet.m
    """
    files = _files(sessionID, paths, outPrefix)
    results = read_results(files, N)
    if verbose > 0:
        relja_display("%s", results.table())
    if verbose > 1:
        relja_display("figures: %s", ", ".join(map(str, draw_results(results, files, show=show))))
    return results.best, read_session_network(files, results.best)


def cleanup(
    sessionID: str, doDelete: bool = False, *, paths: Any = None, outPrefix: str | None = None
) -> list[Path]:
    """Deletes the files of a session's epochs but the best one's (as pickBestNet says); gives their names.

    Without doDelete it only says which they are.
    Ported from: netvlad/cleanup.m
    """
    files = _files(sessionID, paths, outPrefix)
    results = read_results(files)
    epochs = range(1, len(results.history.val.recall) + 2)
    found = [files.epoch(epoch) for epoch in epochs if epoch != results.best and files.epoch(epoch).exists()]
    for path in found:
        relja_display("%s: %s", "Deleting" if doDelete else "Would delete", path)
        if doDelete:
            path.unlink()
    return found


def plotResults(
    obj: History | Mapping[str, Any],
    opts: TrainingOptions | Mapping[str, Any],
    auxData: Mapping[str, Any] | None = None,
    startVals: Mapping[str, Any] | None = None,
    w: int | None = None,
    *,
    path: str | Path | None = None,
    show: bool = False,
) -> Path:
    """Draws the curves of a training as PNG: obj, opts and auxData of a session's file.

    startVals: results before training, where obj has none. w: batches to smooth the loss over. path: of the
    PNG (default: beside the session's files). show: in a window, too.
    Ported from: netvlad/plotResults.m
    """
    history = obj if isinstance(obj, History) else History.from_matlab(obj)
    options = opts if isinstance(opts, TrainingOptions) else TrainingOptions.from_mapping(opts)
    if startVals is not None and history.pretrain is None:
        history.pretrain = {which: Curves.from_matlab(startVals[which]) for which in ("val", "train")}
    target = path or SessionFiles(options.outPrefix, options.sessionID).plot
    queries = int(scalar(auxData["numTrain"])) if auxData and "numTrain" in auxData else 1
    return plot_training(history, options, target, queries=queries, window=w, show=show)


def saveNet(
    net: SimpleNN | Mapping[str, Any],
    obj: Mapping[str, Any],
    opts: Mapping[str, Any] | TrainingOptions,
    auxData: Mapping[str, Any] | None,
    ID: str,
    description: str = "",
    verbose: bool = False,
    *,
    generator: Generator | None = None,
) -> Path:
    """Writes a session's file <outPrefix><sessionID>_<ID>.mat, as v7, and the same as …_latest.mat.

    ID: 'ep000001_latest' and the like. generator: its state goes into auxData.rngState (default: MATLAB's
    after start-up). The trainers need no call of this: they save by themselves.
    Raises SessionError where it cannot be written. Ported from: netvlad/saveNet.m
    """
    match = re.fullmatch(r"ep(\d{6})_latest", ID)
    if not match:
        raise ArgumentError(f"ID names an epoch, as 'ep000001_latest'; not {ID!r}")
    struct = opts.to_matlab() if isinstance(opts, TrainingOptions) else dict(opts)
    session = text(struct["sessionID"])
    if verbose:
        relja_display("saving net %s %s : %s", session, ID, description)
    state = (generator or rng()).state.reshape(-1, 1)
    aux = {**(auxData or {}), "rngState": {"Type": "twister", "Seed": np.zeros((1, 1)), "State": state}}
    variables = {"net": net.to_matlab() if isinstance(net, SimpleNN) else net, "obj": obj, "opts": struct}
    return SessionFiles(text(struct["outPrefix"]), session).save(int(match[1]), {**variables, "auxData": aux})


def _files(session: str, paths: Any, prefix: str | None) -> SessionFiles:
    return SessionFiles(localPaths(paths).outPrefix if prefix is None else prefix, session)

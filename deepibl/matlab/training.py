"""The seven trainers under their own names: trainGaussKernalInd(dbTrain, dbVal, 'netID', 'vd16', …).

Also what works on their sessions: pickBestNet, cleanup, plotResults, saveNet. Epochs count from 1.

Ported from: deepIBL/train*.m, netvlad/trainWeakly.m
"""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.matlab.networks import netPrepareForTest
from deepibl.matlab.prints import TrainerPrints
from deepibl.runtime.paths import localPaths
from deepibl.training.checkpoints import SessionFiles, read_results, read_session_network
from deepibl.training.listeners import Plotter, draw_results, plot_training
from deepibl.training.options import OPTIONS, TrainingOptions, from_matlab_names
from deepibl.training.session import train
from deepibl.training.state import Curves, History
from matlab_compat.matfile.values import scalar, text
from matlab_compat.relja import relja_display
from matlab_compat.rng import Generator, rng
from matlab_compat.simplenn.network import SimpleNN

# what `deepibl.training.train` takes beside the options, by keyword
_BESIDE = ("listeners", "paths", "generator", "keep_momentum", "restart", "weights")

_HELP = """

    dbTrain, dbVal: the training and the validation set. Options are keywords, or MATLAB's pairs
    ('learningRate', 0.001); their names match in any case. Trains to the last epoch, resuming a session that
    was interrupted, and returns the sessionID. verbose prints as the original does; listeners, if given, are
    in its place. See `deepibl.training.train`, also for the keywords at the end
    and the errors.

    """


def _trainer(name: str, what: str) -> Callable[..., str]:
    """The trainer of that name, with its options in its signature and its help."""

    def trainer(dbTrain: Any, dbVal: Any, *args: Any, **kwargs: Any) -> str:
        beside = {key: kwargs.pop(key) for key in _BESIDE if key in kwargs}
        prints = [TrainerPrints()] if kwargs.pop("verbose", True) else []
        if beside.get("listeners") is None:
            beside["listeners"] = [*prints, Plotter()]
        options = from_matlab_names(args, kwargs)
        return train(dbTrain, dbVal, options.pop("network", None), name, **beside, **options).session

    trainer.__name__ = trainer.__qualname__ = name
    lines = [f"    {each.matlab} = {each.default!r}: {each.help}" for each in OPTIONS.values()]
    trainer.__doc__ = what + _HELP.rstrip(" ") + "\n".join(lines)
    trainer.__signature__ = _signature()  # type: ignore[attr-defined]
    return trainer


def _signature() -> inspect.Signature:
    kinds, types = inspect.Parameter, TrainingOptions.__annotations__
    sets = [kinds(name, kinds.POSITIONAL_OR_KEYWORD, annotation=Any) for name in ("dbTrain", "dbVal")]
    named = [
        kinds(each.matlab, kinds.KEYWORD_ONLY, default=each.default, annotation=types[each.name])
        for each in OPTIONS.values()
    ]
    beside = [kinds("verbose", kinds.KEYWORD_ONLY, default=True, annotation=bool)]
    beside += [inspect.signature(train).parameters[name] for name in _BESIDE]
    given = [*sets, kinds("args", kinds.VAR_POSITIONAL), *named, *beside]
    return inspect.Signature(given, return_annotation=str)


def _sare(name: str, kernel: str, negatives: str) -> Callable[..., str]:
    return _trainer(name, f"SARE, {kernel} kernel, {negatives}. Ported from: deepIBL/{name}.m")


_IND, _JOINT = "each negative by itself", "negatives together"
trainGaussKernalInd = _sare("trainGaussKernalInd", "Gaussian", _IND)
trainGaussKernalJoint = _sare("trainGaussKernalJoint", "Gaussian", _JOINT)
trainCauchyKernelInd = _sare("trainCauchyKernelInd", "Cauchy", _IND)
trainCauchyKernelJoint = _sare("trainCauchyKernelJoint", "Cauchy", _JOINT)
trainExpKernalInd = _sare("trainExpKernalInd", "exponential", _IND)
trainExpKernalJoint = _sare("trainExpKernalJoint", "exponential", _JOINT)
trainWeakly = _trainer(
    "trainWeakly", "NetVLAD's weakly supervised triplet ranking loss. Ported from: netvlad/trainWeakly.m"
)


def pickBestNet(
    sessionID: str,
    N: int = 5,
    verbose: int = 2,
    *,
    paths: Any = None,
    outPrefix: str | None = None,
    show: bool = False,
) -> tuple[int, SimpleNN | None]:
    """The best epoch of a session by validation Recall@N, and its network without momenta.

    verbose: 0 prints nothing, 1 prints the original's table, 2 also writes its two figures as PNG beside the
    session's files. outPrefix: if the session was given one; otherwise localPaths'. show: the figures in
    windows, too, as the original does. The network is None, which is said, where the epoch's file is missing.
    Raises SessionError for a session that does not exist or was not tested.

    Ported from: netvlad/pickBestNet.m
    """
    files = _files(sessionID, paths, outPrefix)
    results = read_results(files, N)
    if verbose > 0:
        relja_display("%s", results.table())
    if verbose > 1:
        relja_display("figures: %s", ", ".join(map(str, draw_results(results, files, show=show))))
    if not files.epoch(results.best).exists():
        relja_display("no network: %s does not exist", files.epoch(results.best))
        return results.best, None
    return results.best, read_session_network(files, results.best)


def cleanup(
    sessionID: str, doDelete: bool = False, *, paths: Any = None, outPrefix: str | None = None
) -> list[Path]:
    """Deletes the files of a session's epochs but the best one's (by pickBestNet); returns their paths.

    Without doDelete it only prints them.
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
    options = opts if isinstance(opts, TrainingOptions) else TrainingOptions.from_matlab(opts)
    if startVals is not None and history.pretrain is None:
        history.pretrain = {which: Curves.from_matlab(startVals[which]) for which in ("val", "train")}
    target = path or SessionFiles(options.output_prefix, options.session).plot
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
    """Writes <outPrefix><sessionID>_<ID>.mat, and the same as …_latest.mat.

    The network is written as netPrepareForTest gives it. ID: 'ep000001_latest' in a training. generator: its
    state goes into auxData.rngState (default: MATLAB's after start-up). The trainers save by themselves.
    Raises SessionError where it cannot be written. Ported from: netvlad/saveNet.m
    """
    struct = opts.to_matlab() if isinstance(opts, TrainingOptions) else dict(opts)
    session = text(struct["sessionID"])
    if verbose:
        relja_display("saving net %s %s : %s", session, ID, description)
    state = (generator or rng()).state.reshape(-1, 1)
    aux = {**(auxData or {}), "rngState": {"Type": "twister", "Seed": np.zeros((1, 1)), "State": state}}
    tested = netPrepareForTest(net if isinstance(net, SimpleNN) else SimpleNN.from_matlab(net))
    variables = {"net": tested.to_matlab(), "obj": obj, "opts": struct, "auxData": aux}
    return SessionFiles(text(struct["outPrefix"]), session).save(ID, variables)


def _files(session: str, paths: Any, prefix: str | None) -> SessionFiles:
    return SessionFiles(localPaths(paths).outPrefix if prefix is None else prefix, session)

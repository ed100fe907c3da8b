"""The seven trainers under their own names: trainGaussKernalInd(dbTrain, dbVal, 'netID', 'vd16', …).

All options (see `deepibl.training.options.TrainingOptions`, and what the original has not:
`deepibl.training.speed.SpeedOptions`) as keywords or in MATLAB's style. Beside them, as
keywords only: paths (what localPaths takes), generator (where random numbers come from; default: MATLAB's
after start-up), listeners (`deepibl.training.events.TrainingListener`s; default: what the original prints and
draws), keep_momentum (False: from startEpoch on with zero momenta, as the original), restart (True: throws
away what the session sessionID has), stand_in and weights (see loadNet).
Each trains to the last epoch, going on with a session that was interrupted, and returns the sessionID. A
session that was started with other settings is not begun anew: the error says which they are.

Ported from: deepIBL/train*.m, netvlad/trainWeakly.m
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deepibl.matlab.networks import addLayers, loadNet
from deepibl.paths import localPaths
from deepibl.torch_network import split_for
from deepibl.trainers import TRAINERS
from deepibl.training.events import TrainingListener
from deepibl.training.options import OPTION_NAMES, TrainingOptions
from deepibl.training.session import Course, run_session
from deepibl.training.speed import SPEED_OPTION_NAMES
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn import SimpleNN

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
    """The trainer of that name in `deepibl.trainers`: one of the seven, or of the losses it is compared with.

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
    """What all trainers do; name: of the trainer in `deepibl.trainers`."""
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
        from deepibl.training.console import usual_listeners

        listeners = usual_listeners()
    return run_session(course, given, listeners).options.sessionID


def exact_options(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a caller gave, under their exact names; ArgumentError for an unknown one."""
    found = options(dict.fromkeys((*OPTION_NAMES, *SPEED_OPTION_NAMES), _NOT_GIVEN), args, kwargs)
    return {name: value for name, value in vars(found).items() if value is not _NOT_GIVEN}

"""The original's seven trainers, and the four of its history: a table of what each minimises."""

from collections.abc import Callable

from deepibl.losses import AngularLoss, ContrastiveLoss, LiftedStructureLoss, NPairLoss, TupleLoss
from deepibl.objectives import Objective, ObjectiveMaker, sare, weakly
from deepibl.training.session import Trainer


def baseline(loss: Callable[[], TupleLoss]) -> ObjectiveMaker:
    """A loss that the paper compares SARE with, at its own settings; every mined negative is in the tuple.

    Ported from: deepIBL/trainContrastiveLoss.m and its siblings (history, before 2019-07-25)
    """
    return lambda options: Objective(loss(), exclude_very_hard=options.excludeVeryHard)


TRAINERS = {
    each.name: each
    for each in (
        Trainer("trainGaussKernalInd", sare("gauss", "ind"), geo_fields=True),
        Trainer("trainGaussKernalJoint", sare("gauss", "joint"), geo_fields=True),
        Trainer("trainCauchyKernelInd", sare("cauchy", "ind")),
        Trainer("trainCauchyKernelJoint", sare("cauchy", "joint")),
        Trainer("trainExpKernalInd", sare("exp", "ind"), geo_fields=True),
        Trainer("trainExpKernalJoint", sare("exp", "joint"), geo_fields=True),
        Trainer("trainWeakly", weakly),
        Trainer("trainContrastive", baseline(ContrastiveLoss)),
        Trainer("trainLiftStruct", baseline(LiftedStructureLoss)),
        Trainer("trainNpairLoss", baseline(NPairLoss)),
        Trainer("trainAngularLoss", baseline(AngularLoss)),
    )
}

# what the command line calls their losses
LOSSES = {
    "gauss-ind": "trainGaussKernalInd",
    "gauss-joint": "trainGaussKernalJoint",
    "cauchy-ind": "trainCauchyKernelInd",
    "cauchy-joint": "trainCauchyKernelJoint",
    "exp-ind": "trainExpKernalInd",
    "exp-joint": "trainExpKernalJoint",
    "weakly": "trainWeakly",
    "contrastive": "trainContrastive",
    "lifted": "trainLiftStruct",
    "npair": "trainNpairLoss",
    "angular": "trainAngularLoss",
}

"""The original's seven trainers, and the contrastive one of its history: a table of what each minimises."""

from deepibl.losses import ContrastiveLoss
from deepibl.objectives import Objective, sare, weakly
from deepibl.training.options import TrainingOptions
from deepibl.training.session import Trainer


def contrastive(options: TrainingOptions) -> Objective:
    """The contrastive loss with its own margin of 0.7, as in the paper; every negative is in the tuple.

    Ported from: deepIBL/trainContrastiveLoss.m (history, before 2019-07-25)
    """
    return Objective(ContrastiveLoss(), exclude_very_hard=options.excludeVeryHard)


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
        Trainer("trainContrastive", contrastive),
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
}

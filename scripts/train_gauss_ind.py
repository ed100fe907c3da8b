"""deepIBL's README script, line by line: trains SARE (Our-Ind.) on Pitts30k and shows the best epoch.

python scripts/train_gauss_ind.py                    # as published; paths by localPaths
python scripts/train_gauss_ind.py nEpoch=1 doDraw=false
                                                     # any option of the trainers may be changed
torchrun --nproc-per-node 4 scripts/train_gauss_ind.py
                                                     # the same training by four processes (docs/scale.md)
"""

import argparse
from typing import Any

from deepibl import dbPitts, pickBestNet, setup, trainGaussKernalInd
from deepibl.runtime import team
from matlab_compat.arguments import typed_options


def main(**changes: Any) -> str:
    """Trains and returns the sessionID; changes: options other than the README's."""
    leads = team().leads  # of the processes that torchrun started, one speaks

    if leads:
        setup()

    doPitts250k = False

    lr = 0.001

    dbTrain = dbPitts(doPitts250k, "train")

    dbVal = dbPitts(doPitts250k, "val")

    # SARE with the Gaussian kernel (Our-Ind.)

    options = {
        "netID": "vd16", "layerName": "conv5_3", "backPropToLayer": "conv5_1",
        "method": "vlad_preL2_intra",
        "learningRate": lr,
        "doDraw": True,
    }  # fmt: skip
    sessionID = trainGaussKernalInd(dbTrain, dbVal, **{**options, **changes})

    if leads:
        pickBestNet(sessionID)
    return sessionID


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("options", nargs="*", metavar="NAME=VALUE", help="options of the trainers to change")
    main(**typed_options(parser.parse_args().options))

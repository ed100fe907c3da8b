"""deepIBL's README script, line by line: trains SARE (Our-Ind.) on Pitts30k and shows the best epoch.

python scripts/train_gauss_ind.py                    # as published; paths by localPaths
python scripts/train_gauss_ind.py nEpoch=1 doDraw=false
                                                     # any option of the trainers may be changed
python scripts/train_gauss_ind.py --train DIR --val DIR netID=FILE.mat
                                                     # photos of your own: folders with database/ and
                                                     # queries/, or CSV files (--train-queries …)
torchrun --nproc-per-node 4 scripts/train_gauss_ind.py
                                                     # the same training by four processes (docs/scale.md)
"""

import argparse
from typing import Any

from deepibl import dbPitts, pickBestNet, setup, trainGaussKernalInd
from deepibl.datasets import training_datasets
from deepibl.runtime import team
from deepibl.training.options import WORDS
from matlab_compat.arguments import typed_options
from matlab_compat.files import StrPath


def main(
    train: StrPath | None = None,
    val: StrPath | None = None,
    queries: tuple[StrPath | None, StrPath | None] = (None, None),
    root: StrPath | None = None,
    **changes: Any,
) -> str:
    """Trains and returns the sessionID.

    train, val, queries, root: other data sets than Pitts30k, see `deepibl.datasets.training_datasets`.
    changes: options other than the README's.
    """
    leads = team().leads  # of the processes that torchrun started, one speaks

    if leads:
        setup()
    doPitts250k = False
    lr = 0.001
    if train is None and val is None:
        dbTrain = dbPitts(doPitts250k, "train")
        dbVal = dbPitts(doPitts250k, "val")
    else:
        dbTrain, dbVal = training_datasets("", root, train, val, queries)

    # SARE with the Gaussian kernel (Our-Ind.)
    options = {
        "netID": "vd16",
        "layerName": "conv5_3",
        "backPropToLayer": "conv5_1",
        "method": "vlad_preL2_intra",
        "learningRate": lr,
        "doDraw": True,
    }
    sessionID = trainGaussKernalInd(dbTrain, dbVal, **{**options, **changes})
    if leads:
        pickBestNet(sessionID)
    return sessionID


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("options", nargs="*", metavar="NAME=VALUE", help="options of the trainers to change")
    for split in ("train", "val"):
        parser.add_argument(f"--{split}", metavar="SOURCE", help=f"{split} set: folder, CSV or dbStruct")
        parser.add_argument(f"--{split}-queries", metavar="SOURCE", help="its queries: folder or CSV")
    parser.add_argument("--root", metavar="DIR", help="folder of the images of a dbStruct")
    given = parser.parse_args()
    queries = given.train_queries, given.val_queries
    main(given.train, given.val, queries, given.root, **typed_options(given.options, WORDS))

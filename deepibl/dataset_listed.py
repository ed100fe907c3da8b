"""Data sets whose ground truth lists the correct images of each query, as San Francisco's (Sf-0) does."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepibl.datasets import PlaceDataset
from deepibl.errors import DatasetError


class ListedPositives(PlaceDataset):
    """A data set that lists the positives of each query; who is near a database image still goes by position.

    posIDs: for each query its positives' 0-based ids, in the order in which training takes them.
    Errors: DatasetError for another number of lists than queries, or ids that no image has.
    """

    def __init__(self, name: str, *args: Any, posIDs: Sequence[Any], **fields: Any) -> None:
        super().__init__(name, *args, **fields)
        self.posIDs = [np.asarray(ids, dtype=np.int64).ravel() for ids in posIDs]
        if len(self.posIDs) != self.numQueries:
            raise DatasetError(f"{name}: posIDs holds {len(self.posIDs)} lists for {self.numQueries} queries")
        for query, ids in enumerate(self.posIDs):
            if ids.size and not 0 <= ids.min() <= ids.max() < self.numImages:
                raise DatasetError(
                    f"{name}: query {query} ({self.qImageFns[query]}) lists an id outside "
                    f"0 … {self.numImages - 1} (in a .mat file ids start at 1)"
                )

    def getPosIDs(self, iQuery: int) -> np.ndarray:
        return self.posIDs[iQuery]

    def isPosQ(self, iQuery: int, iDb: Any) -> np.ndarray:
        return np.isin(np.asarray(iDb), self.posIDs[iQuery])

    def nontrivialPosQ(self, iQuery: int) -> np.ndarray:
        return self.posIDs[iQuery]

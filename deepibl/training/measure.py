"""The test of a network in training: recall and rank loss of cached features."""

from typing import Any

import numpy as np

from deepibl.evaluation import recall_at_n
from deepibl.evaluation_rank import rank_loss
from deepibl.training.options import TrainingOptions


def measure(
    dataset: Any, features: tuple[np.ndarray, np.ndarray], options: TrainingOptions, generator: Any
) -> tuple[np.ndarray, float]:
    """Recall@N (R,) for the options' recallNs, and the rank loss with their margin.

    features: (queries (Q, D), database (N, D)). Draws from the generator, and puts its state back.
    Ported from: netvlad/testNet.m
    """
    queries, database = features
    ranked = rank_loss(
        queries,
        database,
        dataset,
        options.margin,
        options.nNegChoice,
        n_sample=options.nTestRankSample,
        generator=generator,
    )
    found = recall_at_n(
        queries, database, dataset, options.recallNs, n_sample=options.nTestSample, generator=generator
    )
    return found.recalls, ranked.loss

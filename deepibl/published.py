"""Published figures, to set beside measured ones: Recall@1, 5, 10, by data set and method.

All of them after PCA whitening to 4096 dimensions, trained on Pitts30k-train; from the SARE paper's
tables, but where `note` says otherwise. Nothing here was measured by this project.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

NS = (1, 5, 10)


@dataclass(frozen=True)
class Published:
    """recalls: method -> {N: Recall@N, 0 to 1}; note: what has to be known to compare with them."""

    recalls: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    note: str = ""


_WHITENED = "Published for networks trained on Pitts30k-train, whitened to 4096 dimensions (SARE paper)."


def _table(*rows: tuple[str, float, float, float]) -> Published:
    return Published(
        {name: dict(zip(NS, (value / 100 for value in values), strict=True)) for name, *values in rows},
        _WHITENED,
    )


PUBLISHED: Mapping[str, Published] = {
    "pitts250k_test": _table(
        ("SARE Our-Ind.", 88.97, 95.50, 96.79),
        ("SARE Our-Joint", 88.43, 95.06, 96.58),
        ("CRN", 85.50, 93.50, 95.50),
        ("NetVLAD", 85.95, 93.20, 95.13),
    ),
    "tokyoTM_val": _table(
        ("SARE Our-Ind.", 94.49, 96.73, 97.30),
        ("SARE Our-Joint", 94.71, 96.87, 97.51),
        ("NetVLAD", 93.85, 96.77, 97.59),
    ),
    "tokyo247": _table(
        ("SARE Our-Ind.", 79.68, 86.67, 90.48),
        ("SARE Our-Joint", 80.63, 87.30, 90.79),
        ("CRN", 75.20, 83.80, 87.30),
        ("NetVLAD", 73.33, 82.86, 86.03),
    ),
    "sf0": _table(
        ("SARE Our-Ind.", 80.60, 86.70, 89.01),
        ("SARE Our-Joint", 77.75, 85.07, 87.52),
        ("NetVLAD", 75.58, 83.31, 85.21),
    ),
    "pitts30k_val": Published(
        {
            "deepIBL's log, off the shelf": {1: 0.80, 5: 0.93, 10: 0.96},
            "deepIBL's log, trained": {1: 0.89, 5: 0.97, 10: 0.98},
        },
        "From the training log in deepIBL's README (session 53e0, best epoch 4 of 7): not whitened, "
        "two decimals.",
    ),
}


def published_for(dataset: str) -> Published:
    """What is published for a data set by its name here (pitts250k_test, tokyo247 …); empty for others."""
    return PUBLISHED.get(dataset.replace("/", "_"), Published())

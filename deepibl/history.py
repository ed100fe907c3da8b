"""The curves of a training: batch losses, recalls, rank losses, as MATLAB keeps them (`obj`) and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Curves:
    """One data set's curves; recall and rankloss have one entry a test, loss one a batch (training set only).

    recall: arrays (R,) of recall@N for the session's recallNs, 0 to 1. rankloss: the margin loss of tuples.
    """

    loss: list[float] = field(default_factory=list)
    recall: list[np.ndarray] = field(default_factory=list)
    rankloss: list[float] = field(default_factory=list)

    def add_test(self, recall: np.ndarray, rankloss: float) -> None:
        """Notes the outcome of one test."""
        self.recall.append(np.asarray(recall, dtype=np.float64).ravel())
        self.rankloss.append(float(rankloss))

    def to_matlab(self, geoloss: bool) -> dict[str, Any]:
        """MATLAB's struct: loss 1 x batches, recall R x tests, rankloss 1 x tests, [] where there is none."""
        recall = np.stack(self.recall, axis=1) if self.recall else np.zeros((0, 0))
        struct = {"loss": _row(self.loss), "recall": recall, "rankloss": _row(self.rankloss)}
        return {**struct, "geoloss": np.zeros((0, 0))} if geoloss else struct

    @classmethod
    def from_matlab(cls, struct: Mapping[str, Any]) -> "Curves":
        """From MATLAB's struct; missing fields are empty."""
        recall = np.asarray(struct.get("recall", np.zeros((0, 0))), dtype=np.float64)
        return cls(
            _numbers(struct.get("loss")),
            [column.copy() for column in recall.T] if recall.size else [],
            _numbers(struct.get("rankloss")),
        )


@dataclass
class History:
    """The curves of training and validation set, and the test before training, if there was one."""

    train: Curves = field(default_factory=Curves)
    val: Curves = field(default_factory=Curves)
    pretrain: dict[str, Curves] | None = None  # 'train' and 'val', one test each

    def to_matlab(self, geoloss: bool = False) -> dict[str, Any]:
        """The struct `obj` of a session file; geoloss: with the empty field that four of the trainers add."""
        struct: dict[str, Any] = {"train": self.train.to_matlab(geoloss), "val": self.val.to_matlab(geoloss)}
        if self.pretrain is not None:
            struct["pretrain"] = {
                which: {
                    "recall": self.pretrain[which].recall[0].reshape(-1, 1),
                    "rankloss": _row(self.pretrain[which].rankloss),
                }
                for which in ("val", "train")
            }
        return struct

    @classmethod
    def from_matlab(cls, struct: Mapping[str, Any]) -> "History":
        """From the struct `obj` of a session file; a test before training that names no recall is none."""
        held = struct.get("pretrain") or {}
        pretrain = {which: Curves.from_matlab(held[which]) for which in ("val", "train") if which in held}
        tested = len(pretrain) == 2 and all(curves.recall for curves in pretrain.values())
        return cls(
            Curves.from_matlab(struct["train"]),
            Curves.from_matlab(struct["val"]),
            pretrain if tested else None,
        )

    def to_json(self, recall_ns: Sequence[int], test_frequency: int = 1) -> dict[str, Any]:
        """Plain data for other tools: losses of batches; tests as {epoch, recall: {N: r}, rankloss}."""
        plain: dict[str, Any] = {"loss": list(self.train.loss)}
        for which, curves in (("train", self.train), ("val", self.val)):
            before = self.pretrain[which] if self.pretrain else Curves()
            plain[which] = [
                *_tests(before, [0], recall_ns),
                *_tests(curves, [(i + 1) * test_frequency for i in range(len(curves.recall))], recall_ns),
            ]
        return plain


def _tests(curves: Curves, epochs: Sequence[int], recall_ns: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "recall": {str(n): float(value) for n, value in zip(recall_ns, recall, strict=True)},
            "rankloss": rankloss,
        }
        for epoch, recall, rankloss in zip(epochs, curves.recall, curves.rankloss, strict=False)
    ]


def _row(values: Sequence[float]) -> np.ndarray:
    return np.array([values], dtype=np.float64) if len(values) else np.zeros((0, 0))


def _numbers(value: Any) -> list[float]:
    return [] if value is None else [float(number) for number in np.asarray(value).ravel()]

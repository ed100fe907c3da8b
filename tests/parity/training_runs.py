"""The golden training runs, and how they are run again here: the original's draws, in their order."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.place import PlaceDataset
from deepibl.matlab import training as trainers
from deepibl.training.checkpoints import SessionFiles
from deepibl.training.listeners import TrainingListener
from deepibl.training.tuples import TRAINERS
from matlab_compat import matfile
from matlab_compat.matfile.values import cell_list
from tests.golden_data import golden_files
from tests.replay import Replay

RUNS = golden_files("train/run_*.mat")
Pair = tuple[Tensor, Tensor]
RESUMED = re.compile(r"run_(.+)_resumed_ep(\d+)")


@dataclass
class Watch(TrainingListener):
    """Notes what a training does: tuples, and the state after every batch."""

    tuples: list[Any] = field(default_factory=list)
    pairs: list[int] = field(default_factory=list)
    state: Any = None
    batches: list[dict[str, Any]] = field(default_factory=list)

    def started(self, state):
        self.state = state

    def tuple_done(self, state, mined, outcome):
        self.tuples.append(mined)
        self.pairs.append(outcome.pairs)

    def batch_done(self, state, report):
        weights = {key: weight.detach().cpu().clone() for key, weight in weights_of(state).items()}
        momenta = {key: value.cpu().clone() for key, value in state.stepper.momentum.items()}
        caches = [ids.copy() for ids in state.negative_caches]
        self.batches.append(
            {"report": report, "weights": weights, "momenta": momenta, "caches": caches, "order": state.order}
        )


@dataclass
class Nudged(Watch):
    """Changes the last digit of about two thirds of the weights before training."""

    seed: int = 1

    def started(self, state):
        super().started(state)
        draws = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for weight in weights_of(state).values():
                weight.mul_(1 + 2**-24 * torch.randint(-1, 2, weight.shape, generator=draws).float())


@dataclass
class Outcome:
    """A golden run (`want`), what came of it here, and where."""

    want: dict[str, Any]
    watch: Watch
    replay: Replay
    folder: Path
    session: str
    run: str

    @property
    def files(self) -> SessionFiles:
        """The session's files."""
        return SessionFiles(f"{self.folder}/", self.session)


def prepare(path: Path, folder: Path, golden: Path) -> None:
    """Copies what a golden training begins with to a folder."""
    for name in ("initdata", "pretrained"):
        shutil.copytree(golden / "train" / name, folder / name)
    resumed = RESUMED.fullmatch(path.stem)
    if resumed:
        before = matfile.load(path.with_name(f"run_{resumed[1]}.mat"))
        write_checkpoint(folder, matfile.load(path), before, int(resumed[2]))


def run(path: Path, folder: Path, golden: Path, watch: Watch | None = None, **speed: Any) -> Outcome:
    """Runs a golden training in a folder, from copies of the golden files.

    speed: options beside those of the run.
    """
    prepare(path, folder, golden)
    return run_prepared(path, folder, golden, watch, **speed)


def run_prepared(path: Path, folder: Path, golden: Path, watch: Watch | None = None, **speed: Any) -> Outcome:
    """As `run`, in a folder that is prepared."""
    watch = watch or Watch()
    want = matfile.load(path)
    train = golden / "train"
    paths = {
        "pretrainedCNNs": str(folder / "pretrained"),
        "initData": str(folder / "initdata"),
        "outPrefix": f"{folder}/",
    }
    sets = golden_sets(train)
    resumed = RESUMED.fullmatch(path.stem)
    log = zip(
        cell_list(want["draws"]), cell_list(want["draws_tag"]), cell_list(want["draws_stack"]), strict=True
    )
    replay = Replay(_draws([(draw, tag) for draw, tag, stack in log if "getClusters" not in stack]))
    session = getattr(trainers, trainer_name(path.stem))(
        *sets,
        *cell_list(want["args"]),
        paths=paths,
        generator=replay,
        listeners=[watch],
        **speed,
        keep_momentum=not resumed,
    )
    return Outcome(want, watch, replay, folder, session, path.stem.removeprefix("run_"))


def tensors(outcome: Outcome, found: Mapping[tuple[int, int], Tensor], cells: Any) -> list[Pair]:
    """Weights or momenta by layer and number, each beside the original's."""
    pairs = beside(outcome.watch.state, found, cells)
    assert len(pairs) == len(found)
    return pairs


def beside(state: Any, found: Mapping[tuple[int, int], Tensor], cells: Any) -> list[Pair]:
    """The tensors found, each with the original's in its shape; what was not found is left out."""
    pairs = []
    for layer, arrays in enumerate(cell_list(cells)):
        for index, array in enumerate(cell_list(arrays)):
            if (layer, index) in found:
                have = found[layer, index]
                want = state.net.layers[layer].weight_specs[index].kind.to_torch(np.asarray(array))
                pairs.append((have, want.reshape(have.shape)))
    return pairs


def weights_of(state: Any) -> dict[tuple[int, int], Tensor]:
    """A network's weights by layer and number."""
    layers = enumerate(state.net.layers)
    return {(i, j): w for i, layer in layers for j, w in enumerate(layer.weights) if w is not None}


def golden_sets(train: Path) -> list[PlaceDataset]:
    """The training and the validation set of the golden runs."""
    found = []
    for file in sorted((train / "datasets").glob("*.mat"), key=lambda file: "val" in file.stem):
        data = train / "data" / file.stem
        found.append(load_dbstruct(file, database_root=data / "images", query_root=data / "queries"))
    return found


def trainer_name(stem: str) -> str:
    """The trainer of a run: run_ExpInd.mat is of trainExpKernalInd."""
    kind = re.fullmatch(r"run_([A-Za-z]+?)(VH)?(_.*)?", stem)[1]
    parts = re.fullmatch(r"(.+?)(Ind|Joint)?", kind)
    (name,) = [
        name for name in TRAINERS if re.fullmatch(rf"train{parts[1]}(Kern[ae]l)?{parts[2] or ''}", name)
    ]
    return name


def write_checkpoint(folder: Path, want: dict[str, Any], before: dict[str, Any], epoch: int) -> None:
    """The session file that the original went on from, put together from the run before."""
    opts = dict(want["opts"])
    for name in ("qCheckpoint0", "dbCheckpoint0"):
        opts[name] = opts.pop(f"{name}_orig")
    opts |= {"test0": np.array([[True]]), "startEpoch": np.array([[1.0]])}
    caches = [np.zeros((0, 0)) for _ in cell_list(want["negCache"])]
    batches = [b for b in items(before["batches"]) if matfile.scalar(b["iEpoch"]) < epoch]
    for query in items(before["queries"]):
        if matfile.scalar(query["iEpoch"]) < epoch:
            caches[int(matfile.scalar(query["qID"])) - 1] = query["negCache"]
    obj = {which: dict(value) for which, value in before["obj"].items()}
    obj["train"]["loss"] = obj["train"]["loss"][:, : len(batches)]
    for which in ("train", "val"):
        for curve in ("recall", "rankloss"):
            obj[which][curve] = obj[which][curve][:, : epoch - 1]
    aux = {
        "epochStartTime": np.array([["x"] * (epoch - 1)], dtype=object),
        "numTrain": np.array([[float(len(caches))]]),
        "negCache": _column(caches),
    }
    target = folder / f"{matfile.text(opts['sessionID'])}_ep{epoch - 1:06d}_latest.mat"
    matfile.save(target, {"net": before[f"net_ep{epoch - 1}"], "obj": obj, "opts": opts, "auxData": aux})


def items(structs: Any) -> list[dict[str, Any]]:
    """A struct array as a list; a single struct as a list of one."""
    return [structs] if isinstance(structs, dict) else list(structs)


def _draws(log: list[tuple[Any, str]]) -> list[tuple[int, int, Any]]:
    wanted = [(draw, tag) for draw, tag in log if tag in ("randsample", "randperm", "rand")]
    return [(int(matfile.scalar(d["n"])), int(matfile.scalar(d.get("k", d["n"]))), d["y"]) for d, _ in wanted]


def _column(values: list[Any]) -> np.ndarray:
    cell = np.empty((len(values), 1), dtype=object)
    for i, value in enumerate(values):
        cell[i, 0] = value
    return cell

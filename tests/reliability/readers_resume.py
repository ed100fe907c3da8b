"""Readers of what a killed run leaves behind: sessions, notes of unfinished work, journals, maps.

What a damaged journal or map says is not believed: the work is done again. That is checked, not only that
nothing is raised.
"""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

PLACE = Path("../seeds/place")  # beside the folder that a worker runs in; see worker


@cache
def _place() -> Any:
    from tests.tiny_training import Workplace

    return Workplace(PLACE.resolve())


def resume_session(path: Path) -> object:
    """The curves and the network of a session's file, and a training that goes on from it."""
    from deepibl.errors import DeepIBLError
    from deepibl.training.checkpoints import SessionFiles, read_results, read_session_network
    from deepibl.training.listeners import TrainingListener
    from matlab_compat.errors import MatlabCompatError

    class Stop(TrainingListener):
        def started(self, state: Any) -> None:
            raise DeepIBLError("the training would go on here")

    folder = path.with_name("out")
    folder.mkdir()
    for name in ("run_latest.mat", "run_ep000001_latest.mat"):
        shutil.copyfile(path, folder / name)
    files = SessionFiles(f"{folder}/", "run")
    errors: list[MatlabCompatError] = []
    for step in (
        lambda: read_results(files, 1).table(),
        lambda: read_session_network(files, 1),
        lambda: _place().train(Stop(), sessionID="run", startEpoch=2, nEpoch=2, outPrefix=f"{folder}/"),
    ):
        try:
            step()
        except MatlabCompatError as error:
            errors.append(error)
    if len(errors) == 3:  # the last one always stops
        raise errors[0]
    return None


def find_unfinished(path: Path) -> object:
    """The session that an unfinished note is about."""
    from deepibl.training.checkpoints import unfinished_session
    from deepibl.training.options import Request

    path.rename(path.with_name("run_unfinished.json"))
    return unfinished_session(f"{path.parent}/", Request("trainWeakly", ("a", "b"), {}))


def continue_features(path: Path) -> object:
    """An extraction that goes on: groups count as done only where the file holds them."""
    from deepibl.features.partial import PartialFeatures
    from deepibl.runtime.provenance import Provenance

    rows = np.arange(18, dtype="<f4")
    path.with_name("f.bin.part").write_bytes(rows.tobytes())
    path.rename(path.with_name("f.bin.part.json"))
    with PartialFeatures(path.with_name("f.bin"), Provenance("n"), 6, 2) as partial:
        for number, group in enumerate(partial.groups):
            if number not in partial.done:
                partial.write(number, list(group), rows.reshape(6, 3)[group.start : group.stop])
        partial.finish(list(range(6)), [""] * 6)
    assert path.with_name("f.bin").read_bytes() == rows.tobytes()
    return None


def continue_maps(path: Path) -> object:
    """A backbone cache that goes on: a map whose checksum is wrong is not there."""
    from deepibl.features.backbone_store import FileStore

    folder = path.with_name("store")
    folder.mkdir()
    path.rename(folder / "k.npy")
    store = FileStore(folder, torch.float32, 10**6)
    kept = store.get("k")
    assert kept is None or torch.equal(kept, torch.arange(6.0).view(2, 3))
    store.put("new", torch.ones(2, 3))
    found = store.get("new")
    assert found is not None and (found == 1).all()
    store.close(keep=False)
    return None

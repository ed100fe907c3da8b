"""Good files of every kind that is read, from which bad ones are made: KIND/NAME below one folder.

From tests/golden and tests/unit/matlab_compat/matfile_objects (files that are small), from the writers
of this project and of others; with `real`, also files that MATLAB wrote.
"""

import csv
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
import torch
from PIL import Image

from deepibl.features.backbone_store import FileStore
from deepibl.features.files import write_features
from deepibl.images import Reading
from deepibl.networks.io import read_mat_network, write_network
from deepibl.report.run import collect, write_run
from deepibl.runtime.provenance import Provenance, digest_of
from deepibl.search.index import PlaceIndex
from deepibl.training.options import Request
from matlab_compat import matfile
from tests.golden_data import GOLDEN
from tests.released_layout import FILES, write_released
from tests.reliability.crafted_mat import HAS_MATIO
from tests.reports import evaluation
from tests.tiny_training import Workplace

LARGEST = 64 * 1024
UNIT = Path(__file__).resolve().parents[1] / "unit"
PATHS_M = """function paths= localPaths()
    % where everything lies
    base= fullfile(getenv('HOME'), "data");
    paths.dsetRootPitts= [base, '/Pittsburgh/'];
    paths.dsetRootTokyo247= fullfile(base, 'Tokyo247', '');
    %{
    paths.unused= 3;
    %}
    paths.ourCNNs= strcat(base, '/models/', ... continued
        'ours/');
    paths.outPrefix= relja_expandUser('~/out/');
end
"""
PATHS_TOML = """# where everything lies
[paths]
dsetRootPitts = "~/Databases/Pittsburgh/"
ourCNNs = 'models'
outPrefix = "output/run_"
"""


def make_seeds(folder: Path, real: Path | None = None) -> None:
    """Writes all seeds below a folder; real: a folder of files written by MATLAB, walked through."""
    golden = sorted(path for path in GOLDEN.rglob("*.mat") if path.stat().st_size <= LARGEST)
    picked = golden[::4]
    _copy(folder / "mat5", [path for path in picked if not _is_hdf5(path)])
    _copy(folder / "mat73", [path for path in golden if _is_hdf5(path)])
    _copy(
        folder / "network",
        [path for path in golden if path.parent.name in ("nets", "dagnn") and _is_net(path)],
    )
    _copy(folder / "dbstruct", [path for path in (GOLDEN / "datasets").glob("*.mat") if _is_small_set(path)])
    _copy(folder / "image", sorted((GOLDEN / "imread" / "jpg").glob("*.jpg"))[::3])
    _copy(folder / "script", sorted((UNIT / "migrate" / "matlab_scripts").glob("*.m")))
    _mat_files(folder)
    _class_objects(folder)
    _networks(folder)
    _pictures(folder / "image")
    _features(folder)
    _texts(folder)
    _training(folder)
    if real is not None:
        found = sorted(path for path in real.rglob("*.mat") if path.stat().st_size <= LARGEST)
        _copy(folder / "mat73", [path for path in found if _is_hdf5(path)])
        _copy(folder / "mcos", [path for path in found if not _is_hdf5(path)])


def _copy(folder: Path, paths: Iterable[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copyfile(path, folder / f"{path.parent.name}_{path.name}")


def _is_hdf5(path: Path) -> bool:
    return b"\x89HDF" in path.read_bytes()[:516]


def _is_net(path: Path) -> bool:
    return path.stem in ("tiny", "tinyold") or path.stem.startswith("net_") or path.stem.endswith("_net")


def _is_small_set(path: Path) -> bool:
    return path.stat().st_size <= LARGEST and not path.stem.endswith("_out") and path.stem != "sampleNegs"


def _mat_files(folder: Path) -> None:
    (folder / "mat4").mkdir()
    plain: dict[str, Any] = {"a": np.arange(12.0).reshape(3, 4), "b": np.array([[1 + 2j, 3]]), "t": "text"}
    sparse = scipy.sparse.csc_matrix(np.diag([1.0, 0, 3]))
    scipy.io.savemat(folder / "mat4" / "plain.mat", plain, format="4")
    scipy.io.savemat(
        folder / "mat4" / "sparse.mat", {"s": sparse, "i": np.ones((2, 3), np.int16)}, format="4"
    )
    cell = np.empty((2, 2), dtype=object)
    cell[:] = [["a", np.ones((2, 3))], [{"x": 1}, np.array([True])]]
    other = {
        "s": sparse,
        "c": cell,
        "logical": np.array([True]),
        "st": {"a": {"b": [1, 2]}, "n": "n"},
        "text": "ü",
    }
    for name, packed in (("packed", True), ("unpacked", False)):
        scipy.io.savemat(folder / "mat5" / f"{name}.mat", {**plain, **other}, do_compression=packed)


def _class_objects(folder: Path) -> None:
    _copy(folder / "mcos", (UNIT / "matlab_compat" / "matfile_objects").glob("*.mat"))
    for path in write_released(folder / "made", tuple(FILES) if HAS_MATIO else ("struct",), small=True):
        where = "network" if path.stem.endswith("struct") else "mcos"
        path.rename(folder / where / path.name)
    (folder / "made").rmdir()


def _networks(folder: Path) -> None:
    (folder / "safetensors").mkdir()
    for name in ("nets_tiny", "dagnn_branches_net", "nets_net_vlad_preL2_intra", "released_struct"):
        path = folder / "network" / f"{name}.mat"
        if path.exists():
            write_network(read_mat_network(path), folder / "safetensors" / f"{name}.safetensors")
    (folder / "torch").mkdir()
    draws = torch.Generator().manual_seed(0)
    state = {
        f"features.{n}.{kind}": torch.randn(3, 3, generator=draws)
        for n in (0, 2)
        for kind in ("weight", "bias")
    }
    torch.save(state, folder / "torch" / "state.pth")
    wrapped = {"state_dict": state, "epoch": 3, "best_recall5": np.float64(0.8), "names": ["a", ("b",)]}
    torch.save(wrapped, folder / "torch" / "wrapped.pth")
    torch.save(wrapped, folder / "torch" / "legacy.pth", _use_new_zipfile_serialization=False)


def _pictures(folder: Path) -> None:
    draws = np.random.default_rng(0)
    colour = Image.fromarray(draws.integers(0, 256, (24, 31, 3)).astype(np.uint8))
    exif = Image.Exif()
    gps = exif.get_ifd(0x8825)
    gps.update({1: "N", 2: (55.0, 42.0, 30.5), 3: "E", 4: (13.0, 11.0, 1.0)})
    exif[0x0112] = 6
    colour.save(folder / "gps.jpg", exif=exif)
    colour.save(folder / "gps.png", exif=exif)
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    colour.save(folder / "progressive.jpg", progressive=True)
    for mode, name in (("L", "grey"), ("P", "palette"), ("1", "logical"), ("LA", "alpha"), ("RGBA", "rgba")):
        colour.convert(mode).save(folder / f"{name}.png")
    Image.fromarray(draws.integers(0, 65536, (9, 13)).astype(np.uint16)).save(folder / "deep.png")
    for suffix in ("tif", "webp", "bmp", "gif", "ppm"):
        colour.save(folder / f"picture.{suffix}")
    colour.save(folder / "packed.tif", compression="tiff_lzw")


def _features(folder: Path) -> None:
    for kind in ("bin", "npy", "h5", "index"):
        (folder / kind).mkdir()
    rows = np.random.default_rng(0).standard_normal((6, 8), dtype=np.float32)
    names = [f"street/{n}.jpg" for n in range(6)]
    write_features(folder / "bin" / "features.bin", rows)
    write_features(folder / "npy" / "features.npy", rows)
    write_features(folder / "h5" / "features.h5", rows, names)
    positions = np.stack([np.arange(6) * 10.0 + 390000, np.full(6, 6170000.0)], axis=1)
    fields: dict[str, Any] = {"network_path": "/nets/small.mat", "root": "/photos", "reading": Reading(320)}
    index = PlaceIndex(rows, names, positions, "ab" * 32, frame="33N", **fields)
    index.save(folder / "index" / "city.idx")
    unknown = PlaceIndex(rows, names, np.full((6, 2), np.nan), "ab" * 32)
    unknown.save(folder / "index" / "unknown.idx")
    many = np.random.default_rng(1).standard_normal((64, 8), dtype=np.float32)
    several = PlaceIndex(many, [f"{n}.jpg" for n in range(64)], np.zeros((64, 2)), "ab" * 32, frame="33N")
    for backend in ("hnsw", "ivfpq"):
        several.with_backend(backend).save(folder / "index" / f"{backend}.idx")


def _texts(folder: Path) -> None:
    for kind in ("paths", "toml", "csv", "json"):
        (folder / kind).mkdir()
    (folder / "paths" / "localPaths.m").write_text(PATHS_M)
    (folder / "toml" / "localPaths.toml").write_text(PATHS_TOML)
    tables = {
        "degrees": [
            ("name", "lat", "lon"),
            ("a.jpg", "55.7", "13.2"),
            ("b/c.jpg", "55.8", "13.1"),
            ("d.jpg", "", ""),
        ],
        "metres": [
            ("file", "utm_e", "utm_n", "zone"),
            ("a.jpg", "390000", "6170000.5", "33N"),
            ("b.jpg", "1", "2", "32S"),
        ],
    }
    for name, rows in tables.items():
        with open(folder / "csv" / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    write_run(collect(evaluation(queries=3, database=4, dim=8)), folder / "json" / "report.json")


def _timeless(value: Any, folder: str) -> Any:
    """Values without the time and folder of this run, so that a case is the same tomorrow."""
    if isinstance(value, str):
        return value.replace(folder, "/data")
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if name != "epochStartTime"}
        return {name: _timeless(item, folder) for name, item in kept.items()}
    if isinstance(value, np.ndarray) and value.dtype == object:
        made = np.empty(value.shape, dtype=object)
        for at in np.ndindex(*value.shape):
            made[at] = _timeless(value[at], folder)
        return made
    return value


def _training(folder: Path) -> None:
    """The state of a training of a moment, and the notes that lie beside unfinished work."""
    (folder / "session").mkdir()
    place = Workplace(folder / "place")
    place.train(sessionID="run", nEpoch=1, saveFrequency=100, compFeatsFrequency=100)
    state = _timeless(matfile.load(place.files("run").latest), str(folder))
    matfile.save(folder / "session" / "run_latest.mat", state)
    (folder / "unfinished").mkdir()
    note = {"session": "run", "command": Request("trainWeakly", ("a", "b"), {}).text}
    (folder / "unfinished" / "run_unfinished.json").write_text(json.dumps(note))
    (folder / "journal").mkdir()
    mark = digest_of(["", ""])
    journal = {"format": "deepibl-partial-features/2", "made_of": Provenance("n").as_dict(), "count": 6}
    journal |= {"group_size": 2, "dim": 3, "done": {"0": mark, "2": mark}}
    (folder / "journal" / "f.bin.part.json").write_text(json.dumps(journal))
    (folder / "maps").mkdir()
    store = FileStore(folder / "maps", torch.float32, 10**6)
    store.put("k", torch.arange(6.0).view(2, 3))
    store.close(keep=True)

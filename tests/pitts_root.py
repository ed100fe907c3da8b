"""A stand-in for Pitts30k's images: the toy city, photographed under the names that the dbStructs list."""

from pathlib import Path

import numpy as np

from deepibl.datasets import PlaceDataset, load_dbstruct
from deepibl.toycity import render_names

KEPT = 8  # database images of a query in a subset: those nearest to it
FOLDERS = {"db": "images", "q": "queries"}


def make_root(
    dbstructs: Path,
    out: Path,
    *,
    queries: int | None = None,
    size: tuple[int, int] = (320, 240),
    workers: int = 1,
) -> Path:
    """Makes the folders; returns the localPaths.toml. queries: how many of each set (default: all)."""
    root = out / "Pittsburgh"
    for split in ("train", "val"):
        name = f"pitts30k_{split}"
        whole = load_dbstruct(dbstructs / f"{name}.mat")
        kept = whole if queries is None else subset(whole, queries)
        for which, date in (("db", 0), ("q", 1)):
            names, utm = (
                (kept.database_names, kept.database_positions)
                if which == "db"
                else (kept.query_names, kept.query_positions)
            )
            folder = root / FOLDERS[which]
            render_names(folder, names, utm, size=size, date=date, workers=workers, progress=False)
        (out / "datasets").mkdir(parents=True, exist_ok=True)
        kept.save(out / "datasets" / f"{name}.mat")
    paths = {"dsetRootPitts": root, "dsetSpecDir": out / "datasets", "pretrainedCNNs": out / "pretrained"}
    paths |= {"initData": out / "initdata", "outPrefix": out / "output", "ourCNNs": out / "models"}
    for path in paths.values():
        path.mkdir(parents=True, exist_ok=True)
    target = out / "localPaths.toml"
    target.write_text("".join(f'{name} = "{path.resolve()}/"\n' for name, path in paths.items()))
    return target


def subset(whole: PlaceDataset, queries: int) -> PlaceDataset:
    """This many queries from all over a set, and the database images nearest to them, in their order."""
    chosen = np.unique(np.linspace(0, whole.query_count - 1, queries).astype(int))
    apart = np.linalg.norm(whole.database_positions[:, None] - whole.query_positions[None, chosen], axis=2)
    near = np.unique(np.argsort(apart, axis=0, kind="stable")[:KEPT])
    return PlaceDataset(
        whole.name,
        [whole.database_names[i] for i in near],
        whole.database_positions[near],
        [whole.query_names[i] for i in chosen],
        whole.query_positions[chosen],
        **whole.shared_arguments(),
    )

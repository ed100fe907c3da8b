"""The work that is killed: extraction, training, indexing and conversion, in seconds each, one folder a run.

A job is a function of the folder that it writes into and of one with what it reads (`make_material`). Started
again in the same folder it goes on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deepibl.datasets import png_to_jpeg as convert_png
from deepibl.datasets.folder import Places
from deepibl.features import extraction as features
from deepibl.networks.conversion import convert
from deepibl.search import backends as index_backends, localization as indexing
from tests.extractors import make_photos, simplenn
from tests.released_layout import write_released
from tests.tiny_training import Workplace

Job = Callable[[Path, Path], Any]
PICTURES = 12


def make_material(folder: Path) -> None:
    """Photos of three sizes, PNGs, a network and a training set."""
    (folder / "photos").mkdir(parents=True)
    make_photos(folder / "photos")
    write_released(folder / "nets", ["struct"], small=True)
    draws = np.random.default_rng(0)
    (folder / "png").mkdir()
    for number in range(PICTURES):
        pixels = draws.integers(0, 256, (60, 80, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "png" / f"{number:02d}.png")


def photos(material: Path) -> tuple[Path, list[str]]:
    folder = material / "photos"
    return folder, sorted(path.name for path in folder.iterdir())


def extraction(folder: Path, material: Path) -> None:
    """Descriptors of 30 photos, as .bin and as .h5, in groups of four images."""
    features.group_length = lambda batch_size: 4  # type: ignore[assignment]  # many moments in little time
    root, names = photos(material)
    for out in ("f.bin", "f.h5"):
        features.extract_to_file(
            simplenn(), root, names, folder / out, batch_size=2, num_threads=2, progress=False
        )


def training(folder: Path, material: Path) -> None:
    """Two epochs with saves, refreshes of features and tests."""
    place = Workplace(material / "workplace", output=folder)
    place.train(sessionID="run", jitterFlip=True)


def index(folder: Path, material: Path) -> None:
    """An index of the photos, then the same with another backend."""
    features.group_length = lambda batch_size: 4  # type: ignore[assignment]
    root, names = photos(material)
    positions = np.stack([np.arange(len(names)) * 10.0 + 390000, np.full(len(names), 6170000.0)], axis=1)
    places = Places(str(root), names, positions, "33N")
    indexing.build_index(simplenn(), places, folder / "city.idx", batch_size=2, num_threads=2, progress=False)
    index_backends.edit_index(folder / "city.idx", folder / "fast.idx", backend="hnsw")


def conversion(folder: Path, material: Path) -> None:
    """A network to other formats, and PNGs to JPEGs."""
    source = material / "nets" / "released_struct.mat"
    for name in ("net.safetensors", "net.mat"):
        convert(source, folder / name)
    for number in range(PICTURES):
        target = folder / f"{number:02d}.png"
        if not target.exists():
            target.symlink_to(material / "png" / target.name)
    convert_png.convert_folder(folder, overwrite=False, num_threads=2)


JOBS: dict[str, Job] = {job.__name__: job for job in (extraction, training, index, conversion)}

"""The MATLAB side: the .m files that come with the package, and the reference files that they write.

`copy_toolbox` copies deepibl_load, deepibl_session, deepibl_reference and deepibl_check, which run in MATLAB
what was written here. `read_reference_file` reads what deepibl_reference writes, for `deepibl verify`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.errors import FeatureFileError
from matlab_compat import matfile
from matlab_compat.files import StrPath, atomic_output

VERSION = 1  # of reference files


def copy_toolbox(folder: StrPath) -> list[Path]:
    """Copies the .m files into a folder, which is made; returns their paths, sorted. Older copies go."""
    sources = files("deepibl.migrate") / "matlab"
    copies = []
    for source in sorted(sources.iterdir(), key=lambda each: each.name):
        with atomic_output(Path(folder, source.name)) as temporary:
            temporary.write_bytes(source.read_bytes())
        copies.append(Path(folder, source.name))
    return copies


@dataclass(frozen=True)
class Reference:
    """What MATLAB computed of a few images.

    root, names: the folder of the images on MATLAB's computer, and their names in it. sizes: (N, 2) int,
    height and width as they were computed. resize: the shorter side to which they were scaled, or None.
    features: (N, D) float32. input: MATLAB's H x W x 3, the mean subtracted, of the first image; outputs:
    names of layers and their outputs of that image, H x W x C; both may be empty.
    """

    root: str
    names: list[str]
    sizes: np.ndarray
    resize: int | None
    features: np.ndarray
    input: np.ndarray
    outputs: list[tuple[str, np.ndarray]]


def is_reference_file(path: StrPath) -> bool:
    """Whether a file is a .mat file that deepibl_reference wrote."""
    return Path(path).suffix == ".mat" and "reference" in matfile.who(path)


def read_reference_file(path: StrPath) -> Reference:
    """What deepibl_reference wrote. Raises FeatureFileError for another content, naming what is wrong."""
    value = matfile.load(path, ["reference"])["reference"]
    fields = ("version", "root", "images", "sizes", "features", "resize", "layers", "input", "outputs")
    missing = [name for name in fields if not isinstance(value, Mapping) or name not in value]
    if missing:
        raise FeatureFileError(f"{path}: its variable reference lacks {', '.join(missing)}")
    if (version := int(matfile.scalar(value["version"]))) != VERSION:
        raise FeatureFileError(
            f"{path} is of version {version}, not {VERSION}: write it again by the files of `deepibl toolbox`"
        )
    root, names = _below(matfile.text(value["root"]), matfile.image_names(value["images"]))
    features = np.asarray(value["features"], dtype=np.float32)
    sizes = np.asarray(value["sizes"]).astype(int)
    if features.ndim != 2 or features.shape[1] != len(names) or sizes.shape != (len(names), 2):
        shapes = f"features {features.shape} and sizes {sizes.shape}"
        raise FeatureFileError(f"{path}: {shapes} do not fit {len(names)} images")
    layers = [matfile.text(name) for name in matfile.cell_list(value["layers"])]
    outputs = [np.asarray(each, dtype=np.float32) for each in matfile.cell_list(value["outputs"])]
    resize = int(matfile.scalar(value["resize"])) if np.size(value["resize"]) else None
    features, first = np.ascontiguousarray(features.T), np.asarray(value["input"], dtype=np.float32)
    return Reference(root, names, sizes, resize, features, first, list(zip(layers, outputs, strict=True)))


def _below(root: str, names: Any) -> tuple[str, list[str]]:
    """MATLAB joins root and name as strings: the folder, and the names below it, with slashes."""
    if re.match(r"[A-Za-z]:|\\\\", root):  # Windows
        root, names = root.replace("\\", "/"), [name.replace("\\", "/") for name in names]
    folder, slash, start = root.rpartition("/")
    return folder + slash, [start + name for name in names]

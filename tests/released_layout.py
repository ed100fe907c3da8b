"""Writes networks of exactly the released models' layout, with random weights, in each form of file.

The authors' files (deepIBL's model, NetVLAD's networks) are not available to this project. Their layout is
known: 35 layers, class objects as MATLAB stores them, whitening 32768 -> 4096. A network of that layout is
read, run and converted as the real one is. A full one has about 600 MB, a small one a few KB.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.networks.build import SAVEOBJ_CLASSES
from deepibl.networks.torch_files import IMAGE_SIDE, MEAN_RGB
from deepibl.networks.weights import CLUSTERS, VGG16_BLOCKS, WHITENED, LayerSpec, whitened_netvlad_layers
from matlab_compat import matfile

SMALL: dict[str, Any] = {"blocks": ((2, 4), (2, 6), (3, 8), (3, 10), (3, 12)), "clusters": 5, "whitened": 16}
FULL: dict[str, Any] = {"blocks": VGG16_BLOCKS, "clusters": CLUSTERS, "whitened": WHITENED}
ALPHA = 30.0

# form -> file name
FILES = {"v7": "released_v7.mat", "v7.3": "released_v73.mat", "struct": "released_struct.mat"}


def released_network(*, small: bool = False, seed: int = 0) -> dict[str, Any]:
    """The network as a MATLAB struct; custom layers are MatObjects. Equal seeds give equal weights."""
    layout = SMALL if small else FULL
    random = np.random.Generator(np.random.PCG64(seed))
    width = layout["blocks"][-1][1]
    layers = [_layer(spec, width, random) for spec in whitened_netvlad_layers(**layout)]
    mean = np.empty((IMAGE_SIDE, IMAGE_SIDE, 3), dtype=np.float32)
    mean[:] = MEAN_RGB
    meta = {
        "normalization": {
            "imageSize": np.array([[IMAGE_SIDE, IMAGE_SIDE, 3.0]]),
            "averageImage": mean,
            "interpolation": "bicubic",
            "border": np.full((1, 2), 32.0),
            "cropSize": np.full((1, 2), IMAGE_SIDE / (IMAGE_SIDE + 32)),
        },
        "netID": "vd16",
        "sessionID": f"random{seed}_WPCA",
        "epoch": np.array([[4.0]]),
    }
    return {"layers": _cell(layers), "meta": meta}


def write_released(
    folder: Path, forms: Sequence[str] = tuple(FILES), *, small: bool = False, seed: int = 0
) -> list[Path]:
    """Writes the network in these forms (keys of FILES) and returns the files, in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    net = released_network(small=small, seed=seed)
    written = []
    for form in forms:
        path = folder / FILES[form]
        if form == "struct":
            matfile.save(path, {"net": plain_structs(net)})
        else:
            matfile.save_objects(path, {"net": net}, version=form, saveobj_classes=SAVEOBJ_CLASSES)
        written.append(path)
    return written


def plain_structs(net: dict[str, Any]) -> dict[str, Any]:
    """The network with every class object made a struct of its properties, which does not tell its class
    any more: what MATLAB's struct() makes of it, and what the published 'struct' versions hold."""
    layers = []
    for layer in net["layers"].flat:
        if isinstance(layer, matfile.MatObject):
            defaults = {"type": "custom", "precious": np.zeros((1, 1), dtype=bool)}
            layer = {**defaults, **layer.properties}
        layers.append(layer)
    return {**net, "layers": _cell(layers)}


def _layer(spec: LayerSpec, width: int, random: np.random.Generator) -> Any:
    """A layer with the fields that MATLAB gives it; `width` is that of the descriptors that are pooled."""
    no = np.zeros((1, 1), dtype=bool)
    two, nothing = np.full((1, 2), 2.0), _cell([])
    fields: dict[str, Any] = {"type": spec.type, "name": spec.name}
    if spec.name == "WPCA":
        weights = [
            _gaussian(random, spec.shape, 1),
            0.01 * _gaussian(random, (spec.shape[3], 1, 1, 1), 1)[:, :, 0, 0],
        ]
        fields |= {
            "weights": _cell(weights),
            "stride": np.ones((1, 1)),
            "pad": np.zeros((1, 1)),
            "opts": nothing,
        }
        fields |= {"precious": no, "dilate": np.ones((1, 1))}
    elif spec.type == "conv":
        weights = [_gaussian(random, spec.shape, 2), np.full((1, spec.shape[3]), 0.01, dtype=np.float32)]
        fields |= {
            "weights": _cell(weights),
            "pad": np.ones((1, 4)),
            "stride": np.ones((1, 2)),
            "opts": nothing,
        }
        fields |= {"precious": no, "dilate": np.ones((1, 1)), "learningRate": two / 2, "weightDecay": two / 2}
    elif spec.type == "relu":
        fields |= {"leak": np.zeros((1, 1)), "weights": nothing, "precious": no}
    elif spec.type == "pool":
        fields |= {"method": "max", "pool": two, "stride": two, "pad": np.array([[0.0, 1, 0, 1]])}
        fields |= {"opts": nothing, "weights": nothing, "precious": no}
    elif spec.type == "normalize":
        fields |= {"param": np.array([[2.0 * width, 1e-12, 1, 0.5]]), "precious": np.zeros((1, 1))}
    else:
        return _object(spec, random)
    return fields


def _object(spec: LayerSpec, random: np.random.Generator) -> matfile.MatObject:
    """A class object. MATLAB leaves out what is as the class defines it, but not where the class has a
    saveobj.
    """
    if spec.type not in SAVEOBJ_CLASSES:
        return matfile.MatObject(spec.type, {"name": spec.name})
    _, _, dim, clusters = spec.shape
    centres = _gaussian(random, spec.shape, dim)  # of length sqrt(dim), before they are made unit vectors
    centres /= np.linalg.norm(centres, axis=2, keepdims=True)
    sizes = {"K": clusters, "D": dim, "vladDim": clusters * dim}
    state = {name: np.zeros((0, 0)) for name in ("momentum", "learningRate", "weightDecay")}
    fields = {
        "type": "custom",
        "name": spec.name,
        **{name: np.array([[float(size)]]) for name, size in sizes.items()},
        "weights": _cell([np.float32(ALPHA) * centres, -centres]),
        **state,
        "precious": np.zeros((1, 1), dtype=bool),
    }
    return matfile.MatObject(spec.type, fields)


def _gaussian(random: np.random.Generator, shape: Sequence[int], gain: float) -> np.ndarray:
    """Numbers of variance gain / fan-in, in MATLAB's memory order: signals neither die out nor grow."""
    deviation = np.float32(np.sqrt(gain / np.prod(shape[:3])))
    drawn = random.standard_normal(tuple(reversed(shape)), dtype=np.float32)
    drawn *= deviation
    return drawn.T


def _cell(items: Sequence[Any]) -> np.ndarray:
    cell = np.empty((1, len(items)) if items else (0, 0), dtype=object)
    for i, item in enumerate(items):
        cell[0, i] = item
    return cell

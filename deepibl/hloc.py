"""Networks and pairs of images for hloc (cvg/Hierarchical-Localization):

conf = deepibl.hloc.register("model.mat")                        # an extractor of any network
deepibl pairs city.idx -o pairs.txt                              # of an index; queries: localize --pairs
"""

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from deepibl.engine.batch import extract_batch
from deepibl.errors import how_many
from deepibl.images import LONG_SIDE
from deepibl.networks.io import load_network
from deepibl.networks.libraries import is_torch_id
from deepibl.networks.weights import find_network
from deepibl.search.exact import BLOCK
from deepibl.search.index import PlaceIndex
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, write_text

MODULE = "hloc.extractors.deepibl"


def extractor_class(base: type) -> type:
    """An extractor for hloc of any network of deepibl: a subclass of its BaseModel.

    conf: `network` (a file, or a name as `load_network` takes) and `precision` ('fp32' or 'bf16'). It takes
    data['image'] (N, 3, H, W), RGB, 0..1, and returns {'global_descriptor': (N, D)}.
    """

    def _init(self: Any, conf: dict[str, Any]) -> None:
        if not conf.get("network"):
            raise ArgumentError("conf has no network: give conf['model']['network'], the path of a network")
        self.net = load_network(conf["network"])

    def _forward(self: Any, data: dict[str, Any]) -> dict[str, Any]:
        return {"global_descriptor": extract_batch(self.net, data["image"] * 255, self.conf["precision"])}

    members = {
        "__doc__": "Global descriptors by a network of deepibl.",
        "__module__": MODULE,
        "default_conf": {"network": "", "precision": "fp32"},
        "required_inputs": ["image"],
        "_init": _init,
        "_forward": _forward,
    }
    return type("DeepIBL", (base,), members)


def register(network: StrPath, *, name: str = "deepibl", resize_max: int = LONG_SIDE) -> dict[str, Any]:
    """Registers the extractor 'deepibl' in hloc, and returns a conf for hloc.extract_features.main.

    network: the network's file, or its name (`deepibl.list_networks`). name: the suffix of hloc's feature
    file. resize_max: the longer side, in pixels, that hloc scales images to. Raises ArgumentError where hloc
    is not installed, ConfigurationError for an unknown network.
    """
    found = find_network(network)
    try:
        base = importlib.import_module("hloc.utils.base_model").BaseModel
    except ImportError as error:
        raise ArgumentError(f"hloc cannot be imported ({error}): install it from its repository") from error
    module = ModuleType(MODULE, "Extractor of deepibl's networks, made by deepibl.hloc.register.")
    module.DeepIBL = extractor_class(base)  # type: ignore[attr-defined]
    sys.modules[MODULE] = module
    return {
        "output": f"global-feats-{name}",
        "model": {"name": "deepibl", "network": str(found if is_torch_id(str(found)) else found.absolute())},
        "preprocessing": {"resize_max": resize_max},
    }


def pairs_of_index(index: PlaceIndex, top: int = 20) -> list[tuple[str, list[str]]]:
    """The path of each image of an index, and those of the `top` others that are most like it."""
    found = []
    for start in range(0, len(index), BLOCK):
        rows = np.asarray(index.descriptors[start : start + BLOCK], np.float32)
        for name, answer in zip(index.names[start:], index.search(rows, top + 1), strict=False):
            others = [match.path for match in answer if match.name != name][:top]
            found.append((os.path.join(index.root, name), others))
    return found


def write_pairs(
    pairs: Sequence[tuple[StrPath, Sequence[StrPath]]], path: StrPath, root: StrPath | None = None
) -> str:
    """Writes queries and their matches, paths, as hloc's file of pairs: two names a line. Says what is in it.

    root: the folder that hloc reads its images from, and names are relative to; None: the deepest that holds
    all. Raises ArgumentError for an image outside it, and for a name with a space.
    """
    named = [[os.path.abspath(each) for each in (query, *matches)] for query, matches in pairs]
    folders = {os.path.dirname(each) for row in named for each in row}
    top = os.path.abspath(root) if root is not None else os.path.commonpath(folders) if folders else ""
    for row in named:
        row[:] = [os.path.relpath(each, top).replace(os.sep, "/") for each in row]
        for name in row:
            if name.startswith("../") or any(each.isspace() or "\ud800" <= each < "\ue000" for each in name):
                raise ArgumentError(
                    f"{name!r}, relative to {top}: hloc takes UTF-8 names below one folder, without spaces"
                )
    lines = [f"{query} {match}\n" for query, *matches in named for match in matches]
    write_text(path, "".join(lines))
    return f"{path}: {how_many(len(lines), 'pair')} of {how_many(len(named), 'image')}, names below {top}"

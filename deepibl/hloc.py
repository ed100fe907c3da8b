"""hloc (cvg/Hierarchical-Localization): a network for its NetVLAD extractor, and an extractor of our own.

Two ways to use a network there:

    deepibl convert model.mat VGG16-NetVLAD-Pitts30K.hloc.mat        # its `netvlad` extractor reads this
    conf = deepibl.hloc.register("model.mat")                        # an extractor of any network of ours

hloc's NetVLAD extractor takes a MATLAB struct by position: the convolutions where torchvision's
vgg16.features has them, assignment and centres of layer 30, the whitening of layer 33 (counted from 0), and
the mean in meta.normalization.averageImage. It always normalises before and after the aggregation.
"""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from deepibl.network_layouts import VGG16_BLOCKS
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.mat_values import cell_list
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn_tidy import cell_row

VLAD, WHITENING = 30, 33  # positions of the layers, from 0
MODULE = "hloc.extractors.deepibl"


def convolution_positions() -> list[int]:
    """Where torchvision's vgg16.features, and so hloc, has its 13 convolutions."""
    found, position = [], 0
    for count, _ in VGG16_BLOCKS:
        found += [position + 2 * number for number in range(count)]
        position += 2 * count + 1
    return found


def hloc_struct(net: Any) -> dict[str, Any]:
    """The network as the plain struct that hloc reads, weights in MATLAB's shapes.

    Raises NetworkFormatError where a layer that hloc takes by its position is not what it expects there.
    """
    if not isinstance(net, SimpleNN):
        raise NetworkFormatError(
            f"hloc reads a chain of VGG-16 and NetVLAD by position, no {type(net).__name__}"
        )
    wanted = dict.fromkeys(convolution_positions(), "conv") | {VLAD - 1: "normalize", VLAD: "layerVLAD"}
    if len(net) > VLAD + 3:
        wanted[WHITENING] = "conv"
    for position, kind in wanted.items():
        found = (net[position].classname or net[position].type) if position < len(net) else "nothing"
        if found != kind:
            raise NetworkFormatError(
                f"hloc expects {kind} at layer {position} (from 0), and finds {found}: it reads networks of"
                " the released layout, VGG-16 to conv5_3, preL2, vlad:core, vlad:intranorm, postL2[, WPCA,"
                " finalL2]"
            )
    struct = net.to_matlab()
    struct["layers"] = cell_row([_with_bias(layer) for layer in cell_list(struct["layers"])])
    meta = dict(struct.get("meta", {}))
    pixel = net.mean_pixel.numpy()
    image = np.array(np.broadcast_to(pixel, (2, 2, len(pixel))), dtype=np.float32)
    normalization = meta.get("normalization")
    stored = np.shape(normalization.get("averageImage", ())) if isinstance(normalization, dict) else ()
    if len(stored) < 3 or stored[0] < 2 or stored[1] < 2:  # hloc takes element [0, 0] after squeezing
        meta["normalization"] = {**(normalization or {}), "averageImage": image}
    return {**struct, "meta": meta}


def _with_bias(layer: Any) -> Any:
    """Layers of type conv with biases, which hloc always reads; zeros where there are none."""
    if layer.get("type") != "conv":
        return layer
    filters, biases = cell_list(layer["weights"])
    if not np.size(biases):
        biases = np.zeros((1, (*np.shape(filters), 1, 1)[3]), np.float32)
    return {**layer, "weights": cell_row([filters, biases])}


def save_hloc(net: Any, path: str | os.PathLike[str]) -> None:
    """Writes `hloc_struct` as a v7 .mat file; raises what that raises."""
    matfile.save(path, {"net": hloc_struct(net)})


def extractor_class(base: type) -> type:
    """hloc's extractor of any network of ours, as a subclass of its BaseModel.

    conf: `network` (a .mat, .safetensors or checkpoint file) and `precision` ('fp32' or 'bf16'). Takes
    data['image'] (N, 3, H, W), RGB, 0..1, and gives {'global_descriptor': (N, D)}.
    """

    def _init(self: Any, conf: dict[str, Any]) -> None:
        from deepibl.networks import load_network

        if not conf.get("network"):
            raise ArgumentError("conf has no network: give conf['model']['network'], the path of a network")
        self.net = load_network(conf["network"])

    def _forward(self: Any, data: dict[str, Any]) -> dict[str, Any]:
        from deepibl.describe import describe_batch

        return {"global_descriptor": describe_batch(self.net, data["image"] * 255, self.conf["precision"])}

    members = {
        "__doc__": "Global descriptors by a network of deepibl.",
        "__module__": MODULE,
        "default_conf": {"network": "", "precision": "fp32"},
        "required_inputs": ["image"],
        "_init": _init,
        "_forward": _forward,
    }
    return type("DeepIBL", (base,), members)


def register(
    network: str | os.PathLike[str], *, name: str = "deepibl", resize_max: int = 1024
) -> dict[str, Any]:
    """Makes hloc know the extractor 'deepibl', and returns a conf for hloc.extract_features.main.

    network: the network's file. name: of hloc's feature file. resize_max: longer side that hloc scales
    images to. Raises ArgumentError where hloc is not installed.
    """
    try:
        base = importlib.import_module("hloc.utils.base_model").BaseModel
    except ImportError as error:
        raise ArgumentError(f"hloc cannot be imported ({error}): install it from its repository") from error
    module = ModuleType(MODULE, "Extractor of deepibl's networks, made by deepibl.hloc.register.")
    module.DeepIBL = extractor_class(base)  # type: ignore[attr-defined]
    sys.modules[MODULE] = module
    return {
        "output": f"global-feats-{name}",
        "model": {"name": "deepibl", "network": str(Path(network).absolute())},
        "preprocessing": {"resize_max": resize_max},
    }

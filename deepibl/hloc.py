"""Networks for hloc (cvg/Hierarchical-Localization), in two ways:

    deepibl convert model.mat VGG16-NetVLAD-Pitts30K.hloc.mat        # read by its `netvlad` extractor
    conf = deepibl.hloc.register("model.mat")                        # an extractor of any network

hloc's NetVLAD extractor takes a MATLAB struct by position: the convolutions where torchvision's
vgg16.features has them, assignment and centres of layer 30, the whitening of layer 33 (counted from 0), and
the mean in meta.normalization.averageImage. It always normalises before and after the aggregation.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

from deepibl.engine.batch import extract_batch
from deepibl.images import LONG_SIDE
from deepibl.networks.io import load_network
from deepibl.networks.libraries import is_torch_id
from deepibl.networks.weights import find_network
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath

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
    try:
        base = importlib.import_module("hloc.utils.base_model").BaseModel
    except ImportError as error:
        raise ArgumentError(f"hloc cannot be imported ({error}): install it from its repository") from error
    found = find_network(network)
    module = ModuleType(MODULE, "Extractor of deepibl's networks, made by deepibl.hloc.register.")
    module.DeepIBL = extractor_class(base)  # type: ignore[attr-defined]
    sys.modules[MODULE] = module
    return {
        "output": f"global-feats-{name}",
        "model": {"name": "deepibl", "network": str(found if is_torch_id(str(found)) else found.absolute())},
        "preprocessing": {"resize_max": resize_max},
    }

"""Networks to start from: trained for another task by others, cropped where their features are pooled."""

import logging
import os
from pathlib import Path

import numpy as np

from deepibl.errors import ConfigurationError
from deepibl.networks import load_network
from deepibl.torch_network import is_torch_id, load_torch_network
from deepibl.vgg16 import vgg16_from_torchvision
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn_edit import relja_cropToLayer, relja_swapLayersForEfficiency
from matlab_compat.simplenn_tidy import vl_simplenn_tidy

_log = logging.getLogger(__name__)

# netID -> MatConvNet's file; any other netID is the name of a file without its suffix
FILES = {
    "vd16": "imagenet-vgg-verydeep-16.mat",
    "vd19": "imagenet-vgg-verydeep-19.mat",
    "caffe": "imagenet-caffe-ref.mat",
    "places": "places-caffe.mat",
}


def load_pretrained(
    net_id: str,
    layer: str | None = None,
    *,
    folder: str | os.PathLike[str],
    stand_in: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] = "pretrained",
    split: str = "",
) -> SimpleNN:
    """A pretrained network, up to and with one of its layers, ready for a pooling layer to be added.

    Its class names are dropped, and each ReLU before a max pooling is put behind it (the same result,
    faster). meta gets netID, sessionID ('vd16_offtheshelf_conv5_3') and epoch 0.

    Args:
        net_id: vd16, vd19, caffe, places, the name (without .mat) of a file in the folder, or a library and
            its model, as 'torchvision:resnet50' or 'timm:convnext_tiny'.
        layer: the last layer to keep; None keeps all.
        folder: where the files lie (localPaths' pretrainedCNNs).
        stand_in: for vd16 only, used when its file is not there: 'torchvision' or a file of torchvision's
        VGG-16
            weights. The network then has the netID vd16_torchvision, so that nothing made with it is taken
            for vd16's.

        weights, split: of a netID like 'torchvision:resnet50', see `deepibl.torch_network`.

    Raises:
        ConfigurationError: the file is not there. ArgumentError: no layer of that name.

    Ported from: netvlad/loadNet.m
    """
    if is_torch_id(net_id):
        return _named(load_torch_network(net_id, layer, weights=weights, split=split), net_id, layer)
    file = Path(folder) / FILES.get(net_id, f"{net_id}.mat")
    if file.is_file():
        net = load_network(file)
    elif stand_in is not None and net_id == "vd16":
        net_id = "vd16_torchvision"
        _log.warning("%s is not there: torchvision's VGG-16 stands in for it, as %s", file, net_id)
        net = vgg16_from_torchvision(stand_in)
    else:
        raise ConfigurationError(_missing(net_id, file))
    net.meta.pop("classes", None)
    if layer is not None:
        net = relja_cropToLayer(net, layer)
    return _named(relja_swapLayersForEfficiency(_tidy(net)), net_id, layer)


def _named(net: SimpleNN, net_id: str, layer: str | None) -> SimpleNN:
    """The network with netID, sessionID and epoch in its meta; sessions name files, which hold no colon."""
    ending = f"_{layer}" if layer is not None else ""
    session = f"{net_id.replace(':', '-')}_offtheshelf{ending}"
    net.meta |= {"netID": net_id, "sessionID": session, "epoch": np.zeros((1, 1))}
    return net


def _tidy(net: SimpleNN) -> SimpleNN:
    """The network with the fields that MatConvNet's newest version would give it, as MATLAB's loadNet has
    them.
    """
    return SimpleNN.from_matlab(vl_simplenn_tidy(net.to_matlab()), consume=True)


def _missing(net_id: str, file: Path) -> str:
    there = sorted(path.stem for path in file.parent.glob("*.mat")) if file.parent.is_dir() else []
    found = f"the folder holds {', '.join(there)}" if there else "the folder holds no .mat file"
    if net_id == "vd16":
        help_ = "run `deepibl fetch vd16`, or let torchvision's VGG-16 stand in with stand_in='torchvision'"
    elif net_id in FILES:
        help_ = "download it from https://www.vlfeat.org/matconvnet/pretrained/"
    else:
        help_ = f"known netIDs are {', '.join(FILES)}, and the name of any file there"
    return f"network {net_id!r}: there is no file {file}; {found}; {help_}"

"""Networks to start from by a library's name: netID 'torchvision:resnet50' or 'timm:resnet18.a1_in1k'.

>>> net = load_torch_network("torchvision:resnet50", "layer3")
>>> net = add_pooling(net, "vlad_preL2_intra", centres=…, descriptors=…)         # as on any other network
"""

import os
from typing import Any

import numpy as np

from deepibl.backbones import IMAGENET, Preprocessing
from deepibl.errors import DownloadError
from deepibl.torch_file import load_state
from deepibl.torch_layer import LIBRARIES, backbone_layer
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn import SimpleNN

SIDE = 224


def is_torch_id(net_id: str) -> bool:
    """Whether a netID names a library's model."""
    return net_id.partition(":")[0] in LIBRARIES


def split_for(net_id: str, lowest: int | str | None) -> str:
    """Where a library's model is to be split for a training whose lowest layer that learns is `lowest`.

    '' for other networks, for a number, and for the name of a layer of the pooling on top.
    """
    on_top = not isinstance(lowest, str) or lowest in ("", "preL2", "postL2") or ":" in lowest
    return "" if on_top or not is_torch_id(net_id) else str(lowest)


def load_torch_network(
    net_id: str, layer: str | None, *, weights: str | os.PathLike[str] = "pretrained", split: str = ""
) -> SimpleNN:
    """A torchvision or timm model up to and with a layer, as a SimpleNN of one layer, for images 0..255, RGB.

    With `split` it has two: before:<split>, and <split> with all that follows.

    Args:
        net_id: 'torchvision:NAME' or 'timm:NAME'.
        layer: a module's name, as 'layer3' or 'features.denseblock3'; its output has to be maps.
        weights: 'pretrained' takes the library's default ones from its cache, or downloads them; 'random'
            makes some; else a file of a state dict of the whole model (.pth, .safetensors).
        split: the name of a module, or '' for one layer.

    Raises:
        ArgumentError: no such library, model or layer. DownloadError: the weights cannot be had.
        NetworkFormatError: a file that holds something else.
    """
    library, _, model = net_id.partition(":")
    if library not in LIBRARIES or not model:
        raise ArgumentError(
            f"netID {net_id!r}: expected {' or '.join(LIBRARIES)}, a colon and a model's name"
        )
    if layer is None:
        raise ArgumentError(f"netID {net_id!r} needs a layerName, as 'layer3': where its maps are taken")
    state, preprocessing = _state(library, model, weights)
    parts = ("before", "from") if split else ("",)
    made = [backbone_layer(library, model, layer, state, preprocessing, split, part) for part in parts]
    pixel = np.array(preprocessing.mean, dtype=np.float32) / np.float32(preprocessing.scale)
    normalization = {
        "averageImage": np.broadcast_to(pixel, (1, 1, 3)).copy(),
        "imageSize": np.array([[float(SIDE), float(SIDE), 3.0]]),
    }
    source = weights if weights in ("pretrained", "random") else os.path.basename(os.fspath(weights))
    return SimpleNN(made, {"normalization": normalization, "source": f"{net_id} ({source})"}).eval()


def _state(library: str, model: str, weights: str | os.PathLike[str]) -> tuple[dict[str, Any], Preprocessing]:
    """The whole model's state dict, and what its images have to be like."""
    if library == "timm":
        return _timm_state(model, weights)
    import torchvision

    if weights == "pretrained":
        known = torchvision.models.get_model_weights(_checked(model)).DEFAULT
        try:
            return dict(known.get_state_dict(progress=True, check_hash=True, weights_only=True)), IMAGENET
        except (OSError, RuntimeError) as error:
            raise _unavailable(f"torchvision:{model}", f"{known.url}: {error}") from error
    if weights == "random":
        return dict(torchvision.models.get_model(_checked(model), weights=None).state_dict()), IMAGENET
    return _from_file(weights), IMAGENET


def _checked(model: str) -> str:
    import torchvision

    known = torchvision.models.list_models(torchvision.models)
    if model not in known:
        raise ArgumentError(f"torchvision has no model {model!r}; it has {', '.join(known)}")
    return model


def _timm_state(model: str, weights: str | os.PathLike[str]) -> tuple[dict[str, Any], Preprocessing]:
    try:
        import timm
    except ImportError as error:
        raise ArgumentError(f"the network timm:{model} needs the package timm: pip install timm") from error
    try:
        made = timm.create_model(model, pretrained=weights == "pretrained")
    except RuntimeError as error:
        raise ArgumentError(f"timm has no model {model!r}: {error}") from None
    except Exception as error:  # the hub's client raises its own kinds, none of them in common
        raise _unavailable(f"timm:{model}", str(error)) from error
    about: Any = made.pretrained_cfg
    preprocessing = Preprocessing(mean=tuple(about["mean"]), std=tuple(about["std"]))
    if weights in ("pretrained", "random"):
        return dict(made.state_dict()), preprocessing
    return _from_file(weights), preprocessing


def _unavailable(net_id: str, reason: str) -> DownloadError:
    return DownloadError(
        f"the weights of {net_id} could not be downloaded ({reason}). Download them elsewhere and give the"
        " file as weights='FILE.pth', or weights='random'"
    )


def _from_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    if os.fspath(path).endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    found = load_state(path)
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise NetworkFormatError(f"{os.fspath(path)} holds no state dict but a {type(found).__name__}")
    return {str(name).removeprefix("module."): value for name, value in found.items()}

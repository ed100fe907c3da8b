"""Networks of torchvision and timm to start from: netID 'torchvision:resnet50' or 'timm:resnet18.a1_in1k'.

>>> import torch
>>> from deepibl.networks import add_pooling
>>> net = load_torch_network("torchvision:resnet18", "layer3", weights="random")
>>> net = add_pooling(net, "max_preL2")
>>> net(net.prepare(torch.zeros(1, 3, 96, 128))).shape
torch.Size([1, 256, 1, 1])

The library's network is one layer of a SimpleNN, so that everything here works on it, or two layers, of which
only the upper one is trained. In a .mat file the layer is a plain struct (type custom, class torchBackbone)
that names the library, the model and the last layer kept, and holds the weights as arrays. MATLAB and Octave
can load and inspect it; only deepibl can run it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.errors import DownloadError
from deepibl.networks.backbones import IMAGENET, Preprocessing
from deepibl.networks.feature_maps import FeatureMaps, halves, shared
from deepibl.networks.libraries import is_torch_id, library_model, parse_name
from deepibl.networks.torch_files import load_state, tensors_in
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.files import StrPath
from matlab_compat.matfile.values import cell_list, text as matlab_text, vector
from matlab_compat.simplenn.base import CLASS_FIELD, FILTERS, VECTOR, WeightKind, WeightSpec
from matlab_compat.simplenn.layer import Layer, make_layer, register_custom
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row

_log = logging.getLogger(__name__)


CLASSNAME = "torchBackbone"


def build_body(library: str, model: str, layer: str, split: str = "", part: str = "") -> FeatureMaps:
    """A library's model up to a layer, with random weights: (N, 3, H, W) -> that layer's maps.

    split, part: 'before' ends where the module `split` begins, 'from' begins there, see `halves`.
    Raises ArgumentError for an unknown library, model or layer.
    """
    whole = library_model(library, model)
    return halves(whole, layer, split)[part == "from"] if part else FeatureMaps(whole, layer)


def _any_kind(shape: tuple[int, ...]) -> WeightKind:
    """Filters and vectors in MATLAB's layout; a tensor of another number of dimensions as it is."""
    if len(shape) == 4:
        return FILTERS
    if len(shape) == 1:
        return VECTOR
    return WeightKind(
        lambda array: torch.from_numpy(np.ascontiguousarray(array.reshape(shape, order="F"))),
        lambda tensor, stored: tensor.detach().cpu().numpy().reshape(stored, order="F"),
    )


@register_custom(CLASSNAME)
class TorchBackbone(Layer):
    """(N, 3, H, W), pixels minus the mean -> maps (N, C, h, w) of the named layer; or one part of that.

    `body` is the library's module. Batch normalisation and dropout always run as in eval mode: the backbone's
    statistics are not trained. With a field split and no part, the weights before that module are not either.
    """

    scale: Tensor
    body: nn.Module

    def __init__(
        self, fields: Mapping[str, Any], classname: str = "", is_object: bool = False, shared: bool = False
    ) -> None:
        about = ("library", "model", "layer", "split", "part")
        library, model, layer, split, part = (matlab_text(fields.get(name, "")) for name in about)
        body = build_body(library, model, layer, split, part).eval()
        state = _weights_of(body)
        found = [matlab_text(name) for name in cell_list(fields.get("weightNames", []))]
        if sorted(found) != sorted(state):
            raise ArgumentError(f"its {len(found)} weights are not the {len(state)} of {library}'s {model}")
        learned = [name.removeprefix("model.") for name, _ in body.named_parameters()]
        if split and not part:
            first = next((i for i, name in enumerate(learned) if name.startswith(f"{split}.")), None)
            if first is None:
                raise ArgumentError(f"{library}'s {model} up to {layer} has no layer {split!r} with weights")
            learned = learned[first:]
        self.__dict__["_made_body"] = body
        self.weight_specs = tuple(  # type: ignore[misc]  # of this layer, not of its class
            WeightSpec(f"body.model.{name}", _any_kind(tuple(state[name].shape)), name in learned)
            for name in found
        )
        super().__init__(fields, classname, is_object, shared)

    def _read_weights(self, arrays: list[Any], shared: bool) -> None:
        self.body = self.__dict__.pop("_made_body")
        super()._read_weights(arrays, shared)

    def configure(self) -> None:
        scale = vector(self.fields.get("scale", np.ones((1, 3)))).astype(np.float32)
        self.register_buffer("scale", torch.from_numpy(scale)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> TorchBackbone:
        """Sets the layer's mode; the body's stays eval."""
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32 or x.dtype == self.scale.dtype:
            maps = self.body(x * self.scale)
        else:
            names = (spec.name.removeprefix("body.") for spec in self.weight_specs)
            weights: dict[str, Any] = dict(zip(names, self.weights_for(x), strict=True))
            maps = torch.func.functional_call(self.body, weights, (x * self.scale.to(x.dtype),))
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            shape = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise ArgumentError(f"its output must be maps (N, C, h, w), not {shape}: choose another layer")
        return maps

    def channels_out(self, channels: int | None) -> int | None:
        """Found by running a small image."""
        size = self.forward_size((64.0, 96.0, float(channels or 3), 1.0))
        return int(size[2]) if size else None

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...] | None:
        """Found by running an image of that size; None while a side is unknown."""
        height, width, channels = size[:3] if self.fields.get("part") == "from" else (*size[:2], 3.0)
        if any(np.isnan(each) for each in (height, width, channels)):
            return None
        with torch.no_grad():
            image = torch.zeros(1, int(channels), int(height), int(width), device=self.scale.device)
            maps = self(image)
        return (*maps.shape[2:], maps.shape[1], size[3])

    def copy(self) -> Layer:
        """The same layer with its own MATLAB fields; the weights are shared."""
        twin = super().copy()
        twin._modules = {"body": shared(self.body)}
        return twin


def _weights_of(body: nn.Module) -> dict[str, Tensor]:
    """A body's weights and statistics, by the library's names."""
    state = {name.removeprefix("model."): x for name, x in body.state_dict().items()}
    return {name: x for name, x in state.items() if x.is_floating_point()}


def backbone_layer(
    library: str,
    model: str,
    layer: str,
    state: Mapping[str, Tensor],
    preprocessing: Preprocessing,
    split: str = "",
    part: str = "",
) -> Layer:
    """The layer of a library's model up to `layer` ('' for its last maps), with a state dict's weights.

    state: of the whole model. preprocessing: its standard deviations and scale become the layer's (its mean
    belongs in the network's meta), except in the part 'from'. split, part: see `build_body`.
    Raises ArgumentError for weights that are missing or do not fit.
    """
    body = build_body(library, model, layer, split, part)
    layer = layer or str(body.layer)
    wanted = _weights_of(body)
    weights = []
    for name, like in wanted.items():
        found = state.get(name)
        if found is None or found.shape != like.shape:
            have = "are missing" if found is None else f"have shape {tuple(found.shape)}"
            raise ArgumentError(f"{library}:{model}: weights {name} of {tuple(like.shape)} {have}")
        kind = _any_kind(tuple(like.shape))
        stored = (*like.shape, 1, 1)[: max(2, like.ndim)] if like.ndim != 1 else (1, like.numel())
        shape = tuple(np.array(like.shape)[[2, 3, 1, 0]]) if like.ndim == 4 else stored
        weights.append(kind.to_matlab(found.detach().float(), shape))
    scale = np.array([[preprocessing.scale / std for std in preprocessing.std]])
    fields = {
        "type": "custom",
        CLASS_FIELD: CLASSNAME,
        "name": f"before:{split}" if part == "before" else split or layer,
        "library": library,
        "model": model,
        "layer": layer,
        **({"split": split, "part": part} if split else {}),
        "scale": np.ones((1, 1)) if part == "from" else scale,
        "weightNames": cell_row(list(wanted)),
        "weights": cell_row(weights),
        "precious": np.zeros((1, 1), dtype=bool),
    }
    return make_layer(fields, 0)


SIDE = 224


def split_for(net_id: str, lowest: int | str | None) -> str:
    """Where a library's model is to be split for a training whose lowest layer that learns is `lowest`.

    '' for other networks, for a number, and for the name of a layer of the pooling on top.

    >>> split_for("torchvision:resnet50", "layer3"), split_for("torchvision:resnet50", "vlad:core")
    ('layer3', '')
    """
    on_top = not isinstance(lowest, str) or lowest in ("", "preL2", "postL2") or ":" in lowest
    return "" if on_top or not is_torch_id(net_id) else str(lowest)


def load_torch_network(
    net_id: str, layer: str | None = None, *, weights: StrPath = "pretrained", split: str = ""
) -> SimpleNN:
    """A torchvision or timm model up to and with a layer, as a SimpleNN of one layer, for images 0..255, RGB.

    With `split` it has two: before:<split>, and <split> with all that follows; or, where the model cannot be
    divided there (transformers, within a residual block), one named <split> whose weights before that module
    are not trained.
    net_id: 'torchvision:NAME' or 'timm:NAME'. layer: a module's name, as 'layer3' or 'blocks.9', whose output
    gives maps (`FeatureMaps`); None: the last that does. weights: 'pretrained' takes the library's default
    weights from its cache, or downloads them; 'random' initialises them; else the file of a state dict of the
    whole model (.pth, .safetensors). split: the name of a module, or '' for one layer.
    Raises ArgumentError: no such library, model or layer. DownloadError: the weights are not available.
    Raises NetworkFormatError: the file does not hold a state dict.
    """
    name = parse_name(net_id)
    layer = layer or name.layer
    state, preprocessing = _state(name.library, name.model, weights)
    made = [backbone_layer(name.library, name.model, layer, state, preprocessing, split)]
    if split:
        layer, image = matlab_text(made[0].fields["layer"]), torch.rand(1, 3, 96, 128)
        try:
            parts = [
                backbone_layer(name.library, name.model, layer, state, preprocessing, split, part)
                for part in ("before", "from")
            ]
            with torch.no_grad():
                if not torch.equal(parts[1](parts[0](image)), made[0](image)):
                    raise ArgumentError(f"later layers need more than what enters {split!r}")
            made = parts
        except Exception as error:  # models raise what they like
            _log.info("%s stays one layer, trained from %s on: %s", net_id, split, error)
    pixel = np.array(preprocessing.mean, dtype=np.float32) / np.float32(preprocessing.scale)
    normalization = {
        "averageImage": np.broadcast_to(pixel, (1, 1, 3)).copy(),
        "imageSize": np.array([[float(SIDE), float(SIDE), 3.0]]),
    }
    source = weights if weights in ("pretrained", "random") else os.path.basename(os.fspath(weights))
    return SimpleNN(made, {"normalization": normalization, "source": f"{name.net_id} ({source})"}).eval()


def _state(library: str, model: str, weights: StrPath) -> tuple[dict[str, Any], Preprocessing]:
    """The whole model's state dict, and the preprocessing of its images."""
    where, pretrained, preprocessing = model, weights == "pretrained", IMAGENET
    try:
        made = library_model(library, model, pretrained=pretrained and library == "timm")
        state = made.state_dict()
        if pretrained and library == "torchvision":
            from torchvision import models

            known = models.get_model_weights(model).DEFAULT
            where = known.url
            state = known.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except ArgumentError:
        raise
    except Exception as error:  # the hub's client raises its own kinds, without a common base
        raise DownloadError(
            f"the weights of {library}:{model} could not be downloaded ({where}: {error}). Download them "
            "elsewhere and name the file, FILE.pth, as the weights (--weights), or 'random' for drawn ones"
        ) from error
    if library == "timm":
        about: Any = made.pretrained_cfg
        preprocessing = Preprocessing(mean=tuple(about["mean"]), std=tuple(about["std"]))
    if weights not in ("pretrained", "random"):
        state = tensors_in(load_state(weights))
        if not state:
            raise NetworkFormatError(f"{os.fspath(weights)} does not hold a state dict")
    return dict(state), preprocessing

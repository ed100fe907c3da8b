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

import copy
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from deepibl.errors import DownloadError
from deepibl.networks.backbones import IMAGENET, Preprocessing
from deepibl.networks.torch_files import load_state
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.files import StrPath
from matlab_compat.matfile.values import cell_list, text as matlab_text, vector
from matlab_compat.simplenn.base import FILTERS, VECTOR, WeightKind, WeightSpec
from matlab_compat.simplenn.layer import CLASS_FIELD, Layer, make_layer, register_custom
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row


def part_of(graph: fx.GraphModule, split: str, part: str) -> fx.GraphModule:
    """Reduces a graph of one input to its part 'before' the module `split`, or 'from' it on (in place).

    Raises ArgumentError where later layers need more of the first part than what enters `split`.
    """
    nodes = list(graph.graph.nodes)
    calls = (node for node in nodes if node.op == "call_module")
    first = next((node for node in calls if f"{node.target}.".startswith(f"{split}.")), None)
    if first is None:
        raise ArgumentError(f"the network cannot be split at {split!r}: it comes after the last layer kept")
    enters = _what_enters(nodes, first, split)
    if part == "before":
        nodes[-1].args = ({"maps": enters},)
    else:
        with graph.graph.inserting_before(nodes[0]):
            maps = graph.graph.placeholder("maps")
        enters.replace_all_uses_with(maps)
    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        if node.op == "placeholder" and not node.users:
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def _what_enters(nodes: list[fx.Node], first: fx.Node, split: str) -> fx.Node:
    """The only node before `first` that it and the nodes after it use."""
    at = nodes.index(first)
    before = {node for node in nodes[:at] if node.op != "get_attr"}
    needed = {source for node in nodes[at:] for source in node.all_input_nodes} & before
    if len(needed) != 1:
        names = ", ".join(sorted(node.name for node in needed))
        raise ArgumentError(
            f"the network cannot be split at {split!r}: later layers need {names} of those before it"
        )
    (enters,) = needed
    if enters.op == "placeholder":
        raise ArgumentError(f"the network cannot be split at {split!r}: nothing comes before it")
    return enters


CLASSNAME = "torchBackbone"
LIBRARIES = ("torchvision", "timm")
_PROBE = (64, 96)  # height and width of the image that is run to find the number of channels


def build_body(library: str, model: str, layer: str, split: str = "", part: str = "") -> nn.Module:
    """A library's model up to a layer, with random weights: (N, 3, H, W) -> that layer's maps.

    split, part: 'before' ends where the module `split` begins, 'from' begins there: (N, C, h, w) -> maps.
    Raises ArgumentError for an unknown library, model or layer.
    """
    whole = library_model(library, model)
    names = [name for name, _ in whole.named_modules() if name]
    for wanted in [layer, *([split] if split else [])]:
        if wanted not in names:
            top = [name for name, _ in whole.named_children()]
            raise ArgumentError(
                f"{library}'s {model} has no layer {wanted!r}; at the top it has {', '.join(top)}"
            )
    from torchvision.models.feature_extraction import create_feature_extractor

    try:
        graph = create_feature_extractor(whole.eval(), {layer: "maps"})
    except Exception as error:  # torch.fx raises many kinds
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"{library}'s {model} cannot be cut at {layer}: {reason}") from error
    if split:
        graph = part_of(graph, split, part)
    return _Cut(graph).eval()


class _Cut(nn.Module):
    """The one output of a feature extractor."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        return self.graph(x)["maps"]


def library_model(library: str, model: str, *, pretrained: bool = False) -> Any:
    """A library's whole model, with random weights or (timm alone) with the pretrained ones.

    Raises ArgumentError for an unknown library or model.
    """
    if library not in LIBRARIES:
        raise ArgumentError(
            f"no library {library!r}: a netID is {' or '.join(LIBRARIES)}, a colon and a model"
        )
    if library == "torchvision":
        return torchvision_models(model).get_model(model, weights=None)
    try:
        import timm
    except ImportError as error:
        raise ArgumentError(f"the network timm:{model} needs the package timm: pip install timm") from error
    try:
        return timm.create_model(model, pretrained=pretrained)
    except RuntimeError as error:
        raise ArgumentError(f"timm has no model {model!r}: {error}") from None


def torchvision_models(model: str) -> Any:
    """The module torchvision.models; ArgumentError unless it has that model."""
    from torchvision import models

    known = models.list_models(models)
    if model not in known:
        raise ArgumentError(f"torchvision has no model {model!r}; it has {', '.join(known)}")
    return models


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

    Batch normalisation and dropout always run as in eval mode: the backbone's statistics are not trained.
    """

    scale: Tensor
    _names: list[str]
    _body: nn.Module

    def __init__(
        self, fields: Mapping[str, Any], classname: str = "", is_object: bool = False, shared: bool = False
    ) -> None:
        about = ("library", "model", "layer", "split", "part")
        given = [matlab_text(fields.get(name, "")) for name in about]
        body = build_body(*given)
        trained = dict(body.named_parameters())
        state = {name: x for name, x in body.state_dict().items() if x.is_floating_point()}
        found = [matlab_text(name) for name in cell_list(fields.get("weightNames", []))]
        if found != [_short(name) for name in state]:
            raise ArgumentError(
                f"its {len(found)} weights are not the {len(state)} of this {given[0]}'s {given[1]}"
            )
        specs = [  # the name of a parameter must not contain a dot
            WeightSpec(_short(name).replace(".", "__"), _any_kind(tuple(x.shape)), name in trained)
            for name, x in state.items()
        ]
        self.weight_specs = tuple(specs)  # type: ignore[misc]  # of this layer, not of its class
        object.__setattr__(self, "_names", list(state))
        for parameter in body.parameters():
            parameter.data = parameter.data.new_empty(0)  # the layer's own weights are used
        object.__setattr__(self, "_body", body)
        super().__init__(fields, classname, is_object, shared)

    def configure(self) -> None:
        scale = vector(self.fields.get("scale", np.ones((1, 3)))).astype(np.float32)
        self.register_buffer("scale", torch.from_numpy(scale)[:, None, None], persistent=False)
        self._channels: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        weights: dict[str, Any] = dict(zip(self._names, self.weights_for(x), strict=True))
        maps = torch.func.functional_call(self._body, weights, (x * self.scale.to(x.dtype),))
        if not isinstance(maps, Tensor) or maps.ndim != 4:
            shape = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            raise ArgumentError(f"its output must be maps (N, C, h, w), not {shape}: choose another layer")
        return maps

    def channels_out(self, channels: int | None) -> int | None:
        """Found by running a small image."""
        if self._channels is None:
            with torch.no_grad():
                maps = self(torch.zeros(1, channels or 3, *_PROBE, device=self.scale.device))
            self._channels = maps.shape[1]
        return self._channels

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
        twin.__dict__["_body"] = copy.copy(self._body)
        return twin

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._body._apply(fn)  # moves the buffers that no state dict holds
        return super()._apply(fn, recurse)


def _short(name: str) -> str:
    return name.removeprefix("graph.")


def backbone_layer(
    library: str,
    model: str,
    layer: str,
    state: Mapping[str, Tensor],
    preprocessing: Preprocessing,
    split: str = "",
    part: str = "",
) -> Layer:
    """The layer of a library's model up to `layer`, with the weights of a state dict of the whole model.

    preprocessing: its standard deviations and scale become the layer's (its mean belongs in the network's
    meta), except in the part 'from'. split, part: see `build_body`.
    Raises ArgumentError for weights that are missing or do not fit.
    """
    body = build_body(library, model, layer, split, part)
    wanted = {_short(name): x for name, x in body.state_dict().items() if x.is_floating_point()}
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
        "name": {"": layer, "before": f"before:{split}", "from": split}[part],
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


def is_torch_id(net_id: str) -> bool:
    """Whether a netID names a library's model."""
    return net_id.partition(":")[0] in LIBRARIES


def split_for(net_id: str, lowest: int | str | None) -> str:
    """Where a library's model is to be split for a training whose lowest layer that learns is `lowest`.

    '' for other networks, for a number, and for the name of a layer of the pooling on top.

    >>> split_for("torchvision:resnet50", "layer3"), split_for("torchvision:resnet50", "vlad:core")
    ('layer3', '')
    """
    on_top = not isinstance(lowest, str) or lowest in ("", "preL2", "postL2") or ":" in lowest
    return "" if on_top or not is_torch_id(net_id) else str(lowest)


def load_torch_network(
    net_id: str, layer: str | None, *, weights: StrPath = "pretrained", split: str = ""
) -> SimpleNN:
    """A torchvision or timm model up to and with a layer, as a SimpleNN of one layer, for images 0..255, RGB.

    With `split` it has two: before:<split>, and <split> with all that follows.
    net_id: 'torchvision:NAME' or 'timm:NAME'.
    layer: a module's name, as 'layer3' or 'features.denseblock3'; its output must be maps (N, C, h, w).
    weights: 'pretrained' takes the library's default weights from its cache, or downloads them; 'random'
        initialises them; else the file of a state dict of the whole model (.pth, .safetensors).
    split: the name of a module, or '' for one layer.
    Raises ArgumentError: no such library, model or layer. DownloadError: the weights are not available.
    Raises NetworkFormatError: the file does not hold a state dict.
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


def _state(library: str, model: str, weights: StrPath) -> tuple[dict[str, Any], Preprocessing]:
    """The whole model's state dict, and the preprocessing of its images."""
    if library == "torchvision" and weights == "pretrained":
        known = torchvision_models(model).get_model_weights(model).DEFAULT
        try:
            return dict(known.get_state_dict(progress=True, check_hash=True, weights_only=True)), IMAGENET
        except (OSError, RuntimeError) as error:
            raise _unavailable(f"torchvision:{model}", f"{known.url}: {error}") from error
    try:
        made = library_model(library, model, pretrained=weights == "pretrained")
    except ArgumentError:
        raise
    except Exception as error:  # the hub's client raises its own kinds, without a common base
        raise _unavailable(f"timm:{model}", str(error)) from error
    preprocessing = IMAGENET
    if library == "timm":
        about: Any = made.pretrained_cfg
        preprocessing = Preprocessing(mean=tuple(about["mean"]), std=tuple(about["std"]))
    state = dict(made.state_dict()) if weights in ("pretrained", "random") else _from_file(weights)
    return state, preprocessing


def _unavailable(net_id: str, reason: str) -> DownloadError:
    return DownloadError(
        f"the weights of {net_id} could not be downloaded ({reason}). Download them elsewhere and name the"
        " file, FILE.pth, as the weights, or 'random' for drawn ones"
    )


def _from_file(path: StrPath) -> dict[str, Any]:
    found = load_state(path)
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise NetworkFormatError(f"{os.fspath(path)} does not hold a state dict but a {type(found).__name__}")
    return {str(name).removeprefix("module."): value for name, value in found.items()}

"""Any torch model as a network of deepibl: one that gives feature maps, pooled, or one of descriptors.

>>> import torchvision
>>> net = from_torch(torchvision.models.resnet18(), layer="layer4", head="gem")
>>> net(net.prepare(torch.zeros(2, 3, 64, 96))).flatten(1).shape
torch.Size([2, 512])

The result is an `Extractor` (see `deepibl.networks.identity`): every function that takes a network takes it.
`save_network` writes it as a .safetensors file that says how to build it.

`BeforeLastNormalisation` gives what enters the normalisations at the end of a network.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from deepibl.layers import GeM, NetVLAD, PixelL2, TotalAvgPool, TotalMaxPool, WholeL2Normalize
from deepibl.networks.clusters import cluster, local_descriptors, vlad_alpha
from deepibl.networks.feature_maps import FeatureMaps, own_size, scaled
from deepibl.networks.identity import digest
from deepibl.networks.libraries import is_torch_id, library_model, parse_name, shapes_of
from deepibl.runtime.progress import ProgressCallback
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.layer import Layer


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The normalisation of images that a network expects: (pixels * scale - mean) / std for each channel.

    Pixels are 0..255. mean and std are in the network's order of channels: RGB or, with `bgr`, BGR. size:
    height and width that images are scaled to before (bilinear, antialiased); None: as they are.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    size: tuple[int, int] | None = None
    scale: float = 1 / 255
    bgr: bool = False

    def __post_init__(self) -> None:
        size, most = self.size or (1, 1), 255 * self.scale
        if not len(self.mean) == len(self.std) == 3 or min(self.std) <= 0 or max(self.mean) > most:
            raise ArgumentError(f"mean and std: 3 numbers, of pixels 0..{most:g} (times scale); got {self}")
        if len(size) != 2 or min(size) < 1:
            raise ArgumentError(f"size must be a side or (height, width), in pixels from 1 on; got {size}")

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, normalised."""
        if self.size is not None:
            images = scaled(images, self.size)
        if self.bgr:
            images = images.flip(1)
        mean, std = (
            torch.tensor(values).to(images.device, non_blocking=True)[:, None, None]
            for values in (self.mean, self.std)
        )
        return (images * self.scale - mean) / std


IMAGENET = Preprocessing()  # the usual one of torchvision and timm
CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), scale=1.0, bgr=True)
_POOLINGS: dict[str, type[nn.Module]] = {"mean": TotalAvgPool, "max": TotalMaxPool, "gem": GeM}


class TorchExtractor(nn.Module):
    """A backbone (images -> maps, or descriptors), a head that pools maps, the preprocessing of images.

    recipe: how to build the modules, for `save_network`; see `from_torch`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        preprocessing: Preprocessing = IMAGENET,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.preprocessing = backbone, head, preprocessing
        self.recipe = dict(recipe or {})
        self.eval()

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, as the backbone takes them."""
        return self.preprocessing(images)

    def forward(self, x: Tensor) -> Tensor:
        """Prepared images -> descriptors (N, D, 1, 1) of length 1."""
        dtype = next((weight.dtype for weight in self.backbone.parameters()), x.dtype)
        found = self.backbone(x.to(dtype) if dtype.is_floating_point else x)  # of half precision, too
        found = found[0] if isinstance(found, tuple | list) and found else found  # BoQ adds its attentions
        if not isinstance(found, Tensor) or found.ndim not in (2, 4):
            what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise NetworkFormatError(f"a backbone gives maps (N, C, h, w) or descriptors (N, D), not {what}")
        return self.head(found) if found.ndim == 4 else F.normalize(found.float())[:, :, None, None]

    def network_id(self) -> str:
        """SHA-256 over the modules' description, their weights, and the preprocessing."""
        state = self.state_dict()
        structure = [repr(self), dataclasses.astuple(self.preprocessing), list(state)]
        return digest(structure, list(state.values()))


def unwrapped(model: nn.Module) -> nn.Module:
    """The module within the wrappers of torch.compile and data parallelism."""
    while type(model).__name__ in ("OptimizedModule", "DistributedDataParallel", "DataParallel"):
        model = next(model.children())
    return model


def from_torch(
    model: nn.Module,
    mean: tuple[float, float, float] = IMAGENET.mean,
    std: tuple[float, float, float] = IMAGENET.std,
    size: tuple[int, int] | int | None = None,
    *,
    scale: float = 1 / 255,
    bgr: bool = False,
    layer: str | None = None,
    head: str | nn.Module = "mean",
    name: str = "",
    args: Mapping[str, Any] | None = None,
) -> TorchExtractor:
    """A network made of any torch module that turns images into descriptors (N, D) or maps (N, C, h, w).

    Descriptors are brought to length 1; of several outputs the first is taken. Maps go through the head.
    model: its weights are shared; `torch.compile` and data parallelism are of the result, not of the model.
    mean, std, size, scale, bgr: how images are prepared, see `Preprocessing`; size: one number for squares;
        None: as they are, or the only size that the model takes.
    layer: takes the maps of this module of the model, tokens too, see `FeatureMaps`; '' for the last maps.
    head: of maps: 'mean', 'max', 'gem' (its power is learned) or a module from maps to (N, D, …). For NetVLAD
        see `with_netvlad`.
    name, args: how the model is built, for `save_network`: 'torchvision:NAME' or 'timm:NAME' and the
        arguments of the library's function, as {'num_classes': 0}. A timm model is known without.
    Raises ArgumentError: an unknown head, layer or library, numbers that images cannot be prepared with.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError(f"model must be a torch module, not a {type(model).__name__}")
    model = unwrapped(model)  # else its weights, layers and identity have other names
    name = name and parse_name(name).net_id
    about = getattr(model, "pretrained_cfg", None) or {}
    if not name and about.get("architecture") and type(model).__module__.startswith("timm."):
        name = f"timm:{about['architecture']}"
    name = name or f"{type(model).__module__}.{type(model).__qualname__}"
    recipe: dict[str, Any] = {"model": name, "args": dict(args or {}), "layer": layer}
    recipe["head"] = head if isinstance(head, str) else type(head).__qualname__
    if isinstance(head, str):
        if head not in _POOLINGS:
            raise ArgumentError(
                f"head must be {', '.join(_POOLINGS)} or a module (NetVLAD: with_netvlad()); got {head!r}"
            )
        head = nn.Sequential(_POOLINGS[head](), WholeL2Normalize())
    size = own_size(model) if size is None and layer is None else size
    sides = None if size is None else tuple(map(int, np.ravel(size))) * (1 + (np.size(size) == 1))
    means, deviations = (tuple(map(float, np.ravel(each))) for each in (mean, std))
    preprocessing = Preprocessing(means, deviations, sides, scale, bgr)  # type: ignore[arg-type]  # it checks
    if layer is not None:
        model = FeatureMaps(model, layer)
        recipe["size"] = model.size  # a library's model is built again for images of any size
    return TorchExtractor(model, head, preprocessing, recipe)


def with_netvlad(
    extractor: TorchExtractor,
    images: Callable[[int], Tensor],
    count: int,
    *,
    clusters: int = 64,
    total: int = 50000,
    per_image: int = 100,
    progress: ProgressCallback | bool | None = None,
) -> TorchExtractor:
    """The extractor with a NetVLAD head, initialised by k-means of the images' local descriptors.

    extractor: its backbone and preprocessing are shared; its head is not used. images: image i of `count` as
    (3, H, W), RGB, 0..255. clusters: K; the descriptor has K*D numbers. total, per_image: at most this many
    local descriptors in all, and of each image. progress: see `deepibl.extract`.
    Ported from: netvlad/addLayers.m
    """
    pixels = TorchExtractor(extractor.backbone, PixelL2(), extractor.preprocessing)
    device = next((weight.device for weight in pixels.parameters()), torch.device("cpu"))
    found = local_descriptors(
        pixels, images, count, total=total, per_image=per_image, device=device, progress=progress
    )
    centres = torch.from_numpy(cluster(found, clusters, progress))
    head = netvlad_head(NetVLAD.from_clusters(centres, vlad_alpha(centres.numpy(), found)))
    recipe = {**extractor.recipe, "head": "netvlad"}
    return TorchExtractor(extractor.backbone, head.to(device), extractor.preprocessing, recipe)


def netvlad_head(layer: NetVLAD) -> nn.Module:
    """preL2, NetVLAD, intra-normalisation, L2: (N, D, h, w) -> (N, K*D, 1, 1)."""
    return nn.Sequential(PixelL2(), layer, PixelL2(), WholeL2Normalize())


def recipe_of(net: TorchExtractor) -> str:
    """How to build the network's modules, as JSON.

    Raises NetworkFormatError where a library's model is named that has other weights or layers.
    """
    recipe = net.recipe or {"model": type(net.backbone).__qualname__, "head": type(net.head).__qualname__}
    text = json.dumps({**recipe, "preprocessing": dataclasses.asdict(net.preprocessing)}, sort_keys=True)
    if is_torch_id(recipe["model"]):
        model = net.backbone.model if isinstance(net.backbone, FeatureMaps) else net.backbone
        if wrong := _unlike(recipe, model.state_dict()):
            wrong = f"has no such weights as this network's {wrong}"
        elif recipe["head"] in (*_POOLINGS, "netvlad"):  # strides and activations change no weight's shape
            with torch.random.fork_rng(devices=[]):
                made = _build(json.loads(text), net.state_dict())
            lines = (_UNUSED.sub("", repr(each)).splitlines() for each in (made, net))
            unlike = (f"has{a} where this network has{b}" for a, b in zip(*lines, strict=False) if a != b)
            wrong = re.sub(" +", " ", next(unlike, ""))
        if wrong:
            raise NetworkFormatError(
                f"{recipe['model']} ({recipe['args']}) {wrong}: give from_torch the model's own name and args"
            )
    return text


_UNUSED = re.compile(r"\n *\(\w+\): (Identity|Drop\w*)\(.*")  # lines of a repr without effect in eval mode


def _unlike(recipe: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """The first weight that the recipe's model does not have, with its shape; '' if it has all."""
    name = parse_name(recipe["model"])
    built = shapes_of(name.library, name.model, recipe["args"])
    wrong = (f"{key} of {tuple(x.shape)}" for key, x in state.items() if built.get(key) != tuple(x.shape))
    return next(wrong, "")


def built_from(text: str, state: Mapping[str, Tensor], model: nn.Module | None = None) -> nn.Module:
    """The network that a recipe (`recipe_of`) describes, with these weights, in eval mode.

    model: the network itself, built as the saved one was, for a recipe that names no library.
    Raises NetworkFormatError: an invalid recipe, one that only its author's code can follow, unfit weights.
    """
    try:
        recipe = json.loads(text)
        net = model if model is not None else _build(recipe, state)
        net.load_state_dict(state)
        saved, given = _preprocessing(recipe), getattr(net, "preprocessing", None)
        if given != saved:
            raise ArgumentError(f"the model given prepares images by {given}, the saved one by {saved}")
    except (ArgumentError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[:2]
        raise NetworkFormatError(f"the network cannot be built: {' '.join(reason)}") from error
    return net.eval()


def _build(recipe: dict[str, Any], state: Mapping[str, Tensor]) -> TorchExtractor:
    made_by, head, args = recipe["model"], recipe["head"], recipe["args"]
    if not is_torch_id(made_by) or head not in (*_POOLINGS, "netvlad"):
        raise ArgumentError(
            f"only its author's code can build {made_by} with the head {head}: give load_network the built "
            "network as model=…, or the command line a .py file with a function network() that returns it"
        )
    name = parse_name(made_by)
    start = "backbone." + ("" if recipe["layer"] is None else "model.")
    if wrong := _unlike(recipe, {n[len(start) :]: x for n, x in state.items() if n.startswith(start)}):
        raise ArgumentError(f"{made_by} has no weights as {wrong}")
    model, pooling = library_model(name.library, name.model, **args), "mean" if head == "netvlad" else head
    net = from_torch(model, layer=recipe["layer"], head=pooling, name=made_by, args=args)
    net.preprocessing = _preprocessing(recipe)
    if isinstance(net.backbone, FeatureMaps) and recipe.get("size"):
        height, width = map(int, recipe["size"])
        net.recipe["size"] = net.backbone.size = height, width
    if head == "netvlad":
        dim, clusters = state["head.1.assign"].shape
        net.head = netvlad_head(NetVLAD(clusters, dim, v2="head.1.bias" in state))
        net.recipe["head"] = head
    return net


def _preprocessing(recipe: Mapping[str, Any]) -> Preprocessing:
    about = recipe["preprocessing"]
    size = about["size"] and tuple(map(int, about["size"]))
    return Preprocessing(**{**about, "mean": tuple(about["mean"]), "std": tuple(about["std"]), "size": size})


_NO_CHANGE = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)


def is_normaliser(module: nn.Module) -> bool:
    """Whether a module makes unit vectors: of each pixel, or of the whole image."""
    if isinstance(module, Layer):
        return module.classname == "layerWholeL2Normalize" or _is_pixel_l2(module)
    return isinstance(module, WholeL2Normalize | PixelL2)


class BeforeLastNormalisation:
    """A context in which `result` is what enters the normalisations that end a network's forward pass.

    It is None before a pass, and where the last layer is not a known normalisation.
    """

    def __init__(self, net: nn.Module) -> None:
        self.result: Tensor | None = None
        self._leaves = [module for module in net.modules() if not any(module.children())]
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> BeforeLastNormalisation:
        self._hooks = [leaf.register_forward_hook(self._note) for leaf in self._leaves]
        return self

    def __exit__(self, *problem: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if is_normaliser(module):
            self.result = inputs[0] if self.result is None else self.result
        elif not isinstance(module, _NO_CHANGE):
            self.result = None


def _is_pixel_l2(layer: Layer) -> bool:
    """A MatConvNet normalize layer (a window of channels, kappa, alpha, beta) with x / |x| as its formula."""
    if layer.type not in ("normalize", "lrn"):  # type: ignore[comparison-overlap]
        return False
    param = np.asarray(layer.fields.get("param", []), dtype=np.float64).ravel()
    return len(param) == 4 and param[1] <= 1e-6 and param[2] == 1 and param[3] == 0.5

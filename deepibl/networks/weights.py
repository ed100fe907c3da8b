"""The published networks: their layers, where to download each under which licence, and finding one by name.

The layers are data; `differences` compares a network with them. Shapes are MATLAB's: height x width x input
channels x outputs. A checksum is given only where a publisher, or others who have the file, state one; every
file is compared with the layers that it must have.

`find_network` finds a network by its name; `list_networks` has the names.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from deepibl.errors import ConfigurationError, DownloadError
from deepibl.networks.libraries import LIBRARIES, is_torch_id, model_names, parse_name
from deepibl.runtime.paths import LocalPaths
from matlab_compat.files import StrPath

DEFAULT_NETWORK = "streets"  # of those that ship: where no network is named
VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels of each block
CLUSTERS, WHITENED = 64, 4096


class LayerSpec(NamedTuple):
    """A layer's name, its type (of a custom layer its class) and its first weights' shape (() without)."""

    name: str
    type: str
    shape: tuple[int, ...] = ()


def vgg16_layers(
    *, pool_first: bool, blocks: Sequence[tuple[int, int]] = VGG16_BLOCKS
) -> tuple[LayerSpec, ...]:
    """VGG-16 up to its last convolution, conv5_3.

    pool_first: each max pooling is before its ReLU, as in NetVLAD's networks; else after it, as published.
    """
    layers: list[LayerSpec] = []
    for name, _, (width, channels, *_), last in vgg16_convolutions(blocks):
        layers.append(LayerSpec(name, "conv", (3, 3, channels, width)))
        end = name.removeprefix("conv")
        tail = [LayerSpec(f"relu{end}", "relu"), *([LayerSpec(f"pool{end[0]}", "pool")] if last else [])]
        layers += reversed(tail) if pool_first else tail
    return tuple(layers[:-2])  # without the last block's ReLU and pooling


def whitened_netvlad_layers(
    *, blocks: Sequence[tuple[int, int]] = VGG16_BLOCKS, clusters: int = CLUSTERS, whitened: int = WHITENED
) -> tuple[LayerSpec, ...]:
    """The 35 layers of the released networks: VGG-16 to conv5_3, NetVLAD, whitening to 4096 dimensions."""
    width = blocks[-1][1]
    return (
        *vgg16_layers(pool_first=True, blocks=blocks),
        LayerSpec("preL2", "normalize"),
        LayerSpec("vlad:core", "layerVLAD", (1, 1, width, clusters)),
        LayerSpec("vlad:intranorm", "normalize"),
        LayerSpec("postL2", "layerWholeL2Normalize"),
        LayerSpec("WPCA", "conv", (1, 1, width * clusters, whitened)),
        LayerSpec("finalL2", "layerWholeL2Normalize"),
    )


class VGGConvolution(NamedTuple):
    """A convolution of VGG-16.

    name, position: in torchvision's vgg16.features. shape: of its filters, (outputs, channels, 3, 3). last:
    whether a max pooling follows its ReLU.
    """

    name: str
    position: int
    shape: tuple[int, int, int, int]
    last: bool


def vgg16_convolutions(blocks: Sequence[tuple[int, int]] = VGG16_BLOCKS) -> Iterator[VGGConvolution]:
    """VGG-16's convolutions in order, conv1_1 to conv5_3."""
    position, channels = 0, 3
    for b, (count, width) in enumerate(blocks, start=1):
        for c in range(1, count + 1):
            yield VGGConvolution(f"conv{b}_{c}", position, (width, channels, 3, 3), c == count)
            position, channels = position + 2, width
        position += 1


class Layout(NamedTuple):
    """Layers that a network must consist of, or (`begins`) must begin with."""

    layers: tuple[LayerSpec, ...]
    begins: bool = False


LAYOUTS = {
    "vgg16-netvlad-white": Layout(whitened_netvlad_layers()),
    "vgg16": Layout(vgg16_layers(pool_first=False), begins=True),
}


def differences(found: Sequence[LayerSpec], layout: Layout) -> list[str]:
    """Where the layers found deviate from the layout, one message each."""
    wanted = layout.layers
    lines = []
    if len(found) < len(wanted) or (len(found) > len(wanted) and not layout.begins):
        least = "at least " if layout.begins else ""
        lines.append(f"{len(found)} layers instead of {least}{len(wanted)}")
    for i, (have, want) in enumerate(zip(found, wanted, strict=False)):
        if have != want:
            lines.append(f"layer {i + 1} is {_words(have)} instead of {_words(want)}")
    return lines


def _words(layer: LayerSpec) -> str:
    shape = " " + "x".join(map(str, layer.shape)) if layer.shape else ""
    return f"{layer.name!r} ({layer.type}{shape})"


@dataclass(frozen=True)
class Source:
    """A URL, the checksum ('sha256:…' or 'md5:…', or '' if unknown) of its file, and who states it."""

    url: str
    checksum: str = ""
    stated_by: str = ""


@dataclass(frozen=True)
class Weights:
    """An entry of the registry. `layout` is a key of `LAYOUTS`, `page` where a browser finds the file."""

    name: str
    title: str
    file: str
    page: str
    sources: tuple[Source, ...]
    licence: str
    citation: str
    kind: str = "ours"  # for place recognition (folder ourCNNs of localPaths); 'pretrained': to start from
    layout: str = "vgg16-netvlad-white"


_SARE_PAPER = (
    "Liu Liu, Hongdong Li, Yuchao Dai. Stochastic Attraction-Repulsion Embedding for Large Scale Image "
    "Localization. ICCV 2019."
)

_NETVLAD_PAPER = (
    "Relja Arandjelovic, Petr Gronat, Akihiko Torii, Tomas Pajdla, Josef Sivic. NetVLAD: "
    "CNN architecture for weakly supervised place recognition. CVPR 2016."
)

_VGG_PAPER = (
    "Karen Simonyan, Andrew Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. "
    "ICLR 2015."
)

_NETVLAD_PAGE = "https://www.di.ens.fr/willow/research/netvlad/"
_DRIVE = "https://drive.usercontent.google.com/download"
_HLOC = "https://cvg-data.inf.ethz.ch/hloc/netvlad/"

REGISTRY = {
    card.name: card
    for card in (
        Weights(
            name="sare",
            title="deepIBL: VGG-16 + NetVLAD + whitening, trained with SARE (Gaussian, Our-Ind.) on Pitts30k",
            file="sare_gauss_ind_pitts30k.mat",
            page="https://drive.google.com/file/d/1riu7rJEH4Eh5vhQ_tM8dBtUfwhKilqhq/view",
            sources=(Source(_DRIVE + "?id=1riu7rJEH4Eh5vhQ_tM8dBtUfwhKilqhq&export=download&confirm=t"),),
            licence="none stated; the authors'",
            citation=_SARE_PAPER,
        ),
        Weights(
            name="netvlad-pitts30k",
            title="NetVLAD: VGG-16 + NetVLAD + whitening, trained on Pitts30k",
            file="vd16_pitts30k_conv5_3_vlad_preL2_intra_white.mat",
            page=_NETVLAD_PAGE,
            sources=(
                Source(_NETVLAD_PAGE + "data/models/vd16_pitts30k_conv5_3_vlad_preL2_intra_white.mat"),
                Source(
                    _HLOC + "Pitts30K_struct.mat",
                    "sha256:a67d9d897d3b7942f206478e3a22a4c4c9653172ae2447041d35f6cb278fdc67",
                    "several public projects that use hloc's copy",
                ),
            ),
            licence="none stated for the weights (the code is MIT); the authors'",
            citation=_NETVLAD_PAPER,
        ),
        Weights(
            name="netvlad-tokyotm",
            title="NetVLAD: VGG-16 + NetVLAD + whitening, trained on Tokyo Time Machine",
            file="vd16_tokyoTM_conv5_3_vlad_preL2_intra_white.mat",
            page=_NETVLAD_PAGE,
            sources=(
                Source(_NETVLAD_PAGE + "data/models/vd16_tokyoTM_conv5_3_vlad_preL2_intra_white.mat"),
                Source(_HLOC + "TokyoTM_struct.mat"),
            ),
            licence="none stated for the weights (the code is MIT); the authors'",
            citation=_NETVLAD_PAPER,
        ),
        Weights(
            name="vd16",
            title="VGG-16 (very deep, 16 layers) trained on ImageNet, as MatConvNet publishes it",
            file="imagenet-vgg-verydeep-16.mat",
            kind="pretrained",
            layout="vgg16",
            page="https://www.vlfeat.org/matconvnet/pretrained/",
            sources=(
                Source(
                    "https://www.vlfeat.org/matconvnet/models/imagenet-vgg-verydeep-16.mat",
                    "md5:f72d927587ca4c97fbd165ec9cb9997f",
                    "MatConvNet's own list (doc/site/docs/pretrained.md)",
                ),
            ),
            licence="CC BY 4.0 (of the VGG group's original models)",
            citation=_VGG_PAPER,
        ),
    )
}


def card(name: str) -> Weights:
    """The registry's entry of that name; DownloadError, with the known names, if there is none."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise DownloadError(f"no network called {name!r}; known are {', '.join(REGISTRY)}") from None


def default_folder(weights: Weights, paths: LocalPaths | None = None) -> Path:
    """The folder where a network is kept: one of `paths`, by default below the user's data folder."""
    paths = paths or LocalPaths()
    return Path(paths.ourCNNs if weights.kind == "ours" else paths.pretrainedCNNs)


def weights_folder() -> Path:
    """The folder of the networks that ship: weights/ of the checkout, or where the package was installed."""
    here = Path(__file__).resolve().parents[1]
    installed, checkout = here / "_weights", here.parent / "weights"
    return installed if installed.is_dir() else checkout


def shipped_networks() -> list[str]:
    """Names (without suffix) of the networks that ship."""
    return sorted(file.stem for file in weights_folder().glob("*.mat"))


def list_networks(pattern: str = "*") -> list[str]:
    """The names that `load_network` takes: networks that ship, published ones, models of libraries.

    Published networks must be fetched first (`deepibl fetch NAME`); timm's are listed if it is installed.

    >>> list_networks("torchvision:resnet1*")
    ['torchvision:resnet101', 'torchvision:resnet152', 'torchvision:resnet18']
    """
    names = [*shipped_networks(), *REGISTRY]
    names += [f"{library}:{name}" for library in LIBRARIES for name in model_names(library)]
    return [name for name in names if fnmatch(name, pattern)]


def find_network(name: StrPath = DEFAULT_NETWORK, paths: LocalPaths | None = None) -> Path:
    """The file of a network: a path, the name of one that ships, or of one that `deepibl fetch` brought.

    The name of a library's model, as torchvision:resnet50, is returned as it is.
    paths: the folders of fetched networks; default below the user's data folder.
    Raises ConfigurationError, with the names that ship, for anything else.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if is_torch_id(os.fspath(name)):
        parse_name(os.fspath(name))
        return Path(name)
    shipped = weights_folder() / f"{name}.mat"
    if shipped.is_file():
        return shipped
    for card in REGISTRY.values():
        file = default_folder(card, paths) / card.file
        if str(name) in (card.name, card.file) and file.is_file():
            return file
    raise ConfigurationError(
        f"there is no network file {os.fspath(name)!r}, and no network of that name; "
        f"those that ship: {', '.join(shipped_networks()) or 'none'}; `deepibl fetch` brings published ones; "
        "models of libraries are torchvision:NAME and timm:NAME (deepibl.list_networks())"
    )

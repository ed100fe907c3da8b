"""What the published networks consist of, layer by layer, as data; and the comparison of a network with it.

Shapes are MATLAB's: height x width x input channels x outputs.

The published networks: where each is to be had, under which licence, and bringing it here, checked.

Nobody could download these files where this was written, so a checksum is given only where its publisher or
others who have the file state one; every file is compared with the layers that it must have.

Where a network lies that is named rather than given as a path: shipped with the package, or fetched.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deepibl.errors import ConfigurationError, DownloadError
from deepibl.runtime.paths import LocalPaths

VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels of each block

CLUSTERS, WHITENED = 64, 4096


class LayerSpec(NamedTuple):
    """A layer's name, its type (of a custom layer its class) and the shape of its first weights, ()
    without.
    """

    name: str
    type: str
    shape: tuple[int, ...] = ()


def vgg16_layers(
    *, pool_first: bool, blocks: Sequence[tuple[int, int]] = VGG16_BLOCKS
) -> tuple[LayerSpec, ...]:
    """VGG-16 up to its last convolution, conv5_3.

    pool_first: each max pooling stands before its ReLU, as in NetVLAD's networks; else behind it, as
    published.
    """
    layers: list[LayerSpec] = []
    channels = 3
    for b, (count, width) in enumerate(blocks, start=1):
        for c in range(1, count + 1):
            layers.append(LayerSpec(f"conv{b}_{c}", "conv", (3, 3, channels, width)))
            channels = width
            if c < count:
                layers.append(LayerSpec(f"relu{b}_{c}", "relu"))
        if b < len(blocks):
            tail = [LayerSpec(f"relu{b}_{count}", "relu"), LayerSpec(f"pool{b}", "pool")]
            layers += reversed(tail) if pool_first else tail
    return tuple(layers)


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


class Layout(NamedTuple):
    """Layers that a network must consist of, or (`begins`) must begin with."""

    layers: tuple[LayerSpec, ...]
    begins: bool = False


LAYOUTS = {
    "vgg16-netvlad-white": Layout(whitened_netvlad_layers()),
    "vgg16": Layout(vgg16_layers(pool_first=False), begins=True),
}


def differences(found: Sequence[LayerSpec], layout: Layout) -> list[str]:
    """What is not as the layout has it, in words; empty when all is."""
    wanted = layout.layers
    lines = []
    if len(found) < len(wanted) or (len(found) > len(wanted) and not layout.begins):
        least = "at least " if layout.begins else ""
        lines.append(f"{len(found)} layers instead of {least}{len(wanted)}")
    for i, (have, want) in enumerate(zip(found, wanted, strict=False)):
        if have != want:
            lines.append(f"layer {i} is {_words(have)} instead of {_words(want)}")
    return lines


def _words(layer: LayerSpec) -> str:
    shape = " " + "x".join(map(str, layer.shape)) if layer.shape else ""
    return f"{layer.name!r} ({layer.type}{shape})"


@dataclass(frozen=True)
class Source:
    """A URL; the checksum ('sha256:…' or 'md5:…') of what it gives, and who states it; '' where nobody
    does.
    """

    url: str
    checksum: str = ""
    stated_by: str = ""


@dataclass(frozen=True)
class Weights:
    """A card of the registry. `layout` is a key of `network_layouts.LAYOUTS`, `page` is for people."""

    name: str
    title: str
    file: str
    kind: str  # 'ours': for place recognition (localPaths' ourCNNs); 'pretrained': to start from
    layout: str
    page: str
    sources: tuple[Source, ...]
    licence: str
    citation: str


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

_HLOC = "https://cvg-data.inf.ethz.ch/hloc/netvlad/"

REGISTRY = {
    card.name: card
    for card in (
        Weights(
            name="sare",
            title="deepIBL: VGG-16 + NetVLAD + whitening, trained with SARE (Gaussian, Our-Ind.) on Pitts30k",
            file="sare_gauss_ind_pitts30k.mat",
            kind="ours",
            layout="vgg16-netvlad-white",
            page="https://drive.google.com/file/d/1riu7rJEH4Eh5vhQ_tM8dBtUfwhKilqhq/view",
            sources=(
                Source(
                    "https://drive.usercontent.google.com/download"
                    "?id=1riu7rJEH4Eh5vhQ_tM8dBtUfwhKilqhq&export=download&confirm=t"
                ),
            ),
            licence="none stated; the authors'",
            citation=_SARE_PAPER,
        ),
        Weights(
            name="netvlad-pitts30k",
            title="NetVLAD: VGG-16 + NetVLAD + whitening, trained on Pitts30k",
            file="vd16_pitts30k_conv5_3_vlad_preL2_intra_white.mat",
            kind="ours",
            layout="vgg16-netvlad-white",
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
            kind="ours",
            layout="vgg16-netvlad-white",
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
    """The registry's card of that name; DownloadError naming the known ones when there is none."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise DownloadError(f"no network called {name!r}; known are {', '.join(REGISTRY)}") from None


def default_folder(weights: Weights, paths: LocalPaths | None = None) -> Path:
    """Where a network is kept: as `paths` say, by default below the user's data folder."""
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


def find_network(name: str | os.PathLike[str], paths: LocalPaths | None = None) -> Path:
    """The file of a network: a path, the name of one that ships, or of one that `deepibl fetch` brought.

    paths: where fetched networks lie; default below the user's data folder.
    Raises ConfigurationError, which lists what there is, when it is none of these.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = weights_folder() / f"{name}.mat"
    if shipped.is_file():
        return shipped
    fetched = _fetched(str(name), paths)
    if fetched is not None:
        return fetched
    raise ConfigurationError(
        f"there is no network file {os.fspath(name)!r}, and no network of that name; "
        f"those that ship: {', '.join(shipped_networks()) or 'none'}; `deepibl fetch` brings published ones"
    )


def _fetched(name: str, paths: LocalPaths | None) -> Path | None:
    for card in REGISTRY.values():
        file = default_folder(card, paths) / card.file
        if name in (card.name, card.file) and file.is_file():
            return file
    return None

"""The published networks: where each is to be had, under which licence, and bringing it here, checked.

Nobody could download these files where this was written, so a checksum is given only where its publisher or
others who have the file state one; every file is compared with the layers that it must have.
"""

import hashlib
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from deepibl.errors import DownloadError
from deepibl.network_layouts import LAYOUTS, differences
from deepibl.paths import LocalPaths
from deepibl.weights_download import Progress, discard, download
from matlab_compat.errors import MatlabCompatError
from matlab_compat.files import atomic_output

_log = logging.getLogger(__name__)
_MAT_HEADERS = (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")


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


def fetch(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    from_file: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Brings a published network here and returns its path; one that is there already is left as it is.

    The file gets its final name only after its size, its checksum (where one is known) and its layers were
    found to be right; its SHA-256 is then written beside it, in the form of sha256sum.

    Args:
        name: sare, netvlad-pitts30k, netvlad-tokyotm or vd16.
        folder: where to put it; default `default_folder`.
        from_file: a file that was downloaded by hand; it is copied, not moved.
        base_url: another server that has the file under its name below this URL.
        progress: called with (bytes there are, bytes there will be or None).

    Raises:
        DownloadError: the file could not be had or is not what it should be; nothing is left in its place.
    """
    weights = card(name)
    target = Path(folder if folder is not None else default_folder(weights)) / weights.file
    if target.exists() and from_file is None:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if from_file is not None:
        return _take(weights, Path(from_file), target)
    sources = weights.sources
    if base_url is not None:
        sources = (Source(base_url.rstrip("/") + "/" + weights.file),)
    problems = []
    for source in sources:
        try:
            download(source.url, part, progress=progress)
            _check(weights, part, source)
        except DownloadError as error:
            problems.append(str(error))
        else:
            return _place(part, target)
    raise DownloadError("\n".join([f"{weights.name} could not be downloaded:", *problems, by_hand(weights)]))


def by_hand(weights: Weights) -> str:
    """How to get the file without this program."""
    return (
        f"By hand: download it in a browser from {weights.page}\n"
        f"and run: deepibl fetch {weights.name} --from THE_FILE.mat"
    )


def _take(weights: Weights, source: Path, target: Path) -> Path:
    """Copies a file that lies here already to its place, checked."""
    if not source.is_file():
        raise DownloadError(f"{weights.name}: there is no file {source}")
    with atomic_output(target) as temporary:
        shutil.copyfile(source, temporary)
        _check(weights, temporary, None, shown_as=source)
    _write_hash(target)
    return target


def _place(part: Path, target: Path) -> Path:
    os.replace(part, target)
    _write_hash(target)
    return target


def _write_hash(target: Path) -> None:
    with atomic_output(target.with_name(target.name + ".sha256")) as temporary:
        temporary.write_text(f"{checksum(target, 'sha256')}  {target.name}\n")


def _check(weights: Weights, path: Path, source: Source | None, shown_as: Path | None = None) -> None:
    """Header, checksum, layers. What fails is removed when it was downloaded, and never when it is the
    user's.
    """
    try:
        _check_header(path)
        if source and source.checksum:
            _check_sum(path, source)
        else:
            _log.warning("%s: no checksum is known; only its layers are checked", weights.file)
        check_layers(path, weights)
    except MatlabCompatError as error:
        if source:
            discard(path)
        raise DownloadError(f"{shown_as or (source and source.url) or path}: {error}") from error


def _check_header(path: Path) -> None:
    with open(path, "rb") as file:
        start = file.read(128)
    if start.startswith(_MAT_HEADERS):
        return
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise DownloadError("this is a web page (a confirmation or an error of the server), not a .mat file")
    raise DownloadError(f"this is not a .mat file; it begins with {start[:20]!r}")


def _check_sum(path: Path, source: Source) -> None:
    method, wanted = source.checksum.split(":")
    found = checksum(path, method)
    if found != wanted:
        raise DownloadError(
            f"the file's {method} is {found}, but {source.stated_by} states {wanted}: "
            "the download is damaged or the file was replaced"
        )


def checksum(path: Path, method: str = "sha256") -> str:
    """The file's checksum in hexadecimal."""
    digest = hashlib.new(method, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def check_layers(path: str | os.PathLike[str], weights: Weights) -> None:
    """DownloadError unless the network in this .mat file consists of the layers that it must consist of."""
    from deepibl.networks import layer_specs, load_network

    found = layer_specs(load_network(path, cached_copy=False))
    wrong = differences(found, LAYOUTS[weights.layout])
    if wrong:
        more = [f"… and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise DownloadError("; ".join(["this is another network", *wrong[:5], *more]))

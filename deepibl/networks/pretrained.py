"""Networks to start from: trained for another task, cropped at the layer whose output is to be pooled.

`load_pretrained` finds such a network; `fetch` downloads the published ones.
"""

import http.client
import logging
import os
import shutil
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from deepibl.errors import ConfigurationError, DownloadError
from deepibl.networks.io import chain_of, layer_specs, load_network
from deepibl.networks.libraries import is_torch_id
from deepibl.networks.torch_backbones import load_torch_network
from deepibl.networks.weights import LAYOUTS, Source, Weights, card, default_folder, differences, find_network
from deepibl.runtime.files import checksum
from matlab_compat.errors import MatlabCompatError
from matlab_compat.files import StrPath, atomic_output, write_text
from matlab_compat.simplenn.edit import relja_cropToLayer, relja_swapLayersForEfficiency
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import vl_simplenn_tidy

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
    folder: StrPath,
    weights: StrPath = "pretrained",
    split: str = "",
) -> SimpleNN:
    """A pretrained network, up to and with one of its layers, ready for a pooling layer to be added.

    Its class names are dropped, and each ReLU before a max pooling is moved after it (the same result,
    faster). meta gets netID, sessionID ('vd16_offtheshelf_conv5_3') and epoch 0.
    net_id: vd16, vd19, caffe, places, the name (without .mat) of a file in the folder, another name that
    `find_network` knows, or a library and its model, as 'timm:convnext_tiny' (weights, split: see
    `load_torch_network`). layer: the last one to keep; None keeps all. folder: of the files (localPaths'
    pretrainedCNNs).
    Raises ConfigurationError: there is no such file. ArgumentError: there is no layer of that name.
    Raises NetworkFormatError: the file holds a graph (DagNN), which cannot be cropped.
    Ported from: netvlad/loadNet.m
    """
    if is_torch_id(net_id):
        return _named(load_torch_network(net_id, layer, weights=weights, split=split), net_id, layer)
    file = Path(folder) / FILES.get(net_id, f"{net_id}.mat")
    if not file.is_file() and net_id not in FILES:
        with suppress(ConfigurationError):
            file = find_network(net_id)
    if not file.is_file():
        raise ConfigurationError(_missing(net_id, file))
    net = chain_of(load_network(file, weights=weights), file)
    net.meta.pop("classes", None)
    if layer is not None:
        net = relja_cropToLayer(net, layer)
    # with the fields that MatConvNet's newest version adds, as MATLAB's loadNet returns it
    tidy = SimpleNN.from_matlab(vl_simplenn_tidy(net.to_matlab()), consume=True)
    return _named(relja_swapLayersForEfficiency(tidy), net_id, layer)


def _named(net: SimpleNN, net_id: str, layer: str | None) -> SimpleNN:
    """The network with netID, sessionID and epoch in its meta."""
    ending = f"_{layer}" if layer is not None else ""
    session = f"{net_id.replace(':', '-')}_offtheshelf{ending}"  # names files: Windows allows no colon
    net.meta |= {"netID": net_id, "sessionID": session, "epoch": 0.0}
    return net


def _missing(net_id: str, file: Path) -> str:
    there = sorted(path.stem for path in file.parent.glob("*.mat"))
    found = f"the folder holds {', '.join(there)}" if there else "the folder holds no .mat file"
    if net_id == "vd16":
        help_ = "run `deepibl fetch vd16`, or take torchvision:vgg16 in its place"
    elif net_id in FILES:
        help_ = "download it from https://www.vlfeat.org/matconvnet/pretrained/"
    else:
        help_ = f"known netIDs are {', '.join(FILES)}, and the name of any file there"
    return f"network {net_id!r}: there is no file {file}; {found}; {help_}"


Progress = Callable[[int, int | None], None]  # bytes received, bytes in all (None: unknown)
_BLOCK = 2**20


def download(url: str, part: Path, *, progress: Progress | None = None, timeout: float = 30) -> None:
    """Downloads `url` to the file `part`. timeout: seconds for each answer of the server.

    Raises DownloadError where the server refuses, sends a web page, does not answer or breaks off.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "deepibl"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response, open(part, "wb") as file:
            if response.headers.get_content_type() == "text/html":
                raise DownloadError(f"{url}: the server sent a web page instead of the file")
            length, done = response.headers.get("Content-Length"), 0
            total = None if length is None else int(length)
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                if progress:
                    progress(done, total)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {error}") from error
    if total not in (None, done):
        raise DownloadError(f"{url}: the connection ended after {done} of {total} bytes")


_MAT_HEADERS = (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")


def fetch(
    name: str,
    *,
    folder: StrPath | None = None,
    from_file: StrPath | None = None,
    base_url: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Downloads a published network and returns its path; a file that exists is left as it is.

    The file gets its final name only after its size, its checksum (where one is known) and its layers have
    been checked; its SHA-256 is then written beside it, in the format of sha256sum.
    name: sare, netvlad-pitts30k, netvlad-tokyotm or vd16. folder: default `default_folder`. from_file: a file
    downloaded by other means, which is copied. base_url: another server that has the file under its name
    below this URL. progress: called with (bytes received, bytes in all or None).
    Raises DownloadError: the file could not be downloaded, or is not the right one; no file is left then.
    """
    weights = card(name)
    target = Path(folder if folder is not None else default_folder(weights)) / weights.file
    if target.exists() and from_file is None:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    if from_file is not None:
        if not Path(from_file).is_file():
            raise DownloadError(f"{weights.name}: there is no file {from_file}")
        return _take(weights, target, Source(os.fspath(from_file)), partial(shutil.copyfile, from_file))
    sources = weights.sources
    if base_url is not None:
        sources = (Source(base_url.rstrip("/") + "/" + weights.file),)
    problems = []
    for source in sources:
        try:
            return _take(weights, target, source, partial(download, source.url, progress=progress))
        except DownloadError as error:
            problems.append(str(error))
    by_hand = f"By hand: download it in a browser from {weights.page}\nand run: deepibl fetch {weights.name} "
    by_hand += "--from THE_FILE.mat"
    raise DownloadError("\n".join([f"{weights.name} could not be downloaded:", *problems, by_hand]))


def _take(weights: Weights, target: Path, source: Source, bring: Callable[[Path], object]) -> Path:
    """The file that `bring` writes, after header, checksum and layers have been checked."""
    with atomic_output(target) as temporary:
        bring(temporary)
        try:
            _check(weights, temporary, source)
        except MatlabCompatError as error:
            raise DownloadError(f"{source.url}: {error}") from error
    write_text(target.with_name(target.name + ".sha256"), f"{checksum(target, 'sha256')}  {target.name}\n")
    return target


def _check(weights: Weights, path: Path, source: Source) -> None:
    with open(path, "rb") as file:
        start = file.read(128)
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise DownloadError("this is a web page (a confirmation or an error of the server), not a .mat file")
    if not start.startswith(_MAT_HEADERS):
        raise DownloadError(f"this is not a .mat file; it begins with {start[:20]!r}")
    if source.checksum:
        method, wanted = source.checksum.split(":")
        found = checksum(path, method)
        if found != wanted:
            raise DownloadError(
                f"damaged or replaced: its {method} is {found}, but {source.stated_by} states {wanted}"
            )
    else:
        _log.warning("%s: no checksum is known; only its layers are checked", weights.file)
    check_layers(path, weights)


def check_layers(path: StrPath, weights: Weights) -> None:
    """DownloadError unless the network in this .mat file has the layers of its layout."""
    found = layer_specs(load_network(path))
    wrong = differences(found, LAYOUTS[weights.layout])
    if wrong:
        more = [f"… and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise DownloadError("; ".join(["this is another network", *wrong[:5], *more]))

"""Networks to start from: trained for another task by others, cropped where their features are pooled.

Downloading one file over HTTP: in pieces that survive a broken connection, never taking a web page for
data.

What has arrived lies in the `.part` file; beside it `.part.json` says of which version of which URL, so that
another version is never glued onto it.
"""

import hashlib
import http.client
import json
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.errors import ConfigurationError, DownloadError
from deepibl.networks.io import load_network
from deepibl.networks.torch_backbones import is_torch_id, load_torch_network
from deepibl.networks.torch_files import vgg16_from_torchvision
from deepibl.networks.weights import LAYOUTS, Source, Weights, card, default_folder, differences
from deepibl.runtime.files import read_note
from matlab_compat.errors import MatlabCompatError
from matlab_compat.files import atomic_output
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

        weights, split: of a netID like 'torchvision:resnet50', see `deepibl.networks.torch_backbones`.

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


Progress = Callable[[int, int | None], None]  # bytes there are, bytes there will be (None: not known)

_BLOCK = 2**20

_BROKEN = (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException)


def download(
    url: str, part: Path, *, progress: Progress | None = None, timeout: float = 30, attempts: int = 4
) -> Path:
    """Brings `url` to the file `part`, going on where an earlier attempt stopped; returns `part`.

    A broken connection is tried again, `attempts` times in a row without a byte gained. `timeout` in seconds
    is for each answer of the server, not for the whole.

    Raises DownloadError when the server refuses, sends a web page, or stays away; what came so far is kept
    for the next call, except after a web page.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    failures, reason = 0, ""
    while failures < attempts:
        before = _size(part)
        try:
            if _go_on(url, part, progress, timeout):
                _version_file(part).unlink(missing_ok=True)
                return part
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            raise DownloadError(f"{url}: the server answered {error.code} {error.reason}") from error
        except _BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 0 if _size(part) > before else failures + 1
    raise DownloadError(
        f"{url}: {reason}; {_size(part)} bytes are kept in {part} and the same command goes on from there"
    )


def _go_on(url: str, part: Path, progress: Progress | None, timeout: float) -> bool:
    """One connection; True when the file is whole."""
    with _open(url, part, timeout) as response:
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/html"):
            discard(part)
            raise DownloadError(f"{url}: the server sent a web page instead of the file")
        start = _start(response)
        total = _total(response, start)
        _remember_version(part, url, response, total)
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            done = start
            while block := response.read(_BLOCK):
                file.write(block)
                done += len(block)
                if progress:
                    progress(done, total)
    return total is None or done == total


def _open(url: str, part: Path, timeout: float) -> Any:
    """The server's answer to a request for what is missing; for all of it when the file is not the same any
    more.
    """
    headers = {"User-Agent": "deepibl"}
    version = _read_version(part)
    have = _size(part) if version.get("url") == url and version.get("validator") else 0
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version["validator"]}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        discard(part)  # we hold at least as many bytes as there are: start again
        return _open(url, part, timeout)


def _start(response: Any) -> int:
    """The offset of the answer's first byte in the file."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    return int(response.headers["Content-Range"].removeprefix("bytes ").split("-")[0])


def _total(response: Any, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return start + int(length) if length is not None else None


def _remember_version(part: Path, url: str, response: Any, total: int | None) -> None:
    """What a later request needs to be sure that it goes on with the same file: a strong ETag, or a date."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    _version_file(part).write_text(json.dumps({"url": url, "validator": validator, "total": total}))


def _read_version(part: Path) -> dict[str, Any]:
    return read_note(_version_file(part))


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _size(path: Path) -> int:
    return os.path.getsize(path) if path.exists() else 0


def discard(part: Path) -> None:
    """Removes an unfinished download and what is known of it."""
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


_MAT_HEADERS = (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")


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
    from deepibl.networks.io import layer_specs, load_network

    found = layer_specs(load_network(path, cached_copy=False))
    wrong = differences(found, LAYOUTS[weights.layout])
    if wrong:
        more = [f"… and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise DownloadError("; ".join(["this is another network", *wrong[:5], *more]))

"""Networks under the original's names: loading, adding layers, preparing, computing representations.

Also the image tool convertPngtoJPG and NetVLAD's layer classes, as functions that return layers of a
`SimpleNN`. For plain torch modules see `deepibl.layers`.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.datasets.place import PlaceSet
from deepibl.datasets.png_to_jpeg import ConversionReport, convert_folder
from deepibl.engine.batch import extract_batch
from deepibl.features.extraction import extract_to_file
from deepibl.features.whitening import add_pca_of_images
from deepibl.matlab.datasets import Paths
from deepibl.matlab.prints import cluster_prints, extracting, pca_prints, printing
from deepibl.networks import build
from deepibl.networks.clusters import descriptors_made_of, get_clusters
from deepibl.networks.libraries import is_torch_id
from deepibl.networks.pretrained import load_pretrained
from deepibl.runtime.devices import device_for, inference
from deepibl.runtime.paths import localPaths
from matlab_compat import matfile
from matlab_compat.arguments import name_value
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.nn.geometry import pair
from matlab_compat.simplenn.layer import Layer
from matlab_compat.simplenn.network import LayerKey, SimpleNN


def loadNet(
    netID: str,
    layerName: str | None = None,
    *,
    paths: Paths = None,
    weights: str = "pretrained",
    split: str = "",
) -> SimpleNN:
    """A pretrained network, cropped after a layer.

    netID: vd16, vd19, caffe, places, or the name of a .mat file in localPaths' pretrainedCNNs; or a library
    and its model, as 'torchvision:resnet50'. layerName: the last layer to keep (default: all). paths: what
    localPaths takes. weights, split: see `load_pretrained`.

    Ported from: netvlad/loadNet.m
    """
    layer = None if layerName == "_relja_none_" else layerName
    folder = localPaths(paths).pretrainedCNNs if not is_torch_id(netID) else ""
    return load_pretrained(netID, layer, folder=folder, weights=weights, split=split)


def addLayers(
    net: SimpleNN, opts: Any, dbTrain: PlaceSet, *, verbose: bool = True, paths: Paths = None
) -> SimpleNN:
    """The network with the pooling layers that opts.method asks for, as 'vlad_preL2_intra'.

    opts: method, netID, layerName (and useGPU: the CUDA device, if there is one), as keys or attributes.
    dbTrain: the training set, whose name and images NetVLAD needs. NetVLAD's clusters and descriptors are
    read from localPaths' initData, or computed (`getClusters`). paths: what localPaths takes.

    Ported from: netvlad/addLayers.m
    """
    method = _option(opts, "method")
    if not build.parse_method(method).needs_clusters:
        return build.add_pooling_for(net, method, dbTrain)
    names = (dbTrain.name, _option(opts, "netID"), _option(opts, "layerName"))
    stem, device = (
        build.clusters_stem(localPaths(paths).initData, *names),
        device_for(_option(opts, "useGPU", False)),
    )
    tell, progress = cluster_prints(printing(verbose))
    return build.add_pooling_for(net, method, dbTrain, stem=stem, device=device, tell=tell, progress=progress)


def getClusters(
    net: SimpleNN,
    opts: Any,
    clstFn: str,
    k: int,
    dbTrain: PlaceSet,
    trainDescFn: str,
    *,
    verbose: bool = True,
) -> np.ndarray:
    """Cluster centres (k, D) of a network's local descriptors: from clstFn, or computed and written there.

    At most 50,000 descriptors of the first 500 database images are used, and kept in trainDescFn. opts:
    useGPU (the CUDA device, if there is one).

    Ported from: netvlad/getClusters.m
    """
    for file in (clstFn, trainDescFn):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    device = device_for(_option(opts, "useGPU", False))
    tell, progress = cluster_prints(printing(verbose))
    return get_clusters(
        lambda: build.descriptors_of(net, dbTrain, device, progress),
        k=k,
        cluster_file=clstFn,
        descriptor_file=trainDescFn,
        tell=tell,
        made_of=lambda: descriptors_made_of(net, dbTrain.database_root, dbTrain.database_names),
    )


def netPrepareForTrain(net: SimpleNN, backPropToLayer: LayerKey = 1) -> SimpleNN:
    """A network with momentum, rates and `precious` for training, from that layer on.

    backPropToLayer: a layer's name, or its number from 1 as in the trainers' option.

    Ported from: netvlad/netPrepareForTrain.m
    """
    if isinstance(backPropToLayer, str):
        return build.prepare_for_training(net, backPropToLayer)
    if backPropToLayer < 1:
        raise ArgumentError(f"backPropToLayer counts from 1, as the trainers' option; got {backPropToLayer}")
    return build.prepare_for_training(net, int(backPropToLayer) - 1)


def netPrepareForTest(net: SimpleNN, removeDropout: bool = False, removeExtras: bool = False) -> SimpleNN:
    """A network without `precious` layers; optionally without dropout, and without momentum.

    Ported from: netvlad/netPrepareForTest.m
    """
    return build.prepare_for_testing(net, remove_dropout=removeDropout, remove_extras=removeExtras)


def _option(opts: Any, name: str, *default: Any) -> Any:
    """A field of an options struct: a mapping's key, or an attribute."""
    fields = opts if isinstance(opts, Mapping) else {name: getattr(opts, name, None)}
    found = fields.get(name)
    if found is None and not default:
        raise ArgumentError(f"opts has no {name}")
    return default[0] if found is None else found


@name_value()
def addPCA(
    net: SimpleNN,
    dbTrain: PlaceSet,
    *,
    pcaDim: int = 4096,
    doWhite: bool = True,
    nTrainCap: int = 10000,
    useGPU: bool = True,
    numThreads: int = 12,
    batchSize: int = 10,
    verbose: bool = True,
    paths: Paths = None,
) -> SimpleNN:
    """The network with PCA and whitening at its end, trained on the database images of dbTrain.

    nTrainCap: at most this many images are used. useGPU: the CUDA device, if there is one. paths: what
    localPaths takes; descriptors and PCA are kept in files named by outPrefix and the session.

    Raises ArgumentError for a network that ends in PCA (the released ones do), for one without session and
    epoch, and for a pcaDim that the images cannot determine.

    Ported from: netvlad/addPCA.m
    """
    build.refuse_second(net)
    if "sessionID" not in net.meta or "epoch" not in net.meta:
        raise ArgumentError("net.meta has no sessionID and epoch, which loadNet, addLayers and training set")
    epoch = int(matfile.scalar(net.meta["epoch"]))
    stem = f"{localPaths(paths).outPrefix}{matfile.text(net.meta['sessionID'])}_ep{epoch:06d}"
    size, count = int(batchSize), min(dbTrain.database_size, int(nTrainCap))
    tell, progress = pca_prints(printing(verbose), matfile.text(net.meta["sessionID"]), count, size)
    how: dict[str, Any] = {"dim": int(pcaDim), "whiten": bool(doWhite), "at_most": int(nTrainCap)}
    how |= {"device": device_for(useGPU), "num_threads": int(numThreads), "batch_size": size}
    images = dbTrain.database_root, dbTrain.database_names
    return add_pca_of_images(net, *images, stem, tell=tell, progress=progress, **how)


@name_value()
def serialAllFeats(
    net: nn.Module,
    imPath: StrPath,
    imageFns: Sequence[str],
    outFn: StrPath,
    *,
    useGPU: bool = True,
    numThreads: int = 12,
    batchSize: int = 10,
    Resize: float | Sequence[float] | None = None,
    verbose: bool = True,
) -> None:
    """Writes the representations of the images imPath/imageFns[i] to outFn, float32, one after the other.

    The file equals the original's: MATLAB reads it as D x N, `deepibl.features.read_features` as (N, D).
    Images may have different sizes, whatever batchSize is. An interrupted run is resumed by the same call.

    useGPU: the CUDA device, if there is one. numThreads: threads that read images. Resize: vl_imreadjpeg's,
    the shorter side in pixels or [height width]; deepIBL's README asks for 640 for the queries of Tokyo 24/7.
    verbose: see `deepibl.matlab.prints`, also for the functions below.
    Raises ExtractionError, at the end, with a list of the images that could not be read or described; the
    next call does not compute the others again.

    Ported from: netvlad/serialAllFeats.m
    """
    progress, end = extracting(printing(verbose), len(imageFns), int(batchSize))
    how: dict[str, Any] = {"batch_size": int(batchSize), "num_threads": int(numThreads)}
    how |= {"device": device_for(useGPU), "resize": _size(Resize), "progress": progress}
    extract_to_file(net, imPath, imageFns, outFn, suffix=".bin", **how)
    end()


def _size(value: float | Sequence[float] | None) -> int | tuple[int, int] | None:
    """vl_imreadjpeg's Resize as the settings' resize."""
    if value is None or not np.size(value):
        return None
    sides = pair(value, "Resize")  # type: ignore[arg-type]
    return sides[0] if np.size(value) == 1 else sides


@name_value()
def computeRepresentation(net: nn.Module, im: np.ndarray | Tensor, *, useGPU: bool = True) -> np.ndarray:
    """The representation of one image: (1, D) float32.

    im: (3, H, W) or (1, H, W), float32 0..255, as `vl_imreadjpeg` returns it; uint8 is converted, with a
    warning. useGPU: the CUDA device, if there is one. Raises ArgumentError for another type or shape.

    Ported from: netvlad/computeRepresentation.m
    """
    image = torch.as_tensor(im)
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ArgumentError(f"im must be an image (3, H, W) or (1, H, W), not {tuple(image.shape)}")
    if image.dtype == torch.uint8:
        warnings.warn("im is uint8, not float32: it is converted; it must be RGB, 0..255", stacklevel=3)
    elif image.dtype != torch.float32:
        raise ArgumentError(f"im must be float32, 0..255, as vl_imreadjpeg returns it; got {image.dtype}")
    with inference(net, device_for(useGPU)) as device:
        batch = image.to(device, torch.float32).expand(3, -1, -1)[None]
        return extract_batch(net, batch).cpu().numpy()


def convertPngtoJPG(folder: StrPath, *, verbose: bool = True) -> ConversionReport:
    """Writes a JPEG (quality 100, 4:2:0) beside every PNG in the folder and below, printing the files.

    The original is a script that names its folder in the first line; here it is the argument. PNGs that
    cannot be read are listed in the report (`.failures`) and at the end; the others are converted. Raises
    MissingImageError if there is no such folder.

    Ported from: deepIBL/convertPngtoJPG.m
    """
    report = convert_folder(folder)
    say = printing(verbose)
    files: dict[str, list[Path]] = {parent: [] for parent, _, _ in sorted(os.walk(folder))}
    for file in report.converted:
        files.setdefault(str(file.parent), []).append(file)
    say("numberOfFolders =\n\n     %d\n", len(files))
    for parent, written in files.items():
        say("Processing folder %s", parent)
        for file in written:
            say("     Processing image file %s", file)
        if not written:
            say("     Folder %s has no image files in it.", parent)
    say("%s", str(report))
    return report


@dataclass(frozen=True)
class NewLayer:
    """A VLAD layer without weights, as MATLAB's class makes it: `constructor(weights)` returns the layer."""

    classname: str
    name: str
    count: int
    type: str = "custom"
    K: None = None
    D: None = None
    vladDim: None = None

    def constructor(self, weights: Sequence[np.ndarray]) -> Layer:
        """The layer with these weights, and K, D and vladDim."""
        arrays = [np.asarray(weight, dtype=np.float32) for weight in weights]
        if len(arrays) != self.count or arrays[0].ndim != 2 or arrays[0].shape != arrays[-1].shape:
            raise ArgumentError(
                f"{self.classname} takes {self.count} weights, the first and the last of the same shape "
                f"(D, K); got {[array.shape for array in arrays]}"
            )
        assign, *bias, last = arrays
        return build.vlad_layer([assign[None, None], *bias, (last if bias else -last)[None, None]], self.name)


def _vlad(classname: str, name: str, weights: Sequence[np.ndarray], count: int) -> Any:
    made = NewLayer(classname, name, count)
    return made.constructor(weights) if len(weights) else made


def layerVLAD(name: str = "VLAD", weights: Sequence[np.ndarray] = ()) -> Any:
    """NetVLAD pooling. weights: assignment and centres, (D, K) each; the layer stores minus the centres.

    Without weights, `layerVLAD(name).constructor(weights)` makes the layer, as in the original.

    Ported from: netvlad/layerVLAD.m
    """
    return _vlad("layerVLAD", name, weights, 2)


def layerVLADv2(name: str = "VLAD", weights: Sequence[np.ndarray] = ()) -> Any:
    """NetVLAD pooling with biases. weights: assignment (D, K), its biases (1, K), offsets (D, K).

    The offsets are minus the cluster centres, stored as they are: only layerVLAD inverts the sign. Without
    weights as layerVLAD.

    Ported from: netvlad/layerVLADv2.m
    """
    return _vlad("layerVLADv2", name, weights, 3)


def layerTotalMaxPool(name: str = "maxTotal") -> Layer:
    """The maximum of each channel. Ported from: netvlad/layerTotalMaxPool.m"""
    return build.object_layer("layerTotalMaxPool", {"name": name})


def layerTotalAvgPool(name: str = "avgTotal") -> Layer:
    """The mean of each channel. Ported from: netvlad/layerTotalAvgPool.m"""
    return build.object_layer("layerTotalAvgPool", {"name": name})


def layerWholeL2Normalize(name: str = "wholeL2") -> Layer:
    """x / (norm + 1e-12) over a whole image. Ported from: netvlad/layerWholeL2Normalize.m"""
    return build.object_layer("layerWholeL2Normalize", {"name": name})

"""Networks: loading, adding layers, preparing. The original's names over `deepibl`'s functions.

Computing image representations under the original's names.

The original's image tool under its own name.

NetVLAD's layer classes: the original's constructors over `deepibl.networks.build`.

Each call gives a layer for `SimpleNN`; for a plain torch module see `deepibl.layers`.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.datasets import png_to_jpeg as convert_png
from deepibl.engine.describe import describe_batch
from deepibl.features import extraction as features
from deepibl.features.whitening import add_pca_of_images
from deepibl.networks import build as network_build
from deepibl.networks import build as network_prepare
from deepibl.networks import build as pca
from deepibl.networks import clusters
from deepibl.networks.build import object_layer, vlad_layer
from deepibl.networks.pretrained import load_pretrained
from deepibl.networks.torch_backbones import is_torch_id
from deepibl.runtime.devices import device_for, inference
from deepibl.runtime.paths import localPaths
from deepibl.runtime.processes import team
from matlab_compat import matfile
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError
from matlab_compat.relja import relja_display
from matlab_compat.simplenn.layer import Layer
from matlab_compat.simplenn.network import LayerKey, SimpleNN

CLUSTERS = 64


def loadNet(
    netID: str,
    layerName: str | None = None,
    *,
    paths: Any = None,
    stand_in: str | None = None,
    weights: str = "pretrained",
    split: str = "",
) -> SimpleNN:
    """A pretrained network, cropped after a layer.

    netID: vd16, vd19, caffe, places, or the name of a .mat file in localPaths' pretrainedCNNs; or a library
    and its model, as 'torchvision:resnet50'. layerName: the last layer to keep (default: all). paths: what
    localPaths takes. stand_in, weights, split: see `pretrained.load_pretrained`.

    Ported from: netvlad/loadNet.m
    """
    layer = None if layerName == "_relja_none_" else layerName
    folder = localPaths(paths).pretrainedCNNs if not is_torch_id(netID) else ""
    return load_pretrained(netID, layer, folder=folder, stand_in=stand_in, weights=weights, split=split)


def addLayers(net: SimpleNN, opts: Any, dbTrain: Any, *, paths: Any = None) -> SimpleNN:
    """The network with the pooling layers that opts.method asks for, as 'vlad_preL2_intra'.

    opts: method, netID, layerName (and useGPU: the CUDA device, if there is one), as keys or attributes.
    dbTrain: the training set; for NetVLAD its name and images. NetVLAD's clusters and descriptors are read
    from localPaths' initData, or computed (`getClusters`). paths: what localPaths takes.

    Ported from: netvlad/addLayers.m
    """
    paths = localPaths(paths)
    method = network_build.parse_method(_option(opts, "method"))
    if not method.needs_clusters:
        return network_build.add_pooling(net, method)
    described = network_build.add_pre_l2(net) if method.pre_l2 else net
    ending = "_preL2" if method.pre_l2 else ""
    net_id = str(_option(opts, "netID")).replace(":", "-")  # of a library's model; file names hold no colon
    stem = f"{paths.initData}{dbTrain.name}_{net_id}_{_option(opts, 'layerName')}{ending}"
    descriptor_file, cluster_file = f"{stem}_traindescs.mat", f"{stem}_k{CLUSTERS:03d}_clst.mat"
    centres = getClusters(described, opts, cluster_file, CLUSTERS, dbTrain, descriptor_file)
    descriptors = clusters.training_descriptors(
        _describe(described, opts, dbTrain),
        descriptor_file,
        lambda: clusters.descriptors_made_of(described, dbTrain.dbPath, dbTrain.dbImageFns),
    )
    return network_build.add_pooling(
        net, method, centres=centres, descriptors=descriptors, training_set=dbTrain.name
    )


def getClusters(net: SimpleNN, opts: Any, clstFn: str, k: int, dbTrain: Any, trainDescFn: str) -> np.ndarray:
    """Cluster centres (k, D) of a network's local descriptors: read from clstFn, or computed and written
    there.

    50,000 descriptors of the first 500 database images (fewer where there are fewer) are taken, and kept in
    trainDescFn. opts: useGPU (the CUDA device, if there is one).

    Ported from: netvlad/getClusters.m
    """
    for file in (clstFn, trainDescFn):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    return clusters.get_clusters(
        _describe(net, opts, dbTrain),
        k=k,
        cluster_file=clstFn,
        descriptor_file=trainDescFn,
        made_of=lambda: clusters.descriptors_made_of(net, dbTrain.dbPath, dbTrain.dbImageFns),
    )


def netPrepareForTrain(net: SimpleNN, backPropToLayer: LayerKey = 0) -> SimpleNN:
    """A network with momentum, rates and `precious` as training needs them, from that layer (name or
    position) on.

    Ported from: netvlad/netPrepareForTrain.m
    """
    return network_prepare.prepare_for_training(net, backPropToLayer)


def netPrepareForTest(net: SimpleNN, removeDropout: bool = False, removeExtras: bool = False) -> SimpleNN:
    """A network without `precious` layers; optionally without dropout, and without momentum.

    Ported from: netvlad/netPrepareForTest.m
    """
    return network_prepare.prepare_for_testing(net, remove_dropout=removeDropout, remove_extras=removeExtras)


def _describe(net: SimpleNN, opts: Any, db_train: Any) -> Any:
    """A function that computes the training descriptors of a data set's first images."""
    from deepibl.images import read_image

    def compute() -> np.ndarray:
        device = device_for(_option(opts, "useGPU", False))
        found = clusters.local_descriptors(
            net.to(device),
            lambda i: read_image(os.path.join(db_train.dbPath, db_train.dbImageFns[i])),
            db_train.numImages,
            device=device,
        )
        net.to("cpu")  # as the original leaves it
        return found

    return compute


def _option(opts: Any, name: str, *default: Any) -> Any:
    """A field of an options struct: a mapping's key, or an attribute."""
    found = (
        opts.get(name, *default) if isinstance(opts, Mapping) else getattr(opts, name, *default or (None,))
    )
    if found is None and not default:
        raise ArgumentError(f"opts has no {name}")
    return found


def addPCA(net: SimpleNN, dbTrain: Any, *args: Any, paths: Any = None, **kwargs: Any) -> SimpleNN:
    """The network with PCA and whitening at its end, trained on the database images of dbTrain.

    Options: pcaDim (4096), doWhite (True), nTrainCap (10000 images at most), useGPU (True: the CUDA device,
    if there is one), numThreads (12), batchSize (10). paths: what localPaths takes; descriptors and PCA are
    kept in files whose names begin with outPrefix and the session's name.

    Raises ArgumentError for a network that ends in PCA (the released ones do), for one without session and
    epoch, and for a pcaDim that the images cannot give.

    Ported from: netvlad/addPCA.m
    """
    defaults = {
        "pcaDim": 4096,
        "doWhite": True,
        "nTrainCap": 10000,
        "useGPU": True,
        "numThreads": 12,
        "batchSize": 10,
    }
    opts = options(defaults, args, kwargs)
    pca.refuse_second(net)
    if "sessionID" not in net.meta or "epoch" not in net.meta:
        raise ArgumentError(
            "net.meta has no sessionID and epoch, which name the files; loadNet, addLayers and training "
            "set them"
        )
    epoch = int(matfile.scalar(net.meta["epoch"]))
    stem = f"{localPaths(paths).outPrefix}{matfile.text(net.meta['sessionID'])}_ep{epoch:06d}"
    return add_pca_of_images(
        net,
        dbTrain.dbPath,
        dbTrain.dbImageFns,
        stem,
        dim=int(opts.pcaDim),
        whiten=bool(opts.doWhite),
        at_most=int(opts.nTrainCap),
        device=device_for(opts.useGPU),
        num_threads=int(opts.numThreads),
        batch_size=int(opts.batchSize),
    )


def serialAllFeats(
    net: Any,
    imPath: str | os.PathLike[str],
    imageFns: Sequence[str],
    outFn: str | os.PathLike[str],
    *args: Any,
    **kwargs: Any,
) -> None:
    """Writes the representations of the images imPath/imageFns[i] to outFn, float32, one after the other.

    The file is the original's byte for byte: MATLAB reads it as D x N, `deepibl.features.extraction.read_features` as
    (N, D). Images may have any mix of sizes, whatever batchSize is. A killed run is taken up again.

    Options: useGPU (True: on the CUDA device, if there is one), numThreads (12) that read images,
    batchSize (10).
    Raises ExtractionError, at the end, with a list of the images that could not be read or described; the
    others are not computed again by the next call.

    Ported from: netvlad/serialAllFeats.m
    """
    opts = options({"useGPU": True, "numThreads": 12, "batchSize": 10}, args, kwargs)
    if team().leads:
        relja_display("serialAllFeats: Start")
    features.extract_to_file(
        net,
        imPath,
        imageFns,
        outFn,
        batch_size=int(opts.batchSize),
        num_threads=int(opts.numThreads),
        device=device_for(opts.useGPU),
        suffix=".bin",
    )
    if team().leads:
        relja_display("serialAllFeats: Done")


def computeRepresentation(net: Any, im: Any, *args: Any, **kwargs: Any) -> np.ndarray:
    """The representation of one image: (1, D) float32.

    im: (3, H, W) or (1, H, W), numpy or torch, float32 0–255, as `vl_imreadjpeg` gives it; uint8 is taken
    too, with a warning. Options: useGPU (True: on the CUDA device, if there is one).
    Raises ArgumentError for another type or shape.

    Ported from: netvlad/computeRepresentation.m
    """
    opts = options({"useGPU": True}, args, kwargs)
    image = torch.as_tensor(im)
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ArgumentError(f"im is an image (3, H, W) or (1, H, W), not {tuple(image.shape)}")
    if image.dtype == torch.uint8:
        warnings.warn("the image is uint8, not float32: converted, but is it 0–255, RGB?", stacklevel=2)
    elif image.dtype != torch.float32:
        raise ArgumentError(f"im is float32 0–255 as vl_imreadjpeg gives it, not {image.dtype}")
    with inference(net, device_for(opts.useGPU)) as device:
        batch = image.to(device, torch.float32).expand(3, -1, -1)[None]
        return describe_batch(net, batch).cpu().numpy()


def convertPngtoJPG(folder: str | os.PathLike[str]) -> convert_png.ConversionReport:
    """Writes a JPEG (quality 100, 4:2:0) beside every PNG in the folder and below.

    The original is a script whose folder is edited in its first line; here it is the argument. PNGs that
    cannot be read are printed at the end and stand in the report (`.failures`); the rest is converted.
    Raises MissingImageError if there is no such folder.

    Ported from: deepIBL/convertPngtoJPG.m
    """
    report = convert_png.convertPngtoJPG(folder)
    print(report)
    return report


def layerVLAD(name: str = "VLAD", weights: Sequence[np.ndarray] = ()) -> Layer:
    """NetVLAD pooling. weights: assignment and cluster centres, (D, K) each; it stores minus the centres.

    Ported from: netvlad/layerVLAD.m
    """
    return _vlad("layerVLAD", name, weights, 2)


def layerVLADv2(name: str = "VLAD", weights: Sequence[np.ndarray] = ()) -> Layer:
    """NetVLAD pooling with biases. weights: assignment (D, K), its biases (1, K), offsets (D, K).

    The offsets are minus the cluster centres, stored as they are: only layerVLAD turns the sign.

    Ported from: netvlad/layerVLADv2.m
    """
    return _vlad("layerVLADv2", name, weights, 3)


def layerTotalMaxPool(name: str = "maxTotal") -> Layer:
    """The maximum of each channel. Ported from: netvlad/layerTotalMaxPool.m"""
    return object_layer("layerTotalMaxPool", {"name": name})


def layerTotalAvgPool(name: str = "avgTotal") -> Layer:
    """The mean of each channel. Ported from: netvlad/layerTotalAvgPool.m"""
    return object_layer("layerTotalAvgPool", {"name": name})


def layerWholeL2Normalize(name: str = "wholeL2") -> Layer:
    """x / (norm + 1e-12) over a whole image. Ported from: netvlad/layerWholeL2Normalize.m"""
    return object_layer("layerWholeL2Normalize", {"name": name})


def _vlad(classname: str, name: str, weights: Sequence[np.ndarray], count: int) -> Layer:
    arrays = [np.asarray(weight, dtype=np.float32) for weight in weights]
    if len(arrays) != count or arrays[0].ndim != 2 or arrays[0].shape != arrays[-1].shape:
        raise ArgumentError(
            f"{classname} takes {count} weights, the first and the last of one shape (D, K); "
            f"found {[array.shape for array in arrays]}"
        )
    assign, *bias, last = arrays
    return vlad_layer([assign[None, None], *bias, (last if bias else -last)[None, None]], name)

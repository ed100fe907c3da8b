"""Networks: loading, adding layers, preparing. The original's names over `deepibl`'s functions."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepibl import clusters, network_build, network_prepare, pca
from deepibl.describe import device_for
from deepibl.paths import localPaths
from deepibl.pca_files import add_pca_of_images
from deepibl.pretrained import load_pretrained
from deepibl.torch_network import is_torch_id
from matlab_compat import matfile
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn import LayerKey, SimpleNN

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
    descriptors = clusters.training_descriptors(_describe(described, opts, dbTrain), descriptor_file)
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
        _describe(net, opts, dbTrain), k=k, cluster_file=clstFn, descriptor_file=trainDescFn
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

"""Computing image representations under the original's names."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deepibl import features
from deepibl.describe import describe_batch, device_for, inference
from deepibl.processes import team
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError
from matlab_compat.relja import relja_display


def serialAllFeats(
    net: Any,
    imPath: str | os.PathLike[str],
    imageFns: Sequence[str],
    outFn: str | os.PathLike[str],
    *args: Any,
    **kwargs: Any,
) -> None:
    """Writes the representations of the images imPath/imageFns[i] to outFn, float32, one after the other.

    The file is the original's byte for byte: MATLAB reads it as D x N, `deepibl.features.read_features` as
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

"""What SimpleNN and DagNN networks share: named layers, meta, and what it says of the images they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from matlab_compat.errors import NetworkFormatError
from matlab_compat.mat_values import describe


class ImageNetwork(nn.Module):
    """A network that MATLAB described: `layers`, `meta` (dict of plain MATLAB values), `extra` (other
    top-level fields).
    """

    layers: nn.ModuleList
    meta: dict[str, Any]
    extra: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The layers' MATLAB names."""
        return [str(layer.name) for layer in self.layers]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def mean_pixel(self) -> Tensor:
        """What is subtracted from images, (3,) or one value a channel: averageImage's top-left pixel, as the
        original.

        Raises NetworkFormatError where meta has no normalization.averageImage (or, in old files, imageMean).
        """
        normalization = self.meta.get("normalization")
        average = normalization.get("averageImage") if isinstance(normalization, Mapping) else None
        average = self.extra.get("imageMean") if average is None else average
        if average is None or not np.size(average):
            raise NetworkFormatError(
                "the network does not say which mean to subtract: set net.meta['normalization'] ="
                " {'averageImage':"
                " a 1 x 1 x 3 array} (zeros, if none)"
            )
        try:
            array = np.asarray(average, dtype=np.float32)
        except (TypeError, ValueError):
            found = describe(average)
            raise NetworkFormatError(f"meta.normalization.averageImage holds no numbers: {found}") from None
        pixel = array[0, 0] if array.ndim > 2 else array.ravel()[: 3 if array.size == 3 else 1]
        return torch.tensor(np.atleast_1d(pixel).ravel())

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, minus the mean pixel; grey ones (N, 1, H, W) come out as three
        channels.
        """
        mean = self.mean_pixel.to(images.device, non_blocking=True)  # nobody waits for three numbers
        return images - mean[:, None, None]

"""Steps of a network that only change a descriptor's length, and what comes before them."""

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from deepibl.backbones import PixelL2
from deepibl.layers import WholeL2Normalize
from matlab_compat.simplenn_layer import Layer

_NO_CHANGE = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d)


def is_normaliser(module: nn.Module) -> bool:
    """Whether a module makes unit vectors: of each pixel, or of the whole image."""
    if isinstance(module, Layer):
        return module.classname == "layerWholeL2Normalize" or _is_pixel_l2(module)
    return isinstance(module, WholeL2Normalize | PixelL2)


class BeforeLastNormalisation:
    """Within it, `result` becomes what enters the normalisations that end a network's forward pass.

    None before a pass, and where the last step is no normalisation that is known here.
    """

    def __init__(self, net: nn.Module) -> None:
        self.result: Tensor | None = None
        self._leaves = [module for module in net.modules() if not any(module.children())]
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> "BeforeLastNormalisation":
        self._hooks = [leaf.register_forward_hook(self._note) for leaf in self._leaves]
        return self

    def __exit__(self, *problem: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if is_normaliser(module):
            self.result = inputs[0] if self.result is None else self.result
        elif not isinstance(module, _NO_CHANGE):
            self.result = None


def _is_pixel_l2(layer: Layer) -> bool:
    """A MatConvNet normalize layer (a window of channels, kappa, alpha, beta) with x / |x| as its formula."""
    if layer.type not in ("normalize", "lrn"):  # type: ignore[comparison-overlap]
        return False
    param = np.asarray(layer.fields.get("param", []), dtype=np.float64).ravel()
    return len(param) == 4 and param[1] <= 1e-6 and param[2] == 1 and param[3] == 0.5

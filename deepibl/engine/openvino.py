"""A network's trunk by OpenVINO on a CPU, where it is installed: `pip install 'deepibl[openvino]'`."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from matlab_compat.simplenn.network import SimpleNN


class OpenVINOTrunk:
    """Layers 0 .. stop-1, (N, C, H, W) float32 to float32 maps. Each size is compiled once, in seconds.

    precision: fp32, or bf16 where the processor has it (OpenVINO's own choice of what to round). The weights
    are those of the network at this moment.
    """

    def __init__(self, net: SimpleNN, stop: int, precision: str) -> None:
        import openvino

        self._openvino = openvino
        self._trunk = _Layers(net, stop).eval()
        kind = "bf16" if precision == "bf16" else "f32"
        self._settings = {"INFERENCE_PRECISION_HINT": kind, "PERFORMANCE_HINT": "LATENCY"}
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 to float32 maps."""
        size = tuple(x.shape)
        if size not in self._compiled:
            self._compiled[size] = self._compile(x)
        found = self._compiled[size](x.contiguous().numpy())
        return torch.from_numpy(found[0].copy())

    def _compile(self, x: Tensor) -> Any:
        """How pooling treats its borders depends on the size, so each size is traced."""
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: what depends on the size is a constant here
            model = self._openvino.convert_model(self._trunk, example_input=x.new_zeros(x.shape))
        model.reshape(list(x.shape))
        return self._openvino.compile_model(model, "CPU", self._settings)


class _Layers(nn.Module):
    """The first layers of a network as plain torch modules, which tracing understands."""

    def __init__(self, net: SimpleNN, stop: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(list(net)[:stop])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to maps."""
        for layer in self.layers:
            x = layer(x)
        return x

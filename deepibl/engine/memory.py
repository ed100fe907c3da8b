"""How many images of a size a batch may hold: by their pixels, and by the memory that is free."""

import functools

import torch
from torch import Tensor, nn

from deepibl.images import LONG_SIDE
from deepibl.runtime.devices import free_memory, free_on_gpu, to_batch
from matlab_compat.errors import ImageReadError

CPU_PIXELS = 5 * 640 * 480  # of a batch on a CPU, which larger batches do not make faster
_SMALL = 2**17  # pixels of an image for which neither is looked at
_MANY = 2**31
_PROBE = 128  # pixels a side of the image that is measured
_COPIES = 256  # bytes that a pixel takes beside the largest layer: its own copies, and what layers allocate
_UNKNOWN = 1024  # bytes a pixel, of a network that cannot take the probe
_SHARE = 0.5  # of the free memory, for a batch of several images


class BatchMemory:
    def __init__(self, net: nn.Module, device: torch.device) -> None:
        self._net, self._device = net, device

    def fitting(self, height: int, width: int) -> int:
        """The most images of a size in a batch; at least 1. On a CPU it depends on the size alone, unless
        memory is short.
        """
        pixels = height * width
        if pixels <= _SMALL:
            return _MANY
        most = max(1, CPU_PIXELS // pixels) if self._device.type == "cpu" else _MANY
        return max(1, int(min(most, _SHARE * self._free() // (pixels * self.bytes_a_pixel))))

    def require(self, height: int, width: int) -> None:
        """Raises ImageReadError for an image for which the free memory is not enough."""
        pixels = height * width
        if pixels > _SMALL and (needed := pixels * self.bytes_a_pixel) > (free := self._free()):
            raise ImageReadError(
                f"an image of {width} x {height} pixels takes about {needed / 1e9:.1f} GB of memory, and "
                f"{free / 1e9:.1f} GB are free on {self._device}; scale it down to a longer "
                f"side of {LONG_SIDE} pixels (--resize max{LONG_SIDE})"
            )

    @functools.cached_property
    def bytes_a_pixel(self) -> float:
        """Bytes that the network takes for a pixel of its input: its largest layer's, measured once."""
        found = [0]

        def measure(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            tensors = [each for each in (*inputs, output) if isinstance(each, Tensor)]
            found.append(sum(each.numel() * each.element_size() for each in tensors))

        leaves = [module for module in self._net.modules() if not any(True for _ in module.children())]
        hooks = [module.register_forward_hook(measure) for module in leaves]
        try:
            image = torch.zeros(3, _PROBE, _PROBE, dtype=torch.uint8)
            self._net(self._net.prepare(to_batch([image], self._device)))  # type: ignore[operator]
        except Exception:  # a network of a fixed size, or one that refuses the probe for reasons of its own
            return float(_COPIES + _UNKNOWN)
        finally:
            for hook in hooks:
                hook.remove()
        return _COPIES + max(found) / _PROBE**2

    def _free(self) -> float:
        free = free_on_gpu(self._device) if self._device.type == "cuda" else free_memory()
        return float(free) or float("inf")

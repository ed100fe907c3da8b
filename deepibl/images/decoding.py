"""Where JPEG files are decoded for a network on a CUDA device; `choose_decoder` decides it.

======  =========================================================================================
decode  JPEG files are decoded
======  =========================================================================================
cpu     by libjpeg, in threads beside computing: the original's pixels, bit for bit
gpu     on the CUDA device by nvJPEG, a batch at a time. NOT the same pixels: its inverse transform and
        its chroma are its own, so descriptors differ in their last digits from those of `cpu`
auto    cpu, always: the pixels must not depend on the machine
======  =========================================================================================

What nvJPEG does not decode (other formats, CMYK, files that end early, images that are scaled or turned) is
decoded by the processor under `gpu` too. NOT RUN on a device where it was written, see docs/unknowns.md.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deepibl.images.reading import AS_STORED, Reading, load_pixels, open_image
from matlab_compat import jpeg
from matlab_compat.errors import ArgumentError, ImageReadError

DECODERS = ("auto", "cpu", "gpu")


class Encoded(NamedTuple):
    """A JPEG file to be decoded: its bytes (B,) uint8, the shape (3, H, W) of its pixels, and its name."""

    data: Tensor
    shape: tuple[int, int, int]
    name: str


Pixels = Tensor | Encoded


def check_decoder(name: str) -> None:
    if name not in DECODERS:
        raise ArgumentError(f"decode must be one of {', '.join(DECODERS)}; got {name!r}")


def choose_decoder(name: str, device: torch.device) -> HostDecoder:
    """The decoder of images for `device`. Raises ArgumentError if it is not available there."""
    if name != "gpu":
        return HostDecoder(device)
    if device.type != "cuda":
        raise ArgumentError(f"decode 'gpu' needs a CUDA device to decode on; images go to {device.type} here")
    return DeviceDecoder(device)


class HostDecoder:
    """Decodes on the processor: libjpeg's pixels. For a CUDA device they are in pinned memory, from which
    the device fetches them while it computes; torch keeps such memory until it has been fetched.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def load(self, path: str, reading: Reading = AS_STORED) -> Pixels:
        """A file's pixels (1 or 3, H, W), bytes or float32; called in many threads. Raises ImageReadError."""
        pixels = load_pixels(path, reading)
        return pixels.pin_memory() if self._device.type == "cuda" else pixels

    def finish(self, images: Sequence[Pixels]) -> list[Tensor | ImageReadError]:
        """The pixels of what `load` returned, or the error that there are none; called in one thread."""
        return [image for image in images if isinstance(image, Tensor)]


class DeviceDecoder(HostDecoder):
    """Decodes JPEG files on a CUDA device, a batch at a time.

    torchvision's decoder writes on a stream of its own into memory that it allocates on the current one. So
    it is called on a side stream, whose memory no other stream writes, and computing waits for that stream.
    decode: takes (list of bytes, device), returns (3, H, W) uint8 each on the device; None: torchvision's.
    """

    def __init__(
        self, device: torch.device, decode: Callable[[list[Tensor], torch.device], list[Tensor]] | None = None
    ) -> None:
        super().__init__(device)
        self._decode = decode or nvjpeg
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._being_read: list[Tensor] = []  # the device may still read the last batch's bytes

    def load(self, path: str, reading: Reading = AS_STORED) -> Pixels:
        """The bytes of a file that the device can decode, else its pixels."""
        if reading == AS_STORED:
            data = jpeg.read_bytes(path)
            shape = _shape_for_device(data, path)
            if shape:
                return Encoded(torch.frombuffer(bytearray(data), dtype=torch.uint8), shape, path)
        return super().load(path, reading)

    def finish(self, images: Sequence[Pixels]) -> list[Tensor | ImageReadError]:
        """Pixels, decoded together; files that nvJPEG refuses are decoded by the processor, one by one."""
        encoded = [image for image in images if isinstance(image, Encoded)]
        decoded = iter(self._together(encoded) if encoded else [])
        return [image if isinstance(image, Tensor) else next(decoded) for image in images]

    def _together(self, encoded: list[Encoded]) -> list[Tensor | ImageReadError]:
        try:
            found = self._on_side_stream([image.data for image in encoded])
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            if len(encoded) > 1:  # the error does not name the file
                return [self._together([image])[0] for image in encoded]
            return [_by_the_processor(encoded[0])]
        wrong = [i for i, image in enumerate(encoded) if tuple(found[i].shape) != image.shape]
        return [_by_the_processor(encoded[i]) if i in wrong else pixels for i, pixels in enumerate(found)]

    def _on_side_stream(self, data: list[Tensor]) -> list[Tensor]:
        if self._side is None:
            return self._decode(data, self._device)
        with torch.cuda.stream(self._side):
            found = self._decode(data, self._device)
        self._being_read = data  # kept until the next call, which waits inside torchvision for this one
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._side)
        for pixels in found:
            pixels.record_stream(computing)  # or its memory could be reused before computing has read it
        return found


def nvjpeg(data: list[Tensor], device: torch.device) -> list[Tensor]:
    """torchvision's decode_jpeg on a CUDA device: bytes (B,) uint8 to (3, H, W) uint8, RGB."""
    from torchvision.io import ImageReadMode, decode_jpeg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces that torchcodec will replace it
        return decode_jpeg(data, mode=ImageReadMode.RGB, device=device)


def _shape_for_device(data: bytes, name: str) -> tuple[int, int, int] | None:
    """(3, H, W) of a file that nvJPEG can decode; None for any other. Raises ImageReadError."""
    if not jpeg.is_jpeg(data) or not data.rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
        return None
    mode, height, width = jpeg.header(data, name)
    return (3, height, width) if mode in ("L", "RGB") else None


def _by_the_processor(image: Encoded) -> Tensor | ImageReadError:
    try:
        return jpeg.as_tensor(open_image(image.data.numpy().tobytes(), os.fspath(image.name)))
    except ImageReadError as error:
        return error

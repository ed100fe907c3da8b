"""Reading one image for a network: any format, always RGB 0–255.

=======================================  ==========================================================
file                                     result
=======================================  ==========================================================
JPEG, also progressive                   libjpeg's pixels, bit for bit those of vl_imreadjpeg
JPEG, grey                               the channel three times
JPEG, CMYK                               converted to RGB (vl_imreadjpeg refuses it)
JPEG, truncated                          what is there; the rest as libjpeg fills it (mostly grey)
JPEG or other with EXIF orientation      as stored, not turned: the original ignores it too
PNG, TIFF, WebP, BMP, … (Pillow's)       first frame, as below (vl_imreadjpeg reads JPEG only)
16 bits a channel                        the upper 8 bits (a viewer's picture; at most 1 from v / 257)
palette, logical                         the palette's colours; 0 and 255
with an alpha channel                    alpha dropped, not composited
floating point, or 32-bit integers       ImageReadError: their range is not known
truncated, but no JPEG                   ImageReadError
no pixels, or more than 178,956,970      ImageReadError (a decompression bomb), before decoding;
                                         Pillow warns from half of that on, but for JPEGs
zero bytes, no image, missing            ImageReadError
=======================================  ==========================================================

The format is found by the file's content, never by its name; every error names the file.

Where JPEG files are decoded on their way to a CUDA device: by the processor, or on the device by nvJPEG.

======  =========================================================================================
decode  JPEG files are decoded
======  =========================================================================================
cpu     by libjpeg, in threads beside computing: the original's pixels, bit for bit
gpu     on the CUDA device by nvJPEG, a batch at a time. NOT the same pixels: its inverse transform and
        its chroma are its own, so descriptors differ in their last digits from those of `cpu`
auto    cpu, always: whose pixels they are is not for the machine to choose
======  =========================================================================================

What nvJPEG does not take (other formats, CMYK, files that end early, images that are resized) is decoded by
the processor under `gpu` too. NOT RUN on a device where it was written, see docs/unknowns.md.

Reading images in background threads while the network computes, a bounded number ahead, in order.
"""

from __future__ import annotations

import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from matlab_compat import jpeg
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.images import crop_and_size, resize_pixels

if TYPE_CHECKING:
    from PIL.Image import Image


def read_image(
    path: str | os.PathLike[str], resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """An image file as (3, H, W) float32, RGB 0–255; see the module's table for what each kind of file gives.

    resize: pixels of the shorter side, or (height, width), which crops the middle part of that shape, as
    vl_imreadjpeg does; None leaves the size. interpolation: box, bilinear, bicubic, lanczos2 or lanczos3.
    Raises ImageReadError, naming the file.
    """
    pixels = load_pixels(path, resize, interpolation)
    return pixels.to(torch.float32).expand(3, -1, -1)


def load_pixels(
    path: str | os.PathLike[str], resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """As `read_image`, in the smallest form: (1, H, W) or (3, H, W), uint8 where nothing was resampled.

    Bytes are a quarter of float32 to keep in memory and to send to a GPU.
    """
    return scaled_pixels(open_image(jpeg.read_bytes(path), os.fspath(path)), resize, interpolation)


def scaled_pixels(
    image: Image, resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """A Pillow image of mode L or RGB as `load_pixels` gives a file."""
    pixels = jpeg.as_tensor(image)
    if resize is None:
        return pixels
    target = resize if isinstance(resize, int) else (int(resize[0]), int(resize[1]))
    return resize_pixels(pixels, crop_and_size(pixels.shape[1], pixels.shape[2], target), interpolation)


def open_image(data: bytes, name: str) -> Image:
    """A Pillow image of mode L or RGB, 8 bits a channel, from a file's bytes; the module's table says how.

    name: what errors call the file. Raises ImageReadError.
    """
    if jpeg.is_jpeg(data):
        return _eight_bits(jpeg.decode_any_colour(data, name), name)
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            jpeg.check_size(image.height, image.width, name, len(data), jpeg.ANY_PIXELS_A_BYTE)
            image.load()
            return _eight_bits(image, name)
    except ImageReadError:
        raise
    except PIL.UnidentifiedImageError as error:
        start = data[:8].hex(" ")
        raise ImageReadError(
            f"{name}: not an image, or of a kind not known; it starts with {start}"
        ) from error
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise ImageReadError(f"{name}: a damaged image: {error}") from error


def _eight_bits(image: Image, name: str) -> Image:
    """Any mode of Pillow's as L or RGB."""
    import PIL.Image

    mode = image.mode
    if mode in ("L", "RGB"):
        return image
    if mode == "1":
        return image.convert("L")
    if mode in ("LA", "La"):
        return image.convert("LA").getchannel(0)
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if mode in ("F", "I"):
        raise ImageReadError(
            f"{name}: pixels of type {mode} (float or 32-bit) have no known range; store 8 or 16 bits"
        )
    if mode in ("P", "PA", "RGBa"):
        image = image.convert("RGBA")  # palette and alpha in any form; the next step drops alpha
    return image.convert("RGB")


DECODERS = ("auto", "cpu", "gpu")


class Encoded(NamedTuple):
    """A JPEG file that waits for its decoder: bytes (B,) uint8, (3, H, W) of its pixels, and its name."""

    data: Tensor
    shape: tuple[int, int, int]
    name: str


Pixels = Tensor | Encoded


def check_decoder(name: str) -> None:
    """Raises ArgumentError for a name that is not one of DECODERS."""
    if name not in DECODERS:
        raise ArgumentError(f"decode is one of {', '.join(DECODERS)}, not {name!r}")


def choose_decoder(name: str, device: torch.device) -> HostDecoder:
    """The decoder that `name` asks for, of images for `device`. Raises ArgumentError if it cannot be had."""
    check_decoder(name)
    if name != "gpu":
        return HostDecoder(device)
    if device.type != "cuda":
        raise ArgumentError(f"decode 'gpu' needs a CUDA device to decode on; images go to {device.type} here")
    return DeviceDecoder(device)


class HostDecoder:
    """Decodes on the processor: libjpeg's pixels. For a CUDA device they lie in pinned memory, from which
    the device fetches them while it computes; torch keeps such memory until it has been fetched.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def load(self, path: str, resize: int | Sequence[int] | None) -> Pixels:
        """A file's pixels (1 or 3, H, W), bytes or float32; called in many threads. Raises ImageReadError."""
        pixels = load_pixels(path, resize)
        return pixels.pin_memory() if self._device.type == "cuda" else pixels

    def finish(self, images: Sequence[Pixels]) -> list[Tensor | ImageReadError]:
        """The pixels of what `load` gave, or why there are none; called in one thread."""
        return [image for image in images if isinstance(image, Tensor)]


class DeviceDecoder(HostDecoder):
    """Decodes JPEG files on a CUDA device, a batch at a time.

    torchvision's decoder writes on a stream of its own into memory that it asks for on the current one. So
    it is called on a side stream, whose memory no other stream writes, and computing waits for that stream.
    decode: takes (list of bytes, device), gives (3, H, W) uint8 on the device; None: torchvision's.
    """

    def __init__(
        self, device: torch.device, decode: Callable[[list[Tensor], torch.device], list[Tensor]] | None = None
    ) -> None:
        super().__init__(device)
        self._decode = decode or nvjpeg
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._being_read: list[Tensor] = []  # the device may still read the last batch's bytes

    def load(self, path: str, resize: int | Sequence[int] | None) -> Pixels:
        """The bytes of a file that the device can decode, else its pixels."""
        if resize is None:
            data = jpeg.read_bytes(path)
            shape = _shape_for_device(data, path)
            if shape:
                return Encoded(torch.frombuffer(bytearray(data), dtype=torch.uint8), shape, path)
        return super().load(path, resize)

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
            if len(encoded) > 1:  # which of them it was is not said
                return [self._together([image])[0] for image in encoded]
            return [_by_the_processor(encoded[0])]
        wrong = [i for i, image in enumerate(encoded) if tuple(found[i].shape) != image.shape]
        return [_by_the_processor(encoded[i]) if i in wrong else pixels for i, pixels in enumerate(found)]

    def _on_side_stream(self, data: list[Tensor]) -> list[Tensor]:
        if self._side is None:
            return self._decode(data, self._device)
        with torch.cuda.stream(self._side):
            found = self._decode(data, self._device)
        self._being_read = data  # the next call waits for this one to end, inside torchvision
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._side)
        for pixels in found:
            pixels.record_stream(computing)  # not to be written again before computing has read it
        return found


def nvjpeg(data: list[Tensor], device: torch.device) -> list[Tensor]:
    """torchvision's decode_jpeg on a CUDA device: bytes (B,) uint8 to (3, H, W) uint8, RGB."""
    from torchvision.io import ImageReadMode, decode_jpeg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision announces that torchcodec is to follow it
        return decode_jpeg(data, mode=ImageReadMode.RGB, device=device)


def _shape_for_device(data: bytes, name: str) -> tuple[int, int, int] | None:
    """(3, H, W) of a file that nvJPEG can decode; None for what is the processor's. Raises ImageReadError."""
    if not jpeg.is_jpeg(data) or not data.rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
        return None
    mode, height, width = jpeg.header(data, name)
    return (3, height, width) if mode in ("L", "RGB") else None


def _by_the_processor(image: Encoded) -> Tensor | ImageReadError:
    try:
        return jpeg.as_tensor(open_image(image.data.numpy().tobytes(), os.fspath(image.name)))
    except ImageReadError as error:
        return error


Item = TypeVar("Item")

Loaded = tuple[int, Item | ImageReadError]


def default_threads() -> int:
    """Decoding threads that keep a GPU busy without crowding a small machine: the CPUs, at most 8."""
    return min(8, os.cpu_count() or 1)


def load_in_order(
    load: Callable[[int], Item], ids: Iterable[int], num_threads: int, look_ahead: int
) -> Generator[Loaded[Item], None, None]:
    """Yields (id, load(id)) in the order of `ids`; where load raises ImageReadError, that error instead.

    At most `look_ahead` images that nobody has taken yet are held or being read. Any other exception of
    `load` is raised here. Leaving the loop early, by an exception too, stops the threads.
    """
    remaining = iter(ids)
    waiting: deque[tuple[int, Future[Item]]] = deque()
    pool = ThreadPoolExecutor(max(1, num_threads), thread_name_prefix="deepibl-loader")
    try:
        for number in islice(remaining, max(1, look_ahead)):
            waiting.append((number, pool.submit(load, number)))
        while waiting:
            number, future = waiting.popleft()
            try:
                result: Item | ImageReadError = future.result()
            except ImageReadError as error:
                result = error
            for following in islice(remaining, 1):
                waiting.append((following, pool.submit(load, following)))
            yield number, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class SizeBatcher:
    """Collects images into batches of equal size; what comes out depends on their order alone.

    batch_size: images of a batch; hold: images that may wait in all, of whatever sizes: beyond that the
    largest batch there is goes out.

    >>> batcher = SizeBatcher(2)
    >>> batcher.add(0, torch.zeros(3, 4, 4)), batcher.add(1, torch.zeros(3, 5, 4))
    (None, None)
    >>> [number for number, _ in batcher.add(2, torch.zeros(3, 4, 4))]
    [0, 2]
    >>> [[number for number, _ in batch] for batch in batcher.rest()]
    [[1]]
    """

    def __init__(self, batch_size: int, hold: int | None = None) -> None:
        self._batch_size = batch_size
        self._hold = hold if hold is not None else 4 * batch_size
        self._waiting: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}

    def add(self, number: int, image: Pixels) -> list[tuple[int, Pixels]] | None:
        """Takes an image (C, H, W); gives the batch [(number, image), …] that is now due, if one is."""
        size = tuple(image.shape[1:])
        batch = self._waiting.setdefault(size, [])
        batch.append((number, image))
        if len(batch) < self._batch_size:
            if sum(map(len, self._waiting.values())) <= self._hold:
                return None
            size = max(self._waiting, key=lambda key: len(self._waiting[key]))
        return self._waiting.pop(size)

    def rest(self) -> Iterator[list[tuple[int, Pixels]]]:
        """The batches that are not full, oldest first; empties the batcher."""
        while self._waiting:
            yield self._waiting.pop(next(iter(self._waiting)))

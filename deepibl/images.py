"""Images for a network: reading, decoding on the CPU or the GPU, and reading ahead in threads.

`read_image` reads any format; the result is always RGB, 0–255:

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
truncated, but not a JPEG                ImageReadError
no pixels, or more than 178,956,970      ImageReadError (a decompression bomb), before decoding;
                                         Pillow warns from half of that on, except for JPEGs
zero bytes, not an image, missing        ImageReadError
=======================================  ==========================================================

The format is found by the file's content, never by its name; every error names the file.

For a network on a CUDA device `choose_decoder` decides where JPEG files are decoded:

======  =========================================================================================
decode  JPEG files are decoded
======  =========================================================================================
cpu     by libjpeg, in threads beside computing: the original's pixels, bit for bit
gpu     on the CUDA device by nvJPEG, a batch at a time. NOT the same pixels: its inverse transform and
        its chroma are its own, so descriptors differ in their last digits from those of `cpu`
auto    cpu, always: the pixels must not depend on the machine
======  =========================================================================================

What nvJPEG does not decode (other formats, CMYK, files that end early, images that are resized) is decoded by
the processor under `gpu` too. NOT RUN on a device where it was written, see docs/unknowns.md.

`load_in_order` reads images in background threads while the network computes: in order, a bounded number
ahead. `batches_by_size` puts images of one size into batches.
"""

from __future__ import annotations

import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from matlab_compat import jpeg
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.files import StrPath
from matlab_compat.images import crop_and_size, resize_pixels

if TYPE_CHECKING:
    from PIL.Image import Image


def read_image(
    path: StrPath, resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """Reads an image file as (3, H, W) float32, RGB 0–255; the module's table lists the kinds of files.

    resize: pixels of the shorter side, or (height, width), which crops the middle part of that shape, as
    vl_imreadjpeg does; None leaves the size. interpolation: box, bilinear, bicubic, lanczos2 or lanczos3.
    Raises ImageReadError, naming the file.
    """
    pixels = load_pixels(path, resize, interpolation)
    return pixels.to(torch.float32).expand(3, -1, -1)


def load_pixels(
    path: StrPath, resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """As `read_image`, in the smallest form: (1, H, W) or (3, H, W), uint8 where nothing was resampled.

    Bytes are a quarter of float32 to keep in memory and to send to a GPU.
    """
    return scaled_pixels(open_image(jpeg.read_bytes(path), os.fspath(path)), resize, interpolation)


def scaled_pixels(
    image: Image, resize: int | Sequence[int] | None = None, interpolation: str = "bilinear"
) -> torch.Tensor:
    """A Pillow image of mode L or RGB in the form of `load_pixels`."""
    pixels = jpeg.as_tensor(image)
    if resize is None:
        return pixels
    target = resize if isinstance(resize, int) else (int(resize[0]), int(resize[1]))
    return resize_pixels(pixels, crop_and_size(pixels.shape[1], pixels.shape[2], target), interpolation)


def open_image(data: bytes, name: str) -> Image:
    """Returns a Pillow image of mode L or RGB, 8 bits a channel, from a file's bytes; see the module's table.

    name: of the file, for errors. Raises ImageReadError.
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
            f"{name}: not an image, or of an unknown kind; it starts with {start}"
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
    """A JPEG file to be decoded: its bytes (B,) uint8, the shape (3, H, W) of its pixels, and its name."""

    data: Tensor
    shape: tuple[int, int, int]
    name: str


Pixels = Tensor | Encoded


def check_decoder(name: str) -> None:
    """Raises ArgumentError for a name that is not one of DECODERS."""
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

    def load(self, path: str, resize: int | Sequence[int] | None) -> Pixels:
        """A file's pixels (1 or 3, H, W), bytes or float32; called in many threads. Raises ImageReadError."""
        pixels = load_pixels(path, resize)
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


Item = TypeVar("Item")
Loaded = tuple[int, Item | ImageReadError]


def default_threads() -> int:
    """Decoding threads that keep a GPU busy without crowding a small machine: the CPUs, at most 8."""
    return min(8, os.cpu_count() or 1)


def load_in_order(
    load: Callable[[int], Item], ids: Iterable[int], num_threads: int, look_ahead: int
) -> Generator[Loaded[Item], None, None]:
    """Yields (id, load(id)) in the order of `ids`, or (id, error) where load raises an ImageReadError.

    At most `look_ahead` images are held or being read before they are taken. Any other exception of `load` is
    raised here. Leaving the loop early, also by an exception, stops the threads.
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


def batches_by_size(
    images: Iterable[Loaded[Any]], batch_size: int, hold: int | None = None
) -> Iterator[list[tuple[int, Any]]]:
    """Collects (id, image) into batches of images of one size; they depend on the order of the images alone.

    An image has the shape (C, H, W); an ImageReadError in its place comes as a batch of its own at once.
    hold: images of whatever sizes that may wait (default 4 * batch_size); beyond, the largest batch is given.

    >>> a, b = torch.zeros(3, 4, 4), torch.zeros(3, 5, 4)
    >>> [[number for number, _ in batch] for batch in batches_by_size([(0, a), (1, b), (2, a)], 2)]
    [[0, 2], [1]]
    """
    waiting: dict[tuple[int, ...], list[tuple[int, Any]]] = {}
    hold = 4 * batch_size if hold is None else hold
    for number, image in images:
        if isinstance(image, ImageReadError):
            yield [(number, image)]
            continue
        size = tuple(image.shape[1:])
        waiting.setdefault(size, []).append((number, image))
        if len(waiting[size]) >= batch_size:
            yield waiting.pop(size)
        elif sum(map(len, waiting.values())) > hold:
            yield waiting.pop(max(waiting, key=lambda key: len(waiting[key])))
    while waiting:
        yield waiting.pop(next(iter(waiting)))

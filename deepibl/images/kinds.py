"""The kinds of image files: one list for folders, the command line and the page.

A kind is chosen by a file's suffix where folders are listed, and by its content where it is read. HEIC needs
the extra `heif` (pillow-heif), which is loaded when the first such file is met; AVIF needs Pillow 11.3.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from matlab_compat.files import StrPath

KINDS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif", ".hif"),
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in KINDS.values() for suffix in suffixes)
_NEVER_READ = {
    "camera raw": (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
    "JPEG XL": (".jxl",),
}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_MIME = {"JPEG": "image/jpeg", "HEIC": "image/heic,image/heif"}
HEIC_ADVICE = "pip install 'deepibl[heif]'"
# words in the reason of a failure, and how failures of that kind are counted
_REASONS = (
    (HEIC_ADVICE, f"HEIC ({HEIC_ADVICE})"),
    ("cannot be opened", "missing"),
    ("not an image", "not an image"),
    ("the network", "that the network cannot take"),
    ("of memory", "too large for the memory"),
)


@functools.cache
def reads_heic() -> bool:
    """Whether HEIC files can be read. Registers pillow-heif with Pillow, the first time."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@functools.cache
def reads_avif() -> bool:
    """Whether this Pillow reads AVIF files."""
    try:
        from PIL.AvifImagePlugin import SUPPORTED
    except ImportError:
        return False
    return bool(SUPPORTED)


def is_heic(data: bytes) -> bool:
    """Whether these bytes start as a HEIC file does."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and b"avif" not in data[16:64]


def is_avif(data: bytes) -> bool:
    """Whether these bytes start as an AVIF file does."""
    return data[4:8] == b"ftyp" and (data[8:12] in (b"avif", b"avis") or b"avif" in data[16:64])


def advice_of(kind: str) -> str:
    """What is needed to read files of a kind; '' if nothing more is."""
    if kind == "HEIC":
        return "" if reads_heic() else HEIC_ADVICE
    if kind == "AVIF":
        return "" if reads_avif() else "pip install 'pillow>=11.3'"
    return "save them as JPEG" if kind in _NEVER_READ else ""


def kinds_read() -> list[str]:
    """The kinds that can be read here."""
    return [kind for kind in KINDS if not advice_of(kind)]


def mime_types() -> str:
    """The kinds that can be read here as MIME types, separated by commas (HTML's `accept`)."""
    return ",".join(_MIME.get(kind, f"image/{kind.lower()}") for kind in kinds_read())


def left_out(name: StrPath) -> str | None:
    """Why a file with this name is not read: None if it is, '' if it is not a photo, else kind and remedy.

    >>> left_out("a.JPG"), left_out("a.txt"), left_out("a.NEF")
    (None, '', 'camera raw (save them as JPEG)')
    """
    suffix = PurePath(name).suffix.lower()
    kind = next((kind for kind, known in (KINDS | _NEVER_READ).items() if suffix in known), None)
    if kind is None:
        return ""
    advice = advice_of(kind)
    return f"{kind} ({advice})" if advice else None


def count_reasons(reasons: Iterable[object]) -> Counter[str]:
    """How many images failed, by kind of reason (`Failure` or its string)."""
    return Counter(
        next((kind for words, kind in _REASONS if words in reason), "damaged") for reason in map(str, reasons)
    )


def unused(total: int, counts: Mapping[str, int]) -> str:
    """The sentence about files that were not used; '' where all were.

    >>> unused(120, {"HEIC (pip install 'deepibl[heif]')": 2, "damaged": 1})
    "3 of 120 files were not used: 2 HEIC (pip install 'deepibl[heif]'), 1 damaged"
    """
    if not sum(counts.values()):
        return ""
    listed = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{sum(counts.values())} of {total} files were not used: {listed}"

"""The kinds of image files: one list for folders, the command line and the page.

Folders are listed by suffix; a file is read by its content. HEIC needs the extra `heif` (pillow-heif), which
is loaded when the first such file is met.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from matlab_compat.files import StrPath

# by Pillow's name
KINDS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in KINDS.values() for suffix in suffixes)
_NEVER_READ = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".jxl")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
HEIC_ADVICE = "pip install 'deepibl[heif]'"
_HEIC = f"HEIC ({HEIC_ADVICE})"
# words in the reason of a failure, and how failures of that kind are counted
_REASONS = (
    (HEIC_ADVICE, _HEIC),
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


def is_heic(data: bytes) -> bool:
    """Whether these bytes start as a HEIC file does."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and b"avif" not in data[16:64]


def kinds_read() -> list[str]:
    return [kind for kind in KINDS if kind != "HEIF" or reads_heic()]


def left_out(name: StrPath) -> str | None:
    """Why a file with this name is not read: None if it is, '' if it is not a photo, else kind and remedy.

    >>> left_out("a.JPG"), left_out("a.txt"), left_out("a.NEF")
    (None, '', 'NEF (save them as JPEG)')
    """
    suffix = PurePath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return None if suffix not in KINDS["HEIF"] or reads_heic() else _HEIC
    return f"{suffix[1:].upper()} (save them as JPEG)" if suffix in _NEVER_READ else ""


def count_reasons(reasons: Iterable[object]) -> Counter[str]:
    """How many images failed, by kind of reason (`Failure` or its string)."""
    found = ([kind for words, kind in _REASONS if words in str(reason)] for reason in reasons)
    return Counter((kinds or ["damaged"])[0] for kinds in found)


def unused(used: int, counts: Mapping[str, int]) -> str:
    """The sentence about files that were not used, beside those that were; '' where all were.

    >>> unused(117, {"HEIC (pip install 'deepibl[heif]')": 2, "damaged": 1})
    "3 of 120 files were not used: 2 HEIC (pip install 'deepibl[heif]'), 1 damaged"
    """
    lost = sum(counts.values())
    listed = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{lost} of {used + lost} files were not used: {listed}" if lost else ""

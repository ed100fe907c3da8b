"""Text files that a user gives: their encoding, and the image names in them.

UTF-8 and UTF-16 are read with and without a byte order mark; any other file is refused with its line. Files
of names may be in a code page: which, the names that exist tell. Names may also be written on Windows or
joined by MATLAB's fullfile, with backslashes or a leading slash.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from deepibl.errors import DatasetError
from matlab_compat.errors import MatlabCompatError
from matlab_compat.files import StrPath

_CODE_PAGES = ("cp1252", "cp1250", "cp1251", "cp850", "mac_roman", "gb18030", "cp932", "big5", "cp949")
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .ods, and .xls begin


def read_text(path: StrPath, error: type[MatlabCompatError], *, names: bool = False) -> str:
    r"""The text of a file, without its byte order mark, with \n at the ends of lines.

    names: whether bytes that are not UTF-8 stay, as surrogates, for `find_name`. Raises `error` for a file
    that cannot be read, is not text, or has another encoding.
    """
    where = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise error(f"{where} cannot be read: {problem.strerror or problem}") from None
    if data.startswith(_WORKBOOKS):
        raise error(f"{where} is a workbook or an archive, not a text file: save it as CSV in UTF-8")
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:  # UTF-16 has them in one half of each character
        halves = data[::2].count(0), data[1::2].count(0)
        if all(halves) or max(halves) < len(data) / 8:
            raise error(f"{where} is not a text file: it has bytes of zero")
        encoding = "utf-16-be" if halves[0] else "utf-16-le"
    try:
        text = data.decode(encoding, "surrogateescape" if names and encoding == "utf-8" else "strict")
        text = text.removeprefix("\ufeff")
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise error(f"{where}: line {line} is not {encoding.upper()}: save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def storable(name: str) -> bool:
    """Whether a file of names, one a line in UTF-8, can hold a name."""
    return not re.search("[\n\ud800-\udfff]", name)


def find_name(name: str, known: Callable[[str], bool]) -> str | None:
    """The reading of an image's name that is known: as written, or the only other one; None without one.

    Raises DatasetError where several are known, and for a name in a code page of which none is.
    """
    if known(name):
        return name
    readings = (reading for written in (name, *in_code_pages(name)) for reading in _readings(written))
    found = [reading for reading in dict.fromkeys(readings) if reading and known(reading)]
    if len(found) > 1:
        raise DatasetError(f"{name!r} fits {' and '.join(map(repr, found))}: write it as one of them")
    if not found and any("\udc80" <= character <= "\udcff" for character in name):
        shown = name.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
        raise DatasetError(
            f"{shown!r} (in Windows-1252) is not UTF-8, and no code page gives a name that exists: save the "
            "file as UTF-8"
        )
    return found[0] if found else None


def in_code_pages(text: str) -> Iterator[str]:
    """What the bytes of a text beyond ASCII are in each code page that has them."""
    for page in () if text.isascii() else _CODE_PAGES:
        with suppress(UnicodeError):
            yield text.encode("utf-8", "surrogateescape").decode(page)


def _readings(name: str) -> list[str]:
    plain = name.replace("\\", "/")
    slashes = [name, plain, plain.lstrip("/"), name.lstrip("\\"), name.replace("/", "\\")]
    return slashes + [unicodedata.normalize(form, each) for each in slashes for form in ("NFC", "NFD")]


def find_file(root: StrPath, name: str) -> str:
    """As `find_name`, for files below `root`; as written where no file fits, or the name has one reading."""
    while name.startswith("./"):
        name = name[2:]
    if name.isascii() and "\\" not in name and not name.startswith("/"):
        return name
    return find_name(name, lambda reading: os.path.isfile(os.path.join(root, reading))) or name

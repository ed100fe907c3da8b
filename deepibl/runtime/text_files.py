"""Text files that a user gives: their encoding, and the image names in them.

UTF-8 and UTF-16 are read with and without a byte order mark. Other encodings are not told by their bytes: a
code page is taken where every name that it gives is known; else the file is refused with its line.

Names may be written on Windows or joined by MATLAB's fullfile, with backslashes or a leading slash: a name as
written comes first, then its one other reading that is known.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from deepibl.errors import DatasetError
from matlab_compat.errors import MatlabCompatError
from matlab_compat.files import StrPath

Known = Callable[[str], bool]

_CODE_PAGES = ("cp1252", "cp1250", "cp1251", "cp850", "mac_roman", "gb18030", "cp932", "big5", "cp949")
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .ods, and .xls begin


def read_text(
    path: StrPath,
    error: type[MatlabCompatError],
    names_in: Callable[[str], Iterable[str]] | None = None,
    known: Known | None = None,
) -> str:
    r"""The text of a file, without its byte order mark, with \n at the ends of lines.

    names_in, known: the names in a text and whether one is known, which decide on code pages. Raises `error`
    for a file that cannot be read, is not text, or has another encoding.
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
        text = data.decode(encoding)
    except UnicodeDecodeError as problem:
        start = data.rfind(b"\n", 0, problem.start) + 1
        found = _in_code_page(data, names_in, known) if names_in and known and encoding == "utf-8" else None
        if found is None:
            shown = data[start : start + 80].split(b"\n")[0].decode("cp1252", "replace").strip()
            tried = f"; in no code page do all its names exist (Windows-1252: {shown!r})" if known else ""
            message = f"{where}: line {data.count(10, 0, start) + 1} is not {encoding.upper()}{tried}"
            raise error(f"{message}. Save the file as UTF-8") from None
        text = found
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _in_code_page(data: bytes, names_in: Callable[[str], Iterable[str]], known: Known) -> str | None:
    for page in _CODE_PAGES:
        try:
            text = data.decode(page)
        except UnicodeDecodeError:
            continue
        if all(name.isascii() or find_name(name, known) for name in names_in(text)):
            return text
    return None


def find_name(name: str, known: Known) -> str | None:
    """The reading of an image's name that is known: as written, or the only other one; None without one.

    Raises DatasetError, with the readings, where several are known.
    """
    if known(name):
        return name
    plain = name.replace("\\", "/")
    readings = [plain, plain.lstrip("/"), name.lstrip("\\"), name.replace("/", "\\")]
    readings += [unicodedata.normalize(form, each) for form in ("NFC", "NFD") for each in [name, *readings]]
    found = [reading for reading in dict.fromkeys(readings) if reading and known(reading)]
    if len(found) > 1:
        raise DatasetError(
            f"the name {name!r} fits {' and '.join(map(repr, found))}: write it as one of them"
        )
    return found[0] if found else None


def file_below(root: StrPath) -> Known:
    """Whether a name is that of a file below `root`."""
    return lambda name: os.path.isfile(os.path.join(root, name))


def find_file(root: StrPath, name: str) -> str:
    """As `find_name`, for files below `root`; as written where no file fits, or the name has one reading."""
    while name.startswith("./"):
        name = name[2:]
    if name.isascii() and "\\" not in name and not name.startswith("/"):
        return name
    return find_name(name, file_below(root)) or name

"""MATLAB's functions of files and folders for migrated scripts: load, save, fopen, dir and others."""

import datetime
import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from matlab_compat import matfile
from matlab_compat.errors import ImageReadError, MatFileError, NotMigratedError
from matlab_compat.language.classes import CLASSES, cast, mapped, objects
from matlab_compat.language.definitions import named
from matlab_compat.language.indexing import refuse, trimmed
from matlab_compat.language.values import Array, Cell, Struct, StructArray, as_np, whole, wrap

_OPEN: dict[int, BinaryIO] = {}
_TYPES = CLASSES | {"float32": np.float32, "float64": np.float64, "float": np.float32}
_TYPES |= {"uchar": np.uint8, "char": np.uint8, "int": np.int32, "uint": np.uint32}


def from_plain(value: Any) -> Any:
    """The values of matfile as scripts hold them."""
    if isinstance(value, Struct):
        return value
    if isinstance(value, Mapping):
        return Struct({name: from_plain(item) for name, item in value.items()})
    if isinstance(value, matfile.StructArray):
        items = np.array([*(from_plain(item) for item in value), None], object)[:-1]
        return StructArray(items.reshape(value.shape, order="F"), value.fields)
    if isinstance(value, list | tuple):
        return Cell(*(from_plain(item) for item in value))
    if isinstance(value, np.ndarray) and value.dtype == object:
        return Cell.of(trimmed(mapped(from_plain, value)))
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        return wrap(trimmed(np.asarray(value)))
    return Array() if value is None else value


def to_plain(value: Any) -> Any:
    """A script's value as matfile writes it."""
    if isinstance(value, Struct):
        return {name: to_plain(item) for name, item in value.items()}
    if isinstance(value, StructArray):
        items = [to_plain(item) for item in value.data.ravel(order="F")]
        return matfile.StructArray(value.shape, value.fields, items)
    if isinstance(value, Cell):
        return mapped(to_plain, value.data)
    return value.data if isinstance(value, Array) else value


def load(path: str, *names: str) -> Struct:
    """The variables of a .mat file (all, or those named) as a struct. Raises MatFileError."""
    file = Path(path)
    if not file.is_file() and file.with_name(file.name + ".mat").is_file():
        file = file.with_name(file.name + ".mat")
    if not file.is_file():
        raise MatFileError(f"{path}: no such file")
    wanted = [name for name in names if not name.startswith("-")]
    found = matfile.load(file, wanted or None)
    return Struct({name: from_plain(value) for name, value in found.items()})


def save(path: str, variables: Mapping[str, Any], append: bool = False) -> None:
    """Writes variables to a .mat file (MATLAB's -v7); append: keeps those that are there."""
    file = path if Path(path).suffix else f"{path}.mat"
    kept = matfile.load(file) if append and Path(file).is_file() else {}
    matfile.save(file, {**kept, **{name: to_plain(value) for name, value in variables.items()}})


def fopen(path: str, mode: str = "rb", *order: Any) -> float:
    """A number for an open file, -1 where it cannot be opened. The file is read and written in bytes."""
    if order and str(order[0]) not in ("n", "native", "l", "ieee-le"):
        raise refuse(f"fopen with the byte order {order[0]!r}")
    plain = mode.replace("t", "").replace("b", "") + "b"
    try:
        stream = open(path, plain)  # noqa: SIM115  # the script closes it
    except OSError:
        return -1.0
    number = max(_OPEN, default=2) + 1
    _OPEN[number] = stream  # type: ignore[assignment]
    return float(number)


def fclose(number: Any) -> float:
    """Closes a file, or 'all'."""
    for each in list(_OPEN) if isinstance(number, str) else [whole(number)]:
        stream_of(each).close()
        del _OPEN[each]
    return 0.0


def stream_of(number: Any) -> Any:
    """The stream of a file's number: 1 is standard output, 2 standard error. Raises ArgumentError."""
    place = whole(number)
    if place in (1, 2):
        return sys.stdout if place == 1 else sys.stderr
    if place not in _OPEN:
        raise refuse(f"invalid stream number = {place}")
    return _OPEN[place]


def fread(number: Any, size: Any = np.inf, precision: str = "uint8", *more: Any) -> Any:
    """Numbers of a binary file: n, Inf, or [rows columns]; 'float32=>single' keeps the class."""
    source, _, target = precision.partition("=>")
    target = source[1:] if source.startswith("*") else target or "double"
    source = source.removeprefix("*")
    if more or source not in _TYPES or target not in _TYPES:
        raise refuse(f"fread of {precision!r} with skip or byte order" if more else f"fread of {precision!r}")
    wanted, width = as_np(size).ravel(order="F"), np.dtype(_TYPES[source]).itemsize
    count = int(wanted.prod()) * width if np.all(np.isfinite(wanted)) else -1
    read = stream_of(number).read(count)
    data = np.frombuffer(read[: len(read) // width * width], _TYPES[source])
    if target == "char":
        return "".join(map(chr, data))
    values = cast(data, _TYPES[target]) if data.dtype.kind != "f" else data.astype(_TYPES[target])
    if len(wanted) < 2 or not (rows := whole(wanted[0])):
        return wrap(values.reshape(-1, 1)) if values.size else Array()
    columns = -(-len(values) // rows)
    full = np.zeros(rows * columns, values.dtype)
    full[: len(values)] = values
    return wrap(full.reshape((rows, columns), order="F"))


def fwrite(number: Any, values: Any, precision: str = "uint8") -> float:
    """Writes numbers to a binary file, by columns; returns how many."""
    if precision not in _TYPES:
        raise refuse(f"fwrite of {precision!r}")
    data = as_np(values)
    stream_of(number).write(cast(data, _TYPES[precision]).ravel(order="F").tobytes())
    return float(data.size)


def fgetl(number: Any) -> Any:
    """The next line of a file without its end; -1 at the end."""
    line = stream_of(number).readline()
    return line.decode("latin-1").removesuffix("\n").removesuffix("\r") if line else -1.0


def feof(number: Any) -> bool:
    """Whether a file has been read to its end."""
    stream = stream_of(number)
    at = stream.tell()
    ended = not stream.read(1)
    stream.seek(at)
    return ended


fileread = named("fileread", "The text of a file.", lambda path: Path(path).read_text(encoding="latin-1"))


def dlmwrite(path: str, values: Any, delimiter: str = ",", *more: Any) -> None:
    """Writes a matrix as lines of numbers with five significant digits."""
    if more:
        raise refuse("dlmwrite with options")
    lines = [delimiter.join(format(float(x), ".5g") for x in row) for row in as_np(values)]
    Path(path).write_text("\n".join(lines) + "\n")


def dlmread(path: str, *options: Any) -> Any:
    """A matrix of the numbers in a file of lines, separated by commas, blanks or semicolons."""
    if options:
        raise refuse("dlmread with options")
    lines = Path(path).read_text().split("\n")
    rows = [re.split(r"[,;\s]+", line.strip()) for line in lines if line.strip()]
    if len({len(row) for row in rows}) > 1:
        raise refuse(f"{path}: lines of different lengths")
    return wrap(np.array([[float(item) for item in row] for row in rows]))


def dir_(pattern: str = ".") -> Any:
    """Files of a folder or pattern, sorted: a column of structs with name, folder, bytes, isdir, datenum."""
    if os.path.isdir(pattern):
        names = [".", "..", *sorted(os.listdir(pattern))]
        found = [os.path.join(pattern, name) for name in names]
    else:
        found = sorted(glob.glob(pattern))
    made = []
    for path in found:
        info = os.stat(path)
        when = datetime.datetime.fromtimestamp(info.st_mtime)
        made.append(
            Struct(
                name=os.path.basename(path),
                folder=os.path.abspath(os.path.dirname(path) or "."),
                date=when.strftime("%d-%b-%Y %H:%M:%S"),
                bytes=float(info.st_size),
                isdir=os.path.isdir(path),
                datenum=when.toordinal() + 366 + (when.hour * 3600 + when.minute * 60 + when.second) / 86400,
            )
        )
    fields = ("name", "folder", "date", "bytes", "isdir", "datenum")
    data = objects([[item] for item in made]) if made else np.empty((0, 1), object)
    return made[0] if len(made) == 1 else StructArray(data, fields)


def exist_(path: str, kind: str = "") -> float:
    """2 for a file, 7 for a folder, 0 where there is none."""
    if os.path.isdir(path) and kind in ("", "dir", "file"):
        return 7.0
    return 2.0 if os.path.isfile(path) and kind != "dir" else 0.0


isfolder = isdir = named("isfolder", "Whether a folder exists.", lambda path: os.path.isdir(path))
isfile = named("isfile", "Whether a file exists.", lambda path: os.path.isfile(path))


def mkdir(*parts: str) -> bool:
    """Makes a folder and those above it."""
    os.makedirs(os.path.join(*parts), exist_ok=True)
    return True


def delete(*paths: str) -> None:
    """Deletes files; patterns are allowed."""
    for path in paths:
        for found in glob.glob(path):
            os.remove(found)


movefile = named("movefile", "Renames a file.", lambda old, new: bool(shutil.move(old, new)))
copyfile = named("copyfile", "Copies a file.", lambda old, new: bool(shutil.copy(old, new)))


def fullfile(*parts: str) -> str:
    """The parts of a path with separators between them."""
    kept = [part for part in parts if part]
    joined = os.sep.join(kept)
    return re.sub(r"(?<!^)/{2,}|(?<=^)/{2,}", "/", joined) if kept else ""


def fileparts(path: str, nargout: int = 1) -> Any:
    """A path's folder, name and extension."""
    folder, _, name = path.rpartition("/")
    if path.startswith("/") and not folder:
        folder = "/"
    stem, dot, extension = name.rpartition(".")
    parts = (folder, stem if dot else name, dot + extension if dot else "")
    return parts[:nargout] if nargout > 1 else parts[0]


pwd = named("pwd", "The current folder.", lambda: os.getcwd())
getenv = named("getenv", "An environment variable, or ''.", lambda name: os.environ.get(name, ""))
tempdir = named("tempdir", "The folder of temporary files.", lambda: tempfile.gettempdir())
tempname = named("tempname", "A name for a new file.", lambda: os.path.join(tempfile.mkdtemp(), "file"))


def which(name: str) -> str:
    """The absolute path of a file in the current folder or one of $MATLABPATH's.

    Raises ImageReadError where there is none (MATLAB returns an empty string, on which the next call fails).
    """
    folders = [".", *os.environ.get("MATLABPATH", "").split(os.pathsep)]
    for folder in folders:
        path = Path(folder or ".", name)
        if path.is_file():
            return str(path.resolve())
    looked = ", ".join(sorted({folder or "." for folder in folders}))
    what = "the images that come with MATLAB (football.jpg) are not included: put a JPEG of this name there"
    raise ImageReadError(f"{name}: no such file in {looked}; {what}")


def imread(path: str) -> Any:
    """An image as MATLAB's: rows x columns, or x 3, uint8 (uint16, logical)."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            plain = image.convert("RGB") if image.mode in ("P", "RGBA", "CMYK", "YCbCr", "LA") else image
            return Array(np.array(plain))
    except OSError as problem:
        raise ImageReadError(f"{path}: {problem}") from None


def imwrite(values: Any, path: str, *options: Any) -> None:
    """Writes an image: uint8, or double from 0 to 1."""
    from PIL import Image

    data = as_np(values)
    if data.dtype.kind in "fb":
        data = cast(np.clip(data, 0, 1) * 255.0, np.uint8)
    quality = {str(name).lower(): value for name, value in zip(options[::2], options[1::2], strict=True)}
    if set(quality) - {"quality"}:
        raise refuse("imwrite with options other than Quality")
    more: dict[str, Any] = {"quality": int(quality["quality"])} if quality else {}
    Image.fromarray(data).save(path, **more)


def imresize(values: Any, scale: Any, method: str = "bicubic") -> Any:
    """An image, rows x columns (x channels), in another size: a factor or [rows columns]."""
    from matlab_compat import images

    data = as_np(values)
    planes = np.moveaxis(data, 2, 0) if data.ndim == 3 else data
    target = as_np(scale).ravel().tolist()
    scaled = images.imresize(np.ascontiguousarray(planes), target[0] if len(target) == 1 else target, method)
    found = np.asarray(scaled)
    return wrap(trimmed(np.moveaxis(found, 0, 2) if data.ndim == 3 else found))


def rgb2gray(values: Any) -> Any:
    """The luminance of a colour image."""
    data = as_np(values)
    grey = data.astype(np.float64) @ np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
    return wrap(cast(grey, data.dtype))


def not_migrated(where: str, reason: str) -> NoReturn:
    """Raises NotMigratedError: a line of the MATLAB script that `deepibl migrate` could not translate."""
    raise NotMigratedError(f"{where}: {reason}. Write this line by hand (see the MIGRATE comment above it)")

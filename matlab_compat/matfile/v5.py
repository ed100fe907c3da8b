"""Reads MAT 5 files (MATLAB's -v6 and -v7, Octave's too).

128 bytes of header and one element a variable, usually compressed: a tag (type, number of bytes) and data,
padded to 8 bytes; that of a matrix holds flags, shape, name and data as elements again. Declared sizes are
checked against the bytes that are there. A variable is decompressed into one buffer, which its large arrays
share: peak memory is the variable itself. The subsystem (see matfile.objects) is read when an object is met.
"""

import math
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.files import mat_damage
from matlab_compat.matfile import classes
from matlab_compat.matfile.classes import chars, corrupted
from matlab_compat.matfile.objects import LazyCell, Subsystem, WithObjects
from matlab_compat.matfile.values import VariableInfo, shape_text

MATRIX = 14
STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
UTF16, UNICODE = 17, {16: "utf-8", 18: "utf-32"}
CHAR_STORAGE = STORAGE | {1: "u1", 3: "u2", UTF16: "u2"}  # characters are not negative

_CLASS_NAMES = (
    "cell struct object char sparse double single int8 uint8 int16 uint16 int32 uint32 int64 uint64"
)

CLASSES = dict(enumerate((*_CLASS_NAMES.split(), "function_handle", "opaque"), start=1))
LOGICAL, COMPLEX = 0x02, 0x08
OWN_BYTES = 1 << 20  # a smaller array gets memory of its own, so that it does not keep a whole file's alive
FILE_WRAPPER = "FileWrapper__"
Resolver = Callable[[np.ndarray | dict[str, Any], str], Any]


class Header(NamedTuple):
    """A matrix element up to its data; object_class: the class of an object; at: where the data begins."""

    classname: str
    flags: int
    shape: tuple[int, ...]
    name: str
    object_class: str
    at: int


class Elements:
    """The elements in one run of bytes.

    data: the bytes; order: '<' or '>'; resolve: makes a class object of its reference; octave: whether Octave
    wrote the file (its chars are UTF-8 bytes); inside_subsystem: there a plain uint32 column with the object
    mark is a reference too.
    """

    def __init__(
        self,
        data: Any,
        order: str,
        resolve: Resolver,
        *,
        octave: bool = False,
        inside_subsystem: bool = False,
    ) -> None:
        self.data = memoryview(data)
        self.order = order
        self.resolve = resolve
        self.octave = octave
        self.inside_subsystem = inside_subsystem
        self.native = order == ("<" if sys.byteorder == "little" else ">")
        self._tag = struct.Struct(f"{order}II")
        self._depth = 0

    def tag(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Type, start and byte count of the element's data, and where the next element is; all before end."""
        if at + 8 > end:
            raise MatFileError("the data ends in the middle of a value: the file is truncated or corrupted")
        kind, count = self._tag.unpack_from(self.data, at)
        if kind >> 16:
            count = kind >> 16
            if count > 4:
                raise corrupted(f"a small element declares {count} bytes")
            return kind & 0xFFFF, at + 4, count, at + 8
        start = at + 8
        if start + count > end:
            raise MatFileError(
                f"a value declares {count:,} bytes where {end - start:,} are left: truncated or corrupted"
            )
        return kind, start, count, min(start + count + -count % 8, end)

    def numbers(self, at: int, end: int) -> tuple[np.ndarray, int]:
        """The numeric element at a position, 1-D in native byte order, and where the next one is."""
        kind, start, count, following = self.tag(at, end)
        if kind not in STORAGE:
            raise corrupted(f"found element type {kind} where numbers should be")
        return self._stored(STORAGE[kind], start, count), following

    def _stored(self, form: str, start: int, count: int) -> np.ndarray:
        dtype = np.dtype(self.order + form)
        if count % dtype.itemsize:
            raise corrupted(f"{count} bytes are not a whole number of {dtype.name} values")
        array = np.frombuffer(self.data, dtype, count // dtype.itemsize, start)
        return array if self.native else array.astype(dtype.newbyteorder("="))

    def integers(self, at: int, end: int) -> tuple[np.ndarray, int]:
        """As `numbers`, for the elements of flags, shapes and positions, which are integers."""
        array, following = self.numbers(at, end)
        if array.dtype.kind not in "iu":
            raise corrupted(f"found {array.dtype.name} numbers where integers should be")
        return array, following

    def string(self, at: int, end: int) -> tuple[str, int]:
        """A name: the bytes of the element as a string, and where the next one is."""
        _, start, count, following = self.tag(at, end)
        return bytes(self.data[start : start + count]).rstrip(b"\0").decode("latin-1"), following

    def header(self, at: int, end: int) -> Header:
        """The header of the matrix whose data begins at a position."""
        flags, at = self.integers(at, end)
        if flags.size < 1 or int(flags[0]) & 0xFF not in CLASSES:
            raise corrupted(f"found class number {flags[:1].tolist()}, which MATLAB does not have")
        classname, bits = CLASSES[int(flags[0]) & 0xFF], int(flags[0]) >> 8
        if classname == "opaque":
            name, at = self.string(at, end)
            _, at = self.string(at, end)
            object_class, at = self.string(at, end)
            return Header(classname, bits, (1, 1), name, object_class, at)
        sides, at = self.integers(at, end)
        name, at = self.string(at, end)
        shape = classes.checked_shape(sides, f"a {classname} array")
        object_class = ""
        if classname == "object":
            object_class, at = self.string(at, end)
        return Header(classname, bits, shape, name, object_class, at)

    def value(self, at: int, end: int) -> tuple[Any, int]:
        """The plain value of the matrix element at a position, and where the next element is."""
        kind, start, count, following = self.tag(at, end)
        if kind != MATRIX:
            raise corrupted(f"found element type {kind} where a matrix should be")
        if count == 0:
            return np.zeros((0, 0)), following
        self._depth += 1
        if self._depth > classes.MAX_DEPTH:
            raise corrupted(f"values are nested more than {classes.MAX_DEPTH} deep")
        header = self.header(start, start + count)
        value = self.value_of(header, start + count)
        self._depth -= 1
        return value, following

    def value_of(self, header: Header, end: int) -> Any:
        """The plain value whose header was read already."""
        readers = {
            "cell": self._cell,
            "struct": self._struct,
            "object": self._struct,
            "char": self._char,
            "sparse": self._sparse,
            "function_handle": lambda h, e: classes.function_handle(self.value(h.at, e)[0]),
            "opaque": self._opaque,
        }
        return readers.get(header.classname, self._numeric)(header, end)

    def _numeric(self, header: Header, end: int) -> Any:
        if 0 in header.shape:
            return np.zeros(header.shape, self._dtype(header))
        real, at = self.numbers(header.at, end)
        count = classes.checked_size(header.shape, real.size, 1, f"a {header.classname} array")
        dtype = self._dtype(header)
        if header.flags & COMPLEX:
            imaginary, _ = self.numbers(at, end)
            classes.checked_size(header.shape, imaginary.size, 1, f"a {header.classname} array")
            flat = np.empty(count, dtype)
            flat.real, flat.imag = real[:count], imaginary[:count]
        else:
            flat = real[:count].astype(dtype, copy=real.nbytes <= OWN_BYTES)
        array = flat.reshape(header.shape, order="F")
        return (
            self.resolve(array, "") if self.inside_subsystem and classes.is_object_reference(array) else array
        )

    @staticmethod
    def _dtype(header: Header) -> np.dtype[Any]:
        dtype = classes.NUMERIC_CLASSES["logical" if header.flags & LOGICAL else header.classname]
        if header.flags & COMPLEX:
            return np.dtype("c8") if dtype == np.float32 else np.dtype("c16")
        return dtype

    def _char(self, header: Header, end: int) -> Any:
        if 0 in header.shape:
            return chars(np.zeros(0, np.uint16), header.shape)
        kind, start, count, _ = self.tag(header.at, end)
        wanted, is_matrix = math.prod(header.shape), len(header.shape) == 2
        if kind in UNICODE:
            codec = UNICODE[kind] + ("" if kind == 16 else "-le" if self.order == "<" else "-be")
            string = bytes(self.data[start : start + count]).decode(codec, errors="replace")
            units = classes.utf16(string)
            if is_matrix and units.size > len(string) == wanted:
                points = np.frombuffer(string.encode("utf-32-le", errors="surrogatepass"), "<u4")
                return classes.char_rows(points, header.shape, "utf-32-le")
        elif kind in CHAR_STORAGE:
            units = classes.char_codes(self._stored(CHAR_STORAGE[kind], start, count))
            is_bytes = self.octave and kind != UTF16 and 127 < units.max(initial=0) < 256
            if is_bytes and is_matrix and units.size == wanted:
                return classes.char_rows(units.astype(np.uint8), header.shape, "utf-8")
        else:
            raise corrupted(f"found element type {kind} where characters should be")
        if is_matrix and header.shape[0] == 1 and units.size:
            return chars(units, (1, units.size))
        if units.size != wanted:
            raise corrupted(f"a char array of shape {shape_text(header.shape)} has {units.size:,} characters")
        return chars(units, header.shape)

    def _cell(self, header: Header, end: int) -> Any:
        count = classes.checked_size(header.shape, end - header.at, 8, "a cell array")
        items, at = [], header.at
        for _ in range(count):
            item, at = self.value(at, end)
            items.append(item)
        return classes.cells(header.shape, items)

    def _struct(self, header: Header, end: int) -> Any:
        width, at = self.integers(header.at, end)
        _, start, count, at = self.tag(at, end)
        if width.size != 1 or (count and not 0 < int(width[0]) <= count):
            raise corrupted("the field names of a struct are invalid")
        raw, step = bytes(self.data[start : start + count]), int(width[0])
        fields = [raw[i : i + step].split(b"\0")[0].decode("latin-1") for i in range(0, count, step or 1)]
        number = classes.checked_size(header.shape, end - at, 8 * len(fields), "a struct array")
        if not fields:
            classes.checked_size(header.shape, len(self.data), 1, "a struct array without fields")
        items = []
        for _ in range(number):
            item = {}
            for field in fields:
                item[field], at = self.value(at, end)
            items.append(item)
        made = classes.structs(header.shape, fields, items)
        return classes.old_objects(header.object_class, made) if header.classname == "object" else made

    def _sparse(self, header: Header, end: int) -> Any:
        rows, at = self.integers(header.at, end)
        starts, at = self.integers(at, end)
        if len(header.shape) != 2 or starts.size != header.shape[1] + 1:
            raise MatFileError(f"a sparse matrix of shape {header.shape} has {starts.size} column starts")
        logical = bool(header.flags & LOGICAL)
        _, start, nbytes, following = self.tag(at, end)
        if logical and nbytes in (rows.size, starts[-1]):  # one byte each, even where the tag says double
            real, at = self._stored("u1", start, nbytes), following
        else:
            real, at = self.numbers(at, end)
        imaginary = self.numbers(at, end)[0] if header.flags & COMPLEX else real
        count = int(starts[-1])
        if not 0 <= count <= min(rows.size, real.size, imaginary.size):
            raise MatFileError(f"a sparse matrix declares {count:,} values, which the file does not have")
        data = real[:count].astype(complex if header.flags & COMPLEX else float)
        if header.flags & COMPLEX:
            data.imag = imaginary[:count]
        return classes.sparse(data, rows[:count], starts, header.shape, logical=logical)

    def _opaque(self, header: Header, end: int) -> Any:
        if header.object_class == FILE_WRAPPER:
            return self._lazy_cell(header.at, end)
        return self.resolve(self.value(header.at, end)[0], header.object_class)

    def _lazy_cell(self, at: int, end: int) -> LazyCell:
        _, start, count, _ = self.tag(at, end)
        header = self.header(start, start + count)
        last, at, starts = start + count, header.at, list[int]()
        for _ in range(classes.checked_size(header.shape, last - at, 8, "a cell array")):
            starts.append(at)
            at = self.tag(at, last)[3]
        return LazyCell(starts, lambda at: self.value(at, last)[0], lambda at: self._lazy_cell(at, last))


HEADER_BYTES = 128
SUBSYSTEM_HEADER_BYTES = 8
COMPRESSED = 15
PEEK_BYTES = 1024
CHUNK_BYTES = 1 << 17  # at a time: what was unpacked is still in the processor's cache when it is copied
MAX_DEFLATE_RATIO = 1040  # zlib packs no tighter


class Entry(NamedTuple):
    """A top-level variable: where its element is in the file, and what it is."""

    name: str
    start: int
    nbytes: int
    kind: int
    info: VariableInfo


class Mat5File(WithObjects):
    """An open MAT 5 file: its entries, and their values on demand."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        head = stream.read(HEADER_BYTES)
        if len(head) < HEADER_BYTES or head[126:128] not in (b"IM", b"MI"):
            raise MatFileError("it has no MAT 5 header")
        self.order = "<" if head[126:128] == b"IM" else ">"
        self.octave = b"Octave" in head[:116]
        offset = int(np.frombuffer(head[116:124], f"{self.order}u8")[0])
        self.subsystem_at = 0 if offset == 0x2020202020202020 else offset
        self.problems: dict[str, MatFileError] = {}
        self.entries = {entry.name: entry for entry in self._scan() if entry.name}
        self.names = list(self.entries)
        if self.problems and not self.entries:
            raise next(iter(self.problems.values()))

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable; reads no data."""
        return self.entries[name].info

    def value(self, name: str) -> Any:
        """The plain value of a variable."""
        entry = self.entries[name]
        data = self._bytes(entry.start, entry.nbytes, entry.kind)
        return self._elements(data).value(0, len(data))[0]

    def _scan(self) -> Iterator[Entry]:
        at = HEADER_BYTES
        while at < self.size:
            following = self.size
            try:
                kind, count = self._tag(at)
                if at + 8 + count > self.size:
                    raise MatFileError(
                        f"the element at byte {at:,} declares {count:,} bytes, but the file ends after "
                        f"{self.size - at - 8:,} of them: it is truncated or corrupted"
                    )
                following = at + 8 + count
                if at != self.subsystem_at:
                    yield self._entry(at + 8, count, kind)
            except MatFileError as problem:  # its name is unknown; the others can be read
                self.problems[f"the variable at byte {at:,}"] = problem
            at = following

    def _tag(self, at: int) -> tuple[int, int]:
        self.stream.seek(at)
        words = self.stream.read(8)
        if len(words) < 8:
            raise MatFileError("it ends in the middle of a tag: it is truncated")
        kind, count = (int(word) for word in np.frombuffer(words, f"{self.order}u4"))
        if kind not in (COMPRESSED, MATRIX):
            raise MatFileError(f"element type {kind} at byte {at:,} is no variable: the file is corrupted")
        return kind, count

    def _entry(self, start: int, nbytes: int, kind: int) -> Entry:
        self.stream.seek(start)
        head = self.stream.read(min(nbytes, PEEK_BYTES))
        if kind == COMPRESSED:
            with mat_damage():
                head = zlib.decompressobj().decompress(head, PEEK_BYTES)[8:]
        header = self._elements(head).header(0, len(head))
        return Entry(header.name, start, nbytes, kind, self._describe(header, head))

    def _describe(self, header: Header, head: Any) -> VariableInfo:
        if header.classname == "object":
            return VariableInfo(header.object_class, header.shape)
        if header.classname != "opaque":
            is_logical = header.flags & LOGICAL and header.classname != "sparse"
            return VariableInfo("logical" if is_logical else header.classname, header.shape)
        found: list[Any] = []
        with suppress(MatFileError):  # the beginning that was read may be too short: the shape stays unknown
            Elements(head, self.order, lambda content, _: found.append(content)).value_of(header, len(head))
        if found and classes.is_object_reference(found[0]):
            words = found[0].ravel().tolist()
            return VariableInfo(header.object_class, tuple(words[2 : 2 + words[1]]))
        return VariableInfo(header.object_class, None)

    def _elements(self, data: Any) -> Elements:
        return Elements(data, self.order, self.resolved, octave=self.octave)

    def _bytes(self, start: int, nbytes: int, kind: int) -> np.ndarray:
        """A variable's element with its tag, decompressed, in memory of its own."""
        if kind == MATRIX:
            self.stream.seek(start - 8)
            data = np.empty(nbytes + 8, np.uint8)
            if self.stream.readinto(data.data) != data.size:  # type: ignore[attr-defined]
                raise MatFileError("it ends in the middle of a variable: it is truncated")
            return data
        self.stream.seek(start)
        return inflate(self.stream, nbytes, self.order)

    @cached_property
    def subsystem(self) -> Subsystem:  # type: ignore[override]
        """The properties of all class objects."""
        if not HEADER_BYTES <= self.subsystem_at < self.size:
            raise MatFileError("it holds class objects but not the subsystem of their properties: corrupted")
        kind, count = self._tag(self.subsystem_at)
        outer = self._bytes(self.subsystem_at + 8, count, kind)
        words = self._elements(outer).value(0, len(outer))[0]
        parts, order = None, ""
        if isinstance(words, np.ndarray) and words.dtype.kind in "iu":
            content = words.reshape(-1, order="F").view(np.uint8)
            order = "<" if content[2:4].tobytes() == b"IM" else ">"
            inner = Elements(content, order, self.resolved, inside_subsystem=True)
            parts = inner.value(SUBSYSTEM_HEADER_BYTES, content.size)[0]
        if not isinstance(parts, dict) or not isinstance(parts.get("MCOS"), LazyCell):
            raise MatFileError("the subsystem with the properties of its objects is invalid: corrupted")
        return Subsystem(parts["MCOS"], order)


@mat_damage()
def inflate(stream: BinaryIO, nbytes: int, order: str) -> np.ndarray:
    """Decompresses one element of nbytes into one array; MatFileError if it is shorter, longer or damaged."""
    unpacker = zlib.decompressobj()
    left = nbytes
    chunk = stream.read(min(left, CHUNK_BYTES))
    left -= len(chunk)
    head = unpacker.decompress(chunk, 8)
    if len(head) < 8:
        raise corrupted("a compressed variable has no beginning")
    declared = 8 + int(np.frombuffer(head, f"{order}u4")[1])
    if declared > nbytes * MAX_DEFLATE_RATIO:
        raise corrupted(f"a variable declares {declared:,} bytes from {nbytes:,} compressed ones")
    data = np.empty(declared, np.uint8)
    data[:8] = np.frombuffer(head, np.uint8)
    filled = 8
    chunk = unpacker.unconsumed_tail
    while not unpacker.eof:
        if not chunk:
            chunk = stream.read(min(left, CHUNK_BYTES))
            left -= len(chunk)
        piece = unpacker.decompress(chunk, 2 * CHUNK_BYTES)
        if not chunk and not piece:
            break
        if filled + len(piece) > declared:
            raise corrupted("a compressed variable is longer than it declares")
        data[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
        chunk = unpacker.unconsumed_tail
    if filled < declared or not unpacker.eof:
        raise MatFileError(f"a variable ends after {filled:,} of {declared:,} bytes: the file is truncated")
    return data

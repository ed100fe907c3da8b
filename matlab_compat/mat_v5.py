"""Reads MAT 5 files (MATLAB's -v6 and -v7, Octave's too).

A file is 128 bytes of header and one element a variable, usually compressed. A variable is decompressed once,
into one buffer, which its arrays then share: peak memory is the variable itself. Class objects keep their
properties in a nameless element, the subsystem (see mat_objects); it is read only when an object is met.
"""

import os
import zlib
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from matlab_compat import inflating
from matlab_compat.errors import MatFileError
from matlab_compat.mat_classes import is_object_reference
from matlab_compat.mat_objects import Subsystem, has_properties_elsewhere
from matlab_compat.mat_v5_elements import LOGICAL, MATRIX, Elements, Header, LazyCell
from matlab_compat.mat_values import MatObject, VariableInfo

HEADER_BYTES = 128
SUBSYSTEM_HEADER_BYTES = 8
COMPRESSED = 15
PEEK_BYTES = 1024
CHUNK_BYTES = 1 << 17  # at a time: what was unpacked is still in the processor's cache when it is copied
MAX_DEFLATE_RATIO = 1040  # zlib packs no tighter: a claim beyond it is a lie


class Entry(NamedTuple):
    """A top-level variable: where its element lies in the file, and what it is."""

    name: str
    start: int
    nbytes: int
    kind: int
    info: VariableInfo


class Mat5File:
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
        self._subsystem: Subsystem | None = None
        self.entries = {entry.name: entry for entry in self._scan()}
        self.names = list(self.entries)

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable; reads no data."""
        return self.entries[name].info

    def value(self, name: str) -> Any:
        """The plain value of a variable."""
        entry = self.entries[name]
        data = self._bytes(entry.start, entry.nbytes, entry.kind)
        return self._elements(data).value(0, len(data))[0]

    def _scan(self) -> list[Entry]:
        entries, at = [], HEADER_BYTES
        while at < self.size:
            kind, count = self._tag(at)
            if at + 8 + count > self.size:
                raise MatFileError(
                    f"the element at byte {at:,} claims {count:,} bytes, but the file ends after "
                    f"{self.size - at - 8:,} of them: it is truncated or corrupted"
                )
            if at != self.subsystem_at:
                entries.append(self._entry(at + 8, count, kind))
            at += 8 + count
        return [entry for entry in entries if entry.name]

    def _tag(self, at: int) -> tuple[int, int]:
        self.stream.seek(at)
        words = self.stream.read(8)
        if len(words) < 8:
            raise MatFileError("it ends in the middle of a tag: it is truncated")
        kind, count = (int(word) for word in np.frombuffer(words, f"{self.order}u4"))
        if kind not in (COMPRESSED, MATRIX):
            raise MatFileError(
                f"found element type {kind} at byte {at:,} where a variable should be: it is corrupted"
            )
        return kind, count

    def _entry(self, start: int, nbytes: int, kind: int) -> Entry:
        self.stream.seek(start)
        head = self.stream.read(min(nbytes, PEEK_BYTES))
        if kind == COMPRESSED:
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
        if found and is_object_reference(found[0]):
            words = found[0].ravel().tolist()
            return VariableInfo(header.object_class, tuple(words[2 : 2 + words[1]]))
        return VariableInfo(header.object_class, None)

    def _elements(self, data: Any) -> Elements:
        return Elements(data, self.order, self._resolve, octave=self.octave)

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

    def _resolve(self, reference: Any, classname: str) -> Any:
        if not has_properties_elsewhere(reference):
            return MatObject(classname, {"any": reference})
        if self._subsystem is None:
            self._subsystem = self._read_subsystem()
        return self._subsystem.resolve(reference, classname)

    def _read_subsystem(self) -> Subsystem:
        if not HEADER_BYTES <= self.subsystem_at < self.size:
            raise MatFileError(
                "it holds class objects but not the subsystem with their properties: it is corrupted"
            )
        kind, count = self._tag(self.subsystem_at)
        outer = self._bytes(self.subsystem_at + 8, count, kind)
        content = self._elements(outer).value(0, len(outer))[0].reshape(-1, order="F").view(np.uint8)
        order = "<" if content[2:4].tobytes() == b"IM" else ">"
        inner = Elements(content, order, self._resolve, inside_subsystem=True)
        parts = inner.value(SUBSYSTEM_HEADER_BYTES, content.size)[0]
        if not isinstance(parts, dict) or not isinstance(parts.get("MCOS"), LazyCell):
            raise MatFileError(
                "the subsystem with its class objects' properties makes no sense: it is corrupted"
            )
        return Subsystem(parts["MCOS"], order)


def inflate(stream: BinaryIO, nbytes: int, order: str) -> np.ndarray:
    """Decompresses one element of nbytes into one array; MatFileError if it is shorter, longer or damaged."""
    unpacker = inflating.unpacker()
    left = nbytes
    chunk = stream.read(min(left, CHUNK_BYTES))
    left -= len(chunk)
    head = unpacker.decompress(chunk, 8)
    if len(head) < 8:
        raise MatFileError("a compressed variable has no beginning: the file is corrupted")
    claimed = 8 + int(np.frombuffer(head, f"{order}u4")[1])
    if claimed > nbytes * MAX_DEFLATE_RATIO:
        raise MatFileError(
            f"a variable claims {claimed:,} bytes from {nbytes:,} compressed ones: the file is corrupted"
        )
    data = np.empty(claimed, np.uint8)
    data[:8] = np.frombuffer(head, np.uint8)
    filled = 8
    chunk = unpacker.unconsumed_tail
    while not unpacker.eof:
        if not chunk:
            chunk = stream.read(min(left, CHUNK_BYTES))
            left -= len(chunk)
        piece = unpacker.decompress(chunk, 2 * CHUNK_BYTES)
        if not chunk and not piece:  # ISA-L may hold output back when it has taken all input
            break
        if filled + len(piece) > claimed:
            raise MatFileError("a compressed variable is longer than it claims: the file is corrupted")
        data[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
        chunk = unpacker.unconsumed_tail
    if filled < claimed or not unpacker.eof:
        raise MatFileError(
            f"a compressed variable ends after {filled:,} of {claimed:,} bytes: the file is truncated"
        )
    return data

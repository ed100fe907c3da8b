"""Builds MAT 5 files byte by byte, for forms that no writer at hand produces."""

import struct
import zlib
from pathlib import Path

CELL, STRUCT, OBJECT, CHAR, SPARSE, DOUBLE, SINGLE = range(1, 8)
UINT8, UINT32, FUNCTION, OPAQUE = 9, 13, 16, 17
LOGICAL, COMPLEX = 0x200, 0x800
I1, U1, I2, U2, I4, U4, F4, F8, UTF8, UTF16, UTF32 = 1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 18


class Builder:
    """Elements of one byte order: '<' or '>'."""

    def __init__(self, order: str = "<") -> None:
        self.order = order

    def pack(self, form: str, *values: float) -> bytes:
        """Numbers in this byte order."""
        return struct.pack(self.order + form, *values)

    def element(self, kind: int, data: bytes) -> bytes:
        """A tag, the data and padding."""
        return self.pack("II", kind, len(data)) + data + bytes(-len(data) % 8)

    def small(self, kind: int, data: bytes) -> bytes:
        """The short form, for up to four bytes."""
        return self.pack("I", len(data) << 16 | kind) + data.ljust(4, b"\0")

    def matrix(
        self, classnumber: int, shape: tuple[int, ...], data: bytes, name: str = "", flags: int = 0
    ) -> bytes:
        """A matrix element; data: its elements as bytes."""
        head = self.element(U4, self.pack("II", classnumber | flags, 0))
        head += self.element(I4, self.pack(f"{len(shape)}i", *shape)) + self.element(I1, name.encode())
        return self.element(14, head + data)

    def text(self, shape: tuple[int, ...], kind: int, data: bytes, name: str = "") -> bytes:
        """A char array whose data is kept as the given type."""
        return self.matrix(CHAR, shape, self.element(kind, data), name)

    def packed(self, element: bytes) -> bytes:
        """A compressed element."""
        content = zlib.compress(element)
        return self.pack("II", 15, len(content)) + content

    def write(self, path: Path, *elements: bytes, note: str = "MATLAB 5.0 MAT-file, made by a test") -> Path:
        """A whole file."""
        version = struct.pack(self.order + "H", 0x0100) + (b"IM" if self.order == "<" else b"MI")
        path.write_bytes(note.encode().ljust(116) + bytes(8) + version + b"".join(elements))
        return path

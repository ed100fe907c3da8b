"""Where HDF5 keeps texts of any length: damage there is found here, for HDF5 would go on forever.

A data set or attribute of such texts has (length, address, number) for each. At the address lies a
collection: a head of 16 bytes with its size, then objects, each with a head of 16 bytes that says how long
it is. h5py has no way to read these numbers, so they are read from the file as HDF5's format lays them out:
those of a data set in one piece, as h5py writes it, and of an attribute in an object header of version 1, as
MATLAB writes it. What lies otherwise is left to HDF5.
"""

import math
import os
import struct
from collections.abc import Iterator
from typing import Any

from h5py import h5a, h5d, h5i, h5o, h5t

HEAD = 16
ELEMENT = struct.Struct("<IQI")
SIGNATURE = b"GCOL\x01"
ATTRIBUTE, CONTINUED = 0x0C, 0x10  # messages of an object header
MOST_BLOCKS = 64


class Stored:
    """The bytes of an open HDF5 file, beside h5py; addresses are HDF5's, after its user block."""

    def __init__(self, oid: Any) -> None:
        file = h5i.get_file_id(oid)
        layout = file.get_create_plist()
        self._handle, self.user_block = file.get_vfd_handle(), layout.get_userblock()
        self.readable = layout.get_sizes() == (8, 8) and hasattr(os, "pread")
        self._size = os.fstat(self._handle).st_size - self.user_block

    def read(self, address: int, count: int) -> bytes:
        """At most `count` bytes; none where the file has ended."""
        left = max(0, self._size - address)
        return os.pread(self._handle, min(count, left), self.user_block + address) if left else b""


def heap_problem(dataset: h5d.DatasetID) -> str:
    """Why a data set of texts (or lists) is not read: its collections lead nowhere; or ''."""
    at, stored = dataset.get_offset(), Stored(dataset)  # h5py counts the user block, too
    if at is None or not _of_any_length(dataset.get_type()) or not stored.readable:
        return ""
    return _problem(stored, stored.read(at - stored.user_block, dataset.get_storage_size()))


def attribute_problem(oid: Any, name: bytes) -> str:
    """As `heap_problem`, of an attribute of a group or data set."""
    stored, attribute = Stored(oid), h5a.open(oid, name)
    if not _of_any_length(attribute.get_type()) or not stored.readable:
        return ""
    count = math.prod(attribute.shape)
    for message in _messages(stored, h5o.get_info(oid).addr):
        if (content := _content(message, name)) is not None:
            return _problem(stored, content[: count * ELEMENT.size])
    return ""


def _of_any_length(kind: Any) -> bool:
    of_texts = kind.get_class() == h5t.STRING and kind.is_variable_str()
    return of_texts or kind.get_class() == h5t.VLEN


def _problem(stored: Stored, elements: bytes) -> str:
    whole = len(elements) // ELEMENT.size * ELEMENT.size
    addresses = {address for length, address, _ in ELEMENT.iter_unpack(elements[:whole]) if length}
    damaged = [address for address in sorted(addresses) if not _ends(stored, address)]
    return f"its texts at {damaged[0]} make no sense: the file is corrupted" if damaged else ""


def _ends(stored: Stored, address: int) -> bool:
    """Whether a collection's objects fill it, one after the other."""
    head = stored.read(address, HEAD)
    if len(head) < HEAD or not head.startswith(SIGNATURE):
        return False
    size = int.from_bytes(head[8:], "little")
    content = stored.read(address, size)
    if len(content) < size:
        return False
    at = HEAD
    while at + HEAD <= size:
        number, length = struct.unpack_from("<H6xQ", content, at)
        taken = HEAD + -(-length // 8) * 8 if number else length  # number 0: what is free, its head included
        if not HEAD <= taken <= size - at:
            return False
        at += taken
    return True


def _messages(stored: Stored, address: int) -> Iterator[bytes]:
    """The attributes among an object header's messages; none where it is of another version."""
    head = stored.read(address, HEAD)
    if len(head) < HEAD or head[0] != 1:
        return
    blocks = [(address + HEAD, int.from_bytes(head[8:12], "little"))]
    for start, size in blocks:
        block, at = stored.read(start, size), 0
        while at + 8 <= len(block):
            kind, length = struct.unpack_from("<HH", block, at)
            message = block[at + 8 : at + 8 + length]
            if kind == ATTRIBUTE:
                yield message
            if kind == CONTINUED and len(message) >= 16 and len(blocks) < MOST_BLOCKS:
                blocks.append(struct.unpack_from("<QQ", message))
            at += 8 + length


def _content(message: bytes, name: bytes) -> bytes | None:
    """The values of an attribute (of version 1, whose parts are padded to 8 bytes) if it has that name."""
    if len(message) < 8 or message[0] != 1 or not message[8:].startswith(name + b"\0"):
        return None
    sizes = struct.unpack_from("<HHH", message, 2)
    return message[8 + sum(-(-size // 8) * 8 for size in sizes) :]

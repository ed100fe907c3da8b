"""Where HDF5 keeps texts of any length: damage there is found here, for HDF5 would go on forever.

A data set of such texts has (length, address, number) for each. At the address lies a collection: a head of
16 bytes with its size, then objects, each with a head of 16 bytes that says how long it is.
"""

import os
import struct
from typing import BinaryIO

from h5py import h5d, h5i, h5t

HEAD = 16
ELEMENT = struct.Struct("<IQI")
SIGNATURE = b"GCOL\x01"


def heap_problem(dataset: h5d.DatasetID, path: str | os.PathLike[str]) -> str:
    """Why a data set of texts (or lists) is not read: its collections lead nowhere; or ''.

    Looked at where the addresses lie in one piece, as h5py writes them; else HDF5 is trusted.
    """
    plain = h5i.get_file_id(dataset).get_create_plist()
    at, kind = dataset.get_offset(), dataset.get_type()
    texts = kind.get_class() == h5t.VLEN or (kind.get_class() == h5t.STRING and kind.is_variable_str())
    if not texts or at is None or plain.get_sizes() != (8, 8) or plain.get_userblock():
        return ""
    with open(path, "rb") as stream:
        stream.seek(at)
        stored = stream.read(dataset.get_storage_size())
        whole = len(stored) // ELEMENT.size * ELEMENT.size
        addresses = {address for length, address, _ in ELEMENT.iter_unpack(stored[:whole]) if length}
        damaged = [address for address in sorted(addresses) if not _ends(stream, address)]
    return f"its texts at {damaged[0]} make no sense: the file is corrupted" if damaged else ""


def _ends(stream: BinaryIO, address: int) -> bool:
    """Whether a collection's objects fill it, one after the other."""
    if address >= os.fstat(stream.fileno()).st_size:
        return False
    stream.seek(address)
    head = stream.read(HEAD)
    if len(head) < HEAD or not head.startswith(SIGNATURE):
        return False
    rest = int.from_bytes(head[8:], "little") - HEAD
    while rest >= HEAD:
        head = stream.read(HEAD)
        if len(head) < HEAD:
            return False
        length = int.from_bytes(head[8:], "little")
        number = int.from_bytes(head[:2], "little")
        taken = HEAD + -(-length // 8) * 8 if number else length  # number 0: what is free, its head included
        if not HEAD <= taken <= rest:
            return False
        rest -= taken
        stream.seek(taken - HEAD, os.SEEK_CUR)
    return True

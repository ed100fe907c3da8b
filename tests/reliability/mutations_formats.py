"""Changing files from inside: what is packed is unpacked, changed and packed again, so that checksums and
compression do not catch the change before our code sees it.
"""

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from deepibl.runtime.files import map_tensors, write_tensors
from deepibl.search import index_file
from tests.reliability.mutations import mutate_bytes
from tests.reliability.mutations_text import json_text, mutate_json

MAT5_HEADER = 128
INDEX_STRINGS = ("", "x", "33N", "99X", "-1", "1e9", "nan", "ivfpq", "hnsw", "exact", "degrees", "a" * 999)


def inside_mat5(random: Random, data: bytes) -> bytes:
    """A MAT 5 file one of whose variables was changed after unpacking; its packed size is right."""
    parts, at = [], MAT5_HEADER
    while at + 8 <= len(data):
        kind, count = struct.unpack_from("<II", data, at)
        parts.append((kind, data[at + 8 : at + 8 + count]))
        at += 8 + count
    if not parts:
        return mutate_bytes(random, data)
    chosen = random.randrange(len(parts))
    made = data[:MAT5_HEADER]
    for number, (kind, content) in enumerate(parts):
        if number == chosen:
            content = _repacked(random, kind, content)
        made += struct.pack("<II", kind, len(content)) + content
    return made


def _repacked(random: Random, kind: int, content: bytes) -> bytes:
    if kind != 15:
        return mutate_bytes(random, content)
    try:
        plain = zlib.decompress(content)
    except zlib.error:
        return content
    changed = mutate_bytes(random, plain)
    if random.random() < 0.5 and len(changed) >= 8:  # the outer size is right, so that what is inside is read
        changed = changed[:4] + struct.pack("<I", len(changed) - 8) + changed[8:]
    return zlib.compress(changed, 1)


def inside_safetensors(random: Random, data: bytes) -> bytes:
    """A safetensors file whose JSON header, or the network's JSON in it, has changed values."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    strings = header.get("__metadata__", {})
    if "network" in strings and random.random() < 0.6:
        strings["network"] = json_text(mutate_json(random, json.loads(strings["network"]))).decode()
    else:
        header = mutate_json(random, header)
    text = json_text(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def inside_index(random: Random, data: bytes) -> bytes:
    """An index whose checksums are right, of strings or numbers that are not: what a hostile hand makes."""
    path = Path("changed.idx")
    path.write_bytes(data)
    tensors, strings = map_tensors(path)
    tensors = {name: np.array(array) for name, array in tensors.items()}
    strings = dict(sorted(strings.items()))  # safetensors reads them in any order
    # faiss trusts what it reads: a structure that was made to do harm is not kept from it (docs/unknowns.md)
    name = random.choice([name for name in tensors if name != "structure"])
    if random.random() < 0.5:
        strings[random.choice(list(strings))] = random.choice(INDEX_STRINGS)
    elif random.random() < 0.5:
        odd = random.choice((tensors[name][:1], tensors[name].astype(np.float32), tensors[name].T))
        tensors[name] = np.ascontiguousarray(odd)
    else:
        flat = tensors[name].reshape(-1).view(np.uint8)
        flat[:] = np.frombuffer(mutate_bytes(random, flat.tobytes()).ljust(flat.size)[: flat.size], np.uint8)
    if strings.get("format") == index_file.FORMAT:
        checksums = {name: index_file._digest(array) for name, array in tensors.items()}
        strings["checksums"] = json.dumps(checksums)
        strings["header_checksum"] = index_file._header_digest(tensors, strings)
    write_tensors(path, tensors, strings)
    return path.read_bytes()


def inside_json(random: Random, data: bytes) -> bytes:
    """A JSON file with changed values."""
    return json_text(mutate_json(random, json.loads(data)))


def inside_zip(random: Random, data: bytes) -> bytes:
    """A zip file (a torch checkpoint) with a changed, lost or renamed member; its checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = random.randrange(len(members))
    name, content = members[at]
    what = random.choice(("change", "change", "change", "lose", "rename", "exchange"))
    if what == "change":
        members[at] = name, mutate_bytes(random, content)
    elif what == "lose":
        del members[at]
    elif what == "rename":
        members[at] = random.choice(("../../evil", "archive/data.pkl", "x" * 300)), content
    else:
        other = random.randrange(len(members))
        members[at] = name, members[other][1]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def inside_hdf5(random: Random, data: bytes) -> bytes:
    """An HDF5 file (MAT 7.3, features) with changed attributes, links, data sets and references."""
    path = Path("changed.h5")
    path.write_bytes(data)
    try:
        with h5py.File(path, "r+") as file:
            for _ in range(random.choice((1, 1, 2, 3))):
                _change_hdf5(random, file)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError):
        return mutate_bytes(random, data)
    return path.read_bytes()


def _change_hdf5(random: Random, file: h5py.File) -> None:
    names: list[str] = []
    file.visit(names.append)
    if not names:
        return
    name, other = random.choice(names), random.choice(names)
    what = random.choice(
        ("attribute", "attribute", "attribute", "data", "data", "values", "lose", "link", "refer")
    )
    if what == "attribute":
        _change_attribute(random, file[name])
    elif what == "data":
        del file[name]
        _odd_dataset(random, file, name)
    elif what == "values":
        _change_values(random, file, file[name])
    elif what == "lose":
        del file[name]
    elif what == "link":
        del file[name]
        targets = (
            h5py.SoftLink(f"/{other}"),
            h5py.SoftLink("/"),
            h5py.ExternalLink("other.h5", "/"),
            file["/"],
        )
        file[name] = random.choice(targets)
    else:
        _refer(random, file, names, name)


def _change_attribute(random: Random, item: Any) -> None:
    if item.attrs and random.random() < 0.3:
        del item.attrs[random.choice(list(item.attrs))]
        return
    key = random.choice(
        (
            "MATLAB_class",
            "MATLAB_empty",
            "MATLAB_object_decode",
            "MATLAB_sparse",
            "MATLAB_fields",
            *item.attrs,
        )
    )
    item.attrs[key] = random.choice(
        (
            *(
                np.bytes_(name)
                for name in ("double", "single", "char", "cell", "struct", "logical", "int8", "x")
            ),
            np.bytes_("function_handle"),
            np.bytes_("canonical empty"),
            *(np.int32(number) for number in (0, 1, 2, 3, 7, -1)),
            np.uint64(2**63),
            np.int64(2**40),
            3.5,
            "text of variable length \u4e2d",
            np.zeros(3),
            h5py.Empty("f8"),
        )
    )


def _odd_dataset(random: Random, file: h5py.File, name: str) -> None:
    kind = random.choice(
        ("none", "large", "deflated", "text", "scalar", "empty", "pairs", "references", "small")
    )
    if kind == "large":
        file.create_dataset(name, (2**20, 2**20), "f8", chunks=(64, 64))
    elif kind == "deflated":
        file.create_dataset(name, data=np.zeros((200, 200)), chunks=True, compression="gzip")
    elif kind == "text":
        file.create_dataset(name, data=["a", "b" * 100], dtype=h5py.string_dtype())
    elif kind == "scalar":
        file[name] = 3
    elif kind == "empty":
        file.create_dataset(name, data=h5py.Empty("f4"))
    elif kind == "pairs":
        file[name] = np.zeros(3, [("real", "f8"), ("imag", "f8")])
    elif kind == "references":
        file.create_dataset(name, data=[file.ref, h5py.Reference()], dtype=h5py.ref_dtype)
    elif kind == "small":
        shape = random.choice(((0,), (1,), (1, 1), (2, 3), (3, 2, 1), (0, 5), (7, 1)))
        file[name] = np.ones(shape, random.choice(("u1", "u2", "u4", "u8", "i4", "f4", "f8", "?")))
    if name in file and isinstance(file[name], h5py.Dataset):
        classname = random.choice(("double", "char", "cell", "struct", "logical", "uint32", "x"))
        file[name].attrs["MATLAB_class"] = np.bytes_(classname)


def _change_values(random: Random, file: h5py.File, item: Any) -> None:
    """Some numbers of a data set change in place."""
    if not isinstance(item, h5py.Dataset) or not item.size or item.dtype.kind not in "uif" or not item.ndim:
        return
    values = item[()]
    for _ in range(random.choice((1, 1, 3))):
        values.flat[random.randrange(values.size)] = random.choice((0, 1, 2, 3, 4, 5, 7, 100, 127))
    item[...] = values


def _refer(random: Random, file: h5py.File, names: list[str], name: str) -> None:
    """A cell whose elements are any objects of the file, itself perhaps."""
    count = random.choice((1, 2, 5))
    del file[name]
    cell = file.create_dataset(name, (1, count), h5py.ref_dtype)
    cell.attrs["MATLAB_class"] = np.bytes_("cell")
    there = [each for each in names if each in file]
    for column in range(count):
        cell[0, column] = file[random.choice(there)].ref

"""Files made to hurt: small ones that claim gigabytes, values that contain themselves, nesting without end.

Each is a function that writes one file of the kind it is listed under in CRAFTED; its name says what it is.
"""

import io
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.runtime.files import write_tensors
from tests.reliability.crafted_hdf5 import CRAFTED_H5
from tests.reliability.crafted_mat import CRAFTED_MAT, Maker

MARKER = "ran.txt"  # what a pickle that is run would write


def _safetensors(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def safetensors_header_of_10_gb(path: Path) -> None:
    path.write_bytes((10 * 2**30).to_bytes(8, "little") + b"{}" + bytes(190))


def safetensors_header_nested_50000_deep(path: Path) -> None:
    path.write_bytes(_safetensors(b"[" * 50000 + b"]" * 50000))


def safetensors_tensor_of_2_to_64_numbers(path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}
    strings = {"format": "deepibl-network/1", "network": '{"struct": {}}'}
    path.write_bytes(_safetensors(json.dumps({"__metadata__": strings, "x": entry}).encode()))


def safetensors_network_nested_50000_deep(path: Path) -> None:
    deep = '{"cell":[1,1],"items":[' * 50000 + '"x"' + "]}" * 50000
    write_tensors(path, {}, {"format": "deepibl-network/1", "network": deep})


def safetensors_network_claims_10_gb_in_its_json(path: Path) -> None:
    cell = {"struct": {"layers": {"class": "float64", "shape": [40000, 40000], "data": [1.0]}}}
    write_tensors(path, {}, {"format": "deepibl-network/1", "network": json.dumps(cell)})


def safetensors_texts_of_2_gb_each(path: Path) -> None:
    cell = {"struct": {"layers": {"class": "<U500000000", "shape": [1, 1], "data": ["x"]}}}
    write_tensors(path, {}, {"format": "deepibl-network/1", "network": json.dumps(cell)})


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, (MARKER, "w")


def torch_pickle_that_would_write_a_file(path: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": _Evil()}))


def torch_zip_whose_pickle_would_write_a_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Evil()))
        archive.writestr("archive/version", "3\n")


def torch_tensor_expanded_to_10_gb(path: Path) -> None:
    torch.save(
        {"features.0.weight": torch.zeros(1).expand(10, 2**28), "features.0.bias": torch.zeros(1)}, path
    )


def torch_pickle_nested_100000_deep(path: Path) -> None:
    deep = b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b"."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", deep)
        archive.writestr("archive/version", "3\n")


def torch_mapping_that_contains_itself(path: Path) -> None:
    # {"state_dict": itself}, which no dict literal can be
    code = b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", code)
        archive.writestr("archive/version", "3\n")


def _png(width: int, height: int, rows: bytes, mode: int = 2) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def image_png_of_200_bytes_claims_10_gb(path: Path) -> None:
    path.write_bytes(_png(60000, 60000, bytes(100)))


def image_png_of_200_bytes_claims_170_megapixels(path: Path) -> None:
    path.write_bytes(_png(13300, 12800, bytes(100)))


def image_jpeg_of_700_bytes_claims_170_megapixels(path: Path) -> None:
    path.write_bytes(_jpeg_of_size(13300, 12800))


def image_jpeg_claims_65500_pixels_a_side(path: Path) -> None:
    path.write_bytes(_jpeg_of_size(65500, 65500))


def _jpeg_of_size(width: int, height: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 90, 90)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def image_png_with_text_of_100_mb(path: Path) -> None:
    text = b"Comment\0\0" + zlib.compress(bytes(100 * 2**20), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    whole = _png(1, 1, bytes(4))
    path.write_bytes(whole[:33] + chunk + whole[33:])


def image_gif_of_60000_frames(path: Path) -> None:
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    path.write_bytes(
        head + (b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0") * 60000 + b";"
    )


def npy_claims_10_gb(path: Path) -> None:
    with open(path, "wb") as file:
        shape = {"descr": "<f4", "fortran_order": False, "shape": (2**16, 40000)}
        np.lib.format.write_array_header_1_0(file, shape)


def npy_that_is_a_zip_of_arrays(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), features=np.zeros((2, 2), np.float32))
    path.with_suffix(".npz").rename(path)


def npy_with_a_pickle_that_would_write_a_file(path: Path) -> None:
    np.save(path, np.array([_Evil()], dtype=object), allow_pickle=True)


def npy_header_nested_3000_deep(path: Path) -> None:
    text = b"(" * 3000 + b")" * 3000
    path.write_bytes(b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text)


def index_whose_header_is_nested_50000_deep(path: Path) -> None:
    safetensors_header_nested_50000_deep(path)


def index_of_a_million_names_without_descriptors(path: Path) -> None:
    tensors = {
        "descriptors": np.zeros((0, 4), np.float32),
        "positions": np.zeros((0, 2)),
        "names": np.frombuffer(b"\n" * 10**6, np.uint8),
    }
    names = ("network_id", "network_path", "root", "frame", "reading", "checksums", "header_checksum")
    write_tensors(path, tensors, {"format": "deepibl-index/3", **dict.fromkeys(names, "")})


def toml_nested_20000_deep(path: Path) -> None:
    path.write_text("x = " + "[" * 20000 + "]" * 20000)


def toml_whose_paths_are_a_number(path: Path) -> None:
    path.write_text("paths = 3\n")


def paths_nested_20000_deep(path: Path) -> None:
    path.write_text("paths.x= " + "(" * 20000 + "'a'" + ")" * 20000 + ";\n")


def paths_with_a_line_of_400_kb(path: Path) -> None:
    path.write_text("paths.x= [" + "'a' " * 100_000 + "];\n")


def script_nested_5000_deep(path: Path) -> None:
    path.write_text("x= " + "(" * 5000 + "1" + ")" * 5000 + ";\n")


def script_of_3000_nested_ifs(path: Path) -> None:
    path.write_text("if x\n" * 3000 + "end\n" * 3000)


def script_with_a_sum_of_20000_terms(path: Path) -> None:
    path.write_text("x= 1" + "+1" * 20000 + ";\n")


def csv_with_a_cell_of_200_kb(path: Path) -> None:
    path.write_text("name,lat,lon\n" + "a" * 200_000 + ",1,2\n")


def csv_with_a_quote_that_never_closes(path: Path) -> None:
    path.write_text('name,lat,lon\n"a,1,2\n' + "b,1,2\n" * 50000)


def csv_with_200000_columns(path: Path) -> None:
    path.write_text("name,lat,lon" + ",x" * 200_000 + "\na,1,2\n")


def json_nested_100000_deep(path: Path) -> None:
    path.write_bytes(b"[" * 100000 + b"]" * 100000)


CRAFTED: dict[str, list[Maker]] = CRAFTED_MAT | {
    "safetensors": [
        safetensors_header_of_10_gb,
        safetensors_header_nested_50000_deep,
        safetensors_tensor_of_2_to_64_numbers,
        safetensors_network_nested_50000_deep,
        safetensors_network_claims_10_gb_in_its_json,
        safetensors_texts_of_2_gb_each,
    ],
    "torch": [
        torch_pickle_that_would_write_a_file,
        torch_zip_whose_pickle_would_write_a_file,
        torch_tensor_expanded_to_10_gb,
        torch_pickle_nested_100000_deep,
        torch_mapping_that_contains_itself,
    ],
    "image": [
        image_png_of_200_bytes_claims_10_gb,
        image_png_of_200_bytes_claims_170_megapixels,
        image_jpeg_of_700_bytes_claims_170_megapixels,
        image_jpeg_claims_65500_pixels_a_side,
        image_png_with_text_of_100_mb,
        image_gif_of_60000_frames,
    ],
    "h5": CRAFTED_H5,
    "npy": [
        npy_claims_10_gb,
        npy_that_is_a_zip_of_arrays,
        npy_with_a_pickle_that_would_write_a_file,
        npy_header_nested_3000_deep,
    ],
    "index": [index_whose_header_is_nested_50000_deep, index_of_a_million_names_without_descriptors],
    "toml": [toml_nested_20000_deep, toml_whose_paths_are_a_number],
    "paths": [paths_nested_20000_deep, paths_with_a_line_of_400_kb],
    "script": [script_nested_5000_deep, script_of_3000_nested_ifs, script_with_a_sum_of_20000_terms],
    "csv": [csv_with_a_cell_of_200_kb, csv_with_a_quote_that_never_closes, csv_with_200000_columns],
    "json": [json_nested_100000_deep],
}

"""Stores of maps that were computed once: in memory, or in a file from which a killed run resumes.

Tensors of one dtype, float32 or float16. Several threads may call `get`, also while one calls `put`.

`choose_place` makes the choice of 'auto': where the maps are kept, by what is free.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.errors import FeatureFileError
from deepibl.runtime.files import from_plain, lock
from deepibl.runtime.memory import free_memory, free_on_gpu
from matlab_compat.files import StrPath

NUMPY: dict[torch.dtype, np.dtype[Any]] = {
    torch.float32: np.dtype(np.float32),
    torch.float16: np.dtype(np.float16),
}


class MemoryStore:
    """In the memory of the device. on_device: bytes there at most, the rest in this process's memory."""

    def __init__(
        self, dtype: torch.dtype, limit: int, device: torch.device | str = "cpu", on_device: int | None = None
    ) -> None:
        self._dtype, self._limit, self._device = dtype, limit, torch.device(device)
        self._on_device = limit if on_device is None else on_device
        self._alone = on_device is None
        self._held: dict[str, Tensor] = {}
        self.used = 0

    def get(self, key: str) -> Tensor | None:
        """The tensor, None if it is not here."""
        return self._held.get(key)

    def put(self, key: str, tensor: Tensor) -> bool:
        """Keeps a copy; False if that would exceed the limit."""
        size = tensor.numel() * self._dtype.itemsize
        if self.used + size > self._limit:
            return False
        where = self._device if self.used + size <= self._on_device else torch.device("cpu")
        try:
            kept = torch.empty(tensor.shape, dtype=self._dtype, device=where)
        except torch.OutOfMemoryError:  # of a GPU
            if self._alone:
                return False
            self._on_device = self.used  # nothing more fits there
            kept = torch.empty(tensor.shape, dtype=self._dtype)
        self._held[key] = kept.copy_(tensor)
        self.used += size
        return True

    def close(self, keep: bool) -> None:
        """Frees the memory."""
        self._held.clear()
        self.used = 0


@dataclass(frozen=True)
class _Entry:
    """A line of maps.jsonl: where an array is in maps.bin, from byte `start` to `end`."""

    key: str
    shape: list[int]
    start: int
    end: int
    crc: int


class FileStore:
    """In a folder: maps.bin, arrays one after the other, and maps.jsonl, a line for each that is whole.

    A line is written after its array, so what a killed run was writing is not in the list and is overwritten.
    Every array has a checksum, compared when a run that did not write it reads it for the first time. Raises
    FeatureFileError if another process uses the folder (where the system has flock: not on Windows).
    """

    def __init__(self, folder: StrPath, dtype: torch.dtype, limit: int) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._dtype, self._limit = NUMPY[dtype], limit
        self._list = open(self.folder / "maps.jsonl", "a+b", buffering=0)  # noqa: SIM115
        try:
            lock(self._list)
        except OSError:
            self._list.close()
            raise FeatureFileError(
                f"{self.folder} is in use by another run: wait for it, or give another folder"
            ) from None
        self._data = open(self.folder / "maps.bin", "a+b", buffering=0)  # noqa: SIM115
        self._entries = self._read_list()
        self._unchecked = set(self._entries)
        self.used = max((entry.end for entry in self._entries.values()), default=0)
        self._data.truncate(self.used)

    def _read_list(self) -> dict[str, _Entry]:
        size = os.fstat(self._data.fileno()).st_size
        self._list.seek(0)
        entries, good = {}, 0
        for line in iter(self._list.readline, b""):
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                break
            try:
                entry: _Entry = from_plain(_Entry, values, "the line")
            except ValueError:
                break
            count = math.prod(entry.shape) * self._dtype.itemsize
            fits = 0 <= entry.start <= entry.end <= size and count == entry.end - entry.start
            if not fits or min(entry.shape, default=0) < 0 or not line.endswith(b"\n"):
                break
            entries[entry.key] = entry
            good = self._list.tell()
        self._list.truncate(good)
        return entries

    def get(self, key: str) -> Tensor | None:
        """The tensor, read; None if it is not here or is damaged on disk (then it is forgotten)."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            with open(self.folder / "maps.bin", "rb") as file:
                file.seek(entry.start)
                array = np.fromfile(file, self._dtype, math.prod(entry.shape))
            whole = array.nbytes == entry.end - entry.start
        except OSError:
            whole = False
        if not whole or (key in self._unchecked and zlib.crc32(array.data) != entry.crc):
            self._entries.pop(key, None)
            return None
        self._unchecked.discard(key)
        return torch.from_numpy(array.reshape(entry.shape))

    def put(self, key: str, tensor: Tensor) -> bool:
        """Writes the tensor; False if that would exceed the limit, or the disk is full."""
        data = np.ascontiguousarray(tensor.cpu().numpy(), self._dtype)
        if self.used + data.nbytes > self._limit or shutil.disk_usage(self.folder).free < 2 * data.nbytes:
            return False
        end = self.used + data.nbytes
        entry = _Entry(key, list(data.shape), self.used, end, zlib.crc32(data.data))
        if not _append(self._data, data.reshape(-1).view(np.uint8).data):
            return False
        if not _append(self._list, f"{json.dumps(asdict(entry))}\n".encode()):
            self._data.truncate(self.used)
            return False
        self._entries[key] = entry
        self.used = end
        return True

    def close(self, keep: bool) -> None:
        """Closes the files; removes them, and the folder if that empties it, unless `keep`."""
        self._data.close()
        if not keep:
            for name in ("maps.bin", "maps.jsonl"):
                (self.folder / name).unlink(missing_ok=True)
        self._list.close()
        if not keep and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _append(file: FileIO, data: bytes | memoryview) -> bool:
    """Appends all of the data to a file, or nothing: False if that fails, as on a full disk."""
    before, rest = os.fstat(file.fileno()).st_size, memoryview(data)
    try:
        while len(rest):
            rest = rest[file.write(rest) :]
    except OSError:
        file.truncate(before)
        return False
    return True


GIGABYTE = 10**9
GPU_SHARE, MEMORY_SHARE, DISK_SHARE = 0.7, 0.5, 0.9  # of what is free there
LEAST_SHARE = 0.01  # of all maps, below which keeping some is not worth it


@dataclass(frozen=True)
class Choice:
    """A place ('ram' of `device`, 'disk' or 'off'), why, and how many bytes may be kept there.

    on_device: bytes of them in the device's memory, the rest in the machine's; None: all in one place.
    """

    store: str
    reason: str
    limit: int = 0
    device: torch.device | str = "cpu"
    on_device: int | None = None


def choose_place(
    needed: int, limit: int, folder: StrPath | None, device: torch.device, sharers: int = 1
) -> Choice:
    """The place for `needed` bytes of maps, of which at most `limit` may be kept.

    The memory of the GPU that computes, with the machine's if it is not enough, the machine's alone where
    there is no GPU, or the folder's disk: the first that takes all that may be kept, else the one that takes
    most; 'off' if that is less than 1 % of them. sharers: number of processes that share memory and disk
    (each has a GPU of its own).
    """
    memory = int(free_memory() * MEMORY_SHARE / sharers)
    places = [Choice("ram", "of free memory", memory)]
    if device.type == "cuda":
        gpu = int(free_on_gpu(device) * GPU_SHARE)
        both = "of the GPU's and of the machine's free memory"
        places = [
            Choice("ram", "of the GPU's free memory", gpu, device),
            Choice("ram", both, gpu + memory, device, on_device=gpu),
        ]
    if folder is not None:
        places.append(Choice("disk", "of free disk", int(free_disk(folder) * DISK_SHARE / sharers)))
    wanted = min(needed, limit)
    chosen = next((place for place in places if place.limit >= wanted), None)
    if chosen is None:
        chosen = max(places, key=lambda place: place.limit)
    kept = min(wanted, chosen.limit)
    reason = f"{kept / GIGABYTE:.1f} of {needed / GIGABYTE:.1f} GB; {chosen.limit / GIGABYTE:.1f} GB "
    reason += f"{chosen.reason} may be used, {limit / GIGABYTE:g} GB by backboneCacheGB"
    if kept < LEAST_SHARE * needed:
        return Choice("off", reason)
    return replace(chosen, reason=reason, limit=min(limit, chosen.limit))


def free_disk(folder: StrPath) -> int:
    """Bytes that are free where a folder is, or will be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free

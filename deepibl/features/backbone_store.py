"""Stores of maps of one dtype that were computed once: in memory, or in files that outlive a kill.

Several threads may call `get`, also while one calls `put`. `choose_place` makes the choice of 'auto'.
"""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from deepibl.errors import FeatureFileError
from deepibl.runtime.devices import free_memory, free_on_gpu
from deepibl.runtime.files import hold
from matlab_compat.files import StrPath


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
        self._held.clear()
        self.used = 0


class FileStore:
    """In a folder: KEY.npy for each tensor, with its CRC-32 after it; it gets its name when it is whole.

    The checksum is compared when a run that did not write it reads it for the first time. Raises
    FeatureFileError if another process uses the folder.
    """

    def __init__(self, folder: StrPath, dtype: torch.dtype, limit: int) -> None:
        self.folder, self._dtype, self._limit = Path(folder), torch.empty(0, dtype=dtype).numpy().dtype, limit
        self._lock = FileLock(self.folder / "lock")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not hold(self._lock):
            raise FeatureFileError(f"{self.folder} is in use by another run: wait, or give another folder")
        self._torn = self.folder / "torn"  # what is being written
        self._unchecked = {path.stem for path in self.folder.glob("*.npy")}
        self.used = sum(path.stat().st_size for path in self.folder.glob("*.npy"))

    def get(self, key: str) -> Tensor | None:
        """The tensor, read; None if it is not here or is damaged on disk (then it is removed)."""
        path = self.folder / f"{key}.npy"
        try:
            with open(path, "rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
                crc = file.read()
            whole = key not in self._unchecked or (array.dtype == self._dtype and crc == _checksum(array))
        except Exception:  # numpy raises several types for damaged headers
            whole = False
        if not whole:
            path.unlink(missing_ok=True)
            return None
        self._unchecked.discard(key)
        return torch.from_numpy(array)

    def put(self, key: str, tensor: Tensor) -> bool:
        """Writes the tensor; False if that would exceed the limit, or the disk is full."""
        data = np.ascontiguousarray(tensor.cpu().numpy(), self._dtype)
        if self.used + data.nbytes > self._limit or shutil.disk_usage(self.folder).free < 2 * data.nbytes:
            return False
        try:
            with open(self._torn, "wb") as file:
                np.lib.format.write_array(file, data, allow_pickle=False)
                file.write(_checksum(data))
            self._torn.replace(self.folder / f"{key}.npy")
        except OSError:
            self._torn.unlink(missing_ok=True)
            return False
        self.used += data.nbytes
        return True

    def close(self, keep: bool) -> None:
        """Removes the files, and the folder if that empties it, unless `keep`."""
        self._torn.unlink(missing_ok=True)
        for path in () if keep else self.folder.glob("*.npy"):
            path.unlink()
        self._lock.release()
        Path(self._lock.lock_file).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _checksum(array: np.ndarray) -> bytes:
    return zlib.crc32(array.data).to_bytes(4, "little")


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

    The GPU's memory, with the machine's if it is not enough, the machine's alone without a GPU, or the disk:
    the first that takes all that may be kept, else the one that takes most; 'off' below 1 %. sharers:
    processes that share memory and disk.
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

"""Where maps that were computed once are kept: in memory, or in a file that a killed run goes on with."""

from __future__ import annotations

import json
import math
import os
import shutil
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deepibl.errors import FeatureFileError


class Store(Protocol):
    """Arrays by a key, all of one dtype; at most `limit` bytes."""

    used: int

    def get(self, key: str) -> np.ndarray | None:
        """The array, None if it is not here."""

    def put(self, key: str, array: np.ndarray) -> bool:
        """Keeps the array; False if it would be more than the limit."""

    def close(self, keep: bool) -> None:
        """Ends its use; what is on disk is removed unless `keep`."""


class MemoryStore:
    """In memory, of this process."""

    def __init__(self, dtype: np.dtype[Any], limit: int) -> None:
        self._dtype, self._limit = dtype, limit
        self._held: dict[str, np.ndarray] = {}
        self.used = 0

    def get(self, key: str) -> np.ndarray | None:
        """The array, None if it is not here."""
        return self._held.get(key)

    def put(self, key: str, array: np.ndarray) -> bool:
        """Keeps a copy; False if it would be more than the limit."""
        kept = np.array(array, self._dtype, order="C")
        if self.used + kept.nbytes > self._limit:
            return False
        self._held[key] = kept
        self.used += kept.nbytes
        return True

    def close(self, keep: bool) -> None:
        """Frees the memory."""
        self._held.clear()
        self.used = 0


class FileStore:
    """In a folder: maps.bin, arrays one after the other, and maps.jsonl, a line for each that is whole.

    A line is written after its array, so what a killed run was writing is not in the list and is overwritten.
    Every array has a checksum, compared when a run that did not write it first reads it. One process at a
    time: raises FeatureFileError if another one uses the folder (where the system has flock: not Windows).
    """

    def __init__(self, folder: str | os.PathLike[str], dtype: np.dtype[Any], limit: int) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._dtype, self._limit = np.dtype(dtype), limit
        name = self.folder / "maps.jsonl"
        self._list = open(name, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._lock()
        self._data = open(self.folder / "maps.bin", "a+b")  # noqa: SIM115
        self._entries = self._read_list()
        self._unchecked = set(self._entries)
        self.used = max((entry["end"] for entry in self._entries.values()), default=0)
        self._data.truncate(self.used)

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.flock(self._list, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._list.close()
            raise FeatureFileError(
                f"{self.folder} is in use by another run: wait for it, or give another folder"
            ) from None

    def _read_list(self) -> dict[str, dict[str, Any]]:
        size = os.fstat(self._data.fileno()).st_size
        self._list.seek(0)
        entries, good = {}, 0
        for line in iter(self._list.readline, ""):
            try:
                entry = json.loads(line)
                count = math.prod(entry["shape"]) * self._dtype.itemsize
                start, end, _ = int(entry["start"]), int(entry["end"]), int(entry["crc"])
                if not line.endswith("\n") or not 0 <= start <= end <= size or count != end - start:
                    break
                entries[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                break
            good = self._list.tell()
        self._list.truncate(good)
        return entries

    def get(self, key: str) -> np.ndarray | None:
        """The array, memory-mapped; None if it is not here or was damaged on disk (then it is forgotten)."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        path, shape = self.folder / "maps.bin", tuple(entry["shape"])
        array = np.memmap(path, self._dtype, "r", offset=entry["start"], shape=shape)
        if key in self._unchecked:
            if zlib.crc32(array.data) != entry["crc"]:
                del self._entries[key]
                return None
            self._unchecked.discard(key)
        return array

    def put(self, key: str, array: np.ndarray) -> bool:
        """Writes the array; False if it would be more than the limit, or the disk is full."""
        data = np.ascontiguousarray(array, self._dtype)
        if self.used + data.nbytes > self._limit or shutil.disk_usage(self.folder).free < 2 * data.nbytes:
            return False
        self._data.write(data.reshape(-1).view(np.uint8).data)
        self._data.flush()
        entry: dict[str, Any] = {
            "key": key,
            "shape": data.shape,
            "start": self.used,
            "end": self.used + data.nbytes,
        }
        entry["crc"] = zlib.crc32(data.data)
        self._list.write(json.dumps(entry) + "\n")
        self._list.flush()
        self._entries[key] = entry
        self.used += data.nbytes
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

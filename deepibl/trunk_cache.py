"""The maps of layers that do not learn, computed once an image and kept while a network is trained.

Below backPropToLayer nothing ever changes, so a refresh, a training tuple and a test begin where learning
begins:

    with TrunkCache(net, "conv5_1", store="auto", folder=out, images=len(names), limit_gb=40) as cache:
        maps = cache.maps(paths, flips)                 # (N, C, H, W): read, computed or both
        features = net(maps, start="conv5_1").flatten(1)

An image's maps are known by the trunk's weights, the file (path, size, time of its last change) and the flip.
Not for images that are scaled at random (jitterScale): every scale is another image; give store='off' then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.describe import device_of
from deepibl.engine import Engine, choose_engine
from deepibl.images import read_image
from deepibl.network_identity import network_id
from deepibl.trunk_store import FileStore, MemoryStore, Store
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.simplenn import LayerKey, SimpleNN

STORES = ("auto", "ram", "disk", "off")
DTYPES: dict[str, np.dtype[Any]] = {"fp32": np.dtype(np.float32), "fp16": np.dtype(np.float16)}
CHUNK = 2  # images at once through the trunk: its first maps are the largest of all
_GIGABYTE = 10**9
_HALF_LARGEST = float(np.finfo(np.float16).max)


class TrunkCache:
    """Maps of the layers below `first`, of image files; see the module.

    net: a SimpleNN on its device, whose layers below `first` (a name or position) stay as they are now.
    store: 'ram', 'disk', 'off', or 'auto': memory if all maps fit into half of what is free, else disk if
    they fit there, else off. dtype: 'fp32' (exact) or 'fp16' (half the space).
    folder: where 'disk' keeps its files. images: how many there will be (a flip counts as one more each), for
    'auto'. limit_gb: never keeps more; what is beyond is computed every time it is asked for.
    keep: leave the files on disk for the next run at the end. engine: see `deepibl.engine`; 'torch' gives the
    network's own digits.

    `store` says what was chosen, `reason` why; `computed` and `found` count images.
    """

    def __init__(
        self,
        net: SimpleNN,
        first: LayerKey,
        *,
        store: str = "auto",
        dtype: str = "fp32",
        folder: str | os.PathLike[str] | None = None,
        images: int = 0,
        limit_gb: float = 50.0,
        keep: bool = False,
        engine: str = "torch",
    ) -> None:
        if store not in STORES or dtype not in DTYPES:
            raise ArgumentError(
                f"store is one of {', '.join(STORES)} and dtype one of {', '.join(DTYPES)}, "
                f"not {store!r} and {dtype!r}"
            )
        if limit_gb <= 0:
            raise ArgumentError(f"limit_gb is a positive number of gigabytes, not {limit_gb}; or store='off'")
        if store == "disk" and folder is None:
            raise ArgumentError("store='disk' needs a folder")
        self.net, self.first, self.keep = net, net.index(first), keep
        if not self.first:
            raise ArgumentError(f"layer {net.label(0)} is the first: there are no layers below it to keep")
        self.identity = network_id(net.with_layers(list(net)[: self.first]))
        self.computed = self.found = 0
        self._wanted, self._folder, self._images = store, folder, images
        self._limit, self._dtype = int(limit_gb * _GIGABYTE), dtype
        self._engine: Engine = choose_engine(net, engine, "fp32", device_of(net), stop=self.first)
        self._store: Store | None = None
        self.store, self.reason = store, "asked for"

    def maps(self, paths: Sequence[str | os.PathLike[str]], flips: Sequence[bool] | bool = False) -> Tensor:
        """Maps (N, C, H, W) float32 on the network's device, of images of one size, row i of paths[i].

        flips: mirrored left to right, for all or for each. Raises ImageReadError naming a file that cannot be
        read, ArgumentError for images of different sizes.
        """
        mirrored = [flips] * len(paths) if isinstance(flips, bool) else [bool(flip) for flip in flips]
        if not paths or len(mirrored) != len(paths):
            raise ArgumentError(
                f"{len(paths)} images and {len(mirrored)} flips: one flip an image, or one for all"
            )
        keys = [self._key(path, flip) for path, flip in zip(paths, mirrored, strict=True)]
        if self._store is None and self.store != "off":
            self._open(paths[0])
        rows = [self._store.get(key) if self._store else None for key in keys]
        missing = [i for i, row in enumerate(rows) if row is None]
        self.found += len(paths) - len(missing)
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            images = [(paths[i], mirrored[i]) for i in chunk]
            for i, maps in zip(chunk, self._compute(images), strict=True):
                rows[i] = maps
                if self._store and (self._dtype == "fp32" or np.abs(maps).max() <= _HALF_LARGEST):
                    self._store.put(keys[i], maps)
        shapes = {row.shape for row in rows if row is not None}
        if len(shapes) > 1:
            raise ArgumentError(f"images of different sizes at once, their maps are {sorted(shapes)}")
        stacked = np.stack([row for row in rows if row is not None]).astype(np.float32, copy=False)
        return torch.from_numpy(stacked).to(device_of(self.net))

    def __enter__(self) -> TrunkCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(finished=kind is None)

    def close(self, finished: bool = True) -> None:
        """Frees memory and removes files; those stay if `keep`, or if the work is not `finished`."""
        if self._store is not None:
            self._store.close(self.keep or not finished)
            self._store = None

    def _key(self, path: str | os.PathLike[str], flip: bool) -> str:
        try:
            status = os.stat(path)
        except OSError as problem:
            raise ImageReadError(f"{os.fspath(path)}: {problem.strerror}") from problem
        text = f"{self.identity}|{os.path.abspath(path)}|{status.st_size}|{status.st_mtime_ns}|{flip}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @torch.no_grad()
    def _compute(self, images: Sequence[tuple[str | os.PathLike[str], bool]]) -> list[np.ndarray]:
        read = [torch.as_tensor(read_image(path)) for path, _ in images]
        read = [image.flip(-1) if flip else image for image, (_, flip) in zip(read, images, strict=True)]
        self.computed += len(read)
        if len({image.shape for image in read}) > 1:
            return [self._through(image[None])[0] for image in read]
        return list(self._through(torch.stack(read)))

    def _through(self, images: Tensor) -> np.ndarray:
        x = self.net.prepare(images.to(device_of(self.net)))
        found = self._engine.trunk(x) if self._engine.trunk else self.net(x, stop=self.first - 1)
        return found.float().cpu().contiguous().numpy()

    def _open(self, path: str | os.PathLike[str]) -> None:
        """Opens the store; for 'auto' the first image shows how large its maps are."""
        if self._wanted == "auto":
            needed = self._compute([(path, False)])[0].size * DTYPES[self._dtype].itemsize * self._images
            self.computed -= 1
            self.store, self.reason = _choose(needed, self._limit, self._folder)
        if self.store == "ram":
            self._store = MemoryStore(DTYPES[self._dtype], self._limit)
        elif self.store == "disk":
            assert self._folder is not None
            folder = Path(self._folder) / f"trunk-{self.identity[:16]}-{self._dtype}"
            self._store = FileStore(folder, DTYPES[self._dtype], self._limit)


def _choose(needed: int, limit: int, folder: str | os.PathLike[str] | None) -> tuple[str, str]:
    """The store for so many bytes, and why."""
    size = f"{needed / _GIGABYTE:.1f} GB"
    if needed > limit:
        return "off", f"all maps are {size}, the limit is {limit / _GIGABYTE:.1f} GB"
    if needed <= free_memory() / 2:
        return "ram", f"all maps, {size}, fit into half of the free memory"
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        if needed <= 0.9 * shutil.disk_usage(folder).free:
            return "disk", f"all maps, {size}, are more than half of the free memory"
    return "off", f"all maps, {size}, fit neither into half of the free memory nor on the disk"


def free_memory() -> int:
    """Bytes that programs can have without swapping; 0 where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0

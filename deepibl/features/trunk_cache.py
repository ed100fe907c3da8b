"""The maps of layers that do not learn, computed once an image and kept while a network is trained.

Below backPropToLayer nothing ever changes, so a refresh, a training tuple and a test begin where learning
begins:

    with TrunkCache(net, "conv5_1", store="auto", folder=out, images=len(names), limit_gb=40) as cache:
        maps = cache.maps(paths, flips)                 # (N, C, H, W): read, computed or both
        features = net(maps, start="conv5_1").flatten(1)

An image's maps are known by the trunk's weights, the file (path, size, time of its last change) and the flip.
They are computed image by image, so they have the same bits whatever is kept, in whichever order it is asked
for. With dtype='fp16' they are rounded, whether kept or computed anew.
Images that are resized (jitterScale) are never kept: every scale is another image; give store='off' then."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType

import torch
from torch import Tensor

from deepibl.engine.choose import Engine, choose_engine
from deepibl.errors import FeatureFileError
from deepibl.features.trunk_store import GIGABYTE, Choice, FileStore, MemoryStore, Store, choose_place
from deepibl.images import load_pixels
from deepibl.networks.identity import network_id
from deepibl.runtime.devices import device_of, to_batch
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.simplenn.network import LayerKey, SimpleNN

STORES = ("auto", "ram", "disk", "off")

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}

MOST_GB = 1e6  # more than any machine has: what inf means

KEPT = "kept"  # a file of this name in a folder says that its maps are to stay


@dataclass(frozen=True)
class Fetched:
    """An image on its way to its maps: those that were kept, (C, h, w), else its pixels, (1 or 3, H, W).

    key: under which its maps are to be kept, '' for not at all.
    """

    key: str
    maps: Tensor | None = None
    pixels: Tensor | None = None


class TrunkCache:
    """Maps of the layers below `first`, of image files; see the module.

    net: a SimpleNN on its device, whose layers below `first` (a name or position) stay as they are now.
    store: 'ram', 'disk', 'off', or 'auto', see `deepibl.features.trunk_store`; maps that an interrupted run left on
    disk are gone on with. dtype: 'fp32' (exact) or 'fp16' (half the space).
    folder: where 'disk' keeps its files, for all runs that can use them; spare: where, if another run has
    those at this moment. images: how many there will be (a flip counts as one more each), for 'auto'.
    limit_gb: never keeps more; what is beyond is computed every time it is asked for. sharers: processes on
    this machine, each with a cache of its own, that have this limit and what is free together.
    keep: leave the files on disk for later runs. engine: see `deepibl.engine`; 'torch' gives the network's
    own digits.

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
        spare: str | os.PathLike[str] | None = None,
        images: int = 0,
        limit_gb: float = 50.0,
        sharers: int = 1,
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
        self.device, self.dtype = device_of(net), dtype
        self.computed = self.found = 0
        self._folders = [Path(each) / self._name for each in (folder, spare) if each is not None]
        self._images, self._limit = images, int(min(limit_gb, MOST_GB) * GIGABYTE / sharers)
        self._sharers = sharers
        self._engine: Engine = choose_engine(net, engine, "fp32", self.device, stop=self.first)
        self._store: Store | None = None
        self._opening = Lock()
        self.store, self.reason = store, "asked for"

    @property
    def description(self) -> str:
        """What decides the maps' digits, beside the network and the images."""
        return f"{self._engine.name}, {self.dtype}"

    @property
    def channels(self) -> int | None:
        """Of the maps; None where that is not known."""
        channels: int | None = 3
        for layer in list(self.net)[: self.first]:
            channels = layer.channels_out(channels)
        return channels

    def open(self, path: str | os.PathLike[str]) -> None:
        """Opens the store, if it is not open; for 'auto' this image shows how large its maps are.

        Done by itself when maps are first asked for. Raises ImageReadError.
        """
        with self._opening:
            if self._store is None and self.store != "off":
                self._open(path)

    def fetch(
        self,
        path: str | os.PathLike[str],
        flip: bool = False,
        resize: int | None = None,
    ) -> Fetched:
        """An image's maps if they are kept, else the image; for threads that read ahead.

        flip: mirrored left to right. resize: pixels of the shorter side; None leaves the size.
        Raises ImageReadError naming a file that cannot be read.
        """
        key = self._key(path, flip) if resize is None else ""
        self.open(path)
        kept = self._store.get(key) if self._store is not None and key else None
        if kept is not None:
            return Fetched(key, maps=kept)
        pixels = load_pixels(path, resize)
        return Fetched(key, pixels=pixels.flip(-1) if flip else pixels)

    def maps_of(self, image: Fetched) -> Tensor:
        """The maps (C, h, w) of one image, in the class they are kept in; computed and kept if they were not.

        One thread at a time may call this.
        """
        if image.maps is not None:
            self.found += 1
            return image.maps
        assert image.pixels is not None
        exact = self._compute(image.pixels)
        self.computed += 1
        maps = exact.to(DTYPES[self.dtype])
        if maps.dtype == torch.float16 and not bool(torch.isfinite(maps).all()):
            return exact  # beyond float16's range: neither rounded nor kept
        if self._store is not None and image.key and self._store.get(image.key) is None:
            self._store.put(image.key, maps)
        return maps

    def stack(self, images: Sequence[Fetched]) -> Tensor:
        """Maps (N, C, h, w) float32 on the network's device. Raises ArgumentError for different sizes."""
        return self.join([self.maps_of(image) for image in images])

    def join(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of several images, as `maps_of` gives them, as one batch; raises as `stack`."""
        shapes = {tuple(each.shape) for each in maps}
        if len(shapes) > 1:
            raise ArgumentError(f"images of different sizes at once, their maps are {sorted(shapes)}")
        if len({each.dtype for each in maps}) > 1:
            maps = [each.to(torch.float32) for each in maps]
        return torch.stack(self._moved(maps)).to(torch.float32)

    def _moved(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The same on the network's device; those that are kept elsewhere go there together, and nobody
        waits.
        """
        elsewhere = [i for i, each in enumerate(maps) if each.device.type != self.device.type]
        moved = list(maps)
        if elsewhere:
            shape = (len(elsewhere), *maps[elsewhere[0]].shape)
            pinned = torch.empty(shape, dtype=maps[elsewhere[0]].dtype, pin_memory=True)
            torch.stack([maps[i] for i in elsewhere], out=pinned)
            there = pinned.to(self.device, non_blocking=True).unbind()
            for i, each in zip(elsewhere, there, strict=True):
                moved[i] = each
        return moved

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
        return self.stack([self.fetch(path, flip) for path, flip in zip(paths, mirrored, strict=True)])

    def __enter__(self) -> TrunkCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(finished=kind is None)

    def close(self, finished: bool = True) -> None:
        """Frees memory and removes files; those stay if `keep`, or if the work is not `finished`.

        What a run with `keep` has left is removed by no other run.
        """
        if self._store is None:
            return
        if isinstance(self._store, FileStore) and self.keep:
            (self._store.folder / KEPT).touch()
        stays = isinstance(self._store, FileStore) and (self._store.folder / KEPT).exists()
        self._store.close(stays or not finished)
        self._store = None

    @property
    def _name(self) -> str:
        return f"trunk-{self.identity[:16]}-{self.dtype}"

    def _key(self, path: str | os.PathLike[str], flip: bool) -> str:
        try:
            status = os.stat(path)
        except OSError as problem:
            raise ImageReadError(f"{os.fspath(path)}: {problem.strerror}") from problem
        text = f"{self.identity}|{os.path.abspath(path)}|{status.st_size}|{status.st_mtime_ns}|{flip}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @torch.no_grad()
    def _compute(self, pixels: Tensor) -> Tensor:
        x = self.net.prepare(to_batch([pixels], self.device))
        found = self._engine.trunk(x) if self._engine.trunk else self.net(x, stop=self.first - 1)
        return found[0].to(torch.float32).contiguous()

    def _open(self, path: str | os.PathLike[str]) -> None:
        choice = Choice(self.store, self.reason, self._limit)
        if self.store == "auto":
            left = self._left_behind()
            if left is not None:
                self._store, self.store = left, "disk"
                self.reason = f"maps that a run before has left in {left.folder}"
                return
            choice = self._choose(path)
        self._limit = min(self._limit, choice.limit)
        if choice.store == "ram":
            dtype = DTYPES[self.dtype]
            self._store = MemoryStore(dtype, self._limit, choice.device, choice.on_device)
        elif choice.store == "disk":
            self._store = self._open_files()
        self.store, self.reason = choice.store, choice.reason

    def _left_behind(self) -> FileStore | None:
        """The files of a run before, this run's own first; None if there are none or another run has them."""
        for folder in reversed(self._folders):
            if (folder / "maps.bin").exists():
                with suppress(FeatureFileError):
                    return FileStore(folder, DTYPES[self.dtype], self._limit)
        return None

    def _choose(self, path: str | os.PathLike[str]) -> Choice:
        maps = self._compute(load_pixels(path))
        needed = maps.numel() * DTYPES[self.dtype].itemsize * self._images
        folder = next(iter(self._folders), None)
        return choose_place(needed, self._limit, folder, self.device, self._sharers)

    def _open_files(self) -> FileStore:
        """What a run before has left, else the shared folder's files, or, if in use, this run's own."""
        left = self._left_behind()
        if left is not None:
            return left
        try:
            return FileStore(self._folders[0], DTYPES[self.dtype], self._limit)
        except FeatureFileError:
            if len(self._folders) < 2:
                raise
            return FileStore(self._folders[1], DTYPES[self.dtype], self._limit)

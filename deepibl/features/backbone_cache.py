"""The maps of layers that do not learn, computed once per image and kept while a network is trained.

Below backPropToLayer no weight changes, so a refresh, a training tuple and a test begin at that layer:

>>> with BackboneCache(net, "conv5_1", store="auto", folder=out, images=n) as cache:  # doctest: +SKIP
...     features = net(cache.maps(paths), start="conv5_1").flatten(1)

An image's maps are known by their `Provenance`: the backbone's weights, its engine and dtype, the flip, and
the content of the file. They are computed image by image, so they have the same bits whatever is kept. With
dtype='fp16' they are rounded, whether kept or computed again. Resized images (jitterScale) are not kept.
"""

from __future__ import annotations

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
from deepibl.engine.finite import MAPS
from deepibl.errors import FeatureFileError
from deepibl.features.backbone_store import GIGABYTE, Choice, FileStore, MemoryStore, choose_place
from deepibl.images import Reading, load_pixels
from deepibl.networks.identity import network_id
from deepibl.runtime.devices import channels_last, device_of, to_batch
from deepibl.runtime.provenance import Provenance, file_content, file_times
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.files import StrPath
from matlab_compat.simplenn.network import LayerKey, SimpleNN

STORES = ("auto", "ram", "disk", "off")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
MOST_GB = 1e6  # more than any machine has: what inf means
KEPT = "kept"  # a file of this name in a folder marks maps that are not to be removed


@dataclass(frozen=True)
class Fetched:
    """An image's maps (C, h, w) where they were kept, else its pixels; key: of what is to be kept, or ''."""

    key: str
    maps: Tensor | None = None
    pixels: Tensor | None = None


class BackboneCache:
    """Maps of the layers below `first`, of image files; see the module.

    store: 'ram', 'disk', 'off', or 'auto', see `deepibl.features.backbone_store`; maps that an interrupted
    run left on disk are used. dtype: 'fp32' (exact) or 'fp16'. folder: of the files of 'disk', shared by all
    runs; spare: used while another run has locked those. images: how many there will be (a flip is one more),
    for 'auto'. limit_gb: kept at most; maps beyond are computed whenever they are needed. sharers: processes
    on this machine that share limit, memory and disk. keep: leaves the files for later runs. engine: 'torch'
    has the network's own bits.

    `store` is the place chosen, `reason` why; `computed` and `found` count images. Raises ArgumentError.
    """

    def __init__(
        self,
        net: SimpleNN,
        first: LayerKey,
        *,
        store: str = "auto",
        dtype: str = "fp32",
        folder: StrPath | None = None,
        spare: StrPath | None = None,
        images: int = 0,
        limit_gb: float = 50.0,
        sharers: int = 1,
        keep: bool = False,
        engine: str = "torch",
    ) -> None:
        if store not in STORES or dtype not in DTYPES:
            raise ArgumentError(
                f"store: one of {', '.join(STORES)}, dtype: {', '.join(DTYPES)}; got {store!r}, {dtype!r}"
            )
        if limit_gb <= 0:
            raise ArgumentError(f"limit_gb must be positive; got {limit_gb} (to keep nothing: store='off')")
        if store == "disk" and folder is None:
            raise ArgumentError("store='disk' needs a folder")
        self.net, self.first, self.keep = net, net.index(first), keep
        if not self.first:
            raise ArgumentError(f"{net.label(0)} is the first: there are no layers below it to keep")
        self.identity = network_id(net.with_layers(list(net)[: self.first]))
        self.device, self.dtype = device_of(net), dtype
        self.computed = self.found = 0
        self._images, self._limit = images, int(min(limit_gb, MOST_GB) * GIGABYTE / sharers)
        self._sharers = sharers
        self._engine: Engine = choose_engine(net, engine, "fp32", self.device, stop=self.first)
        name = f"backbone-{self.identity[:16]}-{self._engine.name}-{dtype}"
        self._folders = [Path(each) / name for each in (folder, spare) if each is not None]
        self._store: FileStore | MemoryStore | None = None
        self._opening = Lock()
        self._marks: dict[str, tuple[str, str]] = {}  # times and content of image files, by path
        self.store, self.reason = store, "as requested"

    @property
    def description(self) -> str:
        """What the maps' bits depend on, beside the network and the images."""
        return f"{self._engine.name}, {self.dtype}"

    @property
    def channels(self) -> int | None:
        """Number of channels of the maps; None where it is not known."""
        channels: int | None = 3
        for layer in list(self.net)[: self.first]:
            channels = layer.channels_out(channels)
        return channels

    def open(self, path: StrPath) -> None:
        """Opens the store, by the first `fetch`; 'auto' chooses it by the size of this image's maps."""
        with self._opening:
            if self._store is None and self.store != "off":
                self._open(path)

    def fetch(self, path: StrPath, flip: bool = False, resize: int | None = None) -> Fetched:
        """Returns an image's maps if they are kept, else its pixels; may be called by several threads.

        flip: mirrored. resize: pixels of the shorter side. Raises ImageReadError.
        """
        key = self._key(path, flip) if resize is None and self.store != "off" else ""
        self.open(path)
        kept = self._store.get(key) if self._store is not None and key else None
        if kept is not None:
            return Fetched(key, maps=kept)
        pixels = load_pixels(path, Reading(resize))
        return Fetched(key, pixels=pixels.flip(-1) if flip else pixels)

    def maps_of(self, image: Fetched) -> Tensor:
        """Returns the maps (C, h, w) of one image in the store's dtype; computes and keeps new ones.

        Only one thread at a time may call this. Raises ImageReadError for maps that are not finite.
        """
        if image.maps is not None:
            self.found += 1
            return image.maps
        assert image.pixels is not None
        exact = self._compute(image.pixels)
        if not bool(exact.abs().max() <= MAPS):  # NaN is not either; the layers above might hide it
            raise ImageReadError("the maps of the network's lower layers are not finite")
        self.computed += 1
        maps = exact.to(DTYPES[self.dtype])
        if maps.dtype == torch.float16 and not bool(torch.isfinite(maps).all()):
            return exact  # outside the range of float16: neither rounded nor kept
        if self._store is not None and image.key and self._store.get(image.key) is None:
            self._store.put(image.key, maps)
        return maps

    def stack(self, images: Sequence[Fetched]) -> Tensor:
        """Maps (N, C, h, w) float32 on the network's device. Raises ArgumentError for different sizes."""
        return self.join([self.maps_of(image) for image in images])

    def join(self, maps: Sequence[Tensor]) -> Tensor:
        """Stacks the results of `maps_of` into one batch; raises as `stack`."""
        shapes = {tuple(each.shape) for each in maps}
        if len(shapes) > 1:
            raise ArgumentError(f"images of different sizes at once, their maps are {sorted(shapes)}")
        if len({each.dtype for each in maps}) > 1:
            maps = [each.to(torch.float32) for each in maps]
        moved = list(maps)
        elsewhere = [i for i, each in enumerate(maps) if each.device.type != self.device.type]
        if elsewhere:  # these are moved together, without waiting
            shape = (len(elsewhere), *maps[elsewhere[0]].shape)
            pinned = torch.empty(shape, dtype=maps[elsewhere[0]].dtype, pin_memory=True)
            torch.stack([maps[i] for i in elsewhere], out=pinned)
            for i, each in zip(elsewhere, pinned.to(self.device, non_blocking=True), strict=True):
                moved[i] = each
        return torch.stack(moved).to(torch.float32)

    def maps(self, paths: Sequence[StrPath], flips: Sequence[bool] | bool = False) -> Tensor:
        """Returns maps (N, C, H, W) float32 on the network's device; flips: one for all images, or one each.

        Raises ImageReadError naming a file, ArgumentError for images of different sizes.
        """
        mirrored = [flips] * len(paths) if isinstance(flips, bool) else [bool(flip) for flip in flips]
        if not paths or len(mirrored) != len(paths):
            raise ArgumentError(
                f"{len(paths)} images and {len(mirrored)} flips: give one flip per image, or one for all"
            )
        return self.stack([self.fetch(path, flip) for path, flip in zip(paths, mirrored, strict=True)])

    def __enter__(self) -> BackboneCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(finished=kind is None)

    def close(self, finished: bool = True) -> None:
        """Frees memory and removes files; those stay if `keep` (of any run), or if the work is not
        `finished`.
        """
        if self._store is None:
            return
        if isinstance(self._store, FileStore) and self.keep:
            (self._store.folder / KEPT).touch()
        stays = isinstance(self._store, FileStore) and (self._store.folder / KEPT).exists()
        self._store.close(stays or not finished)
        self._store = None

    def _key(self, path: StrPath, flip: bool) -> str:
        name, times = os.fspath(path), file_times(path)
        if name not in self._marks or self._marks[name][0] != times:  # a file is read once, while it stays
            self._marks[name] = times, file_content(path)
        content = self._marks[name][1]
        if not content:
            raise ImageReadError(f"{name}: cannot be opened")
        settings = {"backbone": self.description, "flip": flip}
        return Provenance(self.identity, 1, "", content, settings).digest[:32]

    @torch.no_grad()
    def _compute(self, pixels: Tensor) -> Tensor:
        x = channels_last(self.net.prepare(to_batch([pixels], self.device)))
        found = self._engine.backbone(x) if self._engine.backbone else self.net(x, stop=self.first - 1)
        return found[0].to(torch.float32).contiguous()

    def _open(self, path: StrPath) -> None:
        dtype = DTYPES[self.dtype]
        if self.store != "ram":  # the files of an earlier run, this run's own first, unless they are in use
            for folder in reversed(self._folders):
                if self._store is None and any(folder.glob("*.npy")):
                    with suppress(FeatureFileError):
                        self._store = FileStore(folder, dtype, self._limit)
                        if self.store == "auto":
                            self.store = "disk"
                            self.reason = f"maps that an earlier run has left in {folder}"
        if self._store is not None:
            return
        choice = Choice(self.store, self.reason, self._limit)
        if self.store == "auto":
            needed = self._compute(load_pixels(path)).numel() * dtype.itemsize * self._images
            shared = next(iter(self._folders), None)
            choice = choose_place(needed, self._limit, shared, self.device, self._sharers)
        self._limit = min(self._limit, choice.limit)
        self.store, self.reason = choice.store, choice.reason
        if choice.store == "ram":
            self._store = MemoryStore(dtype, self._limit, choice.device, choice.on_device)
        elif choice.store == "disk":
            try:
                self._store = FileStore(self._folders[0], dtype, self._limit)
            except FeatureFileError:
                if len(self._folders) < 2:
                    raise
                self._store = FileStore(self._folders[1], dtype, self._limit)

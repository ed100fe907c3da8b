"""Where the maps of layers that do not learn are kept: the choice of 'auto', by what is free."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

GIGABYTE = 10**9
DISK_SHARE = 0.9  # of what is free on it


@dataclass(frozen=True)
class Choice:
    """A place, and why: 'ram' (of `device`), 'disk' or 'off'."""

    store: str
    reason: str
    device: torch.device | str = "cpu"


def choose_place(
    needed: int, limit: int, folder: str | os.PathLike[str] | None, device: torch.device
) -> Choice:
    """The place for so many bytes, of which at most `limit` may be kept.

    The memory of the device that computes, if half of what is free there is enough; then the machine's, in
    the same way; then the folder's disk; else none.
    """
    size = f"all maps, {needed / GIGABYTE:.1f} GB,"
    if needed > limit:
        return Choice("off", f"{size} are more than the limit of {limit / GIGABYTE:g} GB")
    if device.type == "cuda" and needed <= torch.cuda.mem_get_info(device)[0] / 2:
        return Choice("ram", f"{size} fit into half of the GPU's free memory", device)
    if needed <= free_memory() / 2:
        return Choice("ram", f"{size} fit into half of the free memory")
    if folder is not None and needed <= DISK_SHARE * free_disk(folder):
        return Choice("disk", f"{size} are more than half of the free memory")
    return Choice("off", f"{size} fit neither into half of the free memory nor on the disk")


def free_disk(folder: str | os.PathLike[str]) -> int:
    """Bytes that are free where a folder is, or will be."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def free_memory() -> int:
    """Bytes that programs can have without swapping; 0 where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0

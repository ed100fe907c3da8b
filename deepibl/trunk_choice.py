"""Where the maps of layers that do not learn are kept: the choice of 'auto', by what is free."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch

GIGABYTE = 10**9
GPU_SHARE, MEMORY_SHARE, DISK_SHARE = 0.7, 0.5, 0.9  # of what is free there
LEAST_SHARE = 0.01  # of all maps, below which keeping some is not worth it


@dataclass(frozen=True)
class Choice:
    """A place ('ram' of `device`, 'disk' or 'off'), why, and how many bytes may be kept there.

    on_device: so many of them in the device's memory, the rest in the machine's; None: all in one place.
    """

    store: str
    reason: str
    limit: int = 0
    device: torch.device | str = "cpu"
    on_device: int | None = None


def choose_place(
    needed: int,
    limit: int,
    folder: str | os.PathLike[str] | None,
    device: torch.device,
    sharers: int = 1,
) -> Choice:
    """The place for so many bytes of maps, of which at most `limit` may be kept.

    The memory of the GPU that computes, with the machine's if it is not enough, the machine's alone where
    there is no GPU, or the folder's disk: the first that takes all that may be kept, else the one that takes
    most; none if that is hardly anything. sharers: so many processes divide memory and disk among them (each
    has a GPU of its own).
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
    reason += f"{chosen.reason} may be used, {limit / GIGABYTE:g} GB by trunkCacheGB"
    if kept < LEAST_SHARE * needed:
        return Choice("off", reason)
    return replace(chosen, reason=reason, limit=min(limit, chosen.limit))


def free_on_gpu(device: torch.device) -> int:
    """Bytes of a GPU that this process can have, with what torch holds for itself and does not use."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


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

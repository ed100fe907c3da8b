"""The memory that is free: of the machine, of the container that a process runs in, of a GPU."""

import re
from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def free_on_gpu(device: torch.device) -> int:
    """Bytes of a GPU available to this process, with those that torch has reserved and does not use."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def free_memory() -> int:
    """Bytes available to this process without swapping; 0 where the system does not report it."""
    try:
        with open("/proc/meminfo") as file:
            lines = dict(line.split(":", 1) for line in file)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0
    try:  # a container's limit; files that the system keeps in memory make room when asked
        most, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        kept = re.search(r"^inactive_file (\d+)", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):
        return free
    return max(1, min(free, most - used + (int(kept[1]) if kept else 0)))

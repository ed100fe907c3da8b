"""The converted copy of a big .mat network: a .safetensors file beside it that opens at once.

The copy names the size and time of the .mat file that it was made from, and its SHA-256. It is used while
size and time are the same, or, when only the time differs, while the SHA-256 is; otherwise it is made again.
"""

import hashlib
import logging
import os
from pathlib import Path

from deepibl.network_file import read_network, write_network
from deepibl.tensor_file import read_strings
from matlab_compat.errors import NetworkFormatError
from matlab_compat.network import Network

_log = logging.getLogger(__name__)
WORTH_IT = 8 * 2**20  # smaller .mat files are read in no time: no copy is made


def copy_path(path: str | os.PathLike[str]) -> Path:
    """Where the converted copy of a .mat file lies."""
    path = Path(path)
    return path.with_name(path.name + ".safetensors")


def find(path: str | os.PathLike[str], *, verify: bool = False) -> Network | None:
    """The network in the converted copy of this .mat file; None when there is none, or none that still holds.

    verify: compares the SHA-256 of the .mat file even when its size and time are the same.
    """
    copy = copy_path(path)
    if not copy.exists() or not Path(path).exists():
        return None
    try:
        made_from = read_strings(copy)
        size, time = _size_and_time(path)
        same = made_from.get("source_size") == size
        if same and (verify or made_from.get("source_time") != time):
            same = made_from.get("source_sha256") == _sha256(path)
        if same:
            return read_network(copy)[0]
        _log.info("%s was made from another version of %s; it is made again", copy, path)
    except (OSError, ValueError, NetworkFormatError) as error:
        _log.warning("the converted copy %s cannot be used, %s is read instead: %s", copy, path, error)
    return None


def keep(net: Network, path: str | os.PathLike[str]) -> None:
    """Writes the converted copy of this .mat file, if it is big enough; a folder that takes none is only
    logged.
    """
    copy = copy_path(path)
    try:
        size, time = _size_and_time(path)
        if int(size) < WORTH_IT:
            return
        strings = {"source_size": size, "source_time": time, "source_sha256": _sha256(path)}
        write_network(net, copy, strings)
    except (OSError, NetworkFormatError) as error:
        _log.info("no converted copy of %s is kept: %s", path, error)


def _size_and_time(path: str | os.PathLike[str]) -> tuple[str, str]:
    found = os.stat(path)
    return str(found.st_size), str(found.st_mtime_ns)


def _sha256(path: str | os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()

"""What a file of features was made of: a note beside it, and whether that is what is wanted.

Files that MATLAB made have no note; of them only the sizes can be checked.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deepibl.network_identity import network_id
from deepibl.notes import read_note
from matlab_compat.files import atomic_output


@dataclass(frozen=True)
class Origin:
    """What descriptors were made of: network and images by their SHA-256, and how many images."""

    network: str
    images: str
    count: int

    @classmethod
    def of(cls, net: Any, root: str | os.PathLike[str], names: Sequence[str]) -> "Origin":
        """The origin of the descriptors that the network gives for these images, in this folder."""
        return cls._of(net, [os.path.abspath(root), *names], len(names))

    @classmethod
    def wherever(cls, net: Any, root: str | os.PathLike[str], names: Sequence[str]) -> "Origin":
        """The same for images by name and size, so that a copy of them in another folder is the same."""
        return cls._of(net, [[name, _size(os.path.join(root, name))] for name in names], len(names))

    @classmethod
    def _of(cls, net: Any, images: list[Any], count: int) -> "Origin":
        return cls(network_id(net), hashlib.sha256(json.dumps(images).encode()).hexdigest(), count)


def misfit(found: Origin | None, wanted: Origin) -> str:
    """Why a file does not fit, '' if it does, or does not say."""
    if found is None or found == wanted:
        return ""
    return (
        "it was made by another network" if found.network != wanted.network else "it was made of other images"
    )


def note_of(file: str | os.PathLike[str]) -> Path:
    """Where the note about a file of features lies."""
    return Path(f"{os.fspath(file)}.json")


def read_origin(file: str | os.PathLike[str]) -> Origin | None:
    """What the note beside a file says; None where there is none, or it is damaged."""
    try:
        return Origin(**read_note(note_of(file)))
    except TypeError:
        return None


def write_origin(file: str | os.PathLike[str], origin: Origin) -> None:
    """Writes the note. To be done before the file: features without it would count as MATLAB's."""
    with atomic_output(note_of(file)) as temporary:
        temporary.write_text(json.dumps(asdict(origin)))


def _size(path: str) -> int:
    """Bytes of a file; -1 where there is none, which who reads it will say."""
    try:
        return os.path.getsize(path)
    except OSError:
        return -1

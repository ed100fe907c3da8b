"""An index of a place: descriptors, names, positions and the identity of their network, in one file.

The file is a safetensors file (no pickle; any safetensors reader opens it), memory-mapped on reading:

=============  =================  ============================================================
tensor         type, shape        holds
=============  =================  ============================================================
descriptors    float32 (N, D)     one row an image
positions      float64 (N, 2)     UTM east, north in metres; NaN where an image has none
names          uint8              UTF-8 names below the root, separated by newlines
metadata       strings            format version, network id and path, root, UTM zone, resize
=============  =================  ============================================================

A query is answered only by the network whose identity stands in the index; another one is refused.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deepibl.errors import IndexFileError, NetworkMismatchError
from deepibl.tensor_file import map_tensors, write_tensors

FORMAT = "deepibl-index/1"


@dataclass(frozen=True)
class Match:
    """One answer: `distance` is the squared L2 distance of descriptors, `east`/`north` are UTM metres."""

    rank: int
    name: str
    path: str
    distance: float
    east: float | None = None
    north: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    map_link: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The match as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PlaceIndex:
    """Descriptors (N, D) with their names and positions; see the module's table.

    `utm_zone` is like '33N' (None: positions cannot be turned into latitude and longitude).
    `resize` is the shorter side in pixels that images were scaled to (None: as they are).
    """

    descriptors: np.ndarray
    names: list[str]
    positions: np.ndarray
    network_id: str
    network_path: str = ""
    root: str = ""
    utm_zone: str | None = None
    resize: int | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.descriptors.ndim != 2 or len(self.descriptors) != count or self.positions.shape != (count, 2):
            raise IndexFileError(
                f"the index does not fit together: {count} names, descriptors {self.descriptors.shape}, "
                f"positions {self.positions.shape}; expected (N, D) and (N, 2) for N names"
            )

    def __len__(self) -> int:
        return len(self.names)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index (to a temporary name first; `path` is replaced only by a whole file)."""
        names = "\n".join(self.names).encode()
        tensors = {
            "descriptors": self.descriptors,
            "positions": np.ascontiguousarray(self.positions, dtype=np.float64),
            "names": np.frombuffer(names, dtype=np.uint8),
        }
        metadata = {
            "format": FORMAT,
            "network_id": self.network_id,
            "network_path": self.network_path,
            "root": self.root,
            "utm_zone": self.utm_zone or "",
            "resize": str(self.resize or ""),
        }
        write_tensors(path, tensors, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "PlaceIndex":
        """Opens an index; the descriptors are memory-mapped, not read.

        Raises IndexFileError for a file that is missing, cut short or not an index of a known version.
        """
        try:
            tensors, metadata = map_tensors(path)
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {metadata.get('format')!r}, this version reads {FORMAT!r}")
            names = bytes(tensors["names"]).decode()
            return cls(
                descriptors=tensors["descriptors"],
                names=names.split("\n") if names else [],
                positions=np.array(tensors["positions"]),
                network_id=metadata["network_id"],
                network_path=metadata["network_path"],
                root=metadata["root"],
                utm_zone=metadata["utm_zone"] or None,
                resize=int(metadata["resize"]) if metadata["resize"] else None,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise IndexFileError(
                f"{os.fspath(path)} is not an index that can be read: {problem}; "
                "make one with `deepibl index NET --images DIR -o FILE.idx`"
            ) from problem

    def require_network(self, network_id: str) -> None:
        """Raises NetworkMismatchError unless `network_id` is the network that made this index."""
        if network_id != self.network_id:
            raise NetworkMismatchError(
                f"this index was made by network {self.network_id[:12]}… "
                f"({self.network_path or 'path unknown'}), "
                f"the query comes from network {network_id[:12]}…; their descriptors cannot be compared. "
                "Use the index's own network, or make an index with the new one"
            )

    def search(self, features: np.ndarray, top: int = 5) -> list[list[Match]]:
        """The `top` nearest images of each row of `features` (Q, D) float32, nearest first."""
        from deepibl.search import nearest

        if features.ndim != 2 or features.shape[1] != self.descriptors.shape[1]:
            raise NetworkMismatchError(
                f"the query's descriptors have shape {features.shape}, "
                f"the index holds {self.descriptors.shape[1]} dimensions"
            )
        ids, distances = nearest(features, self.descriptors, min(top, len(self)))
        return [
            [
                self.match(rank, int(i), float(d))
                for rank, (i, d) in enumerate(zip(*row, strict=True), start=1)
            ]
            for row in zip(ids, distances, strict=True)
        ]

    def match(self, rank: int, image: int, distance: float) -> Match:
        """The answer that row `image` of the index is, at this rank and distance."""
        name = self.names[image]
        east, north = (float(v) for v in self.positions[image])
        place: dict[str, Any] = {}
        if np.isfinite([east, north]).all():
            place = {"east": east, "north": north, **self._on_the_globe(east, north)}
        return Match(rank, name, os.path.join(self.root, name), distance, **place)

    def _on_the_globe(self, east: float, north: float) -> dict[str, Any]:
        if self.utm_zone is None:
            return {}
        from deepibl.geo import map_link, utm_to_latlon

        latitude, longitude = utm_to_latlon(east, north, self.utm_zone)
        return {"latitude": latitude, "longitude": longitude, "map_link": map_link(latitude, longitude)}

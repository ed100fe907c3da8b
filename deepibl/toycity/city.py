"""The toy city: a generated, geo-tagged street data set for the demo, for tests, training and benchmarks.

Streets with houses, shops, trees, cars and people are laid out from a seed and photographed: a database of
oblique
street views by day, and queries from near by at another date, by day, at sunset and at night. Each photo
depends on
the seed and its own number alone, so any part of a city of any size is the same on every machine with the
same
OpenCV. All of it is drawn; no picture of a real place is in it.

>>> mat = make_city("city", images=200)                         # city/toycity_test.mat, images/, queries/,
CSVs
>>> dataset = deepibl.datasets.load_dbstruct(mat, root="city")

Rooms: `plan` streets · `blocks` and `styles` what stands where · `facades`, `windows`, `groundfloor`,
`surfaces`, `streets`, `nature`, `vehicles`, `things` what it looks like · `camera`, `ground`, `walls`,
`traffic`, `render` projection · `weather` light and camera · `places` where photos are taken ·
`files` what is written.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.errors import DatasetError
from deepibl.progress import ProgressCallback, ProgressMeter, reporting
from deepibl.toycity.camera import View
from deepibl.toycity.dice import Dice
from deepibl.toycity.files import (
    gps_exif,
    is_right,
    photo_note,
    remove_stale_parts,
    write_photo,
    write_table,
)
from deepibl.toycity.places import Shot, database_shots, named_shots, query_shots
from deepibl.toycity.plan import ZONE, City
from deepibl.toycity.render import Renderer
from deepibl.toycity.weather import TIMES, draw_weather

__all__ = ["City", "Renderer", "View", "make_city", "render_names", "render_view"]

SMALLEST, LARGEST = 32, 4096  # side of an image in pixels
CHUNK = 48  # photos that one process takes at a time


def make_city(
    folder: str | os.PathLike[str],
    *,
    images: int = 200,
    queries: int | None = None,
    seed: int = 0,
    size: tuple[int, int] = (320, 240),
    split: str = "test",
    times: Sequence[str] = TIMES,
    gps: bool = True,
    workers: int = 1,
    progress: ProgressCallback | bool | None = None,
) -> Path:
    """Photographs a part of the toy city; returns the path of its dbStruct file,
    `folder`/toycity_`split`.mat.

    Writes `folder`/images/*.jpg, `folder`/queries/*.jpg, the dbStruct (names relative to `folder`,
    positives within
    25 m) and two CSV files with names, positions, times of day. Photos that are there already and right
    are kept, so
    a run that was stopped goes on where it was; the dbStruct is written last.

    Args:
        folder: where to; several splits and sizes of one seed may share it if `size` is the same.
        images: of the database (four at a place); queries: default a third as many.
        seed: which city. size: (width, height) of the photos in pixels.
        split: train, val or test: districts far from one another.
        times: of day, of the queries: they take turns. (The database is always photographed by day.)
        gps: whether the photos get their position as EXIF.
        workers: processes to use (above 1, guard a script with `if __name__ == "__main__"`).
        progress: called with a `deepibl.progress.Progress`; None shows a bar on a terminal, False nothing.

    Raises:
        DatasetError: an unknown split or time of day, a number of images below 1, or a size out of range.
    """
    queries = images // 3 if queries is None else queries
    _check(images, queries, size, workers)
    city, target = City(seed), Path(folder)
    database = database_shots(city, split, images, size)
    asked = query_shots(city, split, queries, images, size, [_known(time) for time in times])
    for name in ("images", "queries"):
        (target / name).mkdir(parents=True, exist_ok=True)
        remove_stale_parts(target / name)
    zone = f"{ZONE[0]}{ZONE[1]}"
    _take_all(target, [*database, *asked], seed, zone if gps else None, workers, progress)
    write_table(target / f"toycity_{split}_images.csv", database, zone)
    write_table(target / f"toycity_{split}_queries.csv", asked, zone)
    path = target / f"toycity_{split}.mat"
    _write_dbstruct(path, split, database, asked, zone)
    return path


def render_view(
    city: City | Renderer,
    position: Sequence[float],
    heading: float,
    *,
    time: str = "day",
    date: int = 0,
    number: int = 0,
    **camera: Any,
) -> np.ndarray:
    """One photo of a city, (height, width, 3) uint8 RGB.

    Args:
        city: the city, or a Renderer of it, which keeps its textures for the next photo.
        position: UTM (east, north) in metres; heading: degrees clockwise from north.
        time: day, sunset or night; date: which one (weather, parked cars, lit windows follow it).
        number: which of the photos one could take there then (who passes by, exposure).
        camera: height, pitch, roll, fov, size of `View`.

    Raises:
        DatasetError: an unknown time of day.
    """
    view = View((float(position[0]), float(position[1])), float(heading), **camera)
    renderer = city if isinstance(city, Renderer) else Renderer(city, view.size[0])
    key = ("view", round(view.position[0] * 100), round(view.position[1] * 100), number)
    return _take(renderer, Shot("", view, _known(time), date, key))


def render_names(
    root: str | os.PathLike[str],
    names: Sequence[str],
    utm: Any,
    *,
    seed: int = 0,
    size: tuple[int, int] = (320, 240),
    time: str = "day",
    date: int = 0,
    workers: int = 1,
    progress: ProgressCallback | bool | None = None,
) -> None:
    """Photographs the toy city under given names, so that a real dbStruct has images to work with.

    The city is laid out around the positions; each is moved to the nearest street, and yaw and pitch are
    taken from
    names like Pitts30k's. Names that are no .jpg get a JPEG all the same. Existing right files are kept.

    Args:
        root: folder that the names are below.
        names: N file names; utm: (N, 2) east and north in metres.
        seed: which city. size: (width, height) in pixels.
        time: day, sunset or night. date: give the queries another one than the database.
        workers, progress: as in `make_city`.

    Raises:
        DatasetError: positions that do not fit the names, an unknown time of day.
    """
    positions = np.asarray(utm, dtype=np.float64)
    if positions.shape != (len(names), 2) or not np.isfinite(positions).all():
        raise DatasetError(
            f"utm must be {len(names)} finite positions (N, 2) in metres; found {positions.shape}"
        )
    _check(len(names), 0, size, workers)
    shots = named_shots(City(seed), names, positions, size, _known(time), date)
    for folder in {(Path(root) / name).parent for name in names}:
        folder.mkdir(parents=True, exist_ok=True)
    _take_all(Path(root), shots, seed, None, workers, progress)


def _known(time: str) -> str:
    if time not in TIMES:
        raise DatasetError(f"the toy city has no time of day {time!r}; there are {', '.join(TIMES)}")
    return time


def _check(images: int, queries: int, size: tuple[int, int], workers: int) -> None:
    if images < 1 or queries < 0:
        raise DatasetError(
            f"a toy city needs at least one image and no fewer than 0 queries, not {images}, {queries}"
        )
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise DatasetError(
            f"the size of photos is {SMALLEST} … {LARGEST} pixels a side, not {size[0]} x {size[1]}"
        )
    if workers < 1:
        raise DatasetError(f"workers is a number of processes, at least 1, not {workers}")


def _take(renderer: Renderer, shot: Shot) -> np.ndarray:
    """The photo of a shot, (rows, cols, 3) uint8 RGB."""
    weather = draw_weather(shot.time, shot.date, renderer.city.seed)
    return renderer.photo(shot.view, weather, renderer.city.dice("taken", *shot.key))


def _take_all(
    root: Path,
    shots: list[Shot],
    seed: int,
    zone: str | None,
    workers: int,
    progress: ProgressCallback | bool | None,
) -> None:
    """Takes the photos that are not there yet, in order; what is there counts as done."""
    chunks = [shots[k : k + CHUNK] for k in range(0, len(shots), CHUNK)]
    with reporting(progress, "drawing") as report:
        meter = ProgressMeter(len(shots), report)
        if workers == 1 or len(chunks) == 1:
            renderer: Renderer | None = None
            for chunk in chunks:
                renderer = _take_chunk(root, chunk, seed, zone, renderer)
                meter.advance(len(chunk))
            return
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            jobs = [pool.submit(_take_chunk_alone, root, chunk, seed, zone) for chunk in chunks]
            for job, chunk in zip(jobs, chunks, strict=True):
                try:
                    job.result()
                except BrokenProcessPool:
                    raise DatasetError(
                        f"a process that draws photos into {root} was lost (killed, or out of memory?); the "
                        "same command goes on with what is missing, and with fewer workers needs less memory"
                    ) from None
                meter.advance(len(chunk))


def _take_chunk_alone(root: Path, shots: list[Shot], seed: int, zone: str | None) -> None:
    _take_chunk(root, shots, seed, zone, None)


def _take_chunk(
    root: Path, shots: list[Shot], seed: int, zone: str | None, renderer: Renderer | None
) -> Renderer | None:
    for shot in shots:
        note = photo_note(shot, seed, zone)
        if is_right(root / shot.name, note):
            continue
        if renderer is None:
            renderer = Renderer(City(seed), shot.view.size[0])
        quality = Dice(seed, "quality", *shot.key).whole(74, 93)
        exif = gps_exif(shot, zone) if zone else None
        write_photo(root / shot.name, _take(renderer, shot), note, quality, exif)
    return renderer


def _write_dbstruct(path: Path, split: str, database: list[Shot], queries: list[Shot], zone: str) -> None:
    from deepibl.dbstruct import write_dbstruct

    fields = {
        "whichSet": split,
        "dbImageFns": [shot.name for shot in database],
        "utmDb": np.array([shot.view.position for shot in database]).reshape(-1, 2),
        "qImageFns": [shot.name for shot in queries],
        "utmQ": np.array([shot.view.position for shot in queries]).reshape(-1, 2),
        "posDistThr": 25.0,
        "nonTrivPosDistSqThr": 100.0,
    }
    write_dbstruct(path, fields, zone)

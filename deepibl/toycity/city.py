"""The toy city: a generated, geo-tagged street data set for the demo, tests, training and benchmarks.

Streets with houses, shops, trees, cars and people are laid out from a seed and photographed: a database of
oblique street views by day, and queries from near by at another date, by day, at sunset and at night. Each
photo depends on the seed and its own number alone, so any part of a city is the same on every machine with
the same versions of OpenCV and NumPy. Everything is drawn; no picture of a real place is in it.

>>> mat = make_city("city", images=200)  # toycity_test.mat, images/, queries/, 2 CSV files  # doctest: +SKIP
>>> dataset = deepibl.datasets.load_dbstruct(mat, root="city")  # doctest: +SKIP

The photos are JPEGs with GPS in EXIF, and record how they were made.
"""

import csv
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.ExifTags import GPS, IFD

from deepibl.datasets.dbstruct import write_dbstruct
from deepibl.datasets.geo import utm_to_latlon
from deepibl.errors import DatasetError
from deepibl.runtime.progress import ProgressCallback, ProgressMeter, reporting
from deepibl.toycity.light import TIMES, draw_weather
from deepibl.toycity.places import Shot, database_shots, named_shots, query_shots
from deepibl.toycity.plan import ZONE, City
from deepibl.toycity.render import photo
from matlab_compat.files import StrPath, atomic_bytes, atomic_output

VERSION = 3  # of the pictures: raise it when the same seed would give others


def photo_note(shot: Shot, seed: int, zone: str | None) -> str:
    """What is written into a photo's JPEG comment: everything that decides its bytes."""
    (east, north), (width, height) = shot.view.position, shot.view.size
    return (
        f"deepibl toy city {VERSION}, OpenCV {cv2.__version__}, numpy {np.__version__}, seed {seed}, "
        f"{shot.name}, {width}x{height}, {shot.time} {shot.date}, utm {east:.3f} {north:.3f}, "
        f"heading {shot.view.heading:.3f}, gps {zone or 'none'}"
    )


def is_right(path: Path, note: str) -> bool:
    """Whether the file is a whole JPEG with that note in it."""
    try:
        with Image.open(path) as photo:
            return photo.info.get("comment") == note.encode() and path.read_bytes().endswith(b"\xff\xd9")
    except OSError:
        return False


def gps_exif(shot: Shot, zone: str) -> Image.Exif:
    """EXIF with the latitude, longitude and direction of a photo."""
    exif = Image.Exif()
    tags = exif.get_ifd(IFD.GPSInfo)
    directions = ((GPS.GPSLatitude, "NS"), (GPS.GPSLongitude, "EW"))
    for degrees, (tag, letters) in zip(utm_to_latlon(*shot.view.position, zone), directions, strict=True):
        minutes, seconds = divmod(round(abs(degrees) * 3600 * 10000), 60 * 10000)
        tags[tag - 1] = letters[degrees < 0]  # the tag before is that of the hemisphere
        tags[tag] = Fraction(minutes // 60), Fraction(minutes % 60), Fraction(seconds, 10000)
    tags[GPS.GPSImgDirectionRef] = "T"
    tags[GPS.GPSImgDirection] = Fraction(round(shot.view.heading * 100) % 36000, 100)
    return exif


def write_table(path: Path, shots: Sequence[Shot]) -> None:
    """A CSV of photos: name, UTM position and zone, degrees, time of day, date, heading."""
    with atomic_output(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("name", "utm_east", "utm_north", "zone", "lat", "lon", "time", "date", "heading"))
        for shot in shots:
            east, north = shot.view.position
            latitude, longitude = utm_to_latlon(east, north, ZONE)
            place = (f"{east:.3f}", f"{north:.3f}", ZONE, f"{latitude:.8f}", f"{longitude:.8f}")
            writer.writerow((shot.name, *place, shot.time, shot.date, f"{shot.view.heading:.2f}"))


SMALLEST, LARGEST = 32, 4096  # side of an image in pixels
CHUNK = 48  # photos that one process takes at a time


def make_city(
    folder: StrPath,
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
    """Photographs a part of the toy city; returns the path of its dbStruct, `folder`/toycity_`split`.mat.

    Writes `folder`/images/*.jpg, `folder`/queries/*.jpg, the dbStruct (names relative to `folder`, positives
    within 25 m) and two CSV files with names, positions and times of day. Photos that are already there and
    right are kept, so a run that was stopped resumes; the dbStruct is written last.
    folder: output folder; several splits and numbers of images of one seed may share it if `size` is
        the same.
    images: number of database images, four at a place. queries: number of queries, default `images` // 3.
    seed: which city. size: (width, height) of the photos in pixels, 32 to 4096 each.
    split: train, val or test: districts far from one another.
    times: times of day of the queries, in turn. (The database is always photographed by day.)
    gps: whether the photos carry their position as EXIF.
    workers: number of processes (above 1, guard a script with `if __name__ == "__main__"`).
    progress: called with a `deepibl.runtime.progress.Progress`; None: a bar on a terminal; False: silent.
    Raises DatasetError: an unknown split or time of day, fewer than 1 image, or a size out of range.
    """
    queries = images // 3 if queries is None else queries
    _check(images, queries, size, workers)
    city, target = City(seed), Path(folder)
    database = database_shots(city, split, images, size)
    asked = query_shots(city, split, queries, images, size, [_known(time) for time in times])
    _take_all(target, [*database, *asked], seed, ZONE if gps else None, workers, progress)
    write_table(target / f"toycity_{split}_images.csv", database)
    write_table(target / f"toycity_{split}_queries.csv", asked)
    fields = {
        "whichSet": split,
        "dbImageFns": [shot.name for shot in database],
        "utmDb": np.array([shot.view.position for shot in database]).reshape(-1, 2),
        "qImageFns": [shot.name for shot in asked],
        "utmQ": np.array([shot.view.position for shot in asked]).reshape(-1, 2),
        "posDistThr": 25.0,
        "nonTrivPosDistSqThr": 100.0,
    }
    write_dbstruct(target / f"toycity_{split}.mat", fields, ZONE)
    return target / f"toycity_{split}.mat"


def render_names(
    root: StrPath,
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
    taken from names like Pitts30k's. Names that do not end in .jpg get a JPEG all the same. Existing photos
    are kept where they are right.
    root: folder that the names are relative to.
    names: N file names. utm: (N, 2) east and north in metres.
    seed: which city. size: (width, height) in pixels.
    time: day, sunset or night. date: give the queries a date other than the database's.
    workers, progress: as in `make_city`.
    Raises DatasetError: positions that do not fit the names, an unknown time of day.
    """
    positions = np.asarray(utm, dtype=np.float64)
    if positions.shape != (len(names), 2) or not np.isfinite(positions).all():
        raise DatasetError(f"utm must be {len(names)} finite positions (N, 2), metres; got {positions.shape}")
    _check(len(names), 0, size, workers)
    shots = named_shots(City(seed), names, positions, size, _known(time), date)
    _take_all(Path(root), shots, seed, None, workers, progress)


def _known(time: str) -> str:
    if time not in TIMES:
        raise DatasetError(f"the time of day must be one of {', '.join(TIMES)}; got {time!r}")
    return time


def _check(images: int, queries: int, size: tuple[int, int], workers: int) -> None:
    if images < 1 or queries < 0:
        raise DatasetError(
            f"a toy city needs at least one image and no fewer than 0 queries; got {images} and {queries}"
        )
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise DatasetError(f"a photo's sides must be {SMALLEST} to {LARGEST} pixels; got {size[0]}x{size[1]}")
    if workers < 1:
        raise DatasetError(f"the number of workers (processes) must be at least 1; got {workers}")


@lru_cache(maxsize=2)
def _city(seed: int) -> City:
    return City(seed)


def take(city: City, shot: Shot) -> np.ndarray:
    """The photo of a shot, (rows, cols, 3) uint8 RGB."""
    weather = draw_weather(shot.time, shot.date, city.seed)
    return photo(city, shot.view, weather, city.dice("taken", *shot.key))


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
            for chunk in chunks:
                _take_chunk(root, chunk, seed, zone)
                meter.advance(len(chunk))
            return
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            jobs = [pool.submit(_take_chunk, root, chunk, seed, zone) for chunk in chunks]
            for job, chunk in zip(jobs, chunks, strict=True):
                try:
                    job.result()
                except BrokenProcessPool:
                    raise DatasetError(
                        f"a process that draws photos into {root} ended early (killed, or out of memory?); "
                        "run the same command again to draw what is missing; fewer workers need less memory"
                    ) from None
                meter.advance(len(chunk))


def _take_chunk(root: Path, shots: list[Shot], seed: int, zone: str | None) -> None:
    """Takes the photos that are not there yet."""
    city = _city(seed)
    for shot in shots:
        note = photo_note(shot, seed, zone)
        if is_right(root / shot.name, note):
            continue
        how: dict[str, Any] = {
            "comment": note,
            "quality": int(city.dice("quality", *shot.key).integers(74, 94)),
        }
        how |= {"exif": gps_exif(shot, zone)} if zone else {}
        with atomic_bytes(root / shot.name) as buffer:
            Image.fromarray(take(city, shot)).save(buffer, "JPEG", **how)

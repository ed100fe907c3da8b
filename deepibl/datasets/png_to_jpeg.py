"""Converting PNG to JPEG in a folder tree: Tokyo 24/7 comes as PNG, and the original reads JPEG only.

Quality 100, chroma 4:2:0, as MATLAB's imwrite does. Alpha is dropped, not composited; palette, 16-bit and
logical PNGs become what a viewer shows (`deepibl.images`); grey ones, with or without alpha, stay grey.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deepibl.errors import Failure, MissingImageError
from deepibl.images import open_image
from deepibl.runtime.progress import counted
from matlab_compat.errors import ImageReadError
from matlab_compat.files import StrPath, atomic_bytes, is_below
from matlab_compat.jpeg import read_bytes


@dataclass(frozen=True)
class ConversionReport:
    """The result of `convert_folder`: JPEGs written, JPEGs that were up to date, and failures."""

    converted: tuple[Path, ...]
    skipped: tuple[Path, ...]
    failures: tuple[Failure, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.converted)} converted, {len(self.skipped)} skipped, {len(self.failures)} failed"]
        return "\n".join(lines + [f"  {failure}" for failure in self.failures])


def convert_folder(
    folder: StrPath, *, overwrite: bool = True, quality: int = 100, num_threads: int = 4
) -> ConversionReport:
    """Writes a .jpg beside every .png in a folder and below, each whole or not at all; PNGs are kept.

    Links to folders are followed, but nothing is written outside the folder: such PNGs count as failures, as
    do PNGs that cannot be read and JPEGs that cannot be written. The others are converted.
    overwrite: False keeps JPEGs that are newer than their PNG, so that a run can be resumed.
    quality: of the JPEG, 1 to 100. num_threads: images converted at a time.
    Raises MissingImageError if there is no such folder.
    Ported from: deepIBL/convertPngtoJPG.m
    """
    if not Path(folder).is_dir():
        raise MissingImageError(f"{os.fspath(folder)}: no such folder; give the one with the PNG images")
    todo: list[Path] = []
    skipped: list[Path] = []
    for png in find_pngs(Path(folder)):
        jpeg = png.with_suffix(".jpg")
        if not overwrite and jpeg.is_file() and jpeg.stat().st_mtime >= png.stat().st_mtime:
            skipped.append(jpeg)
        else:
            todo.append(png)
    with ThreadPoolExecutor(num_threads) as pool:
        running = pool.map(lambda path: _convert_or_error(path, quality, Path(folder)), todo)
        errors = list(counted(running, len(todo), "converting to JPEG"))
    outcomes = list(enumerate(zip(todo, errors, strict=True)))
    converted = [path.with_suffix(".jpg") for _, (path, error) in outcomes if error is None]
    failures = [Failure(i, os.fspath(path), error) for i, (path, error) in outcomes if error is not None]
    return ConversionReport(tuple(converted), tuple(skipped), tuple(failures))


def convert_png(source: StrPath, target: StrPath, quality: int = 100) -> None:
    """One PNG (or any image that `deepibl.images` reads) as a JPEG, 4:2:0, written whole or not at all.

    Raises ImageReadError if the source cannot be read, OSError if the target cannot be written.
    """
    image = open_image(read_bytes(source), os.fspath(source))
    with atomic_bytes(target) as buffer:
        image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")


def find_pngs(folder: Path) -> Iterator[Path]:
    """All files below a folder that end in .png, in any case, sorted; links to folders are followed."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names) if name.lower().endswith(".png"))


def _convert_or_error(path: Path, quality: int, root: Path) -> str | None:
    if not is_below(root, path.parent):
        return f"{path}: a link points to it from {root}, outside of it; convert the folder that it is in"
    try:
        convert_png(path, path.with_suffix(".jpg"), quality)
    except ImageReadError as error:
        return str(error)
    except OSError as error:
        return f"{path.with_suffix('.jpg')}: cannot be written: {error.strerror or error}"
    return None

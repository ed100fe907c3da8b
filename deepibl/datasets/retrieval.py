"""Image retrieval benchmarks, measured by mean average precision: Oxford and Paris buildings, Holidays.

Their ground truth lists, for each query, images to find and images to ignore.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepibl.errors import DatasetError, MissingImageError
from deepibl.runtime.text_files import read_text
from matlab_compat.files import Bounded, StrPath, atomic_bytes, atomic_output, is_below
from matlab_compat.images import imresize
from matlab_compat.numeric import round_half_away

if TYPE_CHECKING:
    from PIL.Image import Image

HOLIDAYS_PIXELS = 1024 * 768

# the number of images and of queries in the complete sets
SIZES = {"ox5k": (5063, 55), "paris": (6392, 55), "holidays": (1491, 500), "holidays_rot": (1491, 500)}

ADVICE = {
    "ox5k": "Oxford buildings: put the images under images/ and the ground truth under groundtruth/.",
    "paris": "Paris buildings: put the images under images/<place>/, the ground truth under groundtruth/, "
    "and corrupt.txt with the list of unreadable images beside them.",
    "holidays": "INRIA Holidays: put the images under jpg/ (jpg_rotated/ for the upright version).",
}

JPEG_QUALITY = 75  # imwrite's default
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RetrievalDataset:
    """A retrieval benchmark; ids are 0-based.

    positive_ids, ignored_ids: for each query, int64 ids to find and to ignore. An id of -1 is an image
    that the ground truth lists and the set lacks: it counts as one to find and is never found.
    query_ids: the queries' own database ids. query_labels: their names in the ground truth.
    regions: (Q, 4) float64 x1 y1 x2 y2 in pixels counted from 1, where queries have a region.
    """

    name: str
    database_root: str
    query_root: str
    database_names: list[str]
    query_names: list[str]
    positive_ids: list[np.ndarray]
    ignored_ids: list[np.ndarray]
    query_ids: np.ndarray
    query_labels: list[str] = field(default_factory=list)
    regions: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))

    @property
    def database_size(self) -> int:
        return len(self.database_names)

    @property
    def query_count(self) -> int:
        return len(self.query_names)


def vgg_buildings(root: StrPath, name: str = "ox5k", complete: bool = True) -> RetrievalDataset:
    """Oxford ('ox5k') or Paris ('paris') buildings below a root with images/ and groundtruth/.

    complete: whether to refuse a set that lacks images or queries. Raises DatasetError, MissingImageError.
    Ported from: netvlad/datasets/dbVGG.m
    """
    if name not in ("ox5k", "paris"):
        raise DatasetError(f"the VGG data set must be 'ox5k' or 'paris'; got {name!r}")
    top = Path(os.path.expanduser(root))
    images = _listing(top / "images", name)
    if name == "paris":
        images = [f"{place}/{image}" for place in images for image in _listing(top / "images" / place, name)]
        corrupt = set(_words(top / "corrupt.txt"))
        images = [image for image in images if image not in corrupt]
    truth = top / "groundtruth"
    suffix = "_query.txt"
    queries = [file[: -len(suffix)] for file in _listing(truth, name) if file.endswith(suffix)]
    if complete:
        _check_size(name, len(images), len(queries))
    ids = {os.path.basename(image): position for position, image in enumerate(images)}
    kinds = "query", "good", "ok", "junk"
    listed = {kind: [_words(truth / f"{query}_{kind}.txt") for query in queries] for kind in kinds}
    asked = [words[0].removeprefix("oxc1_") if name == "ox5k" else words[0] for words in listed["query"]]
    unknown = [query for query, image in zip(queries, asked, strict=True) if f"{image}.jpg" not in ids]
    if unknown:
        raise DatasetError(f"{truth}: the images of these queries are missing: {', '.join(unknown)}")
    query_ids = np.array([ids[f"{image}.jpg"] for image in asked], dtype=np.int64)
    folder = os.path.join(top, "images", "")
    about = name, folder, folder, images, [images[image] for image in query_ids]
    positives = [_ids([*good, *ok], ids) for good, ok in zip(listed["good"], listed["ok"], strict=True)]
    junk = [_ids(each, ids) for each in listed["junk"]]
    regions = np.array([[float(word) for word in words[1:5]] for words in listed["query"]]).reshape(-1, 4)
    return RetrievalDataset(*about, positives, junk, query_ids, queries, regions)


def crop_queries(
    dataset: RetrievalDataset, expand: float, progress: Progress | None = None
) -> RetrievalDataset:
    """The data set with its queries cropped to their regions, expanded by half of `expand` pixels a side.

    The crops are written once, as JPEG of quality 75, into images_crop_<expand>/ beside images/.
    expand: the size of the receptive field in pixels; 0 crops to the region itself.
    """
    from PIL import Image

    folder = Path(dataset.query_root).parent / f"images_crop_{expand:g}"
    for query, source, target in _lacking(dataset, dataset.query_root, dataset.query_names, folder, progress):
        with Bounded(source) as file, Image.open(file) as image:
            edges = dataset.regions[query] + expand / 2 * _OUTWARD
            region = np.array([round_half_away(float(edge)) for edge in edges])
            left, top = np.maximum(region[:2], 1) - 1
            right, bottom = np.minimum(region[2:], image.size)
            _write_jpeg(image.crop((int(left), int(top), int(right), int(bottom))), target)
    return replace(dataset, query_root=os.path.join(folder, ""))


_OUTWARD = np.array([-1, -1, 1, 1])


def holidays(root: StrPath, rotated: bool = False, complete: bool = True) -> RetrievalDataset:
    """INRIA Holidays below a root with jpg/ (or jpg_rotated/), in full size; see shrink_images.

    Images are named by number: those that end in 00 are the queries, the images up to the next query their
    positives. A query itself is ignored in its results. Raises DatasetError, MissingImageError.
    Ported from: netvlad/datasets/dbHolidays.m
    """
    name = "holidays_rot" if rotated else "holidays"
    folder = os.path.join(os.path.expanduser(root), "jpg_rotated" if rotated else "jpg", "")
    images = _listing(Path(folder), "holidays")
    strange = [image for image in images if not os.path.splitext(image)[0].isdigit()]
    if strange:
        some = ", ".join(strange[:5])
        raise DatasetError(f"{folder}: images must be named by number; these are not: {some}")
    starts = [i for i, image in enumerate(images) if int(os.path.splitext(image)[0]) % 100 == 0]
    if complete:
        _check_size(name, len(images), len(starts))
    ends = [*starts[1:], len(images)]
    about = name, folder, folder, images, [images[start] for start in starts]
    positives = [np.arange(start + 1, end) for start, end in zip(starts, ends, strict=True)]
    itself = [np.array([start]) for start in starts]
    return RetrievalDataset(*about, positives, itself, np.array(starts, dtype=np.int64))


def shrink_images(
    dataset: RetrievalDataset, pixels: int = HOLIDAYS_PIXELS, progress: Progress | None = None
) -> RetrievalDataset:
    """The data set with images of at most `pixels` pixels, the size at which Holidays is evaluated.

    Larger ones are shrunk by imresize (bicubic) and written once as JPEG of quality 75, others copied, into
    the folder jpg_1024x768/ beside the images.
    """
    from PIL import Image

    folder = Path(f"{dataset.database_root.rstrip('/')}_1024x768")
    files = _lacking(dataset, dataset.database_root, dataset.database_names, folder, progress)
    for _, source, target in files:
        with Bounded(source) as file, Image.open(file) as image:
            count = image.size[0] * image.size[1]
            if count > pixels:
                _write_jpeg(_resized(image, (pixels / count) ** 0.5), target)
                continue
        with atomic_output(target) as temporary:
            shutil.copyfile(source, temporary)
    path = os.path.join(folder, "")
    return replace(dataset, database_root=path, query_root=path)


def _lacking(
    dataset: RetrievalDataset, root: str, names: Sequence[str], folder: Path, progress: Progress | None
) -> Iterator[tuple[int, Path, Path]]:
    """Position, file below root and file below folder of each image that is not below folder yet."""
    for position, name in enumerate(names):
        if progress:
            progress(position + 1, len(names))
        source, target = Path(root, name), folder / name
        if not is_below(folder, target):
            raise DatasetError(f"the image name {name!r} points outside {folder}: nothing is written")
        if not target.exists():
            if not source.is_file():
                advice = ADVICE[dataset.name.removesuffix("_rot")]
                raise MissingImageError(f"{dataset.name}: the image {source} does not exist. {advice}")
            yield position, source, target


def _resized(image: "Image", scale: float) -> "Image":
    from PIL import Image

    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return Image.fromarray(imresize(pixels, scale))
    resized = imresize(pixels.transpose(2, 0, 1), scale)  # (H, W, 3) -> (3, h, w)
    return Image.fromarray(np.ascontiguousarray(resized.transpose(1, 2, 0)))


def _write_jpeg(image: "Image", path: Path) -> None:
    with atomic_bytes(path) as buffer:
        image.save(buffer, format="JPEG", quality=JPEG_QUALITY)


def _listing(folder: Path, name: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        what = f"the folder {folder} does not exist or cannot be read"
        raise MissingImageError(f"{name}: {what}. {ADVICE[name]}") from None


def _words(path: Path) -> list[str]:
    return read_text(path, DatasetError).split()


def _ids(names: Sequence[str], ids: dict[str, int]) -> np.ndarray:
    return np.array([ids.get(f"{name}.jpg", -1) for name in names], dtype=np.int64)


def _check_size(name: str, images: int, queries: int) -> None:
    if (images, queries) != SIZES[name]:
        raise DatasetError(
            f"{name} should have {SIZES[name][0]} images and {SIZES[name][1]} queries; "
            f"found {images} and {queries}. {ADVICE[name.removesuffix('_rot')]}"
        )

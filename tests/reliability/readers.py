"""What is fuzzed: the kinds of files, the mutations that fit them, and the readers that a user's file meets.

A reader reads a file as the project does and looks at what came of it; it may only raise errors of
`matlab_compat.errors` and `deepibl.errors` (all are MatlabCompatError).
"""

import ast
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.reliability.bad_readers import BAD_READERS
from tests.reliability.mutations import Mutation, mutate_bytes
from tests.reliability.mutations_formats import (
    inside_hdf5,
    inside_index,
    inside_json,
    inside_mat5,
    inside_safetensors,
    inside_zip,
)
from tests.reliability.mutations_text import mutate_text
from tests.reliability.mutations_values import mutate_values
from tests.reliability.readers_resume import continue_features, continue_maps, find_unfinished, resume_session

Reader = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """One kind of file: the suffix that its name has, how it is changed and who reads it."""

    suffix: str
    mutations: Sequence[Mutation]
    readers: Sequence[Reader]


def read_mat(path: Path) -> object:
    """What a .mat file says it holds, and all that it holds."""
    from matlab_compat import matfile

    matfile.who(path)
    return matfile.load(path)


def read_network(path: Path) -> object:
    """`deepibl info NET`."""
    from deepibl.networks.io import describe_network

    return describe_network(path)


def run_network(path: Path) -> object:
    """A small picture through the network."""
    import torch

    from deepibl.engine.batch import extract_batch
    from deepibl.networks.io import load_network

    return extract_batch(load_network(path), torch.zeros((1, 3, 24, 24)))


def read_checkpoint(path: Path) -> object:
    """A torch checkpoint as a network."""
    from deepibl.networks.io import load_network

    return load_network(path)


def read_picture(path: Path) -> object:
    """As extraction reads it, whole and resized."""
    from deepibl.images import OWN_PHOTOS, Reading, load_pixels, read_image
    from matlab_compat.errors import ImageReadError

    assert len(read_image(path)) == 3
    with suppress(ImageReadError):  # a JPEG that is cut short is damaged for own photos alone
        assert load_pixels(path, OWN_PHOTOS).dim() == 3
    return load_pixels(path, Reading(20))


def read_as_matlab(path: Path) -> object:
    """vl_imreadjpeg, which gives None and a warning where a file cannot be read."""
    import warnings

    from matlab_compat.images import vl_imreadjpeg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return vl_imreadjpeg([path], NumThreads=1)


def make_small(path: Path) -> object:
    """The pictures in reports and terminals, which are None where a file cannot be read; its position."""
    from deepibl.datasets.exif import photo_position
    from deepibl.report.html import thumbnail

    thumbnail(path)
    return photo_position(path)


def convert_pictures(path: Path) -> object:
    """convert-png of a folder, which lists what it could not read."""
    from deepibl.datasets.png_to_jpeg import convert_folder

    path.replace(path.with_suffix(".png"))
    return convert_folder(path.parent, num_threads=1)


def read_dbstruct(path: Path) -> object:
    """A data set, and who is near whom in it."""
    from deepibl.datasets.catalog import load_dbstruct

    dataset = load_dbstruct(path)
    dataset.image_paths("db")
    for query in range(min(3, dataset.query_count)):
        dataset.nontrivial_positives(query)
        dataset.is_positive(query, dataset.positives(query))
    return dataset.save(path.with_name("again.mat"))


def read_bin(path: Path) -> object:
    """A .bin file of 6 descriptors."""
    from deepibl.features.files import read_features

    return read_features(path, count=6)


def map_features(path: Path) -> object:
    """A .npy or .h5 file, mapped where it can be."""
    from deepibl.features.files import read_features

    return read_features(path, mmap=True)


def load_features(path: Path) -> object:
    """A .npy or .h5 file, read."""
    from deepibl.features.files import read_features

    return read_features(path)


def convert_features(path: Path) -> object:
    """`deepibl features`: from HDF5, ours or hloc's, to .npy."""
    from deepibl.features.files import convert_features

    return convert_features(path, path.with_name("out.npy"))


def use_index(path: Path) -> object:
    """An index, opened and asked."""
    from deepibl.search.index import PlaceIndex

    index = PlaceIndex.load(path)
    query = np.ones((1, index.descriptors.shape[1]), np.float32)
    return [match.as_dict() for match in index.search(query, 3)[0]]


def read_paths(path: Path) -> object:
    """localPaths from a .m or .toml file."""
    from deepibl.runtime.paths import localPaths, missing_paths

    return missing_paths(localPaths(path))


def read_script(path: Path) -> object:
    """`deepibl migrate`: what comes out must be Python."""
    from deepibl.migrate.translate import migrate_file

    return ast.parse(migrate_file(path).text)


def read_csv(path: Path) -> object:
    """A table of photos."""
    from deepibl.datasets.folder import read_places

    return read_places(path).known()


def read_report(path: Path) -> object:
    """A report's JSON, compared with itself."""
    from deepibl.report.compare import compare_runs
    from deepibl.report.run import read_run

    run = read_run(path)
    return str(compare_runs(run, run))


BYTES: Sequence[Mutation] = (mutate_bytes,)
MAT5: Sequence[Mutation] = (mutate_bytes, inside_mat5, inside_mat5)
HDF5: Sequence[Mutation] = (mutate_bytes, inside_hdf5, inside_hdf5)
INDEX: Sequence[Mutation] = (mutate_bytes, inside_safetensors, inside_index, inside_index)
KINDS: dict[str, Kind] = {
    "mat4": Kind(".mat", BYTES, [read_mat]),
    "mat5": Kind(".mat", MAT5, [read_mat]),
    "mat73": Kind(".mat", HDF5, [read_mat]),
    "mcos": Kind(".mat", (mutate_bytes, inside_mat5, inside_hdf5), [read_mat]),
    "network": Kind(
        ".mat", (*MAT5, mutate_values, mutate_values, mutate_values), [read_network, run_network]
    ),
    "safetensors": Kind(
        ".safetensors", (mutate_bytes, inside_safetensors, inside_safetensors), [read_network, run_network]
    ),
    "torch": Kind(".pth", (mutate_bytes, inside_zip, inside_zip), [read_checkpoint]),
    "image": Kind(".jpg", BYTES, [read_picture, read_as_matlab, make_small, convert_pictures]),
    "dbstruct": Kind(".mat", (*MAT5, mutate_values, mutate_values, mutate_values), [read_dbstruct]),
    "bin": Kind(".bin", BYTES, [read_bin]),
    "npy": Kind(".npy", BYTES, [map_features, load_features]),
    "h5": Kind(".h5", HDF5, [load_features, convert_features]),
    "index": Kind(".idx", INDEX, [use_index]),
    "paths": Kind(".m", (mutate_text,), [read_paths]),
    "toml": Kind(".toml", (mutate_text,), [read_paths]),
    "script": Kind(".m", (mutate_text,), [read_script]),
    "csv": Kind(".csv", (mutate_text,), [read_csv]),
    "json": Kind(".json", (mutate_text, inside_json, inside_json), [read_report]),
    "session": Kind(".mat", (*MAT5, mutate_values, mutate_values, mutate_values), [resume_session]),
    "unfinished": Kind(".json", (mutate_text, inside_json), [find_unfinished]),
    "journal": Kind(".json", (mutate_text, inside_json), [continue_features]),
    "maps": Kind(".npy", BYTES, [continue_maps]),
}

if os.environ.get("DEEPIBL_BAD_READERS"):  # what the watching process has to notice, for its own test
    KINDS |= {reader.__name__: Kind(".bin", BYTES, [reader]) for reader in BAD_READERS}


def accepted(error: BaseException) -> bool:
    """Whether a reader may raise this: one of our own errors, and not because memory ran out."""
    from matlab_compat.errors import MatlabCompatError

    chain: Any = error
    while chain is not None:
        if isinstance(chain, MemoryError):
            return False
        chain = chain.__cause__ or chain.__context__
    return isinstance(error, MatlabCompatError)

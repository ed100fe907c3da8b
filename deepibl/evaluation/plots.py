"""The figures of NetVLAD's demo.m: Recall@N, and Recall@N over the dimensions that are kept.

Files are drawn without a display; `show=True` opens a window where matplotlib can, until it is closed.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.datasets.place import PlaceDataset
from deepibl.evaluation.measures import crop_features, recall_at_n
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, atomic_bytes


def new_figure(width: float, height: float, show: bool) -> Any:
    """A figure of this size in inches; with `show` one that `show_figures` can show."""
    if show:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(width, height), layout="constrained")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def show_figures(show: bool) -> None:
    """With `show`, opens the windows of the figures made so; returns when they are closed."""
    if show:
        import matplotlib.pyplot as plt

        plt.show()


def write_figure(figure: Any, path: StrPath, show: bool, dpi: int = 100) -> Path:
    """Writes a figure, whole or not at all, in the format that its name says, and shows it where asked."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _SUFFIXES:
        ends = ", ".join(_SUFFIXES)
        raise ArgumentError(f"{os.fspath(path)}: the name of a figure must end in one of {ends}")
    with atomic_bytes(path) as buffer:
        figure.savefig(buffer, format=suffix[1:], dpi=dpi)
    show_figures(show)
    return Path(path)


CROP_TO_DIMS = (64, 128, 256, 512, 1024, 2048, 4096)
_SUFFIXES = (".png", ".pdf", ".svg")


def recall_by_dimension(
    query_features: Any,
    database_features: Any,
    dataset: PlaceDataset,
    dims: Sequence[int] = CROP_TO_DIMS,
    ns: Sequence[int] = (1, 5, 10),
) -> dict[int, np.ndarray]:
    """Recall@N (len(ns),) of descriptors cropped to each number of dimensions (and normalised again).

    Meaningful for whitened descriptors only. Dimensions above the descriptors' own are left out. Raises
    ArgumentError when none is left, and what `recall_at_n` raises.

    Ported from: netvlad/demo.m
    """
    own = np.shape(query_features)[1]
    kept = [dim for dim in dims if 1 <= dim <= own]
    if not kept:
        raise ArgumentError(f"the descriptors have {own} dimensions; none of {list(dims)} can be kept")
    recalls = {}
    for dim in kept:
        queries, database = (crop_features(each, dim) for each in (query_features, database_features))
        recalls[dim] = recall_at_n(queries, database, dataset, ns).recalls
    return recalls


def plot_recall_by_dimension(
    recalls: Mapping[int, float], n: int = 5, *, path: StrPath | None = None, show: bool = False
) -> Any:
    """Plots Recall@n over dimensions (logarithmic) and returns matplotlib's Figure.

    recalls: dimensions -> Recall@n. path: where to save it, .png, .pdf or .svg. show: in a window.

    Ported from: netvlad/demo.m
    """
    dims = sorted(recalls)
    figure = new_figure(5.6, 4.2, show)
    axes = figure.subplots()
    axes.semilogx(dims, [recalls[dim] for dim in dims], "bo-")
    axes.set_xticks(dims, [str(dim) for dim in dims])
    axes.minorticks_off()
    axes.set_xlabel("Number of dimensions")
    return _finish(figure, axes, f"Recall@{n}", path, show)


def plot_recall(
    ns: Sequence[int], recalls: Sequence[float], *, path: StrPath | None = None, show: bool = False
) -> Any:
    """Plots recalls[i] = Recall@ns[i]; path, show and result as in `plot_recall_by_dimension`.

    Ported from: netvlad/demo.m
    """
    figure = new_figure(5.6, 4.2, show)
    axes = figure.subplots()
    axes.plot(ns, recalls, "ro-")
    axes.set_xlabel("N")
    return _finish(figure, axes, "Recall@N", path, show)


def _finish(figure: Any, axes: Any, label: str, path: StrPath | None, show: bool) -> Any:
    axes.set_ylabel(label)
    axes.grid(True, color="#dddddd")
    if path is None:
        show_figures(show)
    else:
        write_figure(figure, path, show)
    return figure

"""demo.m's figures: recall over N and over dimensions, saved in the format that the name says."""

import numpy as np
import pytest
from PIL import Image

from deepibl.evaluation.measures import crop_features, recall_at_n
from deepibl.evaluation.plots import plot_recall, plot_recall_by_dimension, recall_by_dimension
from matlab_compat.errors import ArgumentError
from tests.reports import evaluation


def test_recall_by_dimension_crops_as_the_original():
    measured = evaluation()
    q, db, dataset = measured.query_features, measured.database_features, measured.dataset
    found = recall_by_dimension(q, db, dataset, [4, 16, 64], [1, 5])
    assert list(found) == [4, 16]
    wanted = recall_at_n(crop_features(q, 4), crop_features(db, 4), dataset, [1, 5]).recalls
    np.testing.assert_array_equal(found[4], wanted)


def test_dimensions_that_are_all_too_many_are_refused():
    measured = evaluation()
    with pytest.raises(ArgumentError, match="32 dimensions"):
        recall_by_dimension(measured.query_features, measured.database_features, measured.dataset, [64])


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_figures_are_saved_as_their_name_says(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    figure = plot_recall_by_dimension({64: 0.5, 128: 0.6, 4096: 0.9}, path=path)
    start = path.read_bytes()[:8]
    assert start.startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix])
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "128", "4096"]


def test_recall_is_drawn_over_n(tmp_path):
    figure = plot_recall([1, 5, 10], [0.2, 0.5, 0.7], path=tmp_path / "r.png")
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 5, 10])
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.width > 300


def test_another_format_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ArgumentError, match=r"\.png"):
        plot_recall([1], [0.2], path=tmp_path / "r.xyz")
    assert list(tmp_path.iterdir()) == []


def test_show_opens_matplotlibs_window(monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    figure = plot_recall([1, 2], [0.1, 0.2], show=True)
    assert shown == [figure]
    plt.close(figure)

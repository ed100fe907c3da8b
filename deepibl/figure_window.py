"""A matplotlib figure to be saved, without a display, or to be shown in a window as well."""

from typing import Any


def new_figure(width: float, height: float, show: bool) -> Any:
    """A figure of this size in inches; `show`: one that `show_figures` can put into a window."""
    if show:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(width, height), layout="constrained")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def show_figures(show: bool) -> None:
    """Opens the windows of figures that were made to be shown; returns when they are closed."""
    if show:
        import matplotlib.pyplot as plt

        plt.show()

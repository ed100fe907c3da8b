"""MATLAB's plots by matplotlib, for migrated scripts: hold, line specifications and properties as in
MATLAB."""

import re
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError
from matlab_compat.language.values import Array, Cell, as_np, named, refuse, spread

_SPEC = re.compile(r"(?:--|-\.|[-:.ox+*sdv^<>phrgbcmykw])*")
_PLACES = {
    "northeast": "upper right", "north": "upper center", "northwest": "upper left", "best": "best",
    "southeast": "lower right", "south": "lower center", "southwest": "lower left",
    "east": "center right", "west": "center left", "northeastoutside": "upper right",
}  # fmt: skip
_NAMES = {"displayname": "label", "interpreter": ""}
_HELD: set[Any] = set()


def _plt() -> Any:
    import matplotlib.pyplot as plt

    return plt


def _properties(words: list[Any]) -> dict[str, Any]:
    if len(words) % 2:
        raise refuse("a property without a value")
    pairs = {str(name).lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}
    values = {_NAMES.get(name, name): value for name, value in pairs.items()}
    return {name: tuple(as_np(v).flat) if isinstance(v, Array) else v for name, v in values.items() if name}


def _axes() -> Any:
    """The axes to draw into, cleared unless hold is on."""
    axes = _plt().gca()
    if axes not in _HELD:
        axes.clear()
    return axes


def _curves(scale: str, arguments: tuple[Any, ...]) -> None:
    values, axes = list(spread(arguments)), _axes()
    drawn: list[tuple[Any, Any, str]] = []
    while values and not isinstance(values[0], str):
        x = as_np(values.pop(0))
        y = as_np(values.pop(0)) if values and not isinstance(values[0], str) else None
        if y is None:
            x, y = np.arange(1, (x.shape[0] if min(x.shape) > 1 else x.size) + 1).reshape(1, -1), x
        spec = ""
        if values and isinstance(values[0], str) and _SPEC.fullmatch(values[0]):
            spec = values.pop(0)
        if min(x.shape) > 1:
            raise refuse("curves with a matrix of x")
        drawn.append(
            (x.ravel(), y.ravel() if min(y.shape) <= 1 else y if y.shape[0] == x.size else y.T, spec)
        )
    properties = _properties(values)
    for x, y, spec in drawn:
        getattr(axes, scale)(x, y, *([spec] if spec else []), **properties)


def plot(*arguments: Any) -> None:
    """Curves: plot(y), plot(x, y), plot(x, y, 'ro-', …), then properties."""
    _curves("plot", arguments)


semilogx = named("semilogx", "plot with a logarithmic x.", lambda *arguments: _curves("semilogx", arguments))
semilogy = named("semilogy", "plot with a logarithmic y.", lambda *arguments: _curves("semilogy", arguments))
loglog = named("loglog", "plot with both logarithmic.", lambda *arguments: _curves("loglog", arguments))


def bar(*arguments: Any) -> None:
    """Bars of heights, at 1, 2, 3 … or at x."""
    heights = as_np(arguments[-1]).ravel()
    _axes().bar(
        as_np(arguments[0]).ravel() if len(arguments) > 1 else np.arange(1, heights.size + 1), heights
    )


def scatter(x: Any, y: Any, *words: Any) -> None:
    """Points."""
    if words:
        raise refuse("scatter with sizes or colours")
    _axes().scatter(as_np(x).ravel(), as_np(y).ravel())


hist = named("hist", "A histogram.", lambda x, bins=10: _axes().hist(as_np(x).ravel(), int(bins)))


def imagesc(values: Any, *limits: Any) -> None:
    """A matrix as an image in colours; rows go down."""
    bounds = as_np(limits[0]).ravel() if limits else (None, None)
    _axes().imshow(as_np(values), aspect="auto", vmin=bounds[0], vmax=bounds[1])


image = named("image", "An image.", lambda values: _axes().imshow(as_np(values)))


imshow = image


def hold(word: str = "on") -> None:
    """Whether the next curves are drawn beside those that are there."""
    (_HELD.add if word == "on" else _HELD.discard)(_plt().gca())


def figure(number: Any = None, *words: Any) -> None:
    """A new figure, or the one of this number."""
    _plt().figure(int(number) if isinstance(number, int | float) else None)


def subplot(rows: Any, columns: Any, place: Any) -> None:
    """The axes at a place of a grid."""
    _plt().subplot(int(rows), int(columns), int(place))


def close(what: Any = None) -> None:
    """Closes the current figure, or 'all'."""
    _plt().close("all" if what == "all" else None)


clf = named("clf", "Clears the figure.", lambda: _plt().clf())
cla = named("cla", "Clears the axes.", lambda: _plt().cla())
gca = named("gca", "The current axes.", lambda: _plt().gca())
gcf = named("gcf", "The current figure.", lambda: _plt().gcf())
drawnow = named("drawnow", "Draws what is pending.", lambda *words: _plt().gcf().canvas.draw_idle())
grid = named("grid", "Lines behind the curves.", lambda word="on": _plt().grid(word != "off"))
box = named("box", "The frame around the axes.", lambda word="on": _plt().box(word != "off"))


def axis(what: Any) -> None:
    """Limits, or 'equal', 'tight', 'off', 'image' and the like."""
    _plt().axis(what if isinstance(what, str) else as_np(what).ravel().tolist())


def colorbar(*words: Any) -> None:
    """A bar of the colours, where an image was drawn."""
    plt = _plt()
    if plt.gci() is not None:
        plt.colorbar()


colormap = named("colormap", "The colours of images.", lambda name: _plt().set_cmap(name))
xlim = named("xlim", "The limits of x.", lambda limits: _plt().xlim(as_np(limits).ravel().tolist()))
ylim = named("ylim", "The limits of y.", lambda limits: _plt().ylim(as_np(limits).ravel().tolist()))


def xlabel(label: str, *words: Any) -> None:
    """The label of x."""
    _plt().xlabel(label, **_properties(list(words)))


def ylabel(label: str, *words: Any) -> None:
    """The label of y."""
    _plt().ylabel(label, **_properties(list(words)))


def title(label: str, *words: Any) -> None:
    """The title of the axes."""
    _plt().title(label, **_properties(list(words)))


def legend(*words: Any) -> None:
    """Names of the curves: strings or a cell array, then 'Location' and a place."""
    values = list(spread(words))
    at = next(
        (i for i, v in enumerate(values) if isinstance(v, str) and v.lower() == "location"), len(values)
    )
    names = [name for value in values[:at] for name in (value if isinstance(value, Cell) else [value])]
    place = _PLACES.get(str(values[at + 1]).lower(), "best") if at < len(values) else "best"
    _plt().legend(*([names] if names else []), loc=place)


def set_(axes: Any, *words: Any) -> None:
    """Properties of the axes. Raises ArgumentError for other objects' and for unknown ones."""
    if not hasattr(axes, "set_xlim"):
        raise refuse("set of anything but gca's properties")
    for name, value in zip(words[::2], words[1::2], strict=True):
        key = str(name).lower()
        plain = (
            list(value)
            if isinstance(value, Cell)
            else as_np(value).ravel().tolist()
            if isinstance(value, Array)
            else value
        )
        if key == "fontsize":
            axes.tick_params(labelsize=plain)
        elif key in ("xtick", "ytick"):
            getattr(axes, f"set_{key}s")(plain if isinstance(plain, list) else [plain])
        elif key in ("xticklabel", "yticklabel"):
            getattr(axes, f"set_{key}s")(plain)
        elif key in ("xlim", "ylim", "xscale", "yscale"):
            getattr(axes, f"set_{key}")(plain)
        else:
            raise ArgumentError(f"the property {name} of axes is not migrated")


def saveas(figure_: Any, path: str, *kind: str) -> None:
    """Writes a figure to a file."""
    figure_.savefig(path if "." in path or not kind else f"{path}.{kind[0]}")


def print_(*words: Any) -> None:
    """print('-dpng', file): writes the current figure."""
    names = [word for word in words if isinstance(word, str) and not word.startswith("-")]
    kinds = [word[2:] for word in words if isinstance(word, str) and word.startswith("-d")]
    if len(names) != 1:
        raise refuse("print without one file name")
    kind = kinds[0].removesuffix("c") if kinds else "png"
    _plt().gcf().savefig(
        names[0] if "." in names[0].rpartition("/")[2] else f"{names[0]}.{kind}",
        format={"epsc": "eps"}.get(kind, kind),
    )


def show_figures() -> None:
    """Shows the figures in windows, where there is a display."""
    _plt().show()

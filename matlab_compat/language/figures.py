"""MATLAB's plots by matplotlib, for migrated scripts: hold, line specifications, properties."""

import re
from typing import Any

import numpy as np

from matlab_compat.language.definitions import named
from matlab_compat.language.indexing import refuse
from matlab_compat.language.values import Array, Cell, as_np, spread

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


def _plain(value: Any) -> Any:
    """A property's value as matplotlib takes it."""
    return (
        list(value)
        if isinstance(value, Cell)
        else as_np(value).ravel().tolist()
        if isinstance(value, Array)
        else value
    )


def _properties(words: Any) -> dict[str, Any]:
    if len(words) % 2:
        raise refuse("a property without a value")
    pairs = {str(name).lower(): _plain(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    return {_NAMES.get(name, name): value for name, value in pairs.items() if _NAMES.get(name, name)}


def _axes() -> Any:
    """The axes to draw into, cleared unless hold is on."""
    axes = _plt().gca()
    if axes not in _HELD:
        axes.clear()
    return axes


def _curves(name: str) -> Any:
    """plot, or the function of this name with logarithmic axes."""

    def draw(*arguments: Any) -> None:
        values, axes = list(spread(arguments)), _axes()
        drawn: list[tuple[Any, Any, list[str]]] = []
        while values and not isinstance(values[0], str):
            x = as_np(values.pop(0))
            y = as_np(values.pop(0)) if values and not isinstance(values[0], str) else None
            if y is None:
                x, y = np.arange(1, (x.shape[0] if min(x.shape) > 1 else x.size) + 1).reshape(1, -1), x
            if min(x.shape) > 1:
                raise refuse("curves with a matrix of x")
            given = bool(values) and isinstance(values[0], str) and _SPEC.fullmatch(values[0])
            spec = [values.pop(0)] if given else []
            drawn.append(
                (x.ravel(), y.ravel() if min(y.shape) <= 1 else y if y.shape[0] == x.size else y.T, spec)
            )
        properties = _properties(values)
        for x, y, spec in drawn:
            getattr(axes, name)(x, y, *spec, **properties)

    return named(name, f"Curves: {name}(y), (x, y), (x, y, 'ro-', …), then properties.", draw)


plot, semilogx, semilogy, loglog = map(_curves, ("plot", "semilogx", "semilogy", "loglog"))


def bar(*arguments: Any) -> None:
    """Bars of heights, at 1, 2, 3 … or at x."""
    heights = as_np(arguments[-1]).ravel()
    _axes().bar(
        as_np(arguments[0]).ravel() if len(arguments) > 1 else np.arange(1, heights.size + 1), heights
    )


def imagesc(values: Any, *limits: Any) -> None:
    """A matrix as an image in colours; rows go down."""
    bounds = as_np(limits[0]).ravel() if limits else (None, None)
    _axes().imshow(as_np(values), aspect="auto", vmin=bounds[0], vmax=bounds[1])


image = imshow = named("image", "An image.", lambda values: _axes().imshow(as_np(values)))


def hold(word: str = "on") -> None:
    """Whether the next curves are drawn beside those that are there."""
    (_HELD.add if word == "on" else _HELD.discard)(_plt().gca())


def figure(number: Any = None, *words: Any) -> None:
    """A new figure, or the one of this number."""
    _plt().figure(int(number) if isinstance(number, int | float) else None)


def colorbar(*words: Any) -> None:
    """A bar of the colours, where an image was drawn."""
    if _plt().gci() is not None:
        _plt().colorbar()


def _calls(name: str, doc: str, arguments: Any = lambda *given: given) -> Any:
    """A function that calls pyplot's of this name with its arguments changed."""
    return named(name, doc, lambda *given: getattr(_plt(), name)(*arguments(*given)))


def _labels(name: str, doc: str) -> Any:
    return named(name, doc, lambda label, *words: getattr(_plt(), name)(label, **_properties(words)))


subplot = _calls("subplot", "The axes at a place of a grid.", lambda *places: map(int, places))
close = _calls("close", "Closes the current figure, or 'all'.", lambda *which: which[:1])
clf, cla = _calls("clf", "Clears the figure."), _calls("cla", "Clears the axes.")
gca, gcf = _calls("gca", "The current axes."), _calls("gcf", "The current figure.")
drawnow = named("drawnow", "Draws what is pending.", lambda *words: _plt().gcf().canvas.draw_idle())
grid = _calls("grid", "Lines behind the curves.", lambda word="on": [word != "off"])
box = _calls("box", "The frame around the axes.", lambda word="on": [word != "off"])
axis = _calls("axis", "Limits, or 'equal', 'tight', 'off', 'image'.", lambda what: [_plain(what)])
colormap = named("colormap", "The colours of images.", lambda name: _plt().set_cmap(name))
xlim = _calls("xlim", "The limits of x.", lambda limits: [_plain(limits)])
ylim = _calls("ylim", "The limits of y.", lambda limits: [_plain(limits)])
xlabel, ylabel = _labels("xlabel", "The label of x."), _labels("ylabel", "The label of y.")
title = _labels("title", "The title of the axes.")


def legend(*words: Any) -> None:
    """Names of the curves: strings or a cell array, then 'Location' and a place."""
    given = list(spread(words))
    at = next(
        (i for i, word in enumerate(given) if isinstance(word, str) and word.lower() == "location"),
        len(given),
    )
    names = [name for value in given[:at] for name in (value if isinstance(value, Cell) else [value])]
    place = _PLACES.get(str(given[at + 1]).lower(), "best") if at < len(given) else "best"
    _plt().legend(*([names] if names else []), loc=place)


_SETTERS = dict.fromkeys(("xtick", "ytick", "xticklabel", "yticklabel"), "set_{}s")
_SETTERS |= dict.fromkeys(("xlim", "ylim", "xscale", "yscale"), "set_{}")


def set_(axes: Any, *words: Any) -> None:
    """Properties of the axes. Raises ArgumentError for other objects' and for unknown ones."""
    if not hasattr(axes, "set_xlim"):
        raise refuse("set of anything but gca's properties")
    for name, value in _properties(words).items():
        if name == "fontsize":
            axes.tick_params(labelsize=value)
        elif name in _SETTERS:
            scalar = name in ("xtick", "ytick") and not isinstance(value, list)
            getattr(axes, _SETTERS[name].format(name))([value] if scalar else value)
        else:
            raise refuse(f"the property {name} of axes is not migrated")


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
    path = names[0] if "." in names[0].rpartition("/")[2] else f"{names[0]}.{kind}"
    _plt().gcf().savefig(path, format={"epsc": "eps"}.get(kind, kind))


def show_figures() -> None:
    """Shows the figures in windows, where there is a display."""
    _plt().show()

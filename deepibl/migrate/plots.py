"""Plotting calls as matplotlib's: MATLAB's names, line specifications and properties mapped."""

import ast
import re

from deepibl.migrate.scope import Scope, Typed, literal, require
from deepibl.migrate.tree import Node, Untranslatable, text_of

CURVES = {"plot", "semilogx", "semilogy", "loglog"}
_LINE = re.compile(r"(?:--|-\.|[-:.ox+*sdv^<>phrgbcmykw])*")

_LINE_PROPERTIES = {
    "linewidth": "linewidth", "markersize": "markersize", "color": "color", "displayname": "label",
    "markerfacecolor": "markerfacecolor", "markeredgecolor": "markeredgecolor",
}  # fmt: skip

_TEXT_PROPERTIES = {name: name for name in ("fontsize", "fontweight", "rotation", "color")}

_AXES_PROPERTIES = {
    "xtick": "set_xticks", "xticklabel": "set_xticklabels", "xlim": "set_xlim", "xscale": "set_xscale",
    "ytick": "set_yticks", "yticklabel": "set_yticklabels", "ylim": "set_ylim", "yscale": "set_yscale",
}  # fmt: skip

_PLACES = {
    "northeast": "upper right", "north": "upper center", "northwest": "upper left", "best": "best",
    "southeast": "lower right", "south": "lower center", "southwest": "lower left",
    "east": "center right", "west": "center left",
}  # fmt: skip

_LABELS = {"xlabel", "ylabel", "title"}

_WORDS = {  # calls with words or without arguments
    ("figure",): ["plt.figure()"],
    ("grid", "on"): ["plt.grid(True)"],
    ("grid", "off"): ["plt.grid(False)"],
    ("axis", "equal"): ["plt.axis('equal')"],
    ("axis", "tight"): ["plt.axis('tight')"],
    ("axis", "off"): ["plt.axis('off')"],
    ("axis", "on"): ["plt.axis('on')"],
    ("box", "on"): [],
    ("box", "off"): ["plt.box(False)"],
    ("clf",): ["plt.clf()"],
    ("cla",): ["plt.cla()"],
    ("close",): ["plt.close()"],
    ("close", "all"): ["plt.close('all')"],
    ("drawnow",): ["plt.gcf().canvas.draw_idle()", "plt.gcf().canvas.flush_events()"],
}  # fmt: skip

NAMES = {*CURVES, *_LABELS, *(words[0] for words in _WORDS), "hold", "legend", "set", "subplot", "saveas"}

NAMES |= {"xlim", "ylim", "colorbar", "print", "bar"}


def plot_call(scope: Scope, name: str, arguments: list[Node]) -> list[str]:
    """The lines for one plotting call. Raises Untranslatable."""
    values = [_value(scope, node) for node in arguments]
    words = tuple(str(literal(value.node)).lower() for value in values)
    if name == "hold" and words in (("on",), ("off",)):
        scope.hold = words[0]
        return []
    if name in ("figure", "clf", "close", "subplot"):
        scope.hold = "off" if name != "figure" or not words else "any"
    command = (name, *words)
    if command in _WORDS:
        lines = _WORDS[command]
        scope.need(*(["plt"] if lines else []))
        return list(lines)
    scope.need("plt")
    if name in CURVES:
        return _curve(scope, name, values)
    if name in _LABELS:
        return [_call(f"plt.{name}", values[:1], _properties(values[1:], _TEXT_PROPERTIES))]
    if name in ("legend", "set"):
        return _legend(values) if name == "legend" else _set(values)
    if name == "subplot":
        require(len(values) == 3 and all(v.kind in ("count", "int") for v in values), "this subplot")
        return [_call("plt.subplot", values)]
    if name == "saveas":
        require(len(values) == 2 and ast.unparse(values[0].node) == "plt.gcf()", "saveas of anything but gcf")
        return [_call("plt.savefig", values[1:])]
    if name == "bar" and len(values) == 1:
        return _drawn(scope, _call("plt.bar", [_counted(scope, values[0]), *values]))
    if name in ("xlim", "ylim", "axis", "figure") and len(values) == 1:
        return [_call(f"plt.{name}", values)]
    raise Untranslatable(f"this call of {name}")


def _value(scope: Scope, node: Node) -> Typed:
    if node.type == "identifier" and text_of(node) in ("gca", "gcf"):
        scope.need("plt")
        return Typed(ast.parse(f"plt.{text_of(node)}()", mode="eval").body, "axes")
    value = scope.expr(node)
    require(value.kind not in ("ids", "id"), "ids of the library (from 0) in a plot")
    require(value.kind not in ("features", "matrix"), "curves of a matrix: one a column in MATLAB")
    return value


def _counted(scope: Scope, heights: Typed) -> Typed:
    """The positions of points without any: MATLAB counts from 1."""
    return Typed(scope.python("np.arange(1, np.size(Y) + 1)", Y=heights.node), "ints")


def _drawn(scope: Scope, line: str) -> list[str]:
    """A line that draws, after one that clears the axes unless `hold` is on."""
    require(scope.hold != "any", "whether `hold` is on here cannot be known")
    return [line] if scope.hold == "on" else ["plt.cla()", line]


def _curve(scope: Scope, name: str, values: list[Typed]) -> list[str]:
    require(scope.hold != "any", "whether `hold` is on here cannot be known")
    count = next((i for i, value in enumerate(values) if value.kind == "text"), len(values))
    data, rest = values[:count], values[count:]
    require(1 <= len(data) <= 2, "several curves in one call")
    if len(data) == 1:
        data.insert(0, _counted(scope, data[0]))
    if len(rest) % 2:
        style = literal(rest[0].node)
        require(style is not None, "a line specification that is not a literal")
        require(isinstance(style, str) and _LINE.fullmatch(style) is not None, "this line specification")
        data.append(rest[0])
    properties = _properties(rest[len(rest) % 2 :], _LINE_PROPERTIES)
    return _drawn(scope, _call(f"plt.{name}", data, properties))


def _properties(values: list[Typed], known: dict[str, str]) -> dict[str, ast.expr]:
    require(len(values) % 2 == 0, "a property without a value")
    found = {}
    for name, value in zip(values[::2], values[1::2], strict=True):
        key = str(literal(name.node)).lower()
        if key == "interpreter":  # matplotlib writes strings as they are
            continue
        require(key in known, f"the property {literal(name.node)}")
        found[known[key]] = value.node
    return found


def _legend(values: list[Typed]) -> list[str]:
    texts = [str(literal(value.node)).lower() for value in values]
    at = texts.index("location") if "location" in texts else len(values)
    named = values[:at]
    keywords: dict[str, ast.expr] = {}
    if at < len(values):
        require(texts[at + 1] in _PLACES and at + 2 == len(values), "this place of a legend")
        keywords["loc"] = ast.Constant(_PLACES[texts[at + 1]])
    if len(named) == 1 and named[0].kind in ("texts", "cell"):
        return [_call("plt.legend", named, keywords)]
    require(all(value.kind in ("text", "any") for value in named) and named != [], "this legend")
    return [_call("plt.legend", [Typed(ast.List([v.node for v in named], ast.Load()), "texts")], keywords)]


def _set(values: list[Typed]) -> list[str]:
    axes = len(values) % 2 == 1 and ast.unparse(values[0].node) == "plt.gca()"
    require(axes, "set of anything but gca's properties")
    lines = []
    for name, value in zip(values[1::2], values[2::2], strict=True):
        key = str(literal(name.node)).lower()
        if key == "fontsize":
            lines.append(f"plt.gca().tick_params(labelsize={ast.unparse(value.node)})")
            continue
        require(key in _AXES_PROPERTIES, f"the property {literal(name.node)} of axes")
        lines.append(_call(f"plt.gca().{_AXES_PROPERTIES[key]}", [value]))
    return lines


def _call(name: str, values: list[Typed], keywords: dict[str, ast.expr] | None = None) -> str:
    named = [ast.keyword(key, value) for key, value in (keywords or {}).items()]
    function = ast.parse(name, mode="eval").body
    return ast.unparse(ast.Call(function, [value.node for value in values], named))

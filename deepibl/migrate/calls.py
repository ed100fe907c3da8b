"""Calls in scripts: the original's functions under their own names, and MATLAB's own as Python has them."""

import ast
import keyword
from collections.abc import Callable

from deepibl.migrate.scope import (
    ALONG,
    COLUMNS,
    ELEMENTWISE,
    INTEGERS,
    LISTS,
    REDUCTIONS,
    RESULTS,
    ROW_TO_ROW,
    ROWS,
    SCALARS,
    SEQUENCES,
    TRAINERS,
    Original,
    Scope,
    Typed,
    keep_base,
    literal,
    original,
    owned,
    printed,
    require,
    variable_name,
)
from deepibl.migrate.tree import Node, Untranslatable, arguments as arguments_of, chain, named, text_of

Handler = Callable[[Scope, list[Node]], Typed]
_GLOBALS = ast.parse("globals()", mode="eval").body


def _template(text: str, kind: str, least: int, most: int | None = None) -> Handler:
    """A function whose arguments A, B, C … go into a template."""

    def handler(scope: Scope, arguments: list[Node]) -> Typed:
        require(least <= len(arguments) <= (most or least), f"a call with {len(arguments)} arguments")
        parts = {letter: scope.expr(node).node for letter, node in zip("ABC", arguments, strict=False)}
        return Typed(scope.python(text, **parts), kind)

    return handler


def _calls(name: str, kind: str) -> Handler:
    """A function of matlab_compat that takes what MATLAB's takes."""

    def handler(scope: Scope, arguments: list[Node]) -> Typed:
        values = [starred(scope, node) for node in arguments]
        return Typed(ast.Call(scope.python(name), values, []), kind)

    return handler


def starred(scope: Scope, node: Node) -> ast.expr:
    """An argument to be printed or counted; c{:} is *c."""
    if node.type == "function_call" and any(child.type == "{" for child in node.children):
        inside = arguments_of(node)
        if len(inside) == 1 and inside[0].type == "spread_operator":
            cells = scope.expr(node.child_by_field_name("name"))
            require(cells.kind in ("cell", "texts"), "{:} of something that is not a cell array")
            return ast.Starred(cells.node, ast.Load())
    return printed(scope, scope.expr(node))


def _count(name: str) -> Handler:
    """length or numel: len() of what has one dimension, otherwise the function of matlab_compat."""

    def handler(scope: Scope, arguments: list[Node]) -> Typed:
        require(len(arguments) == 1, "more than one argument")
        value = scope.expr(arguments[0])
        if value.kind in SEQUENCES:
            return Typed(scope.python("len(X)", X=value.node), "count")
        return _calls(name, "count")(scope, arguments)

    return handler


def _size(scope: Scope, arguments: list[Node]) -> Typed:
    require(len(arguments) == 2, "size of all dimensions: features are (N, D) here, D x N in MATLAB")
    value, side = scope.expr(arguments[0]), literal(scope.expr(arguments[1]).node)
    known = value.kind in ("features", "positions", "matrix") and side in (1, 2)
    require(known, "size of something whose orientation cannot be known")
    axis = side - 1 if value.kind == "matrix" else 2 - side
    return Typed(scope.python(f"X.shape[{axis}]", X=value.node), "count")


def _filled(name: str) -> Handler:
    def handler(scope: Scope, arguments: list[Node]) -> Typed:
        require(len(arguments) in (1, 2), f"{name} of {len(arguments)} dimensions")
        sides = [scope.expr(node) for node in arguments]
        require(all(side.kind in SCALARS for side in sides), f"{name} of a size that cannot be known")
        if len(sides) == 2 and 1 in (literal(sides[0].node), literal(sides[1].node)):
            long = sides[1] if literal(sides[0].node) == 1 else sides[0]
            orientation = "row" if long is sides[1] else "column"
            return Typed(scope.python(f"np.{name}(N)", N=long.node), "vector", orientation)
        rows, columns = sides[0], sides[-1]
        return Typed(scope.python(f"np.{name}((M, N))", M=rows.node, N=columns.node), "matrix")

    return handler


def _find(scope: Scope, arguments: list[Node]) -> Typed:
    """Positions from 1, as MATLAB's, so that what the script does with the numbers stays right."""
    require(len(arguments) in (1, 2), "find with a direction")
    value = scope.expr(arguments[0])
    require(value.kind in ROWS, "find in something whose orientation cannot be known")
    found = scope.python("np.flatnonzero(X) + 1", X=value.node)
    if len(arguments) == 2 and literal(scope.expr(arguments[1]).node) == 1:
        return Typed(scope.python("int(np.flatnonzero(X)[0]) + 1", X=value.node), "count")
    if len(arguments) == 2:
        found = scope.python("X[:N]", X=found, N=scope.expr(arguments[1]).node)
    return Typed(found, "ints", value.orientation)


def _struct(scope: Scope, arguments: list[Node]) -> Typed:
    names = [literal(scope.expr(node).node) for node in arguments[::2]]
    known = len(arguments) % 2 == 0 and all(isinstance(name, str) and name.isidentifier() for name in names)
    require(known, "a struct whose fields are not all given by name")
    values = [owned(scope, scope.expr(node)) for node in arguments[1::2]]
    keep_base(*values)
    require(all(value.kind not in LISTS for value in values), "a struct array (a cell array as a value)")
    fields = {str(name): value.node for name, value in zip(names, values, strict=True)}
    given = [ast.keyword(name, node) for name, node in fields.items() if not keyword.iskeyword(name)]
    rest = {name: node for name, node in fields.items() if keyword.iskeyword(name)}
    if rest:  # **{'continue': …}
        words = ast.Dict([ast.Constant(name) for name in rest], list(rest.values()))
        given.append(ast.keyword(None, words))
    return Typed(ast.Call(scope.python("Struct"), [], given), "struct")


def _cell(scope: Scope, arguments: list[Node]) -> Typed:
    require(len(arguments) == 2, "a cell array of rows and columns")
    sides = [scope.expr(node).node for node in arguments]
    require(1 in (literal(sides[0]), literal(sides[1])), "a cell array of rows and columns")
    long = sides[1] if literal(sides[0]) == 1 else sides[0]
    return Typed(scope.python("[None] * N", N=long), "cell")


def _remainder(scope: Scope, arguments: list[Node]) -> Typed:
    require(len(arguments) == 2, "mod of other than two arguments")
    values = [scope.expr(node) for node in arguments]
    kinds = {value.kind for value in values}
    require(kinds <= {*SCALARS, *ROWS}, "mod of ids or of values of an unknown kind")
    node = scope.python("A % B", A=values[0].node, B=values[1].node)
    require(literal(values[1].node) != 0, "mod(x, 0)")
    return Typed(node, "vector" if kinds - SCALARS else "int" if kinds <= INTEGERS else "number")


def _exist(scope: Scope, arguments: list[Node]) -> Typed:
    what = literal(scope.expr(arguments[1]).node) if len(arguments) == 2 else None
    name = scope.expr(arguments[0]).node
    if what == "var":
        variable = literal(name)
        require(isinstance(variable, str), "exist of a variable whose name is computed")
        return Typed(ast.Compare(ast.Constant(variable_name(str(variable))), [ast.In()], [_GLOBALS]), "bool")
    words = {"file": "os.path.exists(F)", "dir": "os.path.isdir(F)"}
    require(what in words, "exist of other than a file, a folder or a variable")
    return Typed(scope.python(words[str(what)], F=name), "bool")


def _fullfile(scope: Scope, arguments: list[Node]) -> Typed:
    join = scope.python("os.path.join")
    return Typed(ast.Call(join, [scope.expr(node).node for node in arguments], []), "text")


def _load(scope: Scope, arguments: list[Node]) -> Typed:
    """s = load(file): a struct of the variables."""
    require(len(arguments) >= 1, "load without a file")
    return Typed(scope.python("load_variables(F)", F=scope.expr(arguments[0]).node), "any")


def _strcmp(scope: Scope, arguments: list[Node]) -> Typed:
    require(len(arguments) == 2, "strcmp of other than two texts")
    first, second = (scope.expr(node) for node in arguments)
    require(not {first.kind, second.kind} & {"cell", "texts"}, "strcmp of a cell array")
    return Typed(scope.python("A == B", A=first.node, B=second.node), "bool")


def _ismember(scope: Scope, arguments: list[Node]) -> Typed:
    values = [scope.expr(node) for node in arguments]
    require(len(values) == 2, "ismember with options")
    first, second = values
    if first.kind == "text" and second.kind in LISTS:
        return Typed(scope.python("A in B", A=first.node, B=second.node), "bool")
    if first.kind == "texts":
        wanted = scope.python("[B]", B=second.node) if second.kind == "text" else second.node
        require(second.kind in ("text", "texts"), "ismember of these values")
        return Typed(scope.python("np.isin(A, B)", A=first.node, B=wanted), "mask")
    require({first.kind, second.kind} <= {*SCALARS, *ROWS}, "ismember of ids or of unknown values")
    kind = "bool" if first.kind in SCALARS else "mask"
    return Typed(scope.python("np.isin(A, B)", A=first.node, B=second.node), kind)


def _fread(scope: Scope, arguments: list[Node]) -> Typed:
    """Features as serialAllFeats writes them: D x N in MATLAB, (N, D) here."""
    steps = chain(arguments[0]) if arguments else []
    require(
        len(arguments) == 3
        and len(steps) == 2
        and steps[0].text == "fopen"
        and literal(scope.expr(arguments[2]).node) in ("float32=>single", "single=>single", "*single"),
        "fread of anything but features: fread(fopen(file, 'rb'), size, 'float32=>single')",
    )
    file = scope.expr(steps[1].nodes[0]).node
    if text_of(arguments[1]).lower() == "inf":
        return Typed(scope.python("np.fromfile(F, np.float32)", F=file), "vector", "column")
    sides = [scope.expr(node).node for row in named(arguments[1]) for node in named(row)]
    require(arguments[1].type == "matrix" and len(sides) == 2, "fread of this size")
    template = "np.fromfile(F, np.float32).reshape(-1, D)[:N]"  # MATLAB reads at most N columns
    return Typed(scope.python(template, F=file, N=sides[1], D=sides[0]), "features")


def _reshape(scope: Scope, arguments: list[Node]) -> Typed:
    """reshape(x, [], n) of what fread gives."""
    require(len(arguments) == 3, "reshape to more than two dimensions")
    value = scope.expr(arguments[0])
    require(value.kind == "vector", "reshape of anything but a row or column")
    rows, columns = (
        ast.Constant(-1) if text_of(node) == "[]" else scope.expr(node).node for node in arguments[1:]
    )
    return Typed(scope.python("X.reshape(N, D)", X=value.node, N=columns, D=rows), "features")


def _no(reason: str) -> Handler:
    def handler(scope: Scope, arguments: list[Node]) -> Typed:
        raise Untranslatable(reason)

    return handler


_DRAWS = (
    "random numbers: MATLAB's generator is one for all, here the library's functions draw from their own; "
    "see matlab_compat.rng"
)

FUNCTIONS: dict[str, Handler] = {
    "length": _count("length"),
    "numel": _count("numel"),
    "size": _size,
    "isempty": _calls("isempty", "bool"),
    "zeros": _filled("zeros"),
    "ones": _filled("ones"),
    "find": _find,
    "struct": _struct,
    "cell": _cell,
    "mod": _remainder,
    "rem": _template("np.fmod(A, B)", "number", 2),
    "sprintf": _calls("sprintf", "text"),
    "num2str": _calls("num2str", "text"),
    "int2str": _template("num2str(round_half_away(A))", "text", 1),
    "fullfile": _fullfile,
    "exist": _exist,
    "isfield": _calls("isfield", "bool"),
    "ischar": _template("isinstance(A, str)", "bool", 1),
    "iscell": _template("isinstance(A, list)", "bool", 1),
    "strcmp": _strcmp,
    "strcmpi": _template("A.lower() == B.lower()", "bool", 2),
    "strrep": _template("A.replace(B, C)", "text", 3),
    "lower": _template("A.lower()", "text", 1),
    "upper": _template("A.upper()", "text", 1),
    "strtrim": _template("A.strip()", "text", 1),
    "ismember": _ismember,
    "which": _template("which(A)", "text", 1),
    "load": _load,
    "tic": _template("time.perf_counter()", "number", 0),
    "toc": _template("time.perf_counter() - A", "number", 1),
    "linspace": _template("np.linspace(A, B, C)", "vector", 3),
    "pwd": _template("os.getcwd()", "text", 0),
    **dict.fromkeys(("rand", "randn", "randi", "randperm", "randsample"), _no(_DRAWS)),
    "fread": _fread,
    "reshape": _reshape,
    "input": _no("input asks the user"),
}

_INTEGER_RESULTS = {"floor", "ceil", "fix", "round"}


def call(scope: Scope, name: str, arguments: list[Node], nargout: int = 1) -> Typed:
    """One call for its first output."""
    found = original(name)
    if found is not None:
        node, kinds = call_original(scope, found, arguments, nargout)
        if found.outputs is not None and found.outputs > 1 and not found.takes_nargout and nargout == 1:
            node = ast.Subscript(node, ast.Constant(0), ast.Load())
        return Typed(node, kinds[0], "column" if name in COLUMNS else "")
    if name in FUNCTIONS:
        return FUNCTIONS[name](scope, arguments)
    if name in ELEMENTWISE:
        return _elementwise(scope, name, arguments)
    if name in REDUCTIONS or name in ROW_TO_ROW:
        return _of_a_row(scope, name, arguments)
    raise Untranslatable(
        f"{name} is neither a variable of this script nor a function that deepibl has in Python"
    )


def call_original(
    scope: Scope, found: Original, arguments: list[Node], nargout: int
) -> tuple[ast.expr, tuple[str, ...]]:
    """A call of one of the original's functions, and the kinds of its outputs."""
    if found.name == "relja_display" and not arguments:
        raise Untranslatable("relja_display takes a string, which is missing")
    if found.name == "relja_display" and (len(arguments) > 1 or "\\" in text_of(arguments[0])):
        values = [FUNCTIONS["sprintf"](scope, arguments).node]  # whose rules Python's % does not have
    else:
        values = [_argument(scope, node) for node in arguments]
    given, rest = values[: found.positional], values[found.positional :]
    keywords: dict[str, ast.expr] = {}
    if rest and found.takes_options:
        # 'name', value pairs become keywords where each name is a literal that Python takes
        names = [literal(node) for node in rest[::2]]
        words = [name for name in names if isinstance(name, str) and name.isidentifier()]
        fits = len(rest) == 2 * len(words) == 2 * len({name.lower() for name in words})
        if any(isinstance(value, ast.Starred) for value in rest) or any(map(keyword.iskeyword, words)):
            fits = False
        if fits:
            keywords = dict(zip(words, rest[1::2], strict=True))
        else:
            given = values
    elif rest:
        raise Untranslatable(f"{found.name} takes {found.positional} arguments here, not {len(values)}")
    if found.takes_nargout and nargout:
        keywords["nargout"] = ast.Constant(nargout)
    for (function, option), value in scope.overrides.items():
        if function == found.name:
            known = next((key for key in keywords if key.lower() == option.lower()), option)
            before = f"it was {ast.unparse(keywords[known])}" if known in keywords else "it was not given"
            scope.notes.append(f"{function}: {known} is {value!r} by --set; {before} in MATLAB's script")
            keywords[known] = ast.Constant(value)
    scope.need(f"{found.package}:{found.name}")
    words_given = [ast.keyword(key, value) for key, value in keywords.items()]
    node = ast.Call(ast.Name(found.name, ast.Load()), list(given), words_given)
    kinds = RESULTS.get(found.name)
    if kinds is None:
        kinds = ("text",) if found.name.startswith(TRAINERS) else ("any",)
    return node, (*kinds, *("any",) * nargout)


def _argument(scope: Scope, node: Node) -> ast.expr:
    """An argument of a library function: [] is None, c{:} is *c, a 1-based index is left as it is."""
    if node.type == "matrix" and not node.named_children:
        return ast.Constant(None)
    value = starred(scope, node)
    if isinstance(value, ast.Starred):
        return value
    given, first = scope.expr(node), chain(node)[0]
    features = given.kind == "matrix"
    require(not features, "a matrix given to the library, whose features are (N, D), D x N in MATLAB")
    if given.kind == "any" and first.kind == "name" and first.text in scope.loaded:
        return scope.python("no_matrix(X)", X=given.node)  # load gives MATLAB's orientation
    return given.node


def _elementwise(scope: Scope, name: str, arguments: list[Node]) -> Typed:
    if name == "round":
        require(len(arguments) == 1, "round to digits")
    require(len(arguments) == 1, f"{name} with {len(arguments)} arguments")
    value = scope.expr(arguments[0])
    numeric = value.kind not in {"text", "texts", "cell", "id", "ids"}
    require(numeric, f"{name} of a value of kind {value.kind}")
    template = ELEMENTWISE[name]
    if value.kind in SCALARS and name in _INTEGER_RESULTS:
        return Typed(scope.python(f"int({template}(X))", X=value.node), "int")
    kind = "number" if value.kind in SCALARS else ("vector" if value.kind in ("ints", "mask") else value.kind)
    if name in ("isnan", "isinf"):
        kind = "bool" if value.kind in SCALARS else ("mask" if value.kind in ROWS else value.kind)
    return Typed(scope.python(f"{template}(X)", X=value.node), kind, value.orientation)


def _of_a_row(scope: Scope, name: str, arguments: list[Node]) -> Typed:
    values = [scope.expr(node) for node in arguments]
    if name in ("max", "min") and len(values) == 2:
        word = "np.fmax" if name == "max" else "np.fmin"  # these pass NaN by, as MATLAB
        require(all(value.kind in {*SCALARS, *ROWS} for value in values), f"{name} of these values")
        scalar = all(value.kind in SCALARS for value in values)
        integer = all(value.kind in ("int", "count") for value in values)
        node = scope.python(f"{name if integer else word}(X, Y)", X=values[0].node, Y=values[1].node)
        orientations = {value.orientation for value in values if value.kind in ROWS}
        require(len(orientations) < 2, f"{name} of a row and a column")
        return Typed(
            node,
            ("int" if integer else "number") if scalar else "vector",
            orientations.pop() if orientations else "",
        )
    if len(values) == 2 and name in ALONG and values[0].kind == "matrix":
        axis = literal(values[1].node)
        require(axis in (1, 2), f"{name} along this dimension")
        node = scope.python(f"np.{name}(X, axis={axis - 1})", X=values[0].node)
        return Typed(node, "vector", "row" if axis == 1 else "column")
    require(len(values) == 1, f"{name} with {len(values)} arguments")
    value = values[0]
    require(value.kind in {*SCALARS, *ROWS}, f"{name} of something whose orientation or kind cannot be known")
    if name in ROW_TO_ROW:
        return value._replace(node=scope.python(f"{ROW_TO_ROW[name]}(X)", X=value.node))
    kind = "bool" if name in ("any", "all") else "number"
    return Typed(scope.python(f"{REDUCTIONS[name]}(X)", X=value.node), kind)

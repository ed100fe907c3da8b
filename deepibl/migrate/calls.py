"""MATLAB's own functions in scripts: for each, how it is written in Python."""

import ast
import keyword
from collections.abc import Callable

from deepibl.migrate.names import INTEGERS, LISTS, ROWS, SCALARS, SEQUENCES
from deepibl.migrate.scope import Scope, Typed, keep_base, literal, owned, printed, require, variable_name
from deepibl.migrate.tree import Node, Untranslatable, chain, named, text_of
from deepibl.migrate.tree import arguments as arguments_of

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
            require(cells.kind in ("cell", "texts"), "{:} of something that is no cell array")
            return ast.Starred(cells.node, ast.Load())
    return printed(scope, scope.expr(node))


def _count(scope: Scope, arguments: list[Node]) -> Typed:
    """length and numel of what has one dimension."""
    require(len(arguments) == 1, "more than one argument")
    value = scope.expr(arguments[0])
    if value.kind in SEQUENCES:
        return Typed(scope.python("len(X)", X=value.node), "count")
    raise LookupError


def _length(scope: Scope, arguments: list[Node]) -> Typed:
    try:
        return _count(scope, arguments)
    except LookupError:
        return _calls("length", "count")(scope, arguments)


def _numel(scope: Scope, arguments: list[Node]) -> Typed:
    try:
        return _count(scope, arguments)
    except LookupError:
        return _calls("numel", "count")(scope, arguments)


def _size(scope: Scope, arguments: list[Node]) -> Typed:
    require(len(arguments) == 2, "size of all dimensions: features are (N, D) here, D x N in MATLAB")
    value = scope.expr(arguments[0])
    side = literal(scope.expr(arguments[1]).node)
    require(
        value.kind in ("features", "positions", "matrix") and side in (1, 2),
        "size of something whose orientation cannot be known",
    )
    axis = side - 1 if value.kind == "matrix" else 2 - side
    return Typed(scope.python(f"X.shape[{axis}]", X=value.node), "count")


def _filled(name: str) -> Handler:
    def handler(scope: Scope, arguments: list[Node]) -> Typed:
        require(len(arguments) in (1, 2), f"{name} of {len(arguments)} dimensions")
        sides = [scope.expr(node) for node in arguments]
        require(all(side.kind in SCALARS for side in sides), f"{name} of a size that cannot be known")
        if len(sides) == 2 and 1 in (literal(sides[0].node), literal(sides[1].node)):
            long = sides[1] if literal(sides[0].node) == 1 else sides[0]
            turn = "row" if long is sides[1] else "column"
            return Typed(scope.python(f"np.{name}(N)", N=long.node), "vector", turn)
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
    return Typed(found, "ints", value.turn)


def _struct(scope: Scope, arguments: list[Node]) -> Typed:
    names = [literal(scope.expr(node).node) for node in arguments[::2]]
    require(
        len(arguments) % 2 == 0 and all(isinstance(name, str) and name.isidentifier() for name in names),
        "a struct whose fields are not all given by name",
    )
    values = [owned(scope, scope.expr(node)) for node in arguments[1::2]]
    keep_base(*values)
    require(all(value.kind not in LISTS for value in values), "a struct array (a cell array as a value)")
    fields = [(str(name), value.node) for name, value in zip(names, values, strict=True)]
    given = [ast.keyword(name, node) for name, node in fields if not keyword.iskeyword(name)]
    rest = [(name, node) for name, node in fields if keyword.iskeyword(name)]
    if rest:  # **{'continue': …}
        names_of, nodes = [ast.Constant(name) for name, _ in rest], [node for _, node in rest]
        given.append(ast.keyword(None, ast.Dict(list(names_of), nodes)))
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
    require(all(v.kind in {*SCALARS, *ROWS} for v in values), "mod of ids or of values of an unknown kind")
    kinds = {value.kind for value in values}
    node = scope.python("A % B", A=values[0].node, B=values[1].node)
    require(literal(values[1].node) != 0, "mod(x, 0)")
    if kinds <= SCALARS:
        return Typed(node, "int" if kinds <= INTEGERS else "number")
    return Typed(node, "vector")


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
    return Typed(
        ast.Call(scope.python("os.path.join"), [scope.expr(node).node for node in arguments], []), "text"
    )


def _load(scope: Scope, arguments: list[Node]) -> Typed:
    """s = load(file): a struct of the variables."""
    require(len(arguments) >= 1, "load without a file")
    path = scope.expr(arguments[0]).node
    return Typed(scope.python("load_variables(F)", F=path), "any")


def _strcmp(scope: Scope, arguments: list[Node]) -> Typed:
    require(len(arguments) == 2, "strcmp of other than two texts")
    values = [scope.expr(node) for node in arguments]
    require(not {v.kind for v in values} & {"cell", "texts"}, "strcmp of a cell array")
    return Typed(scope.python("A == B", A=values[0].node, B=values[1].node), "bool")


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
    sides = [None if text_of(node) == "[]" else scope.expr(node).node for node in arguments[1:]]
    minus = ast.Constant(-1)
    rows, columns = (minus if side is None else side for side in sides)
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
    "length": _length,
    "numel": _numel,
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

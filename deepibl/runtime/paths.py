"""localPaths(): where data sets, networks and results lie on this computer.

Looked at in this order, the first that is there counts: the argument, the file that $DEEPIBL_LOCALPATHS
names, ./localPaths.toml, ./localPaths.m (the user's own MATLAB file: parsed by paths_matlab, never run),
localPaths.toml and localPaths.m in the user's configuration folder. What it does not set lies under the
user's data folder.

A localPaths.toml holds one line a path, e.g.  dsetRootPitts = "~/Databases/Pittsburgh/"

Reads a user's localPaths.m without running it: assignments of strings, and what people write around them.

Understood on the right of `paths.name=`: 'text' and "text"; [ … ] and + of strings; fullfile, strcat, getenv,
fileparts, mfilename, pwd, filesep, relja_expandUser; other paths.* and plain variables; continuation with
`...`; comments with % # and %{ … %}. Lines that assign nothing (addpath, disp, end …) are passed over.
Anything else is an error that names its line, because a path that is silently a default would be found out
much later.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deepibl.errors import ConfigurationError

_TOKEN = re.compile(
    r"""(?P<space>[
    \t]+)|(?P<text>'(?:[^'\n]|'')*'|"(?:[^"\n]|"")*")|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)"""
    r"""|(?P<mark>[\[\](),;+=])|(?P<other>.)"""
)

_OPENERS = ("if", "for", "parfor", "while", "switch", "try", "do", "unwind_protect")

_CLOSERS = ("end", "endif", "endfor", "endparfor", "endwhile", "endswitch", "end_try_catch", "until")

_HEADER = re.compile(r"\s*function\s+(?:\[?\s*(?P<out>\w+)\s*\]?\s*=\s*)?\w+")


class _Unreadable(Exception):
    """A statement that is not understood; the text says why."""


class _Token(NamedTuple):
    kind: str
    text: str


def parse_local_paths(source: str, where: str = "localPaths.m") -> dict[str, str]:
    """The paths that a localPaths.m sets, name -> value, in order; `where` names the file in messages.

    Errors: ConfigurationError that lists every line which is not understood.
    """
    reader = _Reader(os.path.abspath(where))
    for number, line in _statements(source):
        reader.read(number, line)
    if reader.problems:
        raise ConfigurationError(
            f"{where}: cannot be read without running MATLAB, which this program does not:\n"
            + "\n".join(reader.problems)
            + "\nWrite these paths as plain strings, or write a localPaths.toml beside it."
        )
    prefix = f"{reader.output}."
    return {name[len(prefix) :]: v for name, v in reader.variables.items() if name.startswith(prefix)}


class _Reader:
    """What the statements so far have set: variables, the struct's name, how deep in conditions we are."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.variables: dict[str, str] = {}
        self.output = "paths"
        self.depth = 0
        self.begun = self.done = False  # the first function counts, helper functions below it do not
        self.problems: list[str] = []

    def read(self, number: int, line: str) -> None:
        header = _HEADER.match(line)
        if header:
            self.done = self.begun
            self.begun = True
            self.output = self.output if self.done else header["out"] or self.output
        if header or self.done:
            return
        words = _words(_tokens(line))
        self.depth += sum(word in _OPENERS for word in words)
        for tokens in _split(_tokens(line)):
            try:
                self._assign(tokens)
            except _Unreadable as problem:
                self.problems.append(f"  line {number}: {line.strip()}   ({problem})")
        self.depth = max(0, self.depth - sum(word in _CLOSERS for word in words))

    def _assign(self, tokens: list[_Token]) -> None:
        code = [token for token in tokens if token.kind != "space"]
        texts = [token.text for token in code]
        concerned = any(
            t.kind == "name" and t.text.startswith(f"{self.output}.") for t in code if "=" in texts
        )
        if not concerned and (len(code) < 3 or code[0].kind != "name" or texts[1] != "="):
            return
        if texts[0] == self.output and texts[2:] not in (["struct", "(", ")"], ["[", "]"]):
            raise _Unreadable(f"only the fields of {self.output} can be assigned")
        if concerned and self.depth:
            raise _Unreadable("conditions and loops are not run")
        if code[0].kind != "name" or texts[1] != "=":
            raise _Unreadable("no assignment of the form name= value")
        try:
            value = _value(tokens[tokens.index(code[1]) + 1 :], self.variables, self.file)
        except _Unreadable:
            # a variable that holds no string matters only if a path needs it
            self.variables.pop(texts[0], None)
            if texts[0].startswith(f"{self.output}."):
                raise
        else:
            self.variables[texts[0]] = value


def _statements(source: str) -> list[tuple[int, str]]:
    """Lines without comments, continued ones joined, each with the number of its first line."""
    statements: list[tuple[int, str]] = []
    depth, pending, first = 0, "", 0
    for number, raw in enumerate(source.splitlines(), start=1):
        if raw.strip() in ("%{", "#{"):
            depth += 1
        elif depth and raw.strip() in ("%}", "#}"):
            depth -= 1
        elif not depth:
            line, continued = _without_comment(raw)
            first = first if pending else number
            pending += line
            if continued:
                pending += " "
                continue
            if pending.strip():
                statements.append((first, pending))
            pending = ""
    if pending.strip():
        statements.append((first, pending))
    return statements


def _without_comment(line: str) -> tuple[str, bool]:
    """The code of a line, and whether it ends in `...`."""
    quote = ""
    for position, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "%#":
            return line[:position], False
        elif line.startswith("...", position):
            return line[:position], True
    return line, False


def _tokens(line: str) -> list[_Token]:
    return [_Token(match.lastgroup or "other", match.group()) for match in _TOKEN.finditer(line)]


def _words(tokens: list[_Token]) -> list[str]:
    """The names outside brackets, where `end` closes a block."""
    words, depth = [], 0
    for token in tokens:
        depth += (token.text in ("[", "(")) - (token.text in ("]", ")"))
        if depth == 0 and token.kind == "name":
            words.append(token.text)
    return words


def _split(tokens: list[_Token]) -> list[list[_Token]]:
    """Statements of one line, separated by ; or , outside brackets."""
    parts: list[list[_Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in ("[", "(")) - (token.text in ("]", ")"))
        if depth == 0 and token.text in (";", ","):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if any(token.kind != "space" for token in part)]


def _value(tokens: list[_Token], variables: dict[str, str], file: str) -> str:
    try:
        return _Expression(tokens, variables, file).value()
    except RecursionError:
        raise _Unreadable("brackets are nested too deep") from None


class _Expression:
    """One right-hand side: a string expression, by recursive descent."""

    def __init__(self, tokens: list[_Token], variables: dict[str, str], file: str) -> None:
        self.tokens = tokens
        self.variables = variables
        self.file = file
        self.position = 0

    def value(self) -> str:
        result = self._sum()
        if self._peek():
            raise _Unreadable(f"{self._peek()!r} is not understood")
        return result

    def _peek(self) -> str:
        while self.position < len(self.tokens) and self.tokens[self.position].kind == "space":
            self.position += 1
        return self.tokens[self.position].text if self.position < len(self.tokens) else ""

    def _take(self, wanted: str | None = None) -> _Token:
        text = self._peek()
        if not text or (wanted is not None and text != wanted):
            raise _Unreadable(f"{wanted or 'a string'!r} is missing")
        self.position += 1
        return self.tokens[self.position - 1]

    def _sum(self) -> str:
        result = self._operand()
        while self._peek() == "+":
            self._take()
            result += self._operand()
        return result

    def _operand(self) -> str:
        token = self._take()
        if token.kind == "text":
            return token.text[1:-1].replace(token.text[0] * 2, token.text[0])
        if token.text == "(":
            return self._until(")", "")
        if token.text == "[":
            return self._until("]", ",")
        if token.kind == "name":
            return self._named(token.text)
        raise _Unreadable(f"{token.text!r} is not understood")

    def _until(self, end: str, separator: str) -> str:
        parts = []
        while self._peek() != end:
            parts.append(self._sum())
            if separator and self._peek() == separator:
                self._take()
        self._take(end)
        return "".join(parts)

    def _named(self, name: str) -> str:
        if name in self.variables:
            return self.variables[name]
        if name not in _FUNCTIONS and name != "mfilename":
            raise _Unreadable(f"{name!r} is not known here")
        arguments: list[str] = []
        if self._peek() == "(":
            self._take()
            while self._peek() != ")":
                arguments.append(self._sum())
                if self._peek() == ",":
                    self._take()
            self._take(")")
        if name == "mfilename":
            stem = os.path.splitext(self.file)[0]
            return stem if arguments else os.path.basename(stem)
        return _FUNCTIONS[name](arguments)


def _fullfile(parts: list[str]) -> str:
    filled = [part for part in parts if part]
    joined = "/".join(part.rstrip("/\\") or "/" for part in filled[:-1]) + ("/" if len(filled) > 1 else "")
    return re.sub("/+", "/", joined + "".join(filled[-1:]))


_FUNCTIONS: dict[str, Callable[[list[str]], str]] = {
    "fullfile": _fullfile,
    "strcat": "".join,
    "char": "".join,
    "relja_expandUser": "".join,
    "getenv": lambda names: os.environ.get("".join(names), ""),
    "fileparts": lambda paths: os.path.dirname("".join(paths)),
    "pwd": lambda _: os.getcwd(),
    "filesep": lambda _: "/",
}

VARIABLE = "DEEPIBL_LOCALPATHS"

FILES = ("localPaths.toml", "localPaths.m")

# name -> folder below the user's data folder
DEFAULTS = {
    "libReljaMatlab": "",
    "libMatConvNet": "",
    "libYaelMatlab": "",
    "dsetSpecDir": "datasets/",
    "dsetRootPitts": "images/Pittsburgh/",
    "dsetRootTokyo247": "images/Tokyo247/",
    "dsetRootTokyoTM": "images/TokyoTM/",
    "dsetRootSf0": "images/SanFrancisco/",
    "dsetRootOxford": "images/OxfordBuildings/",
    "dsetRootParis": "images/Paris/",
    "dsetRootHolidays": "images/Holidays/",
    "ourCNNs": "models/",
    "pretrainedCNNs": "pretrained/",
    "initData": "initdata/",
    "outPrefix": "output/",
}

# what the original needs and this project does not
UNUSED = ("libReljaMatlab", "libMatConvNet", "libYaelMatlab")

# outPrefix goes before file names, so it need not be a folder
PREFIXES = ("outPrefix",)


class LocalPaths:
    """The paths, one attribute each under the original's names; `source` says where they come from.

    Folders end in a slash, so that `paths.ourCNNs + "net.mat"` is a path; outPrefix stays as it was written.
    Names that the original does not know are kept too.
    """

    def __init__(self, values: Mapping[str, str] | None = None, source: str = "defaults") -> None:
        given = dict(values or {})
        wrong = [name for name, value in given.items() if not isinstance(value, str)]
        if wrong:
            raise ConfigurationError(f"{source}: paths are strings; {', '.join(wrong)} are not")
        self.source = source
        self.given = tuple(given)
        for name, value in {**_defaults(), **given}.items():
            expanded = os.path.expanduser(value)
            if expanded and name not in PREFIXES and not expanded.endswith(("/", os.sep)):
                expanded += "/"
            setattr(self, name, expanded)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"localPaths has no {name!r} (from {self.__dict__.get('source')}); "
            f"it has {', '.join(sorted(self.as_dict()))}"
        )

    def __repr__(self) -> str:
        lines = "".join(f"\n  {name} = {value!r}" for name, value in self.as_dict().items())
        return f"LocalPaths from {self.source}:{lines}"

    def as_dict(self) -> dict[str, str]:
        """All paths by name."""
        return {name: value for name, value in vars(self).items() if name not in ("source", "given")}


def localPaths(source: str | os.PathLike[str] | Mapping[str, str] | LocalPaths | None = None) -> LocalPaths:
    """The paths of this computer; see the module for where they are looked for.

    source: a .toml or .m file, a folder that holds one, a mapping, or a LocalPaths (given back as it is).
    Errors: ConfigurationError for a file that is not there or cannot be parsed; it names the lines.
    Ported from: netvlad/localPaths.m.setup
    """
    if isinstance(source, LocalPaths):
        return source
    if isinstance(source, Mapping):
        return LocalPaths(source, "the argument")
    if source is not None:
        return _read(_named(os.fspath(source), "the argument"))
    if os.environ.get(VARIABLE):
        return _read(_named(os.environ[VARIABLE], f"${VARIABLE}"))
    for folder in (Path(), _user_folder("config")):
        for name in FILES:
            if (folder / name).is_file():
                return _read(folder / name)
    return LocalPaths()


def missing_paths(paths: LocalPaths) -> list[str]:
    """A line for each path in use that is not there, for `setup` and the command line."""
    lines = []
    for name, value in paths.as_dict().items():
        folder = os.path.dirname(value) if name in PREFIXES else value
        if name not in UNUSED and not os.path.isdir(folder):
            lines.append(f"{name}: {value or '(empty)'} is not there")
    return lines


def _named(path: str, where: str) -> Path:
    expanded = Path(os.path.expanduser(path))
    candidates = [expanded / name for name in FILES] if expanded.is_dir() else [expanded]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"{where} names {path}, where no {' or '.join(FILES)} is: give a file of one of these kinds"
    )


def _read(path: Path) -> LocalPaths:
    if path.suffix == ".m":
        values: Any = parse_local_paths(path.read_text(encoding="utf-8", errors="replace"), str(path))
    elif path.suffix == ".toml":
        values = _toml(path)
    else:
        raise ConfigurationError(f"{path}: localPaths is a .toml or a .m file")
    return LocalPaths(values, str(path))


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{path}: {problem}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: values are nested too deep") from None
    found = content.get("paths", content)
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"{path}: paths is {found!r:.80}; expected a table [paths], or a line a path"
        )
    return found


def _defaults() -> dict[str, str]:
    data = _user_folder("data")
    return {name: f"{data.as_posix()}/{folder}" if folder else "" for name, folder in DEFAULTS.items()}


def _user_folder(kind: str) -> Path:
    import platformdirs

    return (
        platformdirs.user_config_path("deepibl")
        if kind == "config"
        else platformdirs.user_data_path("deepibl")
    )

"""localPaths(): where data sets, networks and results are on this computer.

The first of these that exists counts: the argument, the file that $DEEPIBL_LOCALPATHS names,
./localPaths.toml, ./localPaths.m (the user's own MATLAB file: parsed, never run), localPaths.toml and
localPaths.m in the user's configuration folder. What it does not set is under the user's data folder.

A localPaths.toml has one line per path, e.g.  dsetRootPitts = "~/Databases/Pittsburgh/"

`parse_local_paths` reads a localPaths.m. On the right of `paths.name=` it understands: 'text' and "text";
[ … ] and + of strings; fullfile, strcat, getenv, fileparts, mfilename, filesep, relja_expandUser; other
paths.* and variables that hold strings. Comments and continuation lines are allowed anywhere; statements that
assign nothing (addpath, disp …) are skipped. Any other way to set a path is refused with its line: a path
that silently kept its default would be noticed late.
"""

import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deepibl.errors import ConfigurationError
from deepibl.runtime.text_files import read_text
from matlab_compat.files import StrPath

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\n]|'')*'|"(?:[^"\n]|"")*")|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)"""
    r"""|(?P<comment>[%#].*)|(?P<more>\.\.\..*)|(?P<mark>[=~!<>]=|\S)"""
)

_OPENERS = ("if", "for", "parfor", "while", "switch", "try", "do", "unwind_protect")
_CLOSERS = ("end", "endif", "endfor", "endparfor", "endwhile", "endswitch", "end_try_catch", "until")
_RUN_TEXT = ("eval", "evalin", "assignin")  # may set a path


class _Unreadable(Exception):
    """A statement that is not understood; the message says why."""


class _Token(NamedTuple):
    kind: str
    text: str


def parse_local_paths(source: str, where: str = "localPaths.m") -> dict[str, str]:
    """Returns the paths that a localPaths.m sets, by name, in order. where: the file, for messages.

    Raises ConfigurationError that lists every line which is not understood.
    """
    known: dict[str, str] = {}
    output, functions, depth = "paths", 0, 0
    problems = []
    for number, line, tokens in _statements(source):
        if tokens[0].text == "function":
            functions += 1
            if functions > 1:  # helpers
                break
            texts = [token.text for token in tokens]
            output = next(text for text in texts[1:] if text != "[") if "=" in texts else output
            continue
        for part in _parts(tokens):
            depth += sum(token.text in _OPENERS for token in part)
            try:
                _assign(part, known, output, where, conditional=depth > 0)
            except _Unreadable as problem:
                problems.append(f"  line {number}: {line}   ({problem})")
            except RecursionError:
                problems.append(f"  line {number}: {line:.60}   (brackets are nested too deeply)")
            depth = max(0, depth - (part[0].text in _CLOSERS))  # not the end of x(end)
    if problems:
        raise ConfigurationError(
            f"{where}: cannot be read without running MATLAB, which this program does not:\n"
            + "\n".join(problems)
            + "\nWrite these paths as plain strings, or write a localPaths.toml beside it."
        )
    prefix = f"{output}."
    return {name[len(prefix) :]: path for name, path in known.items() if name.startswith(prefix)}


def _statements(source: str) -> Iterator[tuple[int, str, list[_Token]]]:
    """The number, text and tokens of each line with code; a continued line has the tokens of all."""
    number, text, tokens = 0, "", list[_Token]()
    comment = 0
    for at, line in enumerate([*source.splitlines(), ""], start=1):
        if line.strip() in ("%{", "#{"):
            comment += 1
        elif comment:
            comment -= line.strip() in ("%}", "#}")
        else:
            if not tokens:
                number, text = at, line.strip()
            found = [_Token(str(match.lastgroup), match.group()) for match in _TOKEN.finditer(line)]
            tokens += [token for token in found if token.kind not in ("comment", "more")]
            if tokens and not (found and found[-1].kind == "more"):
                yield number, text, tokens
                tokens = []


def _parts(tokens: list[_Token]) -> list[list[_Token]]:
    """The statements of one line: what ; and , outside brackets separate."""
    parts: list[list[_Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text in ("[", "(")) - (token.text in ("]", ")"))
        if depth == 0 and token.text in (";", ","):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _assign(part: list[_Token], known: dict[str, str], output: str, file: str, conditional: bool) -> None:
    """Adds to `known` what a statement assigns; raises _Unreadable if it may set a path in another way."""
    texts = [token.text for token in part]
    if texts[0] in _RUN_TEXT:
        raise _Unreadable(f"{texts[0]} is not run")
    if "=" not in texts:
        return
    name, at = texts[0], texts.index("=")
    plain = at == 1 and part[0].kind == "name"
    sets_path = any(each == output or each.startswith(f"{output}.") for each in texts[:at])
    if plain and name == output and texts[2:] in (["struct", "(", ")"], ["[", "]"]):
        return
    if sets_path and conditional:
        raise _Unreadable("conditions and loops are not run")
    if sets_path and not plain:
        raise _Unreadable("no assignment of the form name= value")
    if name == output:
        raise _Unreadable(f"only the fields of {output} can be assigned")
    try:
        rest = deque(part[2:])
        value = _sum(rest, known, file)
        if rest:
            raise _Unreadable(f"{rest[0].text!r} is not understood")
    except _Unreadable:
        value = None
        if sets_path:
            raise
    if plain:  # a variable that holds no string, or that a condition sets, matters only if a path needs it
        known.pop(name, None)
        if value is not None and not conditional:
            known[name] = value


def _sum(rest: deque[_Token], known: dict[str, str], file: str) -> str:
    """The string at the beginning of an expression, of which it takes the tokens."""
    value = _operand(rest, known, file)
    while rest and rest[0].text == "+":
        rest.popleft()
        value += _operand(rest, known, file)
    return value


def _operand(rest: deque[_Token], known: dict[str, str], file: str) -> str:
    if not rest:
        raise _Unreadable("a string is missing")
    kind, text = rest.popleft()
    if kind == "text":
        return text[1:-1].replace(text[0] * 2, text[0])
    if text in ("(", "["):
        return "".join(_list(rest, ")" if text == "(" else "]", known, file))
    if kind != "name":
        raise _Unreadable(f"{text!r} is not understood")
    if text in known:
        return known[text]
    if text not in _FUNCTIONS and text != "mfilename":
        raise _Unreadable(f"{text!r} is not known here")
    called = bool(rest) and rest[0].text == "("
    if called:
        rest.popleft()
    arguments = _list(rest, ")", known, file) if called else []
    if text == "mfilename":
        stem = os.path.splitext(os.path.abspath(file))[0]
        return stem if arguments else os.path.basename(stem)
    return _FUNCTIONS[text](arguments)


def _list(rest: deque[_Token], end: str, known: dict[str, str], file: str) -> list[str]:
    """The strings up to a closing bracket."""
    parts = []
    while rest and rest[0].text != end:
        parts.append(_sum(rest, known, file))
        if rest and rest[0].text == ",":
            rest.popleft()
    if not rest:
        raise _Unreadable(f"{end!r} is missing")
    rest.popleft()
    return parts


def _fullfile(parts: list[str]) -> str:
    filled = [part for part in parts if part]
    joined = "/".join(part.rstrip("/\\") or "/" for part in filled[:-1]) + ("/" if len(filled) > 1 else "")
    return re.sub("/+", "/", joined + "".join(filled[-1:]))


_FUNCTIONS: dict[str, Callable[[list[str]], str]] = {
    "fullfile": _fullfile,
    "strcat": "".join,
    "relja_expandUser": "".join,
    "getenv": lambda names: os.environ.get("".join(names), ""),
    "fileparts": lambda paths: os.path.dirname("".join(paths)),
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

# needed by the original, not by this project
UNUSED = ("libReljaMatlab", "libMatConvNet", "libYaelMatlab")

# put before file names, so not necessarily a folder
PREFIXES = ("outPrefix",)


class LocalPaths:
    """The paths, one attribute each under the original's names. source: where they come from.

    Folders end in a slash, so that `paths.ourCNNs + "net.mat"` is a path; outPrefix is as it was given. Names
    that the original does not have are kept too.
    """

    def __init__(self, values: Mapping[str, str] | None = None, source: str = "defaults") -> None:
        given = dict(values or {})
        wrong = [name for name, value in given.items() if not isinstance(value, str)]
        if wrong:
            raise ConfigurationError(f"{source}: paths are strings; {', '.join(wrong)} are not")
        self.source = source
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
        return {name: value for name, value in vars(self).items() if name != "source"}


def localPaths(source: StrPath | Mapping[str, str] | LocalPaths | None = None) -> LocalPaths:
    """Returns the paths of this computer.

    source: a .toml or .m file, a folder that holds one, a mapping, or a LocalPaths (returned as it is);
    None: what the environment, the working folder or the configuration folder has.
    Raises ConfigurationError for a file that is missing, or cannot be parsed: it names the lines.

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
    """Returns a line for each path in use that does not exist, for `setup` and the command line."""
    lines = []
    for name, value in paths.as_dict().items():
        folder = os.path.dirname(value) if name in PREFIXES else value
        if name not in UNUSED and not os.path.isdir(folder):
            lines.append(f"{name}: {value or '(empty)'} does not exist")
    return lines


def _named(path: str, where: str) -> Path:
    expanded = Path(os.path.expanduser(path))
    candidates = [expanded / name for name in FILES] if expanded.is_dir() else [expanded]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"{where} names {path}, which is not a {' or '.join(FILES)}, nor a folder with one"
    )


def _read(path: Path) -> LocalPaths:
    if path.suffix == ".m":
        values: Any = parse_local_paths(path.read_text(encoding="utf-8", errors="replace"), str(path))
    elif path.suffix == ".toml":
        values = _toml(path)
    else:
        raise ConfigurationError(f"{path}: localPaths must be a .toml or a .m file")
    return LocalPaths(values, str(path))


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = read_text(path, ConfigurationError)
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        advice = "; write paths with / or in 'single quotes'" if "\\" in text else ""
        raise ConfigurationError(f"{path}: {problem}{advice}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: values are nested too deeply") from None
    found = content.get("paths", content)
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"{path}: paths is {found!r:.80}; expected a table [paths], or one line per path"
        )
    return found


def _defaults() -> dict[str, str]:
    data = _user_folder("data")
    return {name: f"{data.as_posix()}/{folder}" if folder else "" for name, folder in DEFAULTS.items()}


def _user_folder(kind: str) -> Path:
    import platformdirs

    find = platformdirs.user_config_path if kind == "config" else platformdirs.user_data_path
    return find("deepibl")

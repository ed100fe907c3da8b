"""Reads the paths that a localPaths.m sets, without running it.

On the right of `name=` these are understood: strings, joined by [ … ] and +; the functions of `_FUNCTIONS`
and mfilename; other paths.* and variables. if and switch are followed where their conditions are known on
this computer. Statements that assign nothing (addpath, disp …) are skipped.

Any other way to set a path, or a variable that a path is made of, is refused with its line: a path that
silently kept its default would be noticed late.
"""

import os
import platform
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deepibl.errors import ConfigurationError, DatasetError
from deepibl.runtime.text_files import find_name, read_text

_TOKEN = re.compile(  # a quote directly behind a name, number, bracket or quote transposes
    r"""(?P<transpose>(?<=[\w)\]}'])\.?')|(?P<text>'(?:[^'\n]|'')*'|"(?:[^"\n]|"")*")"""
    r"""|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)|(?P<number>\d+(?:\.\d+)?)|(?P<comment>[%#].*)"""
    r"""|(?P<more>\.\.\..*)|(?P<open>['"].*)|(?P<mark>[=~!<>]=|&&|\|\||\S)"""
)

_OPENERS = ("if", "for", "parfor", "while", "switch", "try", "do", "unwind_protect")
_BRANCHES = ("elseif", "else", "case", "otherwise", "catch", "unwind_protect_cleanup")
_CLOSERS = ("end", "endif", "endfor", "endparfor", "endwhile", "endswitch", "end_try_catch", "until")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_LONGEST = 1 << 16
_RUN_TEXT = ("eval", "evalin", "assignin", "run", "load")  # may set a path
# operators by rising precedence
_LEVELS = (("||", "|"), ("&&", "&"), ("==", "~=", "!=", "<", ">", "<=", ">="), ("+",))

Value = str | float | tuple[Any, ...]  # a cell is a tuple; a truth is a number


class _Unreadable(Exception):
    """A statement that is not understood; the message says why."""


class _Token(NamedTuple):
    kind: str
    text: str


@dataclass
class _Block:
    """An open block: whether its present branch and an earlier one are run (None: unknown, and why)."""

    word: str
    runs: bool | None
    why: str = ""
    taken: bool | None = False
    value: Value | None = None  # of switch


def parse_local_paths(source: str, where: str = "localPaths.m") -> dict[str, str]:
    """Returns the paths that a localPaths.m sets, by name, in order. where: the file, for messages.

    Raises ConfigurationError that lists every line which is not understood.
    """
    script = _Script(where)
    functions, problems = 0, []
    for number, line, tokens in _statements(source):
        if tokens[0].text == "function":
            functions += 1
            if functions > 1:  # helpers
                break
            texts = [token.text for token in tokens]
            script.output = next(text for text in texts[1:] if text != "[") if "=" in texts else script.output
            continue
        for part in _parts(tokens):
            try:
                script.run(part, number)
            except _Unreadable as problem:
                problems.append(f"  line {number}: {line}   ({problem})")
            except RecursionError:
                problems.append(f"  line {number}: {line:.60}   (brackets are nested too deeply)")
    if problems:
        raise ConfigurationError(
            f"{where}: cannot be read without running MATLAB, which this program does not:\n"
            + "\n".join(problems)
            + "\nWrite these paths as plain strings, or write a localPaths.toml beside it."
        )
    prefix = f"{script.output}."
    return {name[len(prefix) :]: str(path) for name, path in script.known.items() if name.startswith(prefix)}


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
        depth += (token.text in _CLOSING) - (token.text in _CLOSING.values())
        if depth == 0 and token.text in (";", ","):
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


class _Script:
    """What is known after the statements so far."""

    def __init__(self, file: str) -> None:
        self.file, self.output, self.returned = file, "paths", False
        self.known: dict[str, Value] = {}
        self.unknown: dict[str, str] = {}  # variables that were set, but to what is not known: why
        self.blocks: list[_Block] = []

    def run(self, part: list[_Token], line: int) -> None:
        """Follows one statement; raises _Unreadable where it may set a path in another way."""
        unclosed = next((token.text for token in part if token.kind == "open"), None)
        if unclosed is not None:
            raise _Unreadable(f"the string {unclosed} does not end")
        while part:
            word, rest = part[0].text, part[1:]
            if word in _CLOSERS:
                self.blocks[-1:] = []
                part = rest
            elif word in _OPENERS:
                part = self._open(word, rest, line)
            elif word in _BRANCHES and self.blocks:
                part = self._branch(self.blocks[-1], word, rest, line)
            else:
                return self._simple(part, line)

    def _doubt(self) -> str | None:
        """Why it is unknown whether a statement is run here; '' where it is run, None where it is not."""
        if self.returned or any(block.runs is False for block in self.blocks):
            return None
        return next((block.why for block in self.blocks if block.runs is None), "")

    def _open(self, word: str, rest: list[_Token], line: int) -> list[_Token]:
        block = _Block(word, None, f"loops and {word} blocks are not run")
        if word == "if":
            block.runs = False
            self.blocks.append(block)
            return self._branch(block, word, rest, line)
        if word == "switch":
            block.value, block.why, rest = self._condition(rest, line)
            block.runs = False
        self.blocks.append(block)
        return rest

    def _branch(self, block: _Block, word: str, rest: list[_Token], line: int) -> list[_Token]:
        """Enters a branch of the block; returns what follows its condition."""
        if block.word not in ("if", "switch"):
            return rest
        holds: bool | None = True
        if word in ("if", "elseif", "case"):
            value, why, rest = self._condition(rest, line)
            if word == "case" and None not in (value, block.value):
                holds = block.value in value if isinstance(value, tuple) else block.value == value
            else:
                holds = None if value is None or word == "case" else bool(value)
                block.why = why or block.why
        block.runs = False if block.taken or holds is False else (holds if block.taken is False else None)
        block.taken = True if block.taken or holds else (None if None in (block.taken, holds) else False)
        return rest

    def _condition(self, rest: list[_Token], line: int) -> tuple[Value | None, str, list[_Token]]:
        """The value of the expression at the beginning (None: unknown, and why), and what follows it."""
        tokens = deque(rest)
        try:
            return self._value(tokens), "", list(tokens)
        except _Unreadable as problem:
            assigned = [at for at, token in enumerate(rest) if token.text == "="]
            after = rest[max(assigned[0] - 1, 0) :] if assigned else []
            return None, f"the condition of line {line} is not run: {problem}", after

    def _simple(self, part: list[_Token], line: int) -> None:
        doubt = self._doubt()
        if doubt is None:
            return
        word, texts = part[0].text, [token.text for token in part]
        if word in _RUN_TEXT:
            raise _Unreadable(f"{word} is not run")
        if word == "return" and doubt:
            raise _Unreadable(f"whether the function ends here is unknown: {doubt}")
        if word == "error" and not doubt and "=" not in texts:
            raise _Unreadable("MATLAB would end here with this error")
        self.returned = self.returned or word == "return"
        if "=" not in texts:
            return
        at = texts.index("=")
        names = {token.text for token in part[:at] if token.kind == "name"}
        plain = at == 1 and len(names) == 1
        sets_path = any(name.split(".")[0] == self.output for name in names)
        if sets_path and doubt:
            raise _Unreadable(doubt)
        if sets_path and not plain:
            raise _Unreadable("no assignment of the form name= value")
        if word == self.output and texts[2:] not in (["struct", "(", ")"], ["[", "]"], ["struct"]):
            raise _Unreadable(f"only the fields of {self.output} can be assigned")
        value, why = None, doubt or "no assignment of the form name= value"
        if plain and not doubt and word != self.output:
            try:
                value = self._assigned(part[2:])
                if sets_path and not isinstance(value, str):
                    raise _Unreadable("it is not a string")
            except _Unreadable as problem:
                if sets_path:
                    raise
                why = str(problem)
        for name in names:
            for old in [key for key in self.known if f"{key}.".startswith(f"{name}.")]:
                del self.known[old]
            self.unknown[name] = f"line {line}: {why}"
        if value is not None:
            self.known[word] = value
            del self.unknown[word]

    def _assigned(self, part: list[_Token]) -> Value:
        rest = deque(part)
        value = self._value(rest)
        if rest:
            raise _Unreadable(f"{rest[0].text!r} is not understood")
        if isinstance(value, str) and len(value) > _LONGEST:
            raise _Unreadable("the string is too long for a path")
        return value

    def _value(self, rest: deque[_Token], level: int = 0) -> Value:
        """The value of the expression at the beginning, of which it takes the tokens."""
        if level == len(_LEVELS):
            return self._operand(rest)
        value = self._value(rest, level + 1)
        while rest and rest[0].text in _LEVELS[level]:
            value = _combined(rest.popleft().text, value, self._value(rest, level + 1))
        return value

    def _operand(self, rest: deque[_Token]) -> Value:
        if not rest:
            raise _Unreadable("a value is missing")
        kind, text = rest.popleft()
        if kind == "text":
            return text[1:-1].replace(text[0] * 2, text[0])
        if kind == "number":
            return float(text)
        if text in ("~", "!"):
            return not self._operand(rest)
        if text in _CLOSING:
            return _joined(text, self._list(rest, _CLOSING[text]))
        if kind != "name":
            raise _Unreadable(f"{text!r} is not understood")
        called = bool(rest) and rest[0].text == "("
        if text in self.known and not called:
            return self.known[text]
        if text in self.known or text in self.unknown or text not in (*_FUNCTIONS, "mfilename"):
            why = next((self.unknown[key] for key in (text, text.split(".")[0]) if key in self.unknown), "")
            raise _Unreadable(f"{text!r} is not known" + (f" ({why})" if why else " here"))
        if called:
            rest.popleft()
        arguments = self._list(rest, ")") if called else []
        if text == "mfilename":
            stem = os.path.splitext(os.path.abspath(self.file))[0]
            return stem if arguments else os.path.basename(stem)
        try:
            return _FUNCTIONS[text](*arguments)
        except (TypeError, AttributeError, ValueError, OverflowError):
            raise _Unreadable(f"these arguments of {text} are not understood") from None

    def _list(self, rest: deque[_Token], end: str) -> list[Value]:
        """The values up to a closing bracket."""
        parts = []
        while rest and rest[0].text != end:
            parts.append(self._value(rest))
            if rest and rest[0].text == ",":
                rest.popleft()
        if not rest:
            raise _Unreadable(f"{end!r} is missing")
        rest.popleft()
        return parts


def _combined(sign: str, one: Value, other: Value) -> Value:
    if sign in ("||", "|"):
        return bool(one) or bool(other)
    if sign in ("&&", "&"):
        return bool(one) and bool(other)
    if isinstance(one, str) and isinstance(other, str) and sign == "+":
        return one + other
    if isinstance(one, int | float) and isinstance(other, int | float) and sign != "+":
        order = (one > other) - (one < other)
        return order in {"==": (0,), "<": (-1,), ">": (1,), "<=": (-1, 0), ">=": (0, 1)}.get(sign, (-1, 1))
    raise _Unreadable(f"{sign} of these values is not understood; strcmp compares strings")


def _joined(bracket: str, parts: list[Value]) -> Value:
    """A cell, strings joined, or the only value in the brackets."""
    if bracket == "{":
        return tuple(parts)
    if len(parts) == 1:
        return parts[0]
    if not all(isinstance(part, str) for part in parts):
        raise _Unreadable("only strings are joined")
    return "".join(map(str, parts))


def _fullfile(*parts: str) -> str:
    filled = [part for part in parts if part]
    joined = "/".join(part.rstrip("/\\") or "/" for part in filled[:-1]) + ("/" if len(filled) > 1 else "")
    return re.sub("/+", "/", joined + "".join(filled[-1:]))


def _exist(path: str, kind: str = "file") -> float:
    """MATLAB's exist for absolute paths: 7 a folder, 2 a file, 0 neither."""
    expanded = os.path.expanduser(path)
    if kind not in ("dir", "file") or not re.match(r"/|[A-Za-z]:[\\/]|\\\\", expanded):
        raise _Unreadable(f"whether {path!r} exists depends on MATLAB's folder and search path")
    if _not_utf8(path):
        raise _Unreadable("the name of this folder is not UTF-8: save the file as UTF-8")
    if os.path.isdir(expanded):
        return 7.0
    return 2.0 if kind == "file" and os.path.isfile(expanded) else 0.0


def _computer(form: str = "") -> str:
    if form not in ("", "arch"):
        raise _Unreadable(f"computer({form!r}) is not understood")
    mac = "MACA64" if platform.machine() == "arm64" else "MACI64"
    name = {"win32": "PCWIN64", "darwin": mac}.get(sys.platform, "GLNXA64")
    return name.lower() if form else name


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "fullfile": _fullfile,
    "strcat": lambda *parts: "".join(part.rstrip() for part in parts),
    "relja_expandUser": lambda path: path + "",
    "getenv": lambda name: os.environ.get(name, ""),
    "fileparts": lambda path: os.path.dirname(path),
    "filesep": lambda: "/",
    "true": lambda: True,
    "false": lambda: False,
    "ispc": lambda: os.name == "nt",
    "isunix": lambda: os.name != "nt",
    "ismac": lambda: sys.platform == "darwin",
    "computer": _computer,
    "exist": _exist,
    "isfolder": lambda path: _exist(path, "dir") == 7,
    "isdir": lambda path: _exist(path, "dir") == 7,
    "isfile": lambda path: _exist(path) == 2,
    "isempty": lambda value: not len(value),
    "strcmp": lambda one, other: one == other,
    "strcmpi": lambda one, other: one.lower() == other.lower(),
    "strncmp": lambda one, other, count: one[: int(count)] == other[: int(count)],
}


def read_local_paths(path: Path) -> dict[str, str]:
    """The paths that a localPaths.m sets; of a file in a code page where the folders that it names exist.

    Raises ConfigurationError for lines, and for another encoding.
    """
    read = parse_local_paths(read_text(path, ConfigurationError, names=True), str(path))
    return {name: _in_a_code_page(folder, path) for name, folder in read.items()}


def _not_utf8(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)


def _in_a_code_page(folder: str, path: Path) -> str:
    """A folder whose bytes are not UTF-8 as the one that exists; another one as it is."""
    if not _not_utf8(folder):
        return folder
    try:
        found = find_name(folder, lambda reading: os.path.exists(os.path.expanduser(reading)))
    except DatasetError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    assert found is not None  # it raises where no reading exists
    return found

"""Reads the paths that a localPaths.m sets, without running it.

On the right of `name=` these are understood: strings, joined by [ … ] and +; the functions of `_FUNCTIONS`
and mfilename; other paths.* and variables. Statements that assign nothing (addpath, disp …) are skipped.

Any other way to set a path, or a variable that a path is made of, in an if block too, is refused with its
line: a path that silently kept its default would be noticed late.
"""

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from deepibl.errors import ConfigurationError
from deepibl.runtime.text_files import read_text

_TOKEN = re.compile(  # a quote directly behind a name, number, bracket or quote transposes
    r"""(?P<transpose>(?<=[\w)\]}'])\.?')|(?P<text>'(?:[^'\n]|'')*'|"(?:[^"\n]|"")*")"""
    r"""|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)|(?P<number>\d+(?:\.\d+)?)|(?P<comment>[%#].*)"""
    r"""|(?P<more>\.\.\..*)|(?P<open>['"].*)|(?P<mark>[=~!<>]=|&&|\|\||\S)"""
)

_OPENERS = ("if", "for", "parfor", "while", "switch", "try", "do", "unwind_protect")
_CLOSERS = ("end", "endif", "endfor", "endparfor", "endwhile", "endswitch", "end_try_catch", "until")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_LONGEST = 1 << 16
_RUN_TEXT = ("eval", "evalin", "assignin", "run", "load")  # may set a path


class _Unreadable(Exception):
    """A statement that is not understood; the message says why."""


class _Token(NamedTuple):
    kind: str
    text: str


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
        if script.ended:
            break
    if problems:
        raise ConfigurationError(
            f"{where}: cannot be read without running MATLAB, which this program does not:\n"
            + "\n".join(problems)
            + "\nWrite these paths as plain strings, or write a localPaths.toml beside it."
        )
    prefix = f"{script.output}."
    return {name[len(prefix) :]: path for name, path in script.known.items() if name.startswith(prefix)}


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
        self.file, self.output, self.ended = file, "paths", False
        self.known: dict[str, str] = {}
        self.unknown: dict[str, str] = {}  # variables that were set, but to what is not known: why
        self._blocks = 0  # that are open

    def run(self, part: list[_Token], line: int) -> None:
        """Follows one statement; raises _Unreadable where it may set a path in another way."""
        if self.ended:
            return
        unclosed = next((token.text for token in part if token.kind == "open"), None)
        if unclosed is not None:
            raise _Unreadable(f"the string {unclosed} does not end")
        while part and part[0].text in _CLOSERS:
            self._blocks, part = max(0, self._blocks - 1), part[1:]
        texts = [token.text for token in part]
        word = texts[0] if texts else ""
        self._blocks += word in _OPENERS
        if word in _RUN_TEXT:
            raise _Unreadable(f"{word} is not run")
        if "return" in texts and self._blocks:
            raise _Unreadable("whether the function ends here is unknown")
        if word == "error" and not self._blocks:
            raise _Unreadable("MATLAB would end here with this error")
        self.ended = word == "return"
        if "=" in texts:
            at = texts.index("=")
            if self._blocks and part[at - 1].kind == "name":  # a condition may be before it
                part, at = part[at - 1 :], 1
            self._assign(part, at, line)

    def _assign(self, part: list[_Token], at: int, line: int) -> None:
        """Follows an assignment, whose `=` is token `at`."""
        word, texts = part[0].text, [token.text for token in part]
        names = {token.text for token in part[:at] if token.kind == "name"}
        value, why = None, ""
        if self._blocks:
            why = "if, for and other blocks are not run"
        elif at != 1 or not names:
            why = "no assignment of the form name= value"
        elif word != self.output:
            try:
                value = self._assigned(part[2:])
            except _Unreadable as problem:
                why = str(problem)
        elif texts[2:] not in (["struct", "(", ")"], ["[", "]"], ["struct"]):
            why = f"only the fields of {self.output} can be assigned"
        if why and any(name.split(".")[0] == self.output for name in names):
            raise _Unreadable(why)
        for name in names:
            for old in [key for key in self.known if f"{key}.".startswith(f"{name}.")]:
                del self.known[old]
            self.unknown[name] = f"line {line}: {why}"
        if value is not None:
            self.known[word] = value
            del self.unknown[word]

    def _assigned(self, part: list[_Token]) -> str:
        rest = deque(part)
        value = self._value(rest)
        if rest:
            raise _Unreadable(f"{rest[0].text!r} is not understood")
        if len(value) > _LONGEST:
            raise _Unreadable("the string is too long for a path")
        if any("\udc80" <= character <= "\udcff" for character in value):
            raise _Unreadable("it is not UTF-8: save the file as UTF-8")
        return value

    def _value(self, rest: deque[_Token]) -> str:
        """The value of the expression at the beginning, of which it takes the tokens."""
        value = self._operand(rest)
        while rest and rest[0].text == "+":
            rest.popleft()
            value += self._operand(rest)
        return value

    def _operand(self, rest: deque[_Token]) -> str:
        if not rest:
            raise _Unreadable("a value is missing")
        kind, text = rest.popleft()
        if kind == "text":
            return text[1:-1].replace(text[0] * 2, text[0])
        if text in ("(", "["):
            return "".join(self._list(rest, _CLOSING[text]))
        if kind != "name":
            raise _Unreadable(f"{text!r} is not a string")
        called = bool(rest) and rest[0].text == "("
        if text in self.known and not called:
            return self.known[text]
        if text in self.known or text in self.unknown or text not in (*_FUNCTIONS, "mfilename"):
            why = next(
                (self.unknown[name] for name in (text, text.split(".")[0]) if name in self.unknown), ""
            )
            raise _Unreadable(f"{text!r} is not known" + (f" ({why})" if why else " here"))
        if called:
            rest.popleft()
        arguments = self._list(rest, ")") if called else []
        if text == "mfilename":
            stem = os.path.splitext(os.path.abspath(self.file))[0]
            return stem if arguments else os.path.basename(stem)
        try:
            return _FUNCTIONS[text](*arguments)
        except (TypeError, ValueError):
            raise _Unreadable(f"these arguments of {text} are not understood") from None

    def _list(self, rest: deque[_Token], end: str) -> list[str]:
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


def _fullfile(*parts: str) -> str:
    filled = [part for part in parts if part]
    joined = "/".join(part.rstrip("/\\") or "/" for part in filled[:-1]) + ("/" if len(filled) > 1 else "")
    return re.sub("/+", "/", joined + "".join(filled[-1:]))


_FUNCTIONS: dict[str, Callable[..., str]] = {
    "fullfile": _fullfile,
    "strcat": lambda *parts: "".join(part.rstrip() for part in parts),
    "relja_expandUser": lambda path: path,
    "getenv": lambda name: os.environ.get(name, ""),
    "fileparts": lambda path: os.path.dirname(path),
    "filesep": lambda: "/",
}


def read_local_paths(path: Path) -> dict[str, str]:
    """The paths that a localPaths.m sets; raises ConfigurationError for lines that are not understood."""
    return parse_local_paths(read_text(path, ConfigurationError, names=True), str(path))

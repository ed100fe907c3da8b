"""MATLAB scripts of calls to deepIBL, NetVLAD and MatConvNet, translated to Python.

The script is parsed by tree-sitter's MATLAB grammar (the extra `migrate`) and translated statement by
statement; comments are kept. What cannot be translated with certainty becomes a line marked MIGRATE that
raises when it is reached, so that a migrated script is never silently wrong.

=====================  ====================================================================================
counters, find, max    keep MATLAB's numbers (from 1); the index gets the `- 1`
ids of the library     count from 0 (`dbTest.getPosIDs`): used as they are, refused where numbers are meant
rows, columns          1-D arrays; what depends on an unknown orientation is refused
features               one row an image: `feats(:, i)` is `feats[i - 1]`
options                'name', value pairs become keywords
[a, ~, c]= f(…)        a, _, c = f(…), filled up where Python's function returns more
plots                  matplotlib's; MATLAB's `hold` becomes plt.cla()
=====================  ====================================================================================
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepibl.errors import ConfigurationError
from deepibl.migrate.scope import IMPORTS
from deepibl.migrate.script import Mark, ScriptTranslator
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, atomic_output


@dataclass(frozen=True)
class Migration:
    """A translated script: its Python text, the places to check by hand, and notes."""

    text: str
    marks: list[Mark]
    notes: list[str]

    @property
    def stops(self) -> list[Mark]:
        """The marked lines that raise when they are reached."""
        return [mark for mark in self.marks if mark.stops]


def migrate(
    source: str,
    name: str = "script.m",
    *,
    keep_stops: bool = False,
    overrides: Mapping[tuple[str, str], Any] | None = None,
) -> Migration:
    """Translates the text of a MATLAB script.

    name: the script's name in marks. keep_stops: keep an error(…) that stops the script at its top level
    before its end (as NetVLAD's demo.m does); by default it becomes a printed line. overrides: option values
    by (function, option), used in calls instead of the script's own; values of variables by ('', variable).
    Raises ConfigurationError where the grammar is not installed, and for statements nested too deep for
    Python.
    """
    script = ScriptTranslator(name, keep_stops, overrides or {})
    try:
        body, scope = script.translate(source.replace("\r\n", "\n").replace("\r", "\n"))
    except RecursionError:
        raise ConfigurationError(f"{name}: its statements are nested too deep to be translated") from None
    if "plt" in scope.used:
        body += ["", "plt.show()"]
    title = f'"""Translated from {name} by `deepibl migrate`; lines marked MIGRATE need a look."""'
    notes = list(dict.fromkeys(scope.notes))
    noted = [*(f"# MIGRATE: {note}" for note in notes), ""] if notes else []
    text = "\n".join([title, "", *_imports(scope.used), "", *noted, *body]).rstrip() + "\n"
    try:  # each statement was checked; together they can still be nested deeper than Python allows
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise ConfigurationError(f"{name}: its translation cannot be read by Python: {problem}") from None
    return Migration(text, script.marks, notes)


def migrate_file(path: StrPath, output: StrPath | None = None, **options: Any) -> Migration:
    """Translates a file and, where `output` is given, writes it there, whole or not at all.

    options: those of `migrate`. Raises ConfigurationError for a file that cannot be read.
    """
    try:
        source = Path(path).read_bytes()
    except OSError as problem:
        raise ConfigurationError(f"{path}: cannot be read: {problem.strerror}") from None
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = source.decode("latin-1")  # what older MATLABs wrote
    result = migrate(text, Path(path).name, **options)
    if output is not None:
        with atomic_output(output) as temporary:
            temporary.write_text(result.text, encoding="utf-8")
    return result


def parse_overrides(texts: Iterable[str]) -> dict[tuple[str, str], Any]:
    """Overrides from strings FUNCTION.OPTION=VALUE and VARIABLE=VALUE (function ''). Raises ArgumentError."""
    found = {}
    for text in texts:
        left, equals, value = text.partition("=")
        function, dot, option = left.strip().rpartition(".")
        if not (equals and option.isidentifier() and (function.isidentifier() or not dot)):
            raise ArgumentError(
                "--set takes FUNCTION.OPTION=VALUE or VARIABLE=VALUE, e.g. trainWeakly.nEpoch=1, "
                f"not {text!r}"
            )
        try:
            found[function, option] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found[function, option] = {"true": True, "false": False}.get(value.strip(), value.strip())
    return found


def _imports(used: set[str]) -> list[str]:
    """The lines that import these names: the standard library, third parties, deepibl and matlab_compat."""
    plain = sorted(IMPORTS[name] for name in used if IMPORTS.get(name, "").startswith("import "))
    third = [line for line in plain if "numpy" in line or "matplotlib" in line]
    modules: dict[str, set[str]] = {}
    for name in used:
        package, _, function = name.rpartition(":")
        module = package or IMPORTS[name]
        if not module.startswith("import "):
            modules.setdefault(module, set()).add(function)
    ours = []
    for module, names in sorted(modules.items()):
        line = f"from {module} import {', '.join(sorted(names))}"
        if len(line) > 100:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in sorted(names)) + ")"
        ours.append(line)
    blocks = ([line for line in plain if line not in third], third, ours)
    return [line for block in blocks if block for line in [*block, ""]][:-1]

"""MATLAB scripts of calls to deepIBL, NetVLAD and MatConvNet, translated to Python.

The script is parsed by tree-sitter's MATLAB grammar (the extra `migrate`), its expressions are grouped by
MATLAB's precedence, and it is translated statement by statement; comments are kept. The Python script has
MATLAB's values and conventions: arrays of at least two dimensions with indices from 1
(`matlab_compat.language`), and the original's functions with features D x N and ids from 1
(`deepibl.migrate.originals`). Where the script itself shows what a value is, Python's own operators, strings
and loops are used. What cannot be translated with certainty becomes a line marked MIGRATE that raises when it
is reached, so that a migrated script is never silently wrong.
"""

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepibl.errors import ConfigurationError
from deepibl.migrate.library import FUNCTIONS
from deepibl.migrate.names import MODULES
from deepibl.migrate.script import Mark, ScriptTranslator
from matlab_compat import language
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, write_text
from matlab_compat.language import figures


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
    siblings: Mapping[str, str] | None = None,
    notes: Iterable[str] = (),
) -> Migration:
    """Translates the text of a MATLAB script.

    name: the script's name in marks. keep_stops: keep an error(…) that stops the script at its top level
    before its end (as NetVLAD's demo.m does); by default it becomes a printed line. overrides: option values
    by (function, option), used in calls instead of the script's own; values of variables by ('', variable).
    siblings: the text of function files and classes beside it, by their names, which are imported where
    called. notes: what to say at the top of the translation, too.
    Raises ConfigurationError where the grammar is not installed, and for statements nested too deep for
    Python.
    """
    script = ScriptTranslator(name, keep_stops, overrides or {}, siblings or {})
    try:
        body, scope = script.translate(source.replace("\r\n", "\n").replace("\r", "\n"))
    except RecursionError:
        raise ConfigurationError(f"{name}: its statements are nested too deep to be translated") from None
    items = vars(figures).items()
    drawing = {name for name, item in items if getattr(item, "__module__", "") == figures.__name__}
    if scope.used & drawing and not script.functions_only:
        scope.need("show_figures")
        body += ["", "show_figures()"]
    title = f'"""Translated from {name} by `deepibl migrate`; lines marked MIGRATE need a look."""'
    listed = list(dict.fromkeys([*notes, *scope.notes]))
    noted = [*(f"# MIGRATE: {note}" for note in listed), ""] if listed else []
    text = "\n".join([title, "", *_imports(scope.used), "", *noted, *body]).rstrip() + "\n"
    try:  # each statement was checked; together they can still be nested deeper than Python allows
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise ConfigurationError(f"{name}: its translation cannot be read by Python: {problem}") from None
    return Migration(text, script.marks, listed)


def migrate_file(path: StrPath, output: StrPath | None = None, **options: Any) -> Migration:
    """Translates a file and, where `output` is given, writes it there, whole or not at all.

    .m files beside it are imported where they are called. Of one with the name of a function of deepibl that
    holds where it was translated before; else deepibl's is called, as a note says. localPaths.m is read by
    the library. options: those of `migrate`. Raises ConfigurationError for a file that cannot be read.
    """
    try:
        source = Path(path).read_bytes()
    except OSError as problem:
        raise ConfigurationError(f"{path}: cannot be read: {problem.strerror}") from None
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = source.decode("latin-1")  # what older MATLABs wrote
    beside = {other.stem: other for other in Path(path).parent.glob("*.m")}
    for name in [*beside]:
        own = name in (Path(path).stem, "localPaths", "setup")
        if own or not re.search(rf"\b{re.escape(name)}\b", text):
            del beside[name]
    folder = Path(output or path).parent
    ours = sorted(name for name in beside if name in FUNCTIONS and not (folder / f"{name}.py").is_file())
    what = "deepibl's are called; to call those of the .m files beside this script, translate these first"
    notes = [f"{', '.join(ours)}: {what}"] if ours else []
    siblings = {name: file.read_text("latin-1") for name, file in beside.items() if name not in ours}
    result = migrate(text, Path(path).name, siblings=siblings, notes=notes, **options)
    if output is not None:
        write_text(output, result.text)
    return result


def parse_overrides(texts: Iterable[str]) -> dict[tuple[str, str], Any]:
    """Overrides from strings FUNCTION.OPTION=VALUE and VARIABLE=VALUE (function ''). Raises ArgumentError."""
    found = {}
    for text in texts:
        left, equals, value = text.partition("=")
        function, dot, option = left.strip().rpartition(".")
        if not (equals and option.isidentifier() and (function.isidentifier() or not dot)):
            raise ArgumentError(
                f"--set takes FUNCTION.OPTION=VALUE (trainWeakly.nEpoch=1) or VARIABLE=VALUE, not {text!r}"
            )
        try:
            found[function, option] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found[function, option] = {"true": True, "false": False}.get(value.strip(), value.strip())
    return found


def _imports(used: set[str]) -> list[str]:
    """The lines that import these names: of the standard library, the packages, the script's neighbours."""
    plain = sorted(MODULES[name] for name in used if name in MODULES)
    modules: dict[str, list[str]] = {}
    for name in sorted(used):
        module, _, function = name.rpartition(":")
        if not module and name in FUNCTIONS:
            module = "deepibl.migrate.originals"
        elif not module and name in dir(language) and name not in MODULES:
            module = "matlab_compat.language"
        if module:
            modules.setdefault(module, []).append(function)
    ours = []
    for module, names in sorted(modules.items()):
        names = sorted(set(names))
        line = f"from {module} import {', '.join(names)}"
        if len(line) > 100:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
        ours.append(line)
    return [line for block in (plain, ours) if block for line in [*block, ""]][:-1]

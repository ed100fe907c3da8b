"""Writes docs/arguments.md: the arguments and defaults of the originals' functions, and what differs here.

tests/architecture/original_arguments.json: what the originals declare, and the reasons.
"""

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import deepibl.matlab  # noqa: E402
import matlab_compat  # noqa: E402
from matlab_compat.nn.geometry import SWITCHES  # noqa: E402

DATA = json.loads((ROOT / "tests/architecture/original_arguments.json").read_text(encoding="utf-8"))
PAGE = ROOT / "docs" / "arguments.md"
REQUIRED = inspect.Parameter.empty
HEAD = """# Arguments and defaults

What each function of the originals takes, with the defaults written there, and what differs here. After the
semicolon are options: `'name', value` pairs or keywords in any letter case; others are given by position.
Numbers are rows of [differences.md](differences.md). Written by `scripts/make_arguments_table.py`.

| original | arguments; options | here | why |
|---|---|---|---|
"""


def value(text: str | None) -> Any:
    """A default as MATLAB writes it: [] and '' are None, a row is a list; None: the argument is required."""
    if text and text.startswith("[") and (parts := re.findall(r"[\d:]+", text)):
        rows = [[int(number) for number in part.split(":")] for part in parts]
        return [n for row in rows for n in range(row[0], row[-1] + 1, row[1] if len(row) > 2 else 1)]
    words = {None: REQUIRED, "[]": None, "''": None, "true": True, "false": False}
    if text is None or text in words:
        return words[text]
    return float(text) if re.fullmatch(r"[+-]?(inf|[\d.]+(e-?\d+)?)", text) else text.strip("'")


def counterpart(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The positional arguments and the options of a function, or class.method, here, with their defaults."""
    first, *method = name.split(".")
    modules = (deepibl.matlab, matlab_compat, matlab_compat.relja)
    found: Any = next(getattr(module, first) for module in modules if hasattr(module, first))
    if method:
        found = getattr(found if inspect.isclass(found) else type(found()), method[0])
    parameters = list(inspect.signature(found).parameters.values())[len(method) :]
    positional = {each.name: each.default for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD}
    options = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    return positional, options | (sys.modules[found.__module__]._DEFAULTS if takes_all else {})


def differences(name: str, arguments: dict[str, Any], options: dict[str, Any]) -> dict[str, str]:
    """What differs here from an original's arguments and options (name -> default): name -> how."""
    positional, named = counterpart(name)
    theirs, lower = {**arguments, **options}, {option.lower(): option for option in options}
    renamed = dict(zip(positional, arguments, strict=False))
    ours = {renamed.get(here, here): default for here, default in positional.items()}
    ours |= {lower.get(here.lower(), here): default for here, default in named.items()}
    if name.startswith("vl_nn"):
        ours |= {option: value(options[option]) for option in options if option.lower() in SWITCHES}
    found = {there: f"named {here}" for here, there in renamed.items() if here.lower() != there.lower()}
    for each in [*theirs, *(name for name in ours if name not in theirs)]:
        if each not in ours or each not in theirs:
            found[each] = "only here" if each in ours else "missing"
            continue
        default = None if ours[each] in ((), "") else ours[each]
        if (list(default) if isinstance(default, tuple) else default) != value(theirs[each]):
            found[each] = "required" if default is REQUIRED else f"default {ours[each]!r}"
    return found


def grouped(words: dict[str, str]) -> str:
    """'`a`, `b` word; `c` other' of {a: word, b: word, c: other}."""
    names: dict[str, list[str]] = {}
    for name, word in words.items():
        names.setdefault(word, []).append(f"`{name}`")
    return "; ".join(f"{', '.join(each)} {word}" for word, each in names.items())


def row(original: str, facts: dict[str, Any]) -> str:
    """The line of a function. Raises KeyError for a difference without a reason."""
    file, _, method = original.partition("#")
    name = file.rpartition("/")[2].partition(".")[0] + (f".{method}" if method else "")
    parts = [facts["arguments"], facts.get("options", {})]
    found = differences(name, *parts)
    reasons = DATA["why"]["*"] | DATA["why"].get(original, {})
    why = {each: reasons["named" if how.startswith("named") else each] for each, how in found.items()}
    lists = [", ".join(k if v is None else f"{k} = {v}" for k, v in part.items()) for part in parts if part]
    taken = f"`{'; '.join(lists) or '–'}`"
    here = grouped(found) or "same"
    return f"| {original.replace('#', ' ')} | {taken} | {here} | {grouped(why)} |"


def page() -> str:
    """The text of docs/arguments.md."""
    return HEAD + "\n".join(row(*each) for each in DATA["originals"].items()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

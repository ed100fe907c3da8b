"""How the arguments and defaults of an original function differ from those of its counterpart here."""

import inspect
import re
import sys
from typing import Any

import deepibl.matlab
import matlab_compat
from matlab_compat.nn.geometry import SWITCHES

REQUIRED = inspect.Parameter.empty


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

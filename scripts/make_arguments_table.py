"""Writes docs/arguments.md: the arguments and defaults of the originals' functions, and what differs here.

tests/architecture/original_arguments.json: what the originals declare, and the reasons.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.original_arguments import differences  # noqa: E402

DATA = json.loads((ROOT / "tests/architecture/original_arguments.json").read_text(encoding="utf-8"))
PAGE = ROOT / "docs" / "arguments.md"
_LONG = 300  # characters of a row that is not repeated
HEAD = """# Arguments and defaults

What each function of the originals takes, with the defaults written there, and what differs here. After the
semicolon are options: `'name', value` pairs or keywords in any letter case; others are given by position.
Numbers are rows of [differences.md](differences.md). Written by `scripts/make_arguments_table.py`.

| original | arguments; options | here | why |
|---|---|---|---|
"""


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
    lines, first = [], dict[str, str]()
    for original, facts in DATA["originals"].items():
        name, _, rest = row(original, facts).partition(" | ")
        like = first.setdefault(rest, name.removeprefix("| "))
        long = len(rest) > _LONG and like not in name
        lines.append(f"{name} | as {like} | | |" if long else f"{name} | {rest}")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

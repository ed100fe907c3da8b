"""`deepibl help TOPIC`: the pages of docs/, which are installed with the package."""

import re
from pathlib import Path
from typing import Annotated

import typer

from matlab_compat.errors import ArgumentError, did_you_mean


def pages() -> dict[str, str]:
    """The text of each page by its name, without comments; not those that only include other files."""
    here = Path(__file__).resolve().parents[1]
    folder = here / "_docs" if (here / "_docs").is_dir() else here.parent / "docs"
    texts = {page.stem: page.read_text("utf-8") for page in sorted(folder.glob("*.md"))}
    return {name: re.sub(r"<!--.*?-->\n?", "", text) for name, text in texts.items() if "--8<--" not in text}


def help(topic: Annotated[str | None, typer.Argument(help="A page; left out: their names.")] = None) -> None:
    """Print a page of the documentation."""
    known = pages()
    if topic is None:
        for name, text in known.items():
            typer.echo(f"deepibl help {name:<18}{text.partition('# ')[2].splitlines()[0]}")
        return
    if topic not in known:
        raise ArgumentError(f"`deepibl help` lists the pages; {topic!r} is none{did_you_mean(topic, known)}")
    typer.echo(known[topic])

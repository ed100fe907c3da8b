"""What the README shows is there; tests/architecture/test_pages.py runs its cells."""

import re
from pathlib import Path

import typer.main

from deepibl.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_command_that_a_page_shows_exists() -> None:
    known = set(typer.main.get_command(app).commands)
    pages = [README, *(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))]
    command = re.compile(r"(?:^|[`&] ?)deepibl ([a-z][\w-]+)", re.MULTILINE)
    shown = {name for page in pages for name in command.findall(page)}
    assert len(shown) > 10 and shown - known == set()


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(((?!http)[^)#]+)", README)
    assert len(targets) > 15
    assert [target for target in targets if not (ROOT / target).exists()] == []

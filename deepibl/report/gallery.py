"""Galleries of a report: queries with their answers as small pictures, never more than a page can bear."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from deepibl.report.html_page import esc
from deepibl.report.run import Answer, Query, Run
from deepibl.report.thumbnails import thumbnail

HITS, FAILURES = 10, 36
_SIDE = 176
Picture = Callable[[str], str | None]


class Thumbnails:
    """Thumbnails of files as data URIs; each file is read once."""

    def __init__(self) -> None:
        self._made: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        if path not in self._made:
            self._made[path] = thumbnail(path, _SIDE)
        return self._made[path]


def chosen_failures(run: Run, most: int = FAILURES) -> list[int]:
    """Queries whose first answer is wrong: the surest mistakes (smallest distance of descriptors) first."""
    wrong = [i for i, query in enumerate(run.queries) if not query.found(1) and query.answers]
    return sorted(wrong, key=lambda i: run.queries[i].answers[0].distance or 0.0)[:most]


def chosen_hits(run: Run, most: int = HITS) -> list[int]:
    """Queries whose first answer is right, evenly from the surest to the most doubtful."""
    right = [i for i, query in enumerate(run.queries) if query.found(1)]
    right.sort(key=lambda i: run.queries[i].answers[0].distance or 0.0)
    if len(right) <= most:
        return right
    return [right[int(at)] for at in np.linspace(0, len(right) - 1, most)]


def case(run: Run, number: int, picture: Picture, *, answers: int = 3) -> str:
    """One query with its first answers, and where these are wrong with the first right one."""
    query = run.queries[number]
    figures = [_figure(_path(run.query_root, query.name), _query_caption(query), "", picture)]
    figures += [answer_figure(run, answer, picture) for answer in query.answers[:answers]]
    truth = query.truth
    if truth is not None and not any(answer.right for answer in query.answers[:answers]):
        figures.append(answer_figure(run, truth, picture))
    said = "" if truth else '<p class="soft">The database has no image near this query.</p>'
    return f'<div class="case" id="{anchor(number)}">{"".join(figures)}{said}</div>'


def anchor(number: int) -> str:
    """The id on the page of a query's case."""
    return f"q{number}"


def answer_figure(run: Run, answer: Answer, picture: Picture, title: str = "") -> str:
    """An answer as a small picture with rank, metres and distance, framed by whether it is right."""
    rank = f"answer {answer.rank}" if answer.rank else "nearest right one, not in the first 100"
    kind = "right" if answer.right else "wrong"
    lines = [f'<b class="{kind[0]}">{esc(title or rank)}</b>']
    if answer.metres is not None:
        lines.append(f"{answer.metres:.1f} m away")
    if answer.distance is not None:
        lines.append(f"distance {answer.distance:.3f}")
    return _figure(_path(run.database_root, answer.name), [*lines, esc(answer.name)], kind, picture)


def query_figure(run: Run, query: Query, picture: Picture) -> str:
    """The query itself as a small picture."""
    return _figure(_path(run.query_root, query.name), _query_caption(query), "", picture)


def _query_caption(query: Query) -> list[str]:
    lines = ["<b>query</b>", esc(query.name)]
    if query.east is not None:
        lines.append(f"{query.east:.1f} E {query.north:.1f} N")
    return lines


def _figure(path: str, lines: Sequence[str], kind: str, picture: Picture) -> str:
    data = picture(path)
    image = (
        f'<img alt="" loading="lazy" src="{data}">'
        if data
        else '<div class="missing">picture not found</div>'
    )
    return f'<figure class="{kind}">{image}<figcaption>{"<br>".join(lines)}</figcaption></figure>'


def _path(root: str, name: str) -> str:
    return os.path.join(root, name)

"""`deepibl localize --html`: one self-contained page with each query and its matches side by side."""

import html
from collections.abc import Sequence

from deepibl.index import Match
from deepibl.report.thumbnails import thumbnail

_SIDE = 320  # pixels of a picture's longer side

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #1b1f24; background: #fafafa }
section { background: #fff; border: 1px solid #d9dde2; border-radius: 8px; padding: 1rem; margin: 0 0 1.5rem }
.row { display: flex; flex-wrap: wrap; gap: 12px; align-items: flex-start }
figure { margin: 0; width: 240px } img { width: 100%; border-radius: 4px; display: block; background: #eee }
.query img { outline: 3px solid #2f6fde }
figcaption { font-size: 13px; margin-top: 4px; overflow-wrap: anywhere }
.missing { height: 160px; display: grid; place-items: center; background: #eee; color: #777 }
small { color: #59636e }
"""


def match_page(results: Sequence[tuple[str, Sequence[Match]]], *, title: str = "deepibl localize") -> str:
    """The page as HTML text.

    `results`: pairs of a query's file name and its matches, best first. Pictures are embedded as thumbnails
    (at most 320 pixels a side); one that cannot be read is shown as a grey box. Loads nothing from a network.
    """
    sections = "\n".join(_section(query, matches) for query, matches in results)
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{sections}\n</body></html>\n"
    )


def _section(query: str, matches: Sequence[Match]) -> str:
    figures = [_figure(query, f"<b>query</b><br>{html.escape(query)}", "query")]
    figures += [_figure(match.path, _caption(match), "match") for match in matches]
    return f'<section><div class="row">{"".join(figures)}</div></section>'


def _caption(match: Match) -> str:
    lines = [
        f"<b>{match.rank}</b> {html.escape(match.name)}",
        f"<small>descriptor distance {match.distance:.4f}</small>",
    ]
    if match.east is not None:
        lines.append(f"<small>UTM {match.east:.1f} E {match.north:.1f} N</small>")
    if match.map_link:
        lines.append(
            f'<a href="{html.escape(match.map_link)}">{match.latitude:.6f}, {match.longitude:.6f}</a>'
        )
    return "<br>".join(lines)


def _figure(path: str, caption: str, kind: str) -> str:
    picture = thumbnail(path, _SIDE)
    image = f'<img alt="" src="{picture}">' if picture else '<div class="missing">picture not found</div>'
    return f'<figure class="{kind}">{image}<figcaption>{caption}</figcaption></figure>'

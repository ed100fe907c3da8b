"""The shell of a self-contained page: style, table script, and a policy that lets it load nothing.

Every text that comes from outside (file names above all) goes through `esc`. The page's content policy
allows embedded pictures, the style and one script, which it names by its hash: whatever else a name might
smuggle in, a browser does not run it.

Small pictures of image files for pages and terminals; what cannot be read is None, never an error.

`deepibl localize --html`: one self-contained page with each query and its matches side by side.
"""

import base64
import hashlib
import html
import io
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepibl.search.index import Match
from matlab_compat.files import Bounded

_STYLE = """
:root { --ink: #1d2228; --soft: #5d6673; --line: #dfe2e6; --right: #0f7b6c; --wrong: #c8372d }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: var(--ink);
  background: #f5f6f8; margin: 0 auto; max-width: 1080px; padding: 1.2rem }
h1 { font-size: 1.5rem; margin: .2rem 0 }
h2 { font-size: 1.1rem; margin: 0 0 .6rem }
p { margin: .3rem 0 .7rem }
section, .tile { background: #fff; border: 1px solid var(--line); border-radius: 10px }
section { padding: 1rem; margin: 1rem 0 }
.soft, figcaption, .legend { color: var(--soft); font-size: 13px }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .22rem .9rem .22rem 0; text-align: right; border-bottom: 1px solid var(--line) }
td { white-space: nowrap }
th { font-weight: 600; vertical-align: bottom }
th:first-child, td:first-child, .left td, .left th { text-align: left }
.left td + td { white-space: normal; overflow-wrap: anywhere }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem }
.tile { padding: .5rem 1.1rem }
.tile b { display: block; font-size: 1.6rem }
.beside { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start }
.beside > * { flex: 0 1 auto; min-width: 0 }
.beside > :last-child { flex: 1 1 360px }
svg text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #444b55 }
svg.chart, svg.map { width: 100%; height: auto; display: block }
svg.map { background: #fbfbfc; border-radius: 8px }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem }
.key svg { width: 16px; vertical-align: -3px }
.case { display: flex; flex-wrap: wrap; gap: 8px; padding: .7rem 0; border-top: 1px solid var(--line) }
.case:target { background: #fff7e0 }
figure { margin: 0; width: 150px }
figure img, .missing { width: 100%; border-radius: 5px; border: 3px solid #ccd1d8; display: block }
.missing { height: 100px; display: grid; place-items: center; background: #eceef1; font-size: 12px }
.right > img, .right > .missing { border-color: var(--right) }
.wrong > img, .wrong > .missing { border-color: var(--wrong) }
figcaption { font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; margin-top: 3px }
figcaption b { color: var(--ink) }
figcaption b.r { color: var(--right) }
figcaption b.w { color: var(--wrong) }
summary { cursor: pointer; font-weight: 600 }
.controls { display: flex; flex-wrap: wrap; gap: .6rem; margin: .6rem 0 }
input, button, select { font: inherit; padding: .25rem .6rem; border: 1px solid var(--line);
  border-radius: 6px }
@media print { body { background: #fff } details { display: none } }
"""

# fills a table of many rows page by page; names are set as text, never as markup
_SCRIPT = """
document.querySelectorAll('.rows').forEach(function (box) {
  var data = JSON.parse(box.querySelector('script').textContent), size = 50, page = 0, shown = data.rows;
  var body = box.querySelector('tbody'), text = box.querySelector('input'), kind =
  box.querySelector('select'); var note = box.querySelector('.note'), step = box.querySelectorAll('button');
  function draw() {
    body.textContent = '';
    shown.slice(page * size, page * size + size).forEach(function (row) {
      var line = body.insertRow();
      row.forEach(function (value) { line.insertCell().textContent = value === null ? '\\u2013' : value; });
    });
    var pages = Math.max(1, Math.ceil(shown.length / size));
    note.textContent = shown.length + ' of ' + data.rows.length + ', page ' + (page + 1) + ' of ' + pages;
    step[0].disabled = page === 0; step[1].disabled = page + 1 >= pages;
  }
  function choose() {
    var want = text.value.toLowerCase(), which = kind.value;
    shown = data.rows.filter(function (row) {
      var kept = which === '' || data.kinds[which].indexOf(row[data.column]) >= 0;
      return kept && (want === '' || String(row[0]).toLowerCase().indexOf(want) >= 0);
    });
    page = 0; draw();
  }
  text.addEventListener('input', choose); kind.addEventListener('change', choose);
  step[0].addEventListener('click', function () { page--; draw(); });
  step[1].addEventListener('click', function () { page++; draw(); });
  var fold = box.querySelector('details');
  if (fold.open) { draw(); } else { fold.addEventListener('toggle', draw, { once: true }); }
});
"""


def esc(text: Any) -> str:
    """Text as it may stand in HTML, between tags and in attributes."""
    return html.escape(str(text), quote=True)


def page(title: str, sections: Sequence[str]) -> str:
    """A whole document of these parts (HTML); it loads nothing."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in sections if part)
        + f"\n<script>{_SCRIPT}</script></body></html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A section of the page; nothing where there is nothing in it."""
    content = "\n".join(part for part in parts if part)
    return f"<section><h2>{esc(heading)}</h2>\n{content}</section>" if content else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], css: str = "") -> str:
    """A table of texts, which are escaped."""
    head = "".join(f"<th>{esc(cell)}</th>" for cell in header)
    lines = "".join("<tr>" + "".join(f"<td>{esc(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="{css}"><tr>{head}</tr>{lines}</table></div>'


def note(text: str) -> str:
    """A remark in small grey letters."""
    return f'<p class="soft">{esc(text)}</p>'


def many_rows(
    summary: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    column: int,
    kinds: dict[str, list[Any]],
) -> str:
    """A table that stays folded and is drawn 50 rows at a time, with a search in the first column.

    kinds: choices, each with the values of `column` that it keeps. The rows lie in the page as JSON.
    """
    data = json.dumps({"rows": rows, "column": column, "kinds": kinds}, separators=(",", ":"))
    for mark, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        data = data.replace(mark, code)
    choices = "".join(f"<option>{esc(kind)}</option>" for kind in kinds)
    head = "".join(f"<th>{esc(cell)}</th>" for cell in header)
    return (
        f'<div class="rows"><details><summary>{esc(summary)}</summary><div class="controls">'
        f'<input placeholder="part of a name" aria-label="part of a name"><select aria-label="which">'
        f'<option value="">all</option>{choices}</select><button>back</button><button>next</button>'
        '<span class="note soft"></span></div>'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody></tbody></table></div></details>'
        f'<script type="application/json">{data}</script></div>'
    )


QUALITY = 62


def small_picture(path: str | os.PathLike[str], side: int) -> np.ndarray | None:
    """The picture in a file, its longer side at most `side` pixels: (h, w, 3) uint8 RGB, or None."""
    from PIL import Image

    try:
        with Bounded(path) as file, Image.open(file) as picture:
            picture.draft("RGB", (2 * side, 2 * side))  # JPEG: decodes a fraction of the pixels
            small = picture.convert("RGB")
            small.thumbnail((side, side))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    return np.asarray(small)


def thumbnail(path: str | os.PathLike[str], side: int = 176) -> str | None:
    """As `small_picture`, as a data URI of a JPEG: a few kilobytes of text to put into a page."""
    small = small_picture(path, side)
    if small is None:
        return None
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


_SIDE = 320  # pixels of a picture's longer side

_MATCH_STYLE = """
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
        f"<style>{_MATCH_STYLE}</style></head>\n"
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

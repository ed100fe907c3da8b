"""Self-contained pages from the templates in `templates/`, with small pictures embedded in them.

jinja2 escapes every value, and an undefined name is an error. A page's content policy allows embedded
pictures, the style and one script, which it names by its hash: a browser loads nothing else, and runs nothing
that a file name could smuggle in.
"""

import base64
import hashlib
import io
import os
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from deepibl.datasets.geo import map_link
from deepibl.errors import how_many
from deepibl.images import Reading, open_image
from deepibl.search.answer import Answer
from matlab_compat.errors import ImageReadError
from matlab_compat.files import StrPath
from matlab_compat.jpeg import read_bytes

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, /, **values: Any) -> str:
    """The page of a template in `templates/` as HTML text, with ? for what is not UTF-8 in names."""
    return _environment().get_template(template).render(values).encode("utf-8", "replace").decode()


@cache
def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    made.trim_blocks = made.lstrip_blocks = True
    script = (_TEMPLATES / "table.js").read_text(encoding="utf-8")
    made.globals |= {
        "style": Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "map_link": map_link,
        "how_many": how_many,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    made.filters["recall"] = lambda value: "–" if value is None else f"{100 * value:.1f}"
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return made


QUALITY = 62


def small_picture(path: StrPath, side: int) -> np.ndarray | None:
    """The picture in a file, its longer side at most `side` pixels: (h, w, 3) uint8 RGB, or None."""
    name = os.fspath(path)
    try:
        small = open_image(read_bytes(name), name, Reading(max_side=side, upright=True))
    except ImageReadError:
        return None
    return np.asarray(small.convert("RGB"))


def thumbnail(path: StrPath, side: int = 176) -> Markup | None:
    """As `small_picture`, as attributes of an <img>: size, so that the page does not jump, and data URI."""
    small = small_picture(path, side)
    if small is None:
        return None
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    attributes = 'width="{}" height="{}" src="data:image/jpeg;base64,{}"'
    return Markup(attributes).format(small.shape[1], small.shape[0], data)


def match_page(results: Sequence[tuple[str, Answer]], *, title: str = "deepibl localize") -> str:
    """The page of `deepibl localize --html` as HTML text: each query and its matches side by side.

    results: pairs of a query's file name and its answer. Images are embedded as thumbnails of at
    most 320 pixels a side; one that cannot be read is shown as a grey box.
    """
    return render("matches.html", results=results, title=title, thumbnail=partial(thumbnail, side=320))

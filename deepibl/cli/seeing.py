"""Commands that show: heatmaps, reports compared, and previews in the terminal.

Small pictures in a terminal that shows colours: two pixels a character, as the upper half block.

`can_show` says whether a stream is such a terminal; programs that read the output never get a preview.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import numpy as np
import typer

from deepibl.cli.options import (
    BatchSize,
    Device,
    Json,
    MaxPixels,
    Net,
    Resize,
    choose_device,
    find_net,
    print_result,
)

_HALF = "▀"

_RESET = "\x1b[0m"

_GAP = "  "


def colours_of(stream: TextIO, environment: Mapping[str, str] | None = None) -> int:
    """How many colours the terminal behind a stream shows: 0 (none, or no terminal), 256, or 2**24.

    Follows TERM, COLORTERM, and NO_COLOR (https://no-color.org), and whether half blocks can be written to
    it.
    """
    env = os.environ if environment is None else environment
    if env.get("NO_COLOR") or env.get("TERM", "") in ("", "dumb") or not stream.isatty():
        return 0
    try:
        _HALF.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return 0
    if env.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return 2**24
    known = ("256color", "kitty", "alacritty", "direct", "ghostty", "foot")
    return 256 if any(word in env["TERM"] for word in known) else 0


def preview(
    pictures: Sequence[np.ndarray], *, columns: int = 80, colours: int = 2**24, widest: int = 32
) -> str:
    """Pictures (H, W, 3) uint8 RGB side by side as lines of coloured half blocks, at most `columns` wide.

    widest: characters a picture. Equal heights; returns '' where there is no room or no picture.
    """
    if not pictures:
        return ""
    room = (columns - len(_GAP) * (len(pictures) - 1)) // len(pictures)
    width = min(room, widest)
    if width < 8:
        return ""
    rows = max(2, round(max(width * shape[0] / shape[1] for shape in (p.shape for p in pictures)) / 2))
    rows = min(rows, width)
    blocks = [_lines(picture, width, rows, colours) for picture in pictures]
    return "\n".join(_GAP.join(parts) for parts in zip(*blocks, strict=True))


def _lines(picture: np.ndarray, width: int, rows: int, colours: int) -> list[str]:
    """`rows` lines of `width` characters; the picture keeps its shape and is centred, blanks around it."""
    import cv2

    height = min(2 * rows, max(2, round(width * picture.shape[0] / picture.shape[1])))
    across = min(width, max(1, round(height * picture.shape[1] / picture.shape[0])))
    small = cv2.resize(picture, (across, height), interpolation=cv2.INTER_AREA)
    if height % 2:
        small = np.concatenate([small, small[-1:]])
    lines = []
    for upper, lower in zip(small[0::2], small[1::2], strict=True):
        cells = "".join(
            _cell(above, below, colours) for above, below in zip(upper.tolist(), lower.tolist(), strict=True)
        )
        lines.append(cells + _RESET + " " * (width - across))
    return lines + [" " * width] * (rows - len(lines))


def _cell(above: list[int], below: list[int], colours: int) -> str:
    if colours > 256:
        return f"\x1b[38;2;{above[0]};{above[1]};{above[2]};48;2;{below[0]};{below[1]};{below[2]}m{_HALF}"
    return f"\x1b[38;5;{_of_256(above)};48;5;{_of_256(below)}m{_HALF}"


def _of_256(colour: list[int]) -> int:
    """The nearest of the 6 x 6 x 6 colours of a 256-colour terminal; greys from its finer grey ramp."""
    if max(colour) - min(colour) < 12:
        level = sum(colour) / 3
        return 16 if level < 4 else 231 if level > 246 else 232 + min(23, int((level - 3) / 10))
    red, green, blue = (round(value / 51) for value in colour)
    return 16 + 36 * red + 6 * green + blue


reports = typer.Typer(name="report", help="Reports of evaluations.", no_args_is_help=True)


def heatmap(
    net: Net,
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")] = Path("heatmap.png"),
    against: Annotated[Path | None, typer.Option(help="Another photo: what makes the two alike?")] = None,
    compare: Annotated[list[str] | None, typer.Option(help="Another network; may be repeated.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="gradient, guided, occlusion, clusters, cells, or all; may be repeated."),
    ] = None,
    maps: Annotated[Path | None, typer.Option(help="Folder for each overlay (PNG) and map (.npy).")] = None,
    resize: Resize = None,
    max_pixels: MaxPixels = 2**20,
    patch: Annotated[int | None, typer.Option(min=1, help="Side of occlusion's patch, in pixels.")] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Pixels between patches.")] = None,
    batch_size: BatchSize = 10,
    device: Device = "auto",
    preview: Annotated[bool, typer.Option(help="A small picture, where the terminal can.")] = True,
    as_json: Json = False,
) -> None:
    """Draw which pixels of a photo make its descriptor, or (--against) what makes two photos alike.

    The SARE paper's own way of drawing its heatmaps is not known; these are gradients, guided
    gradients and NetVLAD's occlusion.
    """
    from deepibl.report.sheet import check_sheet, heatmap_rows, write_maps, write_sheet

    check_sheet(output)
    networks = _networks([net, *(compare or [])], choose_device(device))
    rows = heatmap_rows(
        networks, photo, methods=_methods(method, against is not None), against=against,
        resize=resize, max_pixels=max_pixels, progress=None if as_json else _tell,
        patch=patch, step=step, batch_size=batch_size,
    )  # fmt: skip
    write_sheet(rows, output)
    files = write_maps(rows, maps) if maps is not None else []
    if as_json:
        typer.echo(json.dumps(_as_json(rows, output, files), indent=2))
        return
    typer.echo(f"wrote {output}" + (f" and {len(files)} files in {maps}" if files else ""))
    if preview:
        show([rows[0].pixels, *(drawing.picture for drawing in rows[0].drawings)])


@reports.command("compare")
def compare_reports(
    first: Annotated[Path, typer.Argument(help="A report: its folder, or its report.json.")],
    second: Annotated[Path, typer.Argument(help="The other one.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("compare.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Put two evaluations of one data set on one page: recalls, curves, and the queries that changed."""
    from deepibl.report.compare import compare_runs, comparison_page
    from deepibl.report.run import read_run
    from matlab_compat.files import atomic_output

    runs = read_run(first), read_run(second)
    with atomic_output(output) as temporary:
        temporary.write_text(comparison_page(*runs), encoding="utf-8")
    summary = compare_runs(*runs)
    print_result(summary.as_dict(), f"{summary}\nwrote {output}", as_json)


def write_report_page(evaluation: Any, folder: Path) -> None:
    """Writes the page of an evaluation, with the command that is running, and says where it is."""
    from deepibl.report.retrieval import write_report
    from deepibl.runtime.processes import team

    if not team().leads:
        return
    command = shlex.join(["deepibl", *sys.argv[1:]])
    typer.echo(f"page: {write_report(evaluation, folder, command)}", err=True)


def show(pictures: Sequence[Any]) -> None:
    """Prints small pictures, (H, W, 3) uint8 each, where standard output is a terminal that can show them."""

    colours = colours_of(sys.stdout)
    if colours:
        columns = shutil.get_terminal_size().columns
        typer.echo(preview(pictures, columns=columns, colours=colours), color=True)


def show_matches(photos: Sequence[tuple[str, Sequence[str]]], most: int = 3) -> None:
    """Prints small pictures of each photo and its matches, as `show` does, without unreadable ones."""
    from deepibl.report.html import small_picture

    if not colours_of(sys.stdout):
        return
    for photo, matches in photos:
        pictures = [small_picture(path, 96) for path in [photo, *matches[:most]]]
        show([picture for picture in pictures if picture is not None])


def _networks(names: Sequence[str], where: str) -> list[tuple[str, Any]]:
    from deepibl.networks.io import load_network

    paths = [find_net(name) for name in names]
    alike = len({path.stem for path in paths}) < len(paths)
    return [(str(path) if alike else path.stem, load_network(path, device=where)) for path in paths]


def _methods(asked: Sequence[str] | None, pair: bool) -> list[str]:
    from deepibl.report.heatmap import METHODS as PIXELS
    from deepibl.report.sheet import METHODS

    if not asked:
        return list(PIXELS)
    if "all" in asked:
        return [method for method in METHODS if pair or method != "cells"]
    return list(dict.fromkeys(asked))


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        typer.echo(line, err=True)


def _as_json(rows: Sequence[Any], sheet: Path, files: Sequence[Path]) -> dict[str, Any]:
    """What was drawn, for programs: each map's size, range, and peak as (x, y) shares of the photo."""
    import numpy as np

    listed = []
    for row in rows:
        found = {}
        for drawing in row.drawings:
            y, x = np.unravel_index(int(np.argmax(drawing.values)), drawing.values.shape)
            found[drawing.method] = {
                "size": list(drawing.values.shape),
                "least": float(drawing.values.min()),
                "most": float(drawing.values.max()),
                "peak": [(int(x) + 0.5) / drawing.values.shape[1], (int(y) + 0.5) / drawing.values.shape[0]],
            }
        listed.append(
            {"network": row.network, "photo": row.photo, "similarity": row.similarity, "maps": found}
        )
    return {"sheet": str(sheet), "files": [str(file) for file in files], "rows": listed}

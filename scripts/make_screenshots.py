"""Makes the pictures of docs/seeing.md from the demo's street photos: heatmaps, a report, two runs compared,
and the page of `deepibl serve`.

    python scripts/make_screenshots.py docs/images                      # with the network that ships
    python scripts/make_screenshots.py docs/images --net my_net.mat     # with another one

It needs Chromium (Debian: apt-get install chromium chromium-driver) and `deepibl[test]`, which drives it.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import typer
from PIL import Image

from deepibl.datasets import Places, database_places, dataset_from_places, query_places
from deepibl.demo.run import copy_photos
from deepibl.evaluation import Evaluation, evaluate_network
from deepibl.networks import DEFAULT_NETWORK, find_network, load_network
from deepibl.report import collect, comparison_page, heatmap_rows, write_report, write_sheet
from deepibl.report.cells import has_vlad
from deepibl.report.sheet import METHODS
from deepibl.search import build_index
from matlab_compat.files import atomic_bytes

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, it finds tests/

from tests.browser import browser
from tests.page_server import serving


def make_screenshots(target: Path, network: Path, work: Path) -> list[Path]:
    """Writes the pictures to `target` and returns them. work: a folder for the photos and the pages."""
    target.mkdir(parents=True, exist_ok=True)
    database, queries = copy_photos(work)
    places, net = database_places(database), load_network(network)
    dataset = dataset_from_places("lund", places, query_places(queries))
    evaluation = evaluate_network(net, dataset, label=network.name, features=work / "features")
    pair = _clear_match(evaluation)
    methods = [method for method in METHODS if has_vlad(net) or method not in ("clusters", "cells")]
    rows = heatmap_rows([(network.stem, net)], pair[0], against=pair[1], methods=methods)
    write_sheet(rows, work / "heatmap.png", width=2.4)
    made = [_as_jpeg(work / "heatmap.png", target / "heatmap.jpg")]
    page = write_report(evaluation, work / "report", "deepibl evaluate … --report report")
    fewer = evaluate_network(
        net, dataset, label=network.name, features=work / "features", crop_to_dim=evaluation.dim // 4
    )
    both = work / "compare.html"
    both.write_text(comparison_page(collect(fewer), collect(evaluation)), encoding="utf-8")
    others = [os.path.join(dataset.query_root, name) for name in dataset.query_names[1::5]]
    photos = [pair[0], *(other for other in others if other != pair[0])][:3]
    made += _page_of(net, network, places, photos, work, target)
    for file, name, height in ((page, "report.png", 1500), (both, "compare.png", 1250)):
        with browser(1100, height) as driver:
            driver.get(file.as_uri())
            driver.save_screenshot(str(work / name))
        with Image.open(work / name) as picture:
            small = _scaled(picture, 720)  # of 256 colours: half of the bytes
            small = small.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        with atomic_bytes(target / name) as buffer:
            small.save(buffer, "PNG", optimize=True)
        made.append(target / name)
    return made


def _clear_match(evaluation: Evaluation) -> tuple[str, str]:
    """The query that is found with the smallest distance, and its first answer."""
    dataset, run = evaluation.dataset, collect(evaluation)
    found = [query for query in run.queries if query.found(1)]
    best = min(found or run.queries, key=lambda query: query.answers[0].distance or 0.0)
    answer = os.path.join(dataset.database_root, best.answers[0].name)
    return os.path.join(dataset.query_root, best.name), answer


def _page_of(
    net: object, network: Path, places: Places, photos: list[str], work: Path, target: Path
) -> list[Path]:
    """The page with three photos, the places of the first and its heatmap, on a desktop and on a phone."""
    build_index(net, places, work / "city.idx", network_path=network)
    made = []
    with serving(work / "city.idx") as page:
        for name, size, phone in (("page", (1180, 1280), False), ("phone", (360, 820), True)):
            with browser(*size, phone=phone) as driver:
                _ask(driver, page.url, photos)
                driver.save_screenshot(str(work / f"{name}.png"))
            made.append(_as_jpeg(work / f"{name}.png", target / f"{name}.jpg", width=480 if phone else 1100))
    return made


def _ask(driver: Any, address: str, photos: list[str]) -> None:
    """Opens the page, sends photos, waits for everything and unfolds the first heatmap."""
    from selenium.webdriver.support.ui import WebDriverWait

    loaded = (
        "return [...document.querySelectorAll('#map svg, .heat:not([hidden]) figure img, .picture')]"
        ".every((i) => i.complete !== false && i.naturalWidth !== 0) && !!document.querySelector('#map svg')"
    )
    driver.get(address)
    driver.find_element("id", "file").send_keys("\n".join(photos))
    wait, all_of_them = WebDriverWait(driver, 300), f"{len(photos)} of {len(photos)} answered"
    wait.until(lambda _: driver.find_element("id", "answered").text == all_of_them)
    driver.execute_script("for (const i of document.querySelectorAll('.picture')) i.loading = 'eager'")
    driver.find_element("class name", "why").click()
    wait.until(lambda _: driver.execute_script(loaded))
    driver.execute_script("document.activeElement.blur()")


def _as_jpeg(source: Path, out: Path, width: int | None = None) -> Path:
    with Image.open(source) as picture, atomic_bytes(out) as buffer:
        _scaled(picture, width or picture.width).save(buffer, "JPEG", quality=72, optimize=True)
    return out


def _scaled(picture: Image.Image, width: int) -> Image.Image:
    size = (width, round(picture.height * width / picture.width))
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def main(folder: Path, net: str = DEFAULT_NETWORK) -> None:
    """Writes the pictures of docs/seeing.md to FOLDER; --net: a network by path or name."""
    with tempfile.TemporaryDirectory(prefix="deepibl-screenshots-") as work:
        made = make_screenshots(folder, find_network(net), Path(work))
    for path in made:
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    typer.run(main)

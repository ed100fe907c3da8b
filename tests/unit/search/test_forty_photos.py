"""Forty real photos as people have them, through every door: the same answers, in less than 2 GB."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.own_photos import ORIENTATION, STORED
from tests.small_network import SMALL_NETWORK

pytestmark = [pytest.mark.real, pytest.mark.slow]

GIGABYTES = 2
TWELVE_MEGAPIXELS = (4032, 3024)
# the command line, then the process's highest memory in KB
MEASURED = """
import sys
from deepibl.cli.main import main
try:
    main(sys.argv[1:])
finally:
    lines = open("/proc/self/status").read().splitlines()
    print("peak", next(line.split()[1] for line in lines if line.startswith("VmHWM")), file=sys.stderr)
"""


def write(photo: Image.Image, path: Path, exif: Image.Exif, orientation: int = 1) -> None:
    """Writes a photo with the EXIF of another, stored sideways where `orientation` says so."""
    exif[ORIENTATION] = orientation
    stored = photo.transpose(STORED[orientation]) if orientation in STORED else photo
    if path.suffix == ".heic":
        import pillow_heif

        pillow_heif.from_pillow(stored).save(path, quality=90, exif=exif.tobytes())
    else:
        stored.save(path, quality=95, exif=exif)


@pytest.fixture(scope="module")
def town(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mine/: 40 photos; asked/: 28 of them as the camera wrote them."""
    pytest.importorskip("pillow_heif", reason="needs the extra heif: pip install 'deepibl[heif]'")
    folder = tmp_path_factory.mktemp("town")
    mine, asked = folder / "mine", folder / "asked"
    mine.mkdir()
    asked.mkdir()
    street = sorted((real / "images/lund/data/lund/images").glob("*.jpg"))
    for number, file in enumerate(street[:28]):
        (asked / file.name).write_bytes(file.read_bytes())
        with Image.open(file) as photo:
            photo.load()
            exif = photo.getexif()
            name = f"{number:02d}.jpg"
            if number < 6:
                write(photo, mine / name, exif, (3, 6, 8)[number % 3])
            elif number < 10:
                large = photo.resize(TWELVE_MEGAPIXELS, Image.Resampling.LANCZOS)
                write(large, mine / name, exif, 6 if number % 2 else 1)
            elif number < 12:
                write(photo, mine / f"{number:02d}.heic", exif)
            else:
                (mine / name).write_bytes(file.read_bytes())
            if number < 8:  # a step nearer
                write(photo.crop((60, 45, 964, 723)), mine / f"near{number:02d}.jpg", photo.getexif())
    whole = street[28].read_bytes()
    (mine / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    for number, file in enumerate(sorted((real / "images/corridor/datasets/corridor/ref").glob("*.jpg"))[:3]):
        (mine / f"indoors{number}.jpg").write_bytes(file.read_bytes())
    assert len(list(mine.iterdir())) == 40
    return folder


def deepibl(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Runs the command in a process of its own, in less than 2 GB; gives standard output and error."""
    command = [sys.executable, "-c", MEASURED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    said, _, peak = done.stderr.rpartition("peak ")
    assert int(peak) * 1024 < GIGABYTES * 1e9, arguments
    return done.stdout, said


def test_every_door_gives_the_same_answers_in_little_memory(town: Path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra web: pip install 'deepibl[web]'")
    from fastapi.testclient import TestClient

    from deepibl.networks.io import load_network
    from deepibl.search.index import PlaceIndex
    from deepibl.serve.app import create_app
    from deepibl.serve.finder import PlaceFinder

    net, index = SMALL_NETWORK, town / "a.idx"
    out, err = deepibl("index", net, "--images", town / "mine", "-o", index, "--json", code=3)
    said = json.loads(out)
    assert (said["images"], said["failures"], said["without_position"]) == (39, 1, 3)
    assert "1 of 40 files were not used: 1 damaged" in err and "cut.jpg" in err

    photos = sorted((town / "asked").iterdir())
    out, _ = deepibl("localize", *photos, "--index", index, "--json")
    localized: dict[str, dict[str, Any]] = json.loads(out)
    for number, photo in enumerate(photos):
        first = localized[str(photo)]["places"][0]
        assert first["name"].split(".")[0] == f"{number:02d}" and first["distance"] < 0.05

    out, _ = deepibl("evaluate", "--index", index, "--queries", town / "asked", "--json")
    assert json.loads(out)["recall"]["1"] == 1

    finder = PlaceFinder(load_network(net), PlaceIndex.load(index))
    with TestClient(create_app(finder), base_url="http://127.0.0.1") as page:
        sent = {photo: photo.read_bytes() for photo in photos[:12]}
        sent |= {photo: photo.read_bytes() for photo in (town / "mine").glob("*.heic")}
        for photo, data in sent.items():
            answer = page.post("/api/localize", files={"photo": io.BytesIO(data)}).json()
            if str(photo) not in localized:
                out, _ = deepibl("localize", photo, "--index", index, "--json")
                localized |= json.loads(out)
            want = localized[str(photo)]["places"]
            assert [place["name"] for place in answer["places"]] == [match["name"] for match in want]
            assert answer["verdict"] == localized[str(photo)]["verdict"]
            got = [place["distance"] for place in answer["places"]]
            assert got == pytest.approx([match["distance"] for match in want], abs=1e-4)
        refused = page.post("/api/localize", files={"photo": (town / "mine/cut.jpg").read_bytes()})
        assert refused.status_code == 422 and "truncated" in refused.json()["error"]

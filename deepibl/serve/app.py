"""The ASGI application: the page, and a JSON API with an OpenAPI document.

POST /api/localize                  a photo -> the places that look most like it
POST /api/heatmap                   a photo and a row -> PNG: what makes the two alike
GET  /api/places/{row}/thumbnail    JPEG
GET  /api/map                       SVG
GET  /api/health, /openapi.json
"""

import functools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from deepibl import __version__
from deepibl.index import Match
from deepibl.page.desk import Desk
from deepibl.page.finder import Around, PlaceFinder
from deepibl.page.guard import Guard
from deepibl.page.limits import Limits
from deepibl.page.models import Health, Localized, Place, Problem, SentPhoto
from deepibl.page.photo import Photo
from deepibl.page.places import EXTENTS, SIDES, Places, as_image
from deepibl.page.refusal import answer_errors
from deepibl.page.upload import Upload

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PARTS = ("photo", "place")
_STATIC = Path(__file__).parent / "static"
_DEFAULT_TOP = 5
_FARTHEST = 1_000_000.0  # metres
_FRESH = {"Cache-Control": "no-store"}


def create_app(
    finder: PlaceFinder,
    *,
    root: str = "",
    limits: Limits | None = None,
    hosts: Sequence[str] = LOOPBACK,
    index_name: str = "",
) -> FastAPI:
    """The application for one index and its network.

    root: where the index's images lie now (default: where they lay). hosts: the Host headers that are
    answered; others are refused, so that no name of another site can be pointed at this address.
    """
    desk = Desk(finder, Places(finder.index, root), limits or Limits())

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        desk.worker.start()
        yield
        desk.worker.stop()

    app = FastAPI(
        title="deepibl: where was this photo taken?", version=__version__,
        description="Visual place recognition by one index of geo-tagged images. Photos are kept in memory "
        "while they are answered, and nowhere else.",
        docs_url=None, redoc_url=None, lifespan=living,
        responses={status: {"model": Problem} for status in ("4XX", "5XX")},
    )  # fmt: skip
    answer_errors(app)
    app.include_router(_questions(desk), prefix="/api")
    app.include_router(_pictures(desk), prefix="/api")
    app.include_router(_page(desk, index_name))
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_middleware(Guard, hosts=hosts)
    return app


def _questions(desk: Desk) -> APIRouter:
    """What is asked about a photo."""
    api = APIRouter()

    @api.post("/localize", openapi_extra=_localize_form(desk))
    async def localize(request: Request, response: Response) -> Localized:
        """The places of the index that look most like a photo, the best first."""
        response.headers.update(_FRESH)
        async with desk.admitted():
            photo, fields = await desk.photo(request)
            top = fields.number("top", min(_DEFAULT_TOP, desk.limits.top), 1, desk.limits.top)
            around = _around(desk, fields, photo)
            began = time.monotonic()
            found = await desk.answer(request, desk.worker.find(photo.pixels, top, around))
            places = [_place(desk, match, photo) for match in found]
            return Localized(photo=_sent(photo), places=places, seconds=round(time.monotonic() - began, 4))

    @api.post(
        "/heatmap",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}, "description": "The picture with the map over it."}},
        openapi_extra=_form(
            {"row"},
            row=_whole(0, len(desk.places) - 1),
            method={"type": "string", "enum": list(desk.finder.methods), "default": desk.finder.methods[0]},
            part={"type": "string", "enum": list(PARTS), "default": "photo"},
        ),
    )
    async def heatmap(request: Request) -> Response:
        """What makes a photo and a row of the index alike, drawn over the photo, or over the row's image."""
        async with desk.admitted():
            photo, fields = await desk.photo(request)
            row = fields.number("row", None, 0, len(desk.places) - 1)
            method = fields.choice("method", desk.finder.methods, desk.finder.methods[0])
            pair = photo.pixels, await desk.in_thread(functools.partial(desk.places.pixels, row))
            if fields.choice("part", PARTS, "photo") == "place":
                pair = pair[1], pair[0]
            draw = functools.partial(desk.finder.heatmap, *pair, method, desk.limits.heat_pixels)
            picture = await desk.answer(request, desk.worker.call(draw))
            data = await desk.in_thread(functools.partial(as_image, picture, "PNG"))
            return Response(data, media_type="image/png", headers=_FRESH)

    return api


def _pictures(desk: Desk) -> APIRouter:
    """What the index's rows look like."""
    api = APIRouter()

    @api.get(
        "/places/{row}/thumbnail",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}, "description": "The row's image, small."}},
    )
    async def thumbnail(row: int, side: Annotated[int, Query(ge=SIDES[0], le=SIDES[1])] = 320) -> Response:
        """The image of a row of the index; its longer side has at most `side` pixels."""
        data = await desk.in_thread(functools.partial(desk.places.thumbnail, row, side))
        return Response(data, media_type="image/jpeg", headers=_FRESH)

    @api.get(
        "/map",
        response_class=Response,
        responses={200: {"content": {"image/svg+xml": {}}, "description": "A map without tiles."}},
    )
    async def place_map(
        rows: Annotated[list[int], Query(max_length=desk.limits.top)],
        extent: Annotated[str, Query(pattern=f"^({'|'.join(EXTENTS)})$")] = "near",
        latitude: Annotated[float | None, Query(ge=-90, le=90)] = None,
        longitude: Annotated[float | None, Query(ge=-180, le=180)] = None,
    ) -> Response:
        """Rows of the index as numbered pins, to scale; latitude and longitude mark one place more."""
        own = None if latitude is None or longitude is None else (latitude, longitude)
        drawn = await desk.in_thread(functools.partial(desk.places.map, rows, extent, own))
        return Response(drawn, media_type="image/svg+xml", headers=_FRESH)

    return api


def _page(desk: Desk, index_name: str) -> APIRouter:
    api = APIRouter()
    network = Path(desk.finder.index.network_path).name

    @api.get("/api/health")
    async def health(response: Response) -> Health:
        """What is asked here, and how busy it is."""
        response.headers.update(_FRESH)
        limits = desk.limits
        return Health(
            status="ok", version=__version__, index=index_name, network=network,
            heatmaps=list(desk.finder.methods), inside=desk.admission.inside, places=desk.admission.places,
            upload_bytes=limits.upload_bytes, photo_pixels=limits.photo_pixels, top=limits.top,
            **desk.finder.identity(),
        )  # fmt: skip

    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    return api


def _around(desk: Desk, fields: Upload, photo: Photo) -> Around | None:
    """Where to look alone: `within` metres of the position given, or else of the photo's own."""
    metres = fields.real("within", 0, _FARTHEST)
    position = fields.real("latitude", -90, 90), fields.real("longitude", -180, 180)
    if metres is None:
        return None
    latitude, longitude = position
    given = None if latitude is None or longitude is None else (latitude, longitude)
    return desk.places.around(given or photo.position, metres)


def _localize_form(desk: Desk) -> dict[str, Any]:
    metres = "Only places within so many metres of latitude and longitude (default: of the photo's own)."
    return _form(
        top=_whole(1, desk.limits.top, _DEFAULT_TOP),
        within={"type": "number", "minimum": 0, "maximum": _FARTHEST, "description": metres},
        latitude={"type": "number", "minimum": -90, "maximum": 90},
        longitude={"type": "number", "minimum": -180, "maximum": 180},
    )


def _place(desk: Desk, match: Match, photo: Photo) -> Place:
    assert match.row is not None  # a page serves an index in a file
    return Place(
        rank=match.rank, row=match.row, name=match.name, distance=match.distance,
        cosine=1 - match.distance / 2 if desk.finder.unit else None,
        east=match.east, north=match.north, latitude=match.latitude, longitude=match.longitude,
        map_link=match.map_link, metres_from_photo=desk.places.metres(match.row, photo.position),
        thumbnail=f"/api/places/{match.row}/thumbnail",
    )  # fmt: skip


def _sent(photo: Photo) -> SentPhoto:
    latitude, longitude = photo.position or (None, None)
    height, width = photo.pixels.shape[1:]
    return SentPhoto(
        width=photo.width, height=photo.height, described_width=width, described_height=height,
        latitude=latitude, longitude=longitude,
    )  # fmt: skip


def _whole(least: int, most: int, default: int | None = None) -> dict[str, Any]:
    bounds = {"type": "integer", "minimum": least, "maximum": most}
    return bounds if default is None else {**bounds, "default": default}


def _form(required: set[str] | None = None, **fields: Any) -> dict[str, Any]:
    """The OpenAPI description of a multipart request with a photo."""
    photo = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP, by its content."}
    schema = {
        "type": "object",
        "required": ["photo", *sorted(required or ())],
        "properties": {"photo": photo, **fields},
    }
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}

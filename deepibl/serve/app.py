"""`deepibl serve`: a page that says where a photo was taken, and its JSON API with an OpenAPI document.

It needs the extra `web` (FastAPI, uvicorn, python-multipart). One thread computes; a bounded number
of requests waits for it. A photo is kept in memory while its answer is computed, and nowhere else.

>>> from deepibl.serve import PlaceFinder, create_app  # an ASGI application, for a server of your own
>>> page = create_app(PlaceFinder(net, index), hosts=["example.org"])  # doctest: +SKIP
>>> app.mount("/where", page)  # of your FastAPI or Starlette application  # doctest: +SKIP
"""

import functools
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field

from deepibl.images.kinds import KINDS, kinds_read
from deepibl.search.answer import UNKNOWN, VERDICTS, Estimate, Match
from deepibl.serve.finder import PlaceFinder
from deepibl.serve.http import Guard, Limits, answer_errors
from deepibl.serve.photo import Photo
from deepibl.serve.places import EXTENTS, SIDES, Places, as_image
from deepibl.serve.service import Desk
from deepibl.serve.tiles import Tiles


class Problem(BaseModel):
    """The body of every error."""

    error: str = Field(description="What was found.")
    what_to_do: str = Field(description="What to do about it.")


class Place(BaseModel):
    """One place of the index that looks like the photo."""

    rank: int = Field(description="1 is the best.")
    row: int = Field(description="The image's row of the index; it addresses thumbnails, maps and heatmaps.")
    name: str
    distance: float = Field(description="Squared L2 distance of the descriptors; 0 for the same image.")
    confidence: float | None = Field(description="Probability that it is right; null: unknown.")
    cosine: float | None = Field(description="Cosine of the descriptors, where they are unit vectors.")
    east: float | None = Field(description="Metres of the UTM zone.")
    north: float | None = Field(description="Metres of the UTM zone.")
    utm_zone: str | None = Field(description="The place's own, such as 33N.")
    latitude: float | None = Field(description="Degrees, WGS 84.")
    longitude: float | None = Field(description="Degrees, WGS 84.")
    map_link: str | None = Field(description="A link to OpenStreetMap; nothing is loaded from it.")
    metres_from_photo: float | None = Field(description="From where the photo's own EXIF says it was taken.")
    thumbnail: str = Field(description="Path of the image's thumbnail.")


class SentPhoto(BaseModel):
    """What was read from the photo."""

    width: int
    height: int
    described_width: int = Field(description="As the network saw it.")
    described_height: int
    latitude: float | None = Field(description="From its EXIF.")
    longitude: float | None


class Localized(BaseModel):
    """The answer to a photo."""

    photo: SentPhoto
    verdict: str = Field(description=f"Of the best place: {', '.join(w for _, w in VERDICTS)} or {UNKNOWN}.")
    summary: str = Field(description="The verdict with its probability, or why there is none.")
    confidence: float | None = Field(description="Probability that the best place is right; null: unknown.")
    within_metres: float = Field(description="A place is right within this many metres of the photo.")
    reason: str = Field(description="Why the confidence is unknown; else empty.")
    estimate: Estimate | None = Field(description="Position by the places that agree with the best one.")
    places: list[Place]
    seconds: float = Field(description="From the end of the upload to the answer, waiting included.")


class Health(BaseModel):
    """The index, its network, limits, and how busy the page is."""

    status: str
    version: str
    index: str = Field(description="The index file's name.")
    images: int
    dimensions: int
    network: str = Field(description="The network file's name.")
    network_id: str
    engine: str
    heatmaps: list[str] = Field(description="Kinds of heatmaps that this network can draw.")
    inside: int = Field(description="Requests that are being read, waiting or computed.")
    places: int = Field(description="The most requests at a time.")
    upload_bytes: int = Field(description="The largest photo that is taken.")
    attribution: str = Field(description="Of the map's tiles; empty without tiles.")
    accept: list[str] = Field(description="Suffixes of the photos that are read.")
    top: int = Field(description="The most places that one request may ask for.")


LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_STATIC = Path(__file__).parent / "static"
_DEFAULT_TOP = 5
_FARTHEST = 1_000_000.0  # metres
_WITHIN = "Search only this many metres around latitude and longitude (default: the photo's own)."
_FRESH = {"Cache-Control": "no-store"}


def create_app(
    finder: PlaceFinder,
    *,
    root: str = "",
    limits: Limits | None = None,
    hosts: Sequence[str] = LOOPBACK,
    index_name: str = "",
    tiles: Tiles | None = None,
) -> FastAPI:
    """The application for one index and its network.

    root: the folder of the index's images (default: the one that the index names). hosts: the names in Host
    headers that are answered; others are refused, so that another site cannot point its own name at this
    address (DNS rebinding). tiles: of the map, from another server; without, the page loads nothing from
    elsewhere.
    """
    places = Places(finder.index, root, tiles)
    desk = Desk(finder, places, limits or Limits())
    app = FastAPI(
        title="deepibl: where was this photo taken?",
        version=version("deepibl"),
        description="Visual place recognition with one index of geo-tagged images. A photo is kept in memory "
        "while its answer is computed, and nowhere else.",
        docs_url=None,
        redoc_url=None,
        lifespan=desk.computing,
        responses={status: {"model": Problem} for status in ("4XX", "5XX")},
    )
    answer_errors(app)
    app.include_router(_questions(desk), prefix="/api")
    app.include_router(_pictures(desk), prefix="/api")
    app.include_router(_page(desk, index_name))
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_middleware(Guard, hosts=hosts, images_from=places.tiles.origin if places.tiles else "")
    return app


def _questions(desk: Desk) -> APIRouter:
    """The routes that take a photo, and what else their forms may hold."""
    api, limits, methods = APIRouter(), desk.limits, desk.finder.methods

    class Question(BaseModel):
        top: int = Field(min(_DEFAULT_TOP, limits.top), ge=1, le=limits.top)
        within: float | None = Field(None, ge=0, le=_FARTHEST, description=_WITHIN)
        latitude: float | None = Field(None, ge=-90, le=90)
        longitude: float | None = Field(None, ge=-180, le=180)

    class HeatmapQuestion(BaseModel):
        row: int = Field(ge=0, lt=len(desk.places))
        method: Literal[methods] = methods[0]  # type: ignore[valid-type]

    @api.post("/localize", openapi_extra=_form(Question))
    async def localize(request: Request, response: Response) -> Localized:
        """The places of the index that look most like a photo, best first."""
        response.headers.update(_FRESH)
        async with desk.admitted():
            photo, asked = await desk.photo(request, Question)
            where = photo.position
            if asked.latitude is not None and asked.longitude is not None:
                where = asked.latitude, asked.longitude
            if asked.within is None:
                where = None
            else:
                desk.places.require_around(where, asked.within)
            began = time.monotonic()
            find = functools.partial(desk.finder.find, photo.pixels, asked.top, where, asked.within)
            found = await desk.answer(request, find)
            places = [_place(desk, match, photo, request.scope.get("root_path", "")) for match in found]
            said = found.as_dict() | {"estimate": found.estimate, "summary": found.summary, "places": places}
            latitude, longitude = photo.position or (None, None)
            height, width = photo.pixels.shape[1:]
            own = {"width": photo.width, "height": photo.height}
            own |= {"described_width": width, "described_height": height}
            sent = SentPhoto(latitude=latitude, longitude=longitude, **own)
            return Localized(photo=sent, seconds=round(time.monotonic() - began, 4), **said)

    @api.post(
        "/heatmap",
        response_class=Response,
        responses={200: {"content": {"image/png": {}}, "description": "Both pictures with their maps."}},
        openapi_extra=_form(HeatmapQuestion),
    )
    async def heatmap(request: Request) -> Response:
        """What makes a photo and a row of the index alike, drawn over the photo and the row's image."""
        async with desk.admitted():
            photo, asked = await desk.photo(request, HeatmapQuestion)
            pair = photo.pixels, await desk.in_thread(functools.partial(desk.places.pixels, asked.row))
            draw = functools.partial(desk.finder.heatmap, *pair, asked.method, limits.heat_pixels)
            picture = await desk.answer(request, draw)
            data = await desk.in_thread(functools.partial(as_image, picture, "PNG"))
            return Response(data, media_type="image/png", headers=_FRESH)

    return api


def _pictures(desk: Desk) -> APIRouter:
    """The routes that show rows of the index."""
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
        responses={200: {"content": {"image/svg+xml": {}}, "description": "A map."}},
    )
    async def place_map(
        rows: Annotated[list[int], Query(max_length=desk.limits.top)],
        extent: Annotated[str, Query(pattern=f"^({'|'.join(EXTENTS)})$")] = "near",
        latitude: Annotated[float | None, Query(ge=-90, le=90)] = None,
        longitude: Annotated[float | None, Query(ge=-180, le=180)] = None,
    ) -> Response:
        """Rows of the index as numbered pins, to scale; latitude and longitude mark one more place."""
        own = None if latitude is None or longitude is None else (latitude, longitude)
        drawn = await desk.in_thread(functools.partial(desk.places.map, rows, extent, own))
        return Response(drawn, media_type="image/svg+xml", headers=_FRESH)

    return api


def _page(desk: Desk, index_name: str) -> APIRouter:
    api, index = APIRouter(), desk.finder.index

    @api.get("/api/health")
    async def health(response: Response) -> Health:
        """The index, its network, limits, and how many requests are being answered."""
        response.headers.update(_FRESH)
        limits = desk.limits
        return Health(
            status="ok",
            version=version("deepibl"),
            index=index_name,
            network=Path(index.network_path).name,
            heatmaps=list(desk.finder.methods),
            inside=desk.inside,
            places=limits.waiting,
            upload_bytes=limits.upload_bytes,
            top=limits.top,
            attribution=desk.places.tiles.attribution if desk.places.tiles else "",
            accept=[suffix for kind in kinds_read() for suffix in KINDS[kind]],
            images=len(index),
            dimensions=index.dim,
            network_id=index.network_id,
            engine=desk.finder.engine,
        )

    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    return api


def _place(desk: Desk, match: Match, photo: Photo, mounted_at: str) -> Place:
    assert match.row is not None  # only those of an index in a database have none
    return Place(
        **{name: value for name, value in vars(match).items() if name != "path"},
        cosine=1 - match.distance / 2 if desk.finder.unit else None,
        metres_from_photo=desk.places.metres(match.row, photo.position),
        thumbnail=f"{mounted_at}/api/places/{match.row}/thumbnail",
    )


def _form(fields: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI description of a multipart request with a photo and these fields."""
    schema = fields.model_json_schema()
    kinds = f"{', '.join(kinds_read())}, by content."
    schema["properties"]["photo"] = {"type": "string", "format": "binary", "description": kinds}
    schema["required"] = ["photo", *schema.get("required", ())]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}

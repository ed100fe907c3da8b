"""From a request to its answer: admission, the upload, decoding, and waiting for the worker."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from fastapi import Request

from deepibl.page.finder import PlaceFinder
from deepibl.page.limits import Admission, Limits
from deepibl.page.photo import Photo, decode_photo
from deepibl.page.places import Places
from deepibl.page.refusal import Refused
from deepibl.page.upload import Upload, read_upload
from deepibl.page.worker import Worker
from matlab_compat.errors import ArgumentError, ImageReadError

T = TypeVar("T")
_LOOK = 0.5  # seconds between two looks at whether the client is still there
_THREADS = 2  # that decode photos: bounds the memory of large ones


class Desk:
    """What the routes share: one finder and its worker, the index's places, limits and who is inside."""

    def __init__(self, finder: PlaceFinder, places: Places, limits: Limits) -> None:
        self.finder, self.places, self.limits = finder, places, limits
        self.worker = Worker(finder)
        self.admission = Admission(limits.waiting)
        self._threads = anyio.CapacityLimiter(_THREADS)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """A place inside, from before the upload is read to the answer. Raises Refused (503)."""
        with self.admission.place():
            began = time.monotonic()
            yield
            self.admission.note(time.monotonic() - began)

    async def photo(self, request: Request) -> tuple[Photo, Upload]:
        """The request's photo, decoded, and its other fields (without the photo's bytes). Raises Refused."""
        upload = await read_upload(request, self.limits)
        decode = functools.partial(decode_photo, upload.photo, self.limits, self.finder.index.resize)
        photo = await self.in_thread(decode)
        return photo, Upload(b"", upload.fields)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """What a function returns that reads pictures; a few run at a time."""
        return await anyio.to_thread.run_sync(function, limiter=self._threads)

    async def answer(self, request: Request, later: "Future[Any]") -> Any:
        """The worker's result. Given up, and not computed, when the client leaves or patience ends.

        Raises Refused: 503 when patience ends, 422 for a photo that the network cannot take.
        """
        result = asyncio.wrap_future(later)
        ends = time.monotonic() + self.limits.patience_seconds
        try:
            while not (await asyncio.wait({result}, timeout=_LOOK))[0]:
                if time.monotonic() > ends:
                    wait = {"Retry-After": str(self.admission.retry_after)}
                    raise Refused(503, "the answer takes too long", "Try again later.", wait)
                if await request.is_disconnected():
                    raise Refused(499, "the client has left", "Ask again.")
            return result.result()
        except (ImageReadError, ArgumentError) as problem:
            raise Refused(422, str(problem), "Try another photo, or one of another size.") from problem
        except asyncio.CancelledError:
            if not result.cancelled():
                raise
            raise Refused(503, "the page is closing", "Start it again.", {"Retry-After": "10"}) from None
        finally:
            later.cancel()
            result.cancel()

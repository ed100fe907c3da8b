"""From a request to its answer: admission, upload, decoding, waiting for the one thread that computes."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import torch
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from deepibl.serve.finder import PlaceFinder
from deepibl.serve.http import Limits, Refused, read_upload
from deepibl.serve.photo import Photo, decode_photo
from deepibl.serve.places import Places
from matlab_compat.errors import ArgumentError, ImageReadError

T = TypeVar("T")
Fields = TypeVar("Fields", bound=BaseModel)
_RETRY = {"Retry-After": "5"}  # seconds
_LOOK = 0.5  # seconds between checks that the client is still connected
_THREADS = 2  # for decoding: bounds the memory that large photos take


class Desk:
    """What the routes share: the finder, the thread that computes, the index's places, limits."""

    def __init__(self, finder: PlaceFinder, places: Places, limits: Limits) -> None:
        self.finder, self.places, self.limits = finder, places, limits
        self.inside = 0  # requests that are being read, waiting or computed
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._computing: ThreadPoolExecutor | None = None

    @asynccontextmanager
    async def computing(self, *_: object) -> AsyncIterator[None]:
        """At its end the thread that computes ends; what waits for it is cancelled."""
        yield
        if self._computing is not None:
            self._computing.shutdown(wait=True, cancel_futures=True)
        self._computing = None

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Holds one of the places for requests until the answer. Raises Refused (503) when all are taken."""
        if self.inside >= self.limits.waiting:
            found = f"the page is busy: it is answering {self.inside} requests, the most at a time"
            raise Refused(503, found, f"Try again in {_RETRY['Retry-After']} seconds.", _RETRY)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def photo(self, request: Request, fields: type[Fields]) -> tuple[Photo, Fields]:
        """The request's photo, decoded, and its other fields. Raises Refused, RequestValidationError."""
        data, others = await read_upload(request, self.limits)
        decode = functools.partial(decode_photo, data, self.limits, self.finder.index.reading)
        photo = await self.in_thread(decode)
        try:
            return photo, fields.model_validate(others)
        except ValidationError as problem:
            raise RequestValidationError(problem.errors()) from None

    async def in_thread(self, function: Callable[[], T]) -> T:
        """The result of a function that decodes images; at most _THREADS run at a time."""
        return await anyio.to_thread.run_sync(_enough_memory, function, limiter=self._threads)

    async def answer(self, request: Request, function: Callable[[], T]) -> T:
        """The result of a function that the computing thread calls.

        It is cancelled when the client disconnects or after `limits.patience_seconds`. Raises Refused: 503
        for an answer that takes too long or too much memory, 422 for a photo that the network cannot take.
        """
        if self._computing is None:  # made here: a mounted application gets no lifespan events
            self._computing = ThreadPoolExecutor(1, thread_name_prefix="deepibl-page")
        later: Future[T] = self._computing.submit(_enough_memory, function)
        result = asyncio.wrap_future(later)
        ends = time.monotonic() + self.limits.patience_seconds
        try:
            while not (await asyncio.wait({result}, timeout=_LOOK))[0]:
                if time.monotonic() > ends:
                    raise Refused(503, "the answer takes too long", "Try again later.", _RETRY)
                if await request.is_disconnected():
                    raise Refused(499, "the client has left", "Ask again.")
            return result.result()
        except (ImageReadError, ArgumentError) as problem:
            raise Refused(422, str(problem), "Try another photo, or one of another size.") from problem
        except asyncio.CancelledError:
            if not result.cancelled():
                raise
            raise Refused(503, "the page is closing", "Start it again.", _RETRY) from None
        finally:
            later.cancel()
            result.cancel()


def _enough_memory(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (MemoryError, torch.OutOfMemoryError):
        found = "the machine does not have enough memory for this photo"
        raise Refused(503, found, "Send a smaller one.", _RETRY) from None

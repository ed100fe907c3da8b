"""From a request to its answer: admission, the upload, decoding, and waiting for the worker.

The worker is the one thread that computes: it takes waiting jobs in turn, photos of one size in a batch;
errors do not end it.
"""

import asyncio
import functools
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from fastapi import Request
from torch import Tensor

from deepibl.search.answer import Answer
from deepibl.serve.finder import Around, PlaceFinder
from deepibl.serve.http import Admission, Limits, Refused, Upload, read_upload
from deepibl.serve.photo import Photo, decode_photo
from deepibl.serve.places import Places
from matlab_compat.errors import ArgumentError, ImageReadError

_AT_ONCE = 8  # jobs taken from the queue together, at most
_PIXELS_AT_ONCE = 2**20  # in one forward pass of several photos: bounds its memory
_STOP_SECONDS = 10.0


@dataclass
class _Job:
    """Something to compute: the places of an image, or a call."""

    image: Tensor | None = None
    top: int = 0
    around: Around | None = None
    call: Callable[[], Any] | None = None
    result: "Future[Any]" = field(default_factory=Future)


class Worker:
    """Computes in its own thread, from `start` to `stop`. A job whose future is cancelled is skipped.

    The caller bounds how many jobs wait (`Admission`).
    """

    def __init__(self, finder: PlaceFinder) -> None:
        self._finder = finder
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="deepibl-page", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cancels the waiting jobs; returns when the one being computed has ended."""
        if self._thread is None:
            return
        for job in self._waiting(limit=None):
            job.result.cancel()
        self._jobs.put(None)
        self._thread.join(_STOP_SECONDS)
        self._thread = None

    def find(self, image: Tensor, top: int, around: Around | None = None) -> "Future[Answer]":
        """A future of the answer to an image (in `around`, if given)."""
        return self._put(_Job(image=image, top=top, around=around))

    def call(self, function: Callable[[], Any]) -> "Future[Any]":
        """A future of a function's result."""
        return self._put(_Job(call=function))

    def _put(self, job: _Job) -> "Future[Any]":
        self._jobs.put(job)
        return job.result

    def _run(self) -> None:
        while (first := self._jobs.get()) is not None:
            taken = [first, *self._waiting(limit=_AT_ONCE - 1)]
            jobs = [job for job in taken if job.result.set_running_or_notify_cancel()]
            for group in _alike(job for job in jobs if job.image is not None):
                self._find(group)
            for job in jobs:
                if job.call is not None:
                    _settle(job, job.call)

    def _waiting(self, limit: int | None) -> Iterator[_Job]:
        taken = 0
        while limit is None or taken < limit:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._jobs.put(None)
                return
            taken += 1
            yield job

    def _find(self, jobs: Sequence[_Job]) -> None:
        images = [job.image for job in jobs if job.image is not None]
        try:
            found = self._finder.find(images, jobs[0].top, jobs[0].around)
            answers = list(zip(jobs, found, strict=True))
        except Exception:  # the other photos of the batch are answered
            for job in jobs:
                _settle(job, functools.partial(self._find_one, job))
            return
        for job, answer in answers:
            job.result.set_result(answer)

    def _find_one(self, job: _Job) -> Answer:
        assert job.image is not None
        return self._finder.find([job.image], job.top, job.around)[0]


def _alike(jobs: Iterator[_Job]) -> list[list[_Job]]:
    """Groups of jobs that differ in the photo alone, each small enough for one forward pass."""
    groups: dict[tuple[int, int, int, Around | None], list[_Job]] = {}
    for job in jobs:
        assert job.image is not None
        height, width = job.image.shape[1:]
        groups.setdefault((height, width, job.top, job.around), []).append(job)
    parts = []
    for (height, width, *_), group in groups.items():
        most = max(1, _PIXELS_AT_ONCE // (height * width))
        parts += [group[start : start + most] for start in range(0, len(group), most)]
    return parts


def _settle(job: _Job, function: Callable[[], Any]) -> None:
    try:
        job.result.set_result(function())
    except MemoryError:
        job.result.set_exception(_out_of_memory())
    except Exception as problem:
        out = type(problem).__name__ == "OutOfMemoryError"
        job.result.set_exception(_out_of_memory() if out else problem)


def _out_of_memory() -> Refused:
    return Refused(
        503,
        "the machine does not have enough memory for this photo",
        "Send a smaller one.",
        {"Retry-After": "10"},
    )


T = TypeVar("T")
_LOOK = 0.5  # seconds between checks that the client is still connected
_THREADS = 2  # for decoding: bounds the memory that large photos take


class Desk:
    """What the routes share: the finder and its worker, the index's places, limits, and admission."""

    def __init__(self, finder: PlaceFinder, places: Places, limits: Limits) -> None:
        self.finder, self.places, self.limits = finder, places, limits
        self.worker = Worker(finder)
        self.admission = Admission(limits.waiting)
        self._threads = anyio.CapacityLimiter(_THREADS)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Holds one of the places for requests until the answer. Raises Refused (503) when all are taken."""
        with self.admission.place():
            began = time.monotonic()
            yield
            self.admission.note(time.monotonic() - began)

    async def photo(self, request: Request) -> tuple[Photo, Upload]:
        """The request's photo, decoded, and its other fields (without the photo's bytes). Raises Refused."""
        upload = await read_upload(request, self.limits)
        decode = functools.partial(decode_photo, upload.photo, self.limits, self.finder.index.reading)
        photo = await self.in_thread(decode)
        return photo, Upload(b"", upload.fields)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """The result of a function that decodes images; at most _THREADS run at a time."""
        return await anyio.to_thread.run_sync(function, limiter=self._threads)

    async def answer(self, request: Request, later: "Future[Any]") -> Any:
        """The worker's result; cancelled when the client disconnects or after `limits.patience_seconds`.

        Raises Refused: 503 for an answer that takes too long, 422 for a photo that the network cannot take.
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

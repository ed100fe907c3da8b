"""What the page takes, in numbers; and how many requests at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deepibl.page.refusal import Refused
from matlab_compat.errors import ArgumentError


@dataclass(frozen=True)
class Limits:
    """Bounds of one page. All are checked before the work that they bound.

    upload_bytes: of a photo's file. photo_pixels: width times height, known from the file's first bytes.
    described_pixels: larger photos are scaled down to this many before the network sees them.
    heat_pixels: the same for heatmaps, whose gradients need ten times the memory.
    waiting: requests that may be read, wait or be computed at once; the next one is refused.
    top: the most places that one request may ask for. upload_seconds: that sending a photo may take.
    stall_seconds: without a byte of it. patience_seconds: that an answer may take.
    """

    upload_bytes: int = 20_000_000
    photo_pixels: int = 64_000_000
    described_pixels: int = 2**20
    heat_pixels: int = 2**18
    waiting: int = 16
    top: int = 50
    upload_seconds: float = 60.0
    stall_seconds: float = 10.0
    patience_seconds: float = 120.0

    @classmethod
    def of_user(cls, megabytes: float, pixels: int, waiting: int) -> "Limits":
        """The limits with what the command's options say; heatmaps never see more pixels than the network."""
        return cls(
            upload_bytes=round(megabytes * 1e6),
            described_pixels=pixels,
            heat_pixels=min(pixels, cls.heat_pixels),
            waiting=waiting,
        )

    def __post_init__(self) -> None:
        wrong = [name for name, value in vars(self).items() if not value > 0]
        if wrong:
            raise ArgumentError(f"limits of the page are above 0, not {wrong[0]}={getattr(self, wrong[0])!r}")


class Admission:
    """Counts the requests that are inside; used by one event loop, so it needs no lock."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.inside = 0
        self._seconds = 1.0  # that a request is inside, a running mean

    @property
    def retry_after(self) -> int:
        """Seconds after which asking again may be worth it, 1 to 60."""
        return int(min(60, max(1, round(self._seconds / 2))))

    def note(self, seconds: float) -> None:
        """Tells how long a request was inside."""
        self._seconds += 0.2 * (seconds - self._seconds)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for one request. Raises Refused (503) when all are taken."""
        if self.inside >= self.places:
            raise Refused(
                503,
                f"the page is busy: {self.inside} requests are being answered, which is all that may wait",
                f"Try again in {self.retry_after} seconds.",
                {"Retry-After": str(self.retry_after)},
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

"""Latitude and longitude as devices and programs write them: degrees, minutes and seconds, signs, letters."""

import math
import re
from collections.abc import Sequence

AXES = {"latitude": ("N", "S", 90), "longitude": ("E", "W", 180)}

_NUMBER = r"(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?"
_TEXT = re.compile(
    rf"(?P<before>[NSEW])?\s*(?P<sign>[-+−]?)\s*(?P<d>{_NUMBER})"
    rf"(?:(?:\s*(?:°|º|deg|:)\s*|\s+)(?P<m>{_NUMBER})(?:(?:\s*(?:['′’]|min|:)\s*|\s+)(?P<s>{_NUMBER}))?)?"
    r"\s*(?:°|º|deg|['′’]{1,2}|min|[\"″”]|sec)?\s*(?P<after>[NSEW]|North|South|East|West)?",
    re.IGNORECASE,
)


def parse_degrees(text: str) -> tuple[list[float], str]:
    """Degrees, minutes and seconds (1 to 3 signed numbers) and the letter (or '') of a string.

    Raises ValueError for anything else.

    >>> parse_degrees("55 deg 42' 18.00\\" N"), parse_degrees("-13,5")
    (([55.0, 42.0, 18.0], 'N'), ([-13.5], ''))
    """
    found = _TEXT.fullmatch(text.strip())
    letters = [found[side][0].upper() for side in ("before", "after") if found[side]] if found else []
    if found is None or len(letters) > 1:
        raise ValueError(f"{text!r} is not a number of degrees")
    parts = [float(found[part].replace(",", ".")) for part in "dms" if found[part]]
    parts[0] = math.copysign(parts[0], -1 if found["sign"] in ("-", "−") else 1)
    return parts, "".join(letters)


def signed_degrees(parts: Sequence[float], reference: str, axis: str) -> float:
    """Degrees, negative in the south and the west, of 1 to 3 numbers: degrees, minutes, seconds.

    NaN stands for seconds that are not given. The sign of the first number is that of the whole; the
    reference (N, S, E, W, or '') does not turn it again. axis: 'latitude' or 'longitude'. Raises ValueError
    for what is impossible or contradicts itself.
    """
    positive, negative, limit = AXES[axis]
    letter = reference.strip("\0 ").upper()[:1]
    shown = " ".join([*(f"{part:.10g}" for part in parts), letter]).rstrip()
    if letter not in ("", positive, negative):
        raise ValueError(f"{axis} {shown} has another letter than {positive} and {negative}")
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"{axis} has {len(parts)} numbers, not degrees, minutes and seconds")
    values = list(parts)
    while len(values) > 1 and math.isnan(values[-1]) and (len(values) == 3 or values[0] % 1):
        values.pop()
    below = math.copysign(1, values[0]) < 0 or (values[0] == 0 and min(values) < 0)
    sizes = [abs(value) for value in values]
    if not all(map(math.isfinite, sizes)):
        raise ValueError(f"{axis} {shown} is not finite")
    if (min(values) < 0 and not below) or (below and letter == positive):
        raise ValueError(f"{axis} {shown} has signs that contradict each other")
    if any(size % 1 and any(sizes[place:]) for place, size in enumerate(sizes, start=1)):
        raise ValueError(f"{axis} {shown} has fractions and smaller units besides")
    degrees = sum(size / 60**place for place, size in enumerate(sizes))
    if degrees > limit or any(size > 60 for size in sizes[1:]):
        raise ValueError(f"{axis} {shown} is out of range: -{limit} to {limit} degrees")
    return -degrees if below or letter == negative else degrees

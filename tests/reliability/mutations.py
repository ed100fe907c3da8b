"""Changing bytes: what a bad disk, a broken transfer or a malicious hand does to a file.

A mutation is a function (random, data) -> data; all of its choices come from `random`, so that a case is
known by its seed. hypothesis's `randoms()` fits too, and shrinks.
"""

import struct
from collections.abc import Callable, Sequence
from random import Random

Mutation = Callable[[Random, bytes], bytes]

WORDS = (0, 1, 2, 3, 4, 7, 8, 14, 15, 16, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31)
LARGE = (2**32 - 1, 2**32, 2**33, 10 * 2**30, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


def flip_bits(random: Random, data: bytes) -> bytes:
    """A few bits, anywhere."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 40)) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def set_bytes(random: Random, data: bytes) -> bytes:
    """A few bytes take any value."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8)) if data else 0):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def set_word(random: Random, data: bytes) -> bytes:
    """A number of 2, 4 or 8 bytes, aligned or not, becomes one that programs stumble over."""
    form = random.choice("HIIIQQ")
    width = struct.calcsize(form)
    if len(data) < width:
        return data
    at = random.randrange(len(data) - width + 1)
    at -= at % random.choice((1, 4, 8))
    value = random.choice((*WORDS, *LARGE, len(data), len(data) - 1, len(data) + 1))
    order = random.choice("<<<>")
    return data[:at] + struct.pack(order + form, value % 2 ** (8 * width)) + data[at + width :]


def nudge_word(random: Random, data: bytes) -> bytes:
    """A 32-bit number becomes a little larger or smaller: a length, an id or an offset is off by some."""
    if len(data) < 4:
        return data
    at = random.randrange(len(data) - 3) // 4 * 4
    value = struct.unpack_from("<I", data, at)[0] + random.choice((-8, -4, -2, -1, 1, 2, 3, 4, 8, 64))
    return data[:at] + struct.pack("<I", value % 2**32) + data[at + 4 :]


def truncate(random: Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: random.randrange(len(data) + 1)]


def lose_part(random: Random, data: bytes) -> bytes:
    """A run of bytes is missing in the middle."""
    first, last = _part(random, data)
    return data[:first] + data[last:]


def repeat_part(random: Random, data: bytes) -> bytes:
    """A run of bytes comes several times."""
    first, last = _part(random, data)
    return data[:last] + data[first:last] * random.choice((1, 1, 2, 10)) + data[last:]


def blank_part(random: Random, data: bytes) -> bytes:
    """A run of bytes became zeros, as blocks that were never written do, or 0xFF."""
    first, last = _part(random, data)
    return data[:first] + random.choice((b"\0", b"\0", b"\xff")) * (last - first) + data[last:]


def move_part(random: Random, data: bytes) -> bytes:
    """A run of bytes overwrites another place."""
    first, last = _part(random, data)
    at = random.randrange(len(data) + 1)
    return data[:at] + data[first:last] + data[at + last - first :]


def append_junk(random: Random, data: bytes) -> bytes:
    """Something else follows the end."""
    return data + bytes(random.randrange(256) for _ in range(random.choice((1, 4, 8, 100))))


BYTES: Sequence[Mutation] = (
    flip_bits,
    set_bytes,
    set_word,
    set_word,
    set_word,
    nudge_word,
    nudge_word,
    truncate,
    lose_part,
    repeat_part,
    blank_part,
    move_part,
    append_junk,
)


def mutate_bytes(random: Random, data: bytes) -> bytes:
    """One to four of the mutations above, one after the other."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        data = random.choice(BYTES)(random, data)
    return data


def _part(random: Random, data: bytes) -> tuple[int, int]:
    first = random.randrange(len(data) + 1)
    return first, min(len(data), first + random.choice((1, 4, 8, 16, 64, 512, 4096)))

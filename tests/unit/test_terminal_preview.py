"""Previews: only where a terminal shows them, of the right size and colours."""

import io
import re

import numpy as np
import pytest

from deepibl.cli.seeing import colours_of, preview

TRUE = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class _Ascii(_Terminal):
    encoding = "ascii"


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        (TRUE, 2**24),
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, 0),
        ({}, 0),
        ({"TERM": "vt100"}, 0),
        ({**TRUE, "NO_COLOR": "1"}, 0),
    ],
)
def test_colours_follow_what_the_terminal_says(environment, colours):
    assert colours_of(_Terminal(), environment) == colours


def test_a_pipe_or_an_ascii_terminal_gets_no_preview():
    assert colours_of(io.StringIO(), TRUE) == 0
    assert colours_of(_Ascii(), TRUE) == 0


def _widths(text):
    return {len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()}


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (10, 900), (900, 10), (3, 3)])
@pytest.mark.parametrize("columns", [20, 80, 200])
def test_lines_are_of_one_width_that_fits(shape, columns):
    pictures = [np.zeros((*shape, 3), np.uint8), np.zeros((240, 320, 3), np.uint8)]
    shown = preview(pictures, columns=columns)
    assert len(_widths(shown)) == 1
    assert max(_widths(shown)) <= columns
    assert len(shown.splitlines()) <= 32


def test_the_upper_half_block_has_the_upper_pixel_in_front():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[0::2] = (255, 0, 0)
    picture[1::2] = (0, 0, 255)
    assert preview([picture], columns=16).startswith("\x1b[38;2;255;0;0;48;2;0;0;255m▀")


@pytest.mark.parametrize(
    ("colour", "code"),
    [((0, 0, 0), 16), ((255, 255, 255), 231), ((255, 0, 0), 196), ((0, 255, 0), 46), ((128, 128, 128), 244)],
)
def test_256_colours_are_the_nearest_of_the_palette(colour, code):
    picture = np.full((16, 16, 3), colour, np.uint8)
    assert preview([picture], columns=16, colours=256).startswith(f"\x1b[38;5;{code};48;5;{code}m")


def test_without_room_or_pictures_nothing_is_shown():
    assert preview([], columns=80) == ""
    assert preview([np.zeros((9, 9, 3), np.uint8)] * 20, columns=80) == ""


def test_colours_end_with_each_line():
    shown = preview([np.full((9, 12, 3), 77, np.uint8)], columns=40)
    assert all(line.rstrip().endswith("\x1b[0m") for line in shown.splitlines())

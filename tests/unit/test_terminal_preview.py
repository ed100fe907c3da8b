"""Previews: only where a terminal shows them, of the right size and colours."""

import io

import numpy as np
import pytest

from deepibl.cli.seeing import picture_console, preview

TRUE = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


class _Ascii(_Terminal):
    encoding = "ascii"


@pytest.fixture
def environment(monkeypatch):
    """Sets what a terminal says of itself, and nothing else that rich reads."""

    def set_to(values):
        for name in ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    set_to(TRUE)
    return set_to


@pytest.mark.parametrize(
    ("values", "colours"),
    [
        (TRUE, "truecolor"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, None),
        ({}, None),
        ({"TERM": "vt100"}, None),
        ({**TRUE, "NO_COLOR": "1"}, None),
    ],
)
def test_colours_follow_what_the_terminal_says(environment, values, colours):
    environment(values)
    console = picture_console(_Terminal())
    assert (console.color_system if console else None) == colours


@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1"}])
def test_a_pipe_or_an_ascii_terminal_gets_no_preview(environment, forced):
    environment({**TRUE, **forced})
    assert picture_console(io.StringIO()) is None
    assert picture_console(_Ascii()) is None


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (10, 900), (900, 10), (3, 3)])
@pytest.mark.parametrize("columns", [20, 80, 200])
def test_lines_are_of_one_width_that_fits(shape, columns):
    pictures = [np.zeros((*shape, 3), np.uint8), np.zeros((240, 320, 3), np.uint8)]
    lines = preview(pictures, columns=columns)
    (width,) = {len(line) for line in lines}
    assert width <= columns
    assert 2 <= len(lines) <= 32


def _printed(environment, values, pictures, columns):
    environment(values)
    terminal = _Terminal()
    for line in preview(pictures, columns=columns):
        picture_console(terminal).print(line, soft_wrap=True)
    return terminal.getvalue()


def test_the_upper_half_block_has_the_upper_pixel_in_front(environment):
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[0::2] = (255, 0, 0)
    picture[1::2] = (0, 0, 255)
    shown = _printed(environment, TRUE, [picture], 16)
    assert shown.startswith("\x1b[38;2;255;0;0;48;2;0;0;255m▀")


@pytest.mark.parametrize(
    ("colour", "code"),
    [((0, 0, 0), 16), ((255, 255, 255), 231), ((255, 0, 0), 196), ((0, 255, 0), 46), ((128, 128, 128), 244)],
)
def test_256_colours_are_the_nearest_of_the_palette(environment, colour, code):
    picture = np.full((16, 16, 3), colour, np.uint8)
    shown = _printed(environment, {"TERM": "xterm-256color"}, [picture], 16)
    assert shown.startswith(f"\x1b[38;5;{code};48;5;{code}m▀")


def test_without_room_or_pictures_nothing_is_shown():
    assert preview([], columns=80) == []
    assert preview([np.zeros((9, 9, 3), np.uint8)] * 20, columns=80) == []


def test_colours_end_with_each_line(environment):
    shown = _printed(environment, TRUE, [np.full((9, 12, 3), 77, np.uint8)], 40)
    assert all(line.rstrip().endswith("\x1b[0m") for line in shown.splitlines())

"""Degrees as devices and programs write them."""

import pytest

from deepibl.datasets.degrees import parse_degrees, signed_degrees

NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "parts", "letter"),
    [
        ("48.2082", [48.2082], ""),
        ("-16,3738", [-16.3738], ""),
        ("\u22121.5", [-1.5], ""),
        ("48.2082\u00b0 N", [48.2082], "N"),
        ("16.5 East", [16.5], "E"),
        ("W 3,5", [3.5], "W"),
        ("48 deg 12' 29.52\" N", [48, 12, 29.52], "N"),
        ("48\u00b012\u203229.52\u2033N", [48, 12, 29.52], "N"),
        ("48:12:29.52", [48, 12, 29.52], ""),
        ("48 12.492S", [48, 12.492], "S"),
        ("4.8e1", [48], ""),
    ],
)
def test_degrees_are_read_in_every_form(text: str, parts: list[float], letter: str) -> None:
    assert parse_degrees(text) == (parts, letter)


@pytest.mark.parametrize("text", ["", "north", "1.2.3", "48,2,3", "nan", "inf", "1_0", "N 3 N", "x5"])
def test_other_texts_are_no_degrees(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of degrees"):
        parse_degrees(text)


@pytest.mark.parametrize(
    ("parts", "letter", "axis", "want"),
    [
        ((12.0, 30.0, 36.0), "N", "latitude", 12.51),
        ((12.0, 30.0, 36.0), "s\0", "latitude", -12.51),
        ((12.0, 30.6), "South", "latitude", -12.51),
        ((12.51,), "W", "longitude", -12.51),
        ((12.0, 30.6, NAN), "E", "longitude", 12.51),
        ((12.51, NAN, NAN), "E", "longitude", 12.51),
        ((-12.0, 30.0, 36.0), "", "latitude", -12.51),
        ((-12.0, 30.0, 36.0), "S", "latitude", -12.51),
        ((-12.0, -30.0, -36.0), "S", "latitude", -12.51),
        ((0.0, -30.0, 0.0), "", "longitude", -0.5),
        ((-0.0, 30.0, 0.0), "", "longitude", -0.5),
        ((180.0, 0.0, 0.0), "W", "longitude", -180),
        ((12.0, 59.0, 60.0), "", "latitude", 13),
    ],
)
def test_a_sign_is_of_the_whole_and_counts_once(parts, letter, axis, want) -> None:
    assert signed_degrees(parts, letter, axis) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize(
    ("parts", "letter", "axis", "message"),
    [
        ((90.0, 0.0, 1.0), "N", "latitude", "latitude 90 0 1 N is out of range: -90 to 90 degrees"),
        ((180.5,), "", "longitude", "longitude 180.5 is out of range"),
        ((4294967284.0, 30.0, 0.0), "N", "latitude", "latitude 4294967284 30 0 N is out of range"),
        ((12.0, 61.0, 0.0), "N", "latitude", "out of range"),
        ((12.0, NAN, NAN), "N", "latitude", "not finite"),
        ((12.0, NAN, 3.0), "N", "latitude", "not finite"),
        ((float("inf"),), "N", "latitude", "not finite"),
        ((-12.0, 30.0, 0.0), "N", "latitude", "latitude -12 30 0 N has signs that contradict each other"),
        ((12.0, -30.0, 0.0), "S", "latitude", "signs that contradict each other"),
        ((12.5, 30.0, 0.0), "N", "latitude", "fractions and smaller units"),
        ((12.0, 30.5, 10.0), "N", "latitude", "fractions and smaller units"),
        ((12.0,), "E", "latitude", "latitude 12 E has another letter than N and S"),
        ((), "N", "latitude", "0 numbers"),
        ((1.0, 2.0, 3.0, 4.0), "N", "latitude", "4 numbers"),
    ],
)
def test_what_is_impossible_is_refused(parts, letter, axis, message) -> None:
    with pytest.raises(ValueError, match=message):
        signed_degrees(parts, letter, axis)

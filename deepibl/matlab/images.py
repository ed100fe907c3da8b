"""The original's image tool under its own name."""

import os

from deepibl import convert_png


def convertPngtoJPG(folder: str | os.PathLike[str]) -> convert_png.ConversionReport:
    """Writes a JPEG (quality 100, 4:2:0) beside every PNG in the folder and below.

    The original is a script whose folder is edited in its first line; here it is the argument. PNGs that
    cannot be read are printed at the end and stand in the report (`.failures`); the rest is converted.
    Raises MissingImageError if there is no such folder.

    Ported from: deepIBL/convertPngtoJPG.m
    """
    report = convert_png.convertPngtoJPG(folder)
    print(report)
    return report

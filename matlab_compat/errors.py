"""Errors that this package raises on purpose.

MatlabCompatError
├── ArgumentError          an invalid option or argument (also a TypeError)
├── MatFileError           a .mat file that cannot be read or written
├── NetworkFormatError     a MatConvNet network whose description is invalid
│   └── UnknownLayerError  an unknown layer type or class
├── ImageReadError         an image file that cannot be decoded; names the file
└── NotMigratedError       a line that `deepibl migrate` could not translate was reached"""


class MatlabCompatError(Exception):
    """Base of every error that the project raises on purpose."""


class ArgumentError(MatlabCompatError, TypeError):
    """An invalid option or argument."""


class MatFileError(MatlabCompatError):
    """A .mat file that cannot be read or written."""


class NetworkFormatError(MatlabCompatError):
    """A MatConvNet network whose description is invalid."""


class UnknownLayerError(NetworkFormatError):
    """An unknown layer type or custom class."""


class ImageReadError(MatlabCompatError):
    """An image file that cannot be decoded; the message names the file."""


class NotMigratedError(MatlabCompatError):
    """A line of a migrated script was reached that `deepibl migrate` could not translate."""

"""Errors of the ground floor.

MatlabCompatError
├── ArgumentError          an option or argument that the function does not take (also a TypeError)
├── MatFileError           a .mat file that cannot be read or written
├── NetworkFormatError     a MatConvNet network whose description makes no sense
│   └── UnknownLayerError  a layer type or class that is not known
├── ImageReadError         an image file that cannot be decoded; names the file
└── NotMigratedError       a line that `deepibl migrate` could not translate was reached"""


class MatlabCompatError(Exception):
    """Base of every error that this project raises on purpose."""


class ArgumentError(MatlabCompatError, TypeError):
    """An option or argument that the function does not take."""


class MatFileError(MatlabCompatError):
    """A .mat file that cannot be read or written."""


class NetworkFormatError(MatlabCompatError):
    """A MatConvNet network whose description makes no sense."""


class UnknownLayerError(NetworkFormatError):
    """A layer type or custom class that is not known."""


class ImageReadError(MatlabCompatError):
    """An image file that cannot be decoded; the message names the file."""


class NotMigratedError(MatlabCompatError):
    """A line of a migrated script was reached that `deepibl migrate` could not translate."""

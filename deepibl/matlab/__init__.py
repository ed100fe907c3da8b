"""The original's functions under their exact names, with their arguments, option names and defaults.

Each is a thin wrapper around `deepibl`; importing this package loads none of them. Options are taken as
keywords (`learningRate=0.001`) or in MATLAB's style (`'learningRate', 0.001`). Indices are Python's: see
docs/for_matlab_users.md for the conventions and the table of all functions.
"""

from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

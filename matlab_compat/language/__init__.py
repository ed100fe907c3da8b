"""MATLAB's values, operators and functions, as scripts translated by `deepibl migrate` use them.

values     arrays, cell arrays, structs, maps
classes    numeric classes and conversion between them, as NumPy has them
indexing   indices on NumPy arrays: from 1, by columns; growth
parts      reading and assigning parts of values, copies
definitions what the functions below are defined with
operators  arithmetic, comparisons, logic, ranges, [a, b; c, d]
functions  element by element, of classes and kinds, under MATLAB's names (those of Python's own with a `_`)
shapes     zeros, reshape, repmat and others
reductions sum, max, sort, unique and others along a dimension; matrices
containers structs, cell arrays, cellfun
drawing    random numbers
text       sprintf, disp, num2str and functions of strings
files      load, save, fopen, dir
figures    plots, by matplotlib
"""

from matlab_compat.language import operators as _operators  # noqa: F401  # gives Array its operators
from matlab_compat.lazy_names import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

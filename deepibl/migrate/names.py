"""Names in scripts: what a function of MATLAB, of the library or of the script itself is called in Python."""

import builtins
import importlib
import keyword
from functools import cache

from deepibl.migrate.library import FUNCTIONS, words

# runtime helpers of matlab_compat.language, which are no functions of MATLAB
_HELPERS = words(
    "at one content contents put without copied columns field wrap trimmed as_np class_of shape_of end_of "
    "returned several caught given matches show not_migrated from_plain to_plain istrue negative "
    "transposed show_figures and_ or_ not_ Array Cell Map Struct StructArray Several ScriptError load "
    "save ALL"
)
_OTHER_NAMES = {
    "and": "and_", "or": "or_", "not": "not_", "transpose": "transposed", "uminus": "negative",
    "rdivide": "divide", "ismissing": "isnan", "NaN": "nan", "Inf": "inf", "printf": "fprintf",
    "isstr": "ischar",
}  # fmt: skip
CONSTANTS = {
    "true": ("True", "bool"), "false": ("False", "bool"), "pi": ("math.pi", "real"),
    "inf": ("math.inf", "real"), "Inf": ("math.inf", "real"), "nan": ("math.nan", "real"),
    "NaN": ("math.nan", "real"), "eps": ("eps()", "real"), "newline": ("'\\n'", "text"),
}  # fmt: skip
NO_OUTPUT = words(
    "disp fprintf printf warning error assert rethrow plot semilogx semilogy loglog bar imagesc image "
    "imshow hold figure subplot close clf cla drawnow grid box axis colorbar colormap xlim ylim xlabel "
    "ylabel title legend set saveas print dlmwrite imwrite delete mkdir movefile copyfile rng save tic "
    "fclose fwrite"
)
_KINDS = {
    "int": "numel length ndims nnz size",
    "bool": "isempty isscalar isvector isrow iscolumn ischar iscell iscellstr isstruct islogical isnumeric "
    "isreal isfloat isinteger isa issorted isequal isfile isfolder isdir feof isprop",
    "text": "sprintf num2str int2str mat2str fullfile strjoin func2str class pwd which char getenv fileread",
    "array": "zeros ones eye linspace",
    "cell": "strsplit cell fieldnames num2cell struct2cell cellstr keys values",
    "real": "exist toc fopen fclose",
    "any": "rand randi randperm randsample rng",
    "num": "sum prod mean median max min abs sqrt exp log log2 log10 floor ceil round fix mod rem sign "
    "any all cumsum cumprod diff std var find sort norm dot double single logical isnan isinf "
    "isfinite strcmp strcmpi strncmp strncmpi isspace ismember times plus minus inv sin cos tan "
    "str2double fread int8 int16 int32 int64 uint8 uint16 uint32 uint64 histc accumarray "
    "idivide hypot atan2 diag xor and or not eq ne lt le gt ge ind2sub power",
}
RESULTS = {name: kind for kind, names in _KINDS.items() for name in names.split()}
ELEMENTWISE = words("abs sqrt exp log log2 log10 floor ceil fix sign sin cos tan mod rem double")
BY_TEXT = words("lower upper strtrim strrep regexprep deblank strcat")  # a string gives a string
RANDOM = {"rand", "randi", "randperm", "randsample", "rng"}
IGNORED = words(
    "addpath rmpath clc format more pkg clear clearvars rehash path beep diary graphics_toolkit dbstop"
)
MODULES = {"math": "import math", "sys": "import sys", "os": "import os"}


@cache
def language_names() -> set[str]:
    """All names of matlab_compat.language."""
    return set(importlib.import_module("matlab_compat.language").__all__)


@cache
def language_name(name: str) -> str | None:
    """The name in matlab_compat.language of a function of MATLAB, None where there is none."""
    names = language_names()
    if name in _OTHER_NAMES:
        return _OTHER_NAMES[name]
    return next((each for each in (name, f"{name}_") if each in names and each not in _HELPERS), None)


@cache
def takes_nargout(python_name: str) -> bool:
    """Whether a function of matlab_compat.language can give several outputs."""
    language = importlib.import_module("matlab_compat.language")
    return bool(language.functions.takes_nargout(getattr(language, python_name)))


def variable_name(name: str) -> str:
    """The Python name of a MATLAB variable: with a _ appended where Python or the script's imports use it."""
    base = name.rstrip("_")  # so that id and id_ stay two variables
    taken = base in MODULES or base in FUNCTIONS or base == "nargout" or {base, f"{base}_"} & language_names()
    return f"{name}_" if taken or keyword.iskeyword(base) or hasattr(builtins, base) else name


def function_name(name: str) -> str:
    """The Python name of a script's own function, which may replace one of the original's."""
    return name if name in FUNCTIONS and not keyword.iskeyword(name) else variable_name(name)

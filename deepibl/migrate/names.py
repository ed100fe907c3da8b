"""Names in scripts: what a function of MATLAB, of the library or of the script itself is called in Python."""

import builtins
import importlib
import inspect
import keyword
from functools import cache

# runtime helpers of matlab_compat.language, which are no functions of MATLAB
_HELPERS = {
    "at", "one", "content", "contents", "put", "without", "copied", "columns", "field", "wrap", "pick",
    "assign", "remove",
    "trimmed", "only", "whole", "sides", "as_np", "class_of", "shape_of", "refuse", "objects", "spread",
    "joined",
    "element_function", "several", "returned", "caught", "show", "end_of", "each_text", "not_migrated",
    "from_plain",
    "to_plain", "stream_of", "any_text", "istrue", "negative", "transposed", "show_figures", "and_", "or_",
    "not_",
    "Array", "Cell", "Struct", "StructArray", "Several", "ScriptError", "load", "save", "mtimes_",
}  # fmt: skip
OPERATOR_FUNCTIONS = {"and": "and_", "or": "or_", "not": "not_", "transpose": "transposed",
    "uminus": "negative",
                      "rdivide": "divide", "ismissing": "isnan", "disp": "disp",
                      "printf": "fprintf", "isstr": "ischar"}  # fmt: skip
CONSTANTS = {
    "true": ("True", "bool"), "false": ("False", "bool"), "pi": ("math.pi", "real"),
    "inf": ("math.inf", "real"), "Inf": ("math.inf", "real"), "nan": ("math.nan", "real"),
    "NaN": ("math.nan", "real"),
    "eps": ("eps()", "real"), "newline": ("'\\n'", "text"),
}  # fmt: skip
NO_OUTPUT = {
    "disp", "fprintf", "printf", "warning", "error", "assert", "rethrow", "plot", "semilogx", "semilogy",
    "loglog", "bar", "hist",
    "scatter", "imagesc", "image", "imshow", "hold", "figure", "subplot", "close", "clf", "cla", "drawnow",
    "grid", "box",
    "axis", "colorbar", "colormap", "xlim", "ylim", "xlabel", "ylabel", "title", "legend", "set", "saveas",
    "print",
    "dlmwrite", "csvwrite", "imwrite", "delete", "mkdir", "save", "tic", "fclose", "fwrite",
}  # fmt: skip
_KINDS = {
    "int": "numel length ndims nnz size",
    "bool": "isempty isscalar isvector isrow iscolumn ischar iscell iscellstr isstruct islogical "
            "isnumeric isreal isfloat "
            "isinteger isa issorted isequal isfile isfolder isdir feof isprop",
    "text": "sprintf num2str int2str mat2str fullfile strjoin func2str class pwd which char blanks "
            "getenv fileread",
    "array": "zeros ones eye linspace",
    "cell": "strsplit cell fieldnames num2cell struct2cell cellstr",
    "real": "exist toc fopen fclose realmax realmin",
    "num": "sum prod mean median mode max min abs sqrt exp log log2 log10 floor ceil round fix mod "
           "rem sign any all cumsum "
           "cumprod diff std var find sort norm dot double single logical isnan isinf isfinite "
           "strcmp strcmpi strncmp strncmpi "
           "isspace ismember reshape_ power times plus minus trace det kron inv sin cos tan strfind "
           "str2double fread "
           "int8 int16 int32 int64 uint8 uint16 uint32 uint64 histc accumarray idivide hypot atan2 "
           "factorial rank bsxfun_ "
           "fliplr_ tril triu diag xor gcd lcm nchoosek polyval meshgrid and or not eq ne lt le gt ge",
}  # fmt: skip
RESULTS = {name: kind for kind, names in _KINDS.items() for name in names.split()}
ELEMENTWISE = {
    "abs",
    "sqrt",
    "exp",
    "log",
    "log2",
    "log10",
    "floor",
    "ceil",
    "fix",
    "sign",
    "sin",
    "cos",
    "tan",
    "mod",
    "rem",
    "double",
}
BY_TEXT = {"lower", "upper", "strtrim", "strrep", "regexprep", "deblank", "strcat"}  # a string gives a string
RANDOM = {"rand", "randn", "randi", "randperm", "randsample", "rng"}
IGNORED = {"addpath", "rmpath", "warning off", "clc", "format", "more", "close all", "clear all", "pkg",
    "clear", "clearvars",
           "rehash", "path", "beep", "diary", "graphics_toolkit", "dbstop"}  # fmt: skip
MODULES = {"math": "import math", "sys": "import sys", "os": "import os"}


@cache
def language_name(name: str) -> str | None:
    """The name in matlab_compat.language of a function of MATLAB, None where there is none."""
    language = importlib.import_module("matlab_compat.language")
    if name in OPERATOR_FUNCTIONS:
        return OPERATOR_FUNCTIONS[name]
    for candidate in (name, f"{name}_"):
        if candidate in language.__all__ and candidate not in _HELPERS:
            return candidate
    return None


# the original's functions that deepibl.migrate.originals has, and how many outputs each gives
_OUTPUTS = {
    0: "setup serialAllFeats convertPngtoJPG relja_display relja_progress relja_displayDateTime "
       "plotResults relja_netSave saveNet",
    1: "localPaths smooth yael_kmeans vl_imreadjpeg vl_simplenn computeRepresentation relja_l2normalize_col "
       "relja_simplenn_tidy vl_simplenn_tidy "
       "dbPitts dbTokyo247 dbTokyoTimeMachine dbTiny dbSf0 dbVGG dbHolidays dbBase closePosition "
       "loadNet addLayers addPCA "
       "netPrepareForTrain netPrepareForTest cleanup getBestEpoch relja_cropToLayer relja_whichLayer "
       "relja_layerNames "
       "relja_layerTypes relja_simplenn_move vl_simplenn_move relja_swapLayersForEfficiency "
       "relja_randomHex relja_dir "
       "relja_expandUser relja_startsWith relja_endsWith relja_hrminsec trainGaussKernalInd "
       "trainGaussKernalJoint "
       "trainCauchyKernelInd trainCauchyKernelJoint trainExpKernalInd trainExpKernalJoint trainWeakly",
    2: "relja_makeBuffer "
       "testCore testCoreRank relja_retrievalMAP rawNnSearch yael_nn pickBestNet vl_argparse "
       "relja_netOutputDim "
       "recallAtN vl_simplenn_display",
    4: "testFromFn relja_PCA",
}  # fmt: skip
LIBRARY = {name: count for count, names in _OUTPUTS.items() for name in names.split()}


def library_names() -> dict[str, int]:
    """The original's functions that deepibl has, with the number of outputs of each."""
    return LIBRARY


@cache
def takes_nargout(python_name: str) -> bool:
    """Whether a function of matlab_compat.language can give several outputs."""
    found = getattr(importlib.import_module("matlab_compat.language"), python_name)
    return callable(found) and "nargout" in inspect.signature(found).parameters


def variable_name(name: str) -> str:
    """The Python name of a MATLAB variable: with a _ appended where Python or the script's imports use it."""
    base = name.rstrip("_")  # so that id and id_ stay two variables
    language = importlib.import_module("matlab_compat.language").__all__
    taken = (
        base in MODULES
        or base in language
        or f"{base}_" in language
        or base in library_names()
        or base == "nargout"
    )
    return f"{name}_" if taken or keyword.iskeyword(base) or hasattr(builtins, base) else name


def function_name(name: str) -> str:
    """The Python name of a script's own function, which may replace one of the original's."""
    return name if name in LIBRARY and not keyword.iskeyword(name) else variable_name(name)

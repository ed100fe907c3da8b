# ruff: noqa: I001
# fmt: off
from . import (
    classes as classes, containers as containers, definitions as definitions, drawing as drawing,
    figures as figures, files as files, functions as functions, indexing as indexing, operators as operators,
    parts as parts, reductions as reductions, shapes as shapes, text as text, values as values,
)
from .values import (
    ALL as ALL, Array as Array, Cell as Cell, Map as Map, Several as Several, Struct as Struct,
    StructArray as StructArray, as_np as as_np, class_of as class_of, shape_of as shape_of, wrap as wrap,
)
from .indexing import trimmed as trimmed
from .parts import (
    at as at, columns as columns, content as content, contents as contents, copied as copied,
    field as field, one as one, put as put, without as without,
)
from .operators import (
    and_ as and_, bsxfun as bsxfun, cat as cat, colon as colon, divide as divide, eq as eq, ge as ge,
    gt as gt, horzcat as horzcat, istrue as istrue, le as le, lt as lt, minus as minus,
    mldivide as mldivide, mpower as mpower, mrdivide as mrdivide, mtimes as mtimes, ne as ne,
    negative as negative, not_ as not_, or_ as or_, plus as plus, power as power, times as times,
    transposed as transposed, vertcat as vertcat,
)
from .functions import (
    ScriptError as ScriptError, abs_ as abs_, assert_ as assert_, atan as atan, atan2 as atan2,
    cast_ as cast_, caught as caught, ceil as ceil, class_ as class_, cos as cos,
    double as double, end_of as end_of, error as error, exp as exp, fix as fix,
    floor as floor, gather as gather, given as given, gpuArray as gpuArray, hypot as hypot,
    idivide as idivide, int16 as int16, int32 as int32, int64 as int64, int8 as int8, isa as isa,
    iscell as iscell, iscellstr as iscellstr, ischar as ischar, iscolumn as iscolumn, isempty as isempty,
    isfinite as isfinite, isfloat as isfloat, isinf as isinf, isinteger as isinteger,
    islogical as islogical, isnan as isnan, isnumeric as isnumeric, isreal as isreal, isrow as isrow,
    isscalar as isscalar, isstruct as isstruct, isvector as isvector, length as length, log as log,
    log10 as log10, log2 as log2, logical as logical, matches as matches, mod as mod,
    ndims as ndims, numel as numel, rem as rem, rethrow as rethrow, returned as returned,
    round_ as round_, several as several, sign as sign, sin as sin, single as single,
    size as size, sqrt as sqrt, tan as tan, tanh as tanh, uint16 as uint16, uint32 as uint32,
    uint64 as uint64, uint8 as uint8, warning as warning, xor as xor,
)
from .shapes import (
    cell as cell, diag as diag, eye as eye, false as false, flip as flip,
    fliplr as fliplr, flipud as flipud, inf as inf, linspace as linspace,
    nan as nan, ones as ones, permute as permute, repmat as repmat, reshape as reshape,
    squeeze as squeeze, true as true, zeros as zeros,
)
from .reductions import (
    accumarray as accumarray, all_ as all_, any_ as any_,
    cumprod as cumprod, cumsum as cumsum, diff as diff, dot as dot,
    find as find, histc as histc, ind2sub as ind2sub,
    intersect as intersect, inv as inv, ismember as ismember, issorted as issorted,
    max_ as max_, mean as mean, median as median, min_ as min_,
    nnz as nnz, norm as norm, prod as prod,
    setdiff as setdiff, sort as sort, std as std, sub2ind as sub2ind, sum_ as sum_,
    union as union, unique as unique, var as var,
)
from .containers import (
    arrayfun as arrayfun, cell2mat as cell2mat, cellfun as cellfun,
    deal as deal, eps as eps, feval as feval, fieldnames as fieldnames, func2str as func2str,
    getfield as getfield, isKey as isKey, ismethod as ismethod, isequal as isequal, isfield as isfield,
    isprop as isprop, keys as keys, num2cell as num2cell, remove as remove, rmfield as rmfield,
    setfield as setfield, struct as struct, struct2cell as struct2cell,
    tic as tic, toc as toc, values_ as values_,
)
from .drawing import (
    rand as rand, randi as randi, randperm as randperm, randsample as randsample, rng as rng,
)
from .text import (
    cellstr as cellstr, char as char, deblank as deblank, disp as disp,
    fprintf as fprintf, int2str as int2str, isspace as isspace, lower as lower, mat2str as mat2str,
    num2str as num2str, regexp as regexp, regexprep as regexprep, show as show,
    sprintf as sprintf, str2double as str2double, str2num as str2num, strcat as strcat, strcmp as strcmp,
    strcmpi as strcmpi, strfind as strfind, strjoin as strjoin, strncmp as strncmp, strncmpi as strncmpi,
    strrep as strrep, strsplit as strsplit, strtrim as strtrim, upper as upper,
)
from .files import (
    copyfile as copyfile, delete as delete, dir_ as dir_, dlmread as dlmread,
    dlmwrite as dlmwrite, exist_ as exist_, fclose as fclose, feof as feof, fgetl as fgetl,
    fileparts as fileparts, fileread as fileread, fopen as fopen, fread as fread,
    from_plain as from_plain, fullfile as fullfile, fwrite as fwrite, getenv as getenv, imread as imread,
    imresize as imresize, imwrite as imwrite, isdir as isdir, isfile as isfile, isfolder as isfolder,
    load as load, mkdir as mkdir, movefile as movefile, not_migrated as not_migrated, pwd as pwd,
    rgb2gray as rgb2gray,
    save as save, tempdir as tempdir, tempname as tempname, to_plain as to_plain, which as which,
)
from .figures import (
    axis as axis, bar as bar, box as box, cla as cla, clf as clf, close as close, colorbar as colorbar,
    colormap as colormap, drawnow as drawnow, figure as figure, gca as gca, gcf as gcf, grid as grid,
    hold as hold, image as image, imagesc as imagesc, imshow as imshow, legend as legend,
    loglog as loglog, plot as plot, print_ as print_, saveas as saveas,
    semilogx as semilogx, semilogy as semilogy, set_ as set_, show_figures as show_figures,
    subplot as subplot, title as title, xlabel as xlabel, xlim as xlim, ylabel as ylabel, ylim as ylim,
)

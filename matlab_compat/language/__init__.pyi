# ruff: noqa: I001
# fmt: off
from . import (
    containers as containers, figures as figures, files as files, functions as functions,
    operators as operators, reductions as reductions, shapes as shapes, text as text, values as values,
)
from .values import (
    ALL as ALL, Array as Array, Cell as Cell, Several as Several, Struct as Struct,
    StructArray as StructArray, as_np as as_np, at as at, class_of as class_of, columns as columns,
    content as content, contents as contents, copied as copied, field as field, one as one, put as put,
    shape_of as shape_of, trimmed as trimmed, without as without, wrap as wrap,
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
    cast_ as cast_, caught as caught, ceil as ceil, class_ as class_, cos as cos, cosh as cosh,
    double as double, end_of as end_of, error as error, exp as exp, expm1 as expm1, fix as fix,
    floor as floor, gather as gather, given as given, gpuArray as gpuArray, hypot as hypot,
    idivide as idivide, int16 as int16, int32 as int32, int64 as int64, int8 as int8, isa as isa,
    iscell as iscell, iscellstr as iscellstr, ischar as ischar, iscolumn as iscolumn, isempty as isempty,
    isfinite as isfinite, isfloat as isfloat, isinf as isinf, isinteger as isinteger,
    islogical as islogical, isnan as isnan, isnumeric as isnumeric, isreal as isreal, isrow as isrow,
    isscalar as isscalar, isstruct as isstruct, isvector as isvector, length as length, log as log,
    log10 as log10, log1p as log1p, log2 as log2, logical as logical, matches as matches, mod as mod,
    ndims as ndims, numel as numel, rem as rem, rethrow as rethrow, returned as returned,
    round_ as round_, several as several, sign as sign, sin as sin, single as single, sinh as sinh,
    size as size, sqrt as sqrt, tan as tan, tanh as tanh, uint16 as uint16, uint32 as uint32,
    uint64 as uint64, uint8 as uint8, warning as warning, xor as xor,
)
from .shapes import (
    cell as cell, circshift as circshift, diag as diag, eye as eye, false as false, flip as flip,
    fliplr as fliplr, flipud as flipud, inf as inf, linspace as linspace, meshgrid as meshgrid,
    nan as nan, ones as ones, permute as permute, repmat as repmat, reshape as reshape, rot90 as rot90,
    squeeze as squeeze, tril as tril, triu as triu, true as true, zeros as zeros,
)
from .reductions import (
    accumarray as accumarray, all_ as all_, any_ as any_, bitand as bitand, bitor as bitor,
    cross as cross, cumprod as cumprod, cumsum as cumsum, det as det, diff as diff, dot as dot,
    factorial as factorial, find as find, gcd as gcd, histc as histc, ind2sub as ind2sub,
    interp1 as interp1, intersect as intersect, inv as inv, ismember as ismember, issorted as issorted,
    kron as kron, lcm as lcm, max_ as max_, mean as mean, median as median, min_ as min_, mode as mode,
    nchoosek as nchoosek, nnz as nnz, norm as norm, polyval as polyval, prod as prod, rank as rank,
    setdiff as setdiff, sort as sort, std as std, sub2ind as sub2ind, sum_ as sum_, trace as trace,
    union as union, unique as unique, var as var,
)
from .containers import (
    arrayfun as arrayfun, cell2mat as cell2mat, cell2struct as cell2struct, cellfun as cellfun,
    deal as deal, eps as eps, feval as feval, fieldnames as fieldnames, func2str as func2str,
    getfield as getfield, intmax as intmax, intmin as intmin, isequal as isequal, isfield as isfield,
    isprop as isprop, num2cell as num2cell, realmax as realmax, realmin as realmin, rmfield as rmfield,
    setfield as setfield, struct as struct, struct2cell as struct2cell, structfun as structfun,
    tic as tic, toc as toc,
)
from .text import (
    blanks as blanks, cellstr as cellstr, char as char, deblank as deblank, disp as disp,
    fprintf as fprintf, int2str as int2str, isspace as isspace, lower as lower, mat2str as mat2str,
    num2str as num2str, regexp as regexp, regexpi as regexpi, regexprep as regexprep, show as show,
    sprintf as sprintf, str2double as str2double, str2num as str2num, strcat as strcat, strcmp as strcmp,
    strcmpi as strcmpi, strfind as strfind, strjoin as strjoin, strncmp as strncmp, strncmpi as strncmpi,
    strrep as strrep, strsplit as strsplit, strtrim as strtrim, upper as upper,
)
from .files import (
    csvread as csvread, csvwrite as csvwrite, delete as delete, dir_ as dir_, dlmread as dlmread,
    dlmwrite as dlmwrite, exist_ as exist_, fclose as fclose, feof as feof, fgetl as fgetl,
    fgets as fgets, fileparts as fileparts, fileread as fileread, fopen as fopen, fread as fread,
    from_plain as from_plain, fullfile as fullfile, fwrite as fwrite, getenv as getenv, imread as imread,
    imresize as imresize, imwrite as imwrite, isdir as isdir, isfile as isfile, isfolder as isfolder,
    load as load, mkdir as mkdir, not_migrated as not_migrated, pwd as pwd, rgb2gray as rgb2gray,
    save as save, tempdir as tempdir, tempname as tempname, to_plain as to_plain, which as which,
)
from .figures import (
    axis as axis, bar as bar, box as box, cla as cla, clf as clf, close as close, colorbar as colorbar,
    colormap as colormap, drawnow as drawnow, figure as figure, gca as gca, gcf as gcf, grid as grid,
    hist as hist, hold as hold, image as image, imagesc as imagesc, imshow as imshow, legend as legend,
    loglog as loglog, plot as plot, print_ as print_, saveas as saveas, scatter as scatter,
    semilogx as semilogx, semilogy as semilogy, set_ as set_, show_figures as show_figures,
    subplot as subplot, title as title, xlabel as xlabel, xlim as xlim, ylabel as ylabel, ylim as ylim,
)

"""What the commands have in common: arguments that mean the same everywhere, exit codes, process 0.

Under torchrun, commands that share their work run in all processes, the others in process 0.
"""

import functools
import inspect
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from deepibl.errors import ConfigurationError, DatasetError, how_many
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath

if TYPE_CHECKING:
    from deepibl.runtime.processes import Team

SOME_IMAGES_FAILED = 3
NOT_AS_IT_SHOULD_BE = 4
COMPUTING, FILES = "Computation", "Files to write"  # panels in the help of commands


def option(text: str, *names: str, panel: str | None = None, **more: Any) -> Any:
    """An option of a command with its help text; names: default: the parameter's."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def argument(text: str, shown: str | None = None) -> Any:
    """An argument of a command with its help text; shown: in its place."""
    return typer.Argument(help=text, metavar=shown)


Net = Annotated[str, argument("A network: a file, a name of one that ships, torchvision:NAME or timm:NAME.")]
_PHOTOS = "Photos, folders of them, or - for names on standard input"
Images = Annotated[list[str] | None, argument(f"{_PHOTOS}.")]
NetAndImages = Annotated[
    list[str] | None,
    argument(f"{_PHOTOS}; a network before them, if not the default one.", "[NET] [IMAGES]..."),
]
ListFile = Annotated[Path | None, option("A text file, one name a line.", "--list")]
Device = Annotated[str, option("'auto', 'cpu' or 'cuda'.", panel=COMPUTING)]
Precision = Annotated[str, option("'fp32', or 'bf16' or 'int8' for the backbone.", panel=COMPUTING)]
ScalesFile = Annotated[Path | None, option("For int8: of deepibl calibrate.", "--scales", panel=COMPUTING)]
Engine = Annotated[str, option("auto, torch, fused or cuda (deepibl help performance).", panel=COMPUTING)]
BatchSize = Annotated[int, option("Images at a time, at most; changes no result.", min=1, panel=COMPUTING)]
Workers = Annotated[
    int | None, option("Threads that read images.", min=1, show_default="up to 8", panel=COMPUTING)
]
Resize = Annotated[
    str | None,
    option(
        "Images to this shorter side; down to this longer side; as they are stored.",
        metavar="PIXELS|maxPIXELS|none",
        show_default="own photos max640, else none",
    ),
]
MaxPixels = Annotated[int, option("Larger photos are scaled down to this many pixels.", min=1024)]
_RIGHT = "Metres within which a match is right"
Threshold = Annotated[float, option(f"{_RIGHT}.", min=0)]
OwnThreshold = Annotated[float | None, option(f"{_RIGHT}: 25, or a dbStruct's.", min=0)]
SkipUnknown = Annotated[bool, option("Leave out photos without a position.", "--skip-unknown")]
TrainingThreshold = Annotated[float, option("Metres within which images are positives for training.", min=0)]
DatasetRoot = Annotated[str | None, option("Folder with the data set's images.")]
NamesRoot = Annotated[str, option("Folder that the names are relative to.")]
IndexFile = Annotated[str, option("An index made by `deepibl index`.", "--index")]
IndexNet = Annotated[str | None, option("The network, if it is not where it was.")]
IndexRoot = Annotated[Path | None, option("Folder of the index's photos, if they were moved.")]
Rerank = Annotated[int, option("Order the first N answers by points that both photos show.", min=0)]
MatcherName = Annotated[str, option("For --rerank: 'sift', 'lightglue', or your MODULE:NAME.", "--matcher")]
Json = Annotated[bool, option("Print JSON for programs.", "--json")]
_WEIGHTS = "Of torchvision:NAME or timm:NAME: pretrained, random, or a file of a state dict."
Weights = Annotated[str, option(_WEIGHTS, "--weights", "--net-weights", metavar="FILE")]


def _computing(
    device: Device = "auto",
    precision: Precision = "fp32",
    scales: ScalesFile = None,
    engine: Engine = "auto",
    batch_size: BatchSize = 10,
    num_workers: Workers = None,
    weights: Weights = "pretrained",
) -> None:
    """The options of commands that extract descriptors, see `computes`."""


def computes(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of `_computing` to a command, which gets their values by name as `how`."""
    own, shared = (inspect.signature(each).parameters for each in (command, _computing))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(how={name: given.pop(name) for name in shared}, **given)

    every = [*(each for name, each in own.items() if name != "how"), *shared.values()]
    by_name = [each.replace(kind=each.KEYWORD_ONLY) for each in every]
    run.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in by_name}
    return run


_GOES_WITH = {  # options that do nothing without another one
    "matcher": "rerank",
    "near": "within",
    "within": "near",
    "pairs_root": "pairs",
    "attribution": "tiles",
    "images": "city",
    "index_root": "index_file",
}
_ARE_OF = {
    "dataset": ("threshold", "training_threshold", "skip_unknown", "train_queries", "val_queries"),
    "index_file": ("features", "resize"),
    "as_json": ("table",),
    "dbstructs": ("threshold", "training_threshold"),
}


def check_together(context: Any) -> None:
    """Raises ArgumentError where options were given that do nothing beside or without others."""
    names = {param.name: max(param.opts, key=len) for param in context.command.params}
    given = {name for name in names if context.get_parameter_source(name).name == "COMMANDLINE"}
    if all(str(context.params.get(name)).lower().endswith(".mat") for name in ("train_set", "val_set")):
        names["dbstructs"] = "dbStruct files"
        given.add("dbstructs")
    for name, other in _GOES_WITH.items():
        if name in given and other in names and other not in given:
            raise ArgumentError(f"{names[name]} goes with {names[other]}, which is not given")
    for name, others in _ARE_OF.items():
        for other in given.intersection(others if name in given else ()):
            raise ArgumentError(f"{names[other]} does nothing with {names[name]}: leave it out")


def check_outputs(context: Any) -> None:
    """Raises ArgumentError, before anything is computed, for an output that has no folder or a photo's name,
    or that would replace what the command reads or another output."""
    from deepibl.images.kinds import IMAGE_SUFFIXES

    command, given = context.command, context.params
    writes = {each.name for each in command.params if "-o" in each.opts or each.rich_help_panel == FILES}
    read = [path for name in given.keys() - writes for path in _paths(given[name]) if path.exists()]
    taken = dict.fromkeys(read if command.name != "index-edit" else [], "what is read")
    for param in command.params:
        for path in _paths(given[param.name]) if param.name in writes else []:
            shown = f"{max(param.opts, key=len)} {given[param.name]}"
            if other := taken.get(path):
                raise ArgumentError(f"{shown} would replace {other}: give it another name")
            if path.name.lower().endswith(IMAGE_SUFFIXES) and command.name != "heatmap":
                raise ArgumentError(f"{shown} is the name of a photo: give what is written another")
            folders = path if param.name == "report" else path.parent, *path.parents
            there = next(each for each in folders if each.exists())
            if not (there.is_dir() and os.access(there, os.W_OK)):
                raise ArgumentError(f"{shown}: {there} is no folder that can be written to")
            taken[path] = f"that of {shown}"


def _paths(value: Any) -> list[Path]:
    """The paths that an option or argument may name, made absolute."""
    texts = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str | Path)]
    return [Path(each).resolve() for each in texts if str(each) and "://" not in str(each)]


def split_net(given: Sequence[str] | None, net: str | None = None) -> tuple[str, list[str]]:
    """The network and the photos of arguments [NET] PHOTOS…: the default network where photos come first.

    net: the network of an option; then all arguments are photos. ArgumentError: the first is neither.
    """
    from deepibl.images.kinds import IMAGE_SUFFIXES
    from deepibl.networks.weights import DEFAULT_NETWORK

    photos = list(given or [])
    if net is None and photos:
        first = photos[0]
        if not (first == "-" or Path(first).is_dir() or first.lower().endswith((*IMAGE_SUFFIXES, ".csv"))):
            try:
                find_net(first)
            except ConfigurationError as problem:
                raise ArgumentError(f"no photo or folder {first!r}; as a network: {problem}") from None
            return first, photos[1:]
    return net or DEFAULT_NETWORK, photos


def find_net(net: StrPath) -> Path:
    """The file of a network, or its name: see `deepibl.networks.find_network`; folders are localPaths'."""
    from deepibl.networks.weights import find_network
    from deepibl.runtime.paths import localPaths

    return find_network(net, localPaths())


def net_of_index(net: str | None, places: Any) -> Path:
    """--net, or the network that an index names; never a program, as an index may come from anywhere."""
    if net is None and Path(places.network_path).suffix == ".py":
        raise ArgumentError(
            f"the index was made by {places.network_path}, a program: name it (--net; of evaluate, first)"
        )
    return find_net(net or places.network_path)


def choose_device(name: str) -> str:
    """'cpu' or 'cuda' for --device. Raises ArgumentError for what this machine does not have."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise ArgumentError(f"--device must be one of auto, cpu, cuda; got {name!r}")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ArgumentError("--device cuda: this machine has no CUDA device that torch can use; take cpu")
    return name


def image_size(text: str) -> tuple[int, int] | None:
    """Height and width of --input-size, None where it is not given. Raises ArgumentError."""
    if not text:
        return None
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ArgumentError(f"--input-size must be HEIGHTxWIDTH, e.g. 480x640; got {text!r}") from None
    return height, width


def image_reading(text: str | None) -> dict[str, Any]:
    """The settings that --resize means. Raises ArgumentError."""
    if text is None:
        return {}
    if text == "none":
        return {"upright": False}
    pixels = text.removeprefix("max")
    if not pixels.isdecimal() or int(pixels) == 0:
        raise ArgumentError(
            "--resize must be pixels of the shorter side (640), of the longer side (max640), or none; got "
            f"{text!r}"
        )
    return {"max_side": int(pixels), "upright": True} if text != pixels else {"resize": int(pixels)}


def read_lines(path: Path, root: str | None = None) -> list[str]:
    """The names in a list file, one a line; those of files below `root` as these have them.

    Raises DatasetError for a file that is not text.
    """
    from deepibl.runtime.text_files import find_file, read_text

    found = []
    for number, line in enumerate(read_text(path, DatasetError, names=root is not None).split("\n"), start=1):
        try:
            found.append(line.strip() if root is None else find_file(root, line.strip()))
        except DatasetError as problem:
            raise DatasetError(f"{path}: line {number}: {problem}") from None
    return [name for name in found if name]


def names_given(images: list[str] | None, list_file: Path | None, root: str = "") -> list[str]:
    """The images named, those of folders and of standard input (-), and those of --list, below `root`.

    What a folder holds besides is reported on standard error. Raises ArgumentError where none are named,
    DatasetError for a folder without photos.
    """
    from deepibl.datasets.folder import photos_below
    from deepibl.images.kinds import unused

    names = []
    for given in images or []:
        if given == "-":
            names += [line for line in (each.strip().removeprefix("\ufeff") for each in sys.stdin) if line]
        elif os.path.isdir(folder := os.path.join(root, given)):
            below, ignored = photos_below(Path(folder))
            names += [os.path.join(given, name) for name in below]
            if left := unused(len(below), ignored):
                typer.echo(f"{folder}: {left}", err=True)
        else:
            names.append(given)
    names += read_lines(list_file, root) if list_file else []
    if not names:
        raise ArgumentError(
            "no images given: name photos or a folder, give --list FILE with one name a line, or - to read "
            "names from standard input"
        )
    return names


def print_result(found: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Prints what was found: for programs (--json), or as text."""
    typer.echo(json.dumps(found, indent=2) if as_json else text)


def tell_failures(failures: Sequence[Any]) -> None:
    """Lists images that could not be read and ends with exit code 3; does nothing where all could."""
    if not failures:
        return
    typer.echo(f"{how_many(len(failures), 'image')} could not be read:", err=True)
    for failure in failures:
        typer.echo(f"  {failure}", err=True)
    raise typer.Exit(SOME_IMAGES_FAILED)


def open_network(net: StrPath, how: Mapping[str, Any], **options: Any) -> tuple[Any, Any]:
    """The network of a command on its device, and its `ExtractionSettings`.

    net: see `find_net`. how: see `computes`. options: other fields of the settings.
    Raises ArgumentError for invalid options.
    """
    from deepibl.engine.settings import ExtractionSettings
    from deepibl.networks.io import load_network

    given = dict(how)
    where, threads = choose_device(given.pop("device")), given.pop("num_workers")
    weights = given.pop("weights")
    read = scales_in(given.pop("scales"), given["precision"])
    settings = ExtractionSettings(device=where, scales=read, num_threads=threads, **given, **options)
    return load_network(find_net(net), device=where, weights=weights), settings


def scales_in(path: Path | None, precision: str) -> Any:
    """The scales in a file, None where none is given. Raises ArgumentError for int8 without scales."""
    from deepibl.engine.choose import check_scales
    from deepibl.engine.scales import read_scales

    found = None if path is None else read_scales(path)
    check_scales(precision, found)
    return found


@contextmanager
def logged() -> Iterator[None]:
    """Inside, the library's log, which names the engine that is chosen, is on standard error."""
    log, handler = logging.getLogger("deepibl.features"), logging.StreamHandler(sys.stderr)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


SHARED = ("extract", "index", "evaluate", "train")  # they need all processes, with the same arguments


@contextmanager
def processes_of(arguments: Sequence[str]) -> Iterator[bool]:
    """Whether this process is to run the command, within; only process 0 prints.

    At the end the processes wait for one another, because torchrun ends all when one exits with an error.
    Process 0 prints the error of another.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield True
        return
    from deepibl.runtime import processes

    if not arguments or arguments[0] not in SHARED:
        with processes.alone():
            yield os.environ.get("RANK", "0") == "0"
        return
    team = processes.team()
    with suppress(ValueError):  # in another thread than the main one
        handle_termination(team)
    last_words, failed = "", False
    try:
        with ExitStack() as stack:
            if not team.leads:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            yield True
    except (Exception, SystemExit) as problem:
        reported = problem.__cause__ if isinstance(problem, SystemExit) else problem
        last_words = "" if reported is None else str(reported) or type(reported).__name__
        failed = not (isinstance(problem, SystemExit) and problem.code in (0, None))
        raise
    finally:
        for rank, words in enumerate(team.finish(last_words)):
            if team.leads and words not in last_words:
                typer.echo(f"deepibl: process {rank}: {words}", err=True)
        if failed:  # torchrun now ends the others, which are exiting with the same error
            with suppress(ValueError):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.stdout.flush()


def handle_termination(team: "Team") -> None:
    """Makes SIGTERM, with which torchrun ends the others of a process that died, end with a line on why.

    Raises ValueError outside the main thread.
    """
    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return
    from deepibl.runtime.processes import AGAIN

    def end(*_: object) -> NoReturn:
        with suppress(RuntimeError):  # torch's store may be gone
            if team.first("ended by SIGTERM"):
                print(
                    f"deepibl: ended by SIGTERM, as when another process failed or was killed. {AGAIN}",
                    file=sys.__stderr__,
                    flush=True,
                )
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, end)

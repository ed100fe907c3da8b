"""localPaths(): where data sets, networks and results are on this computer.

The first of these that exists counts: the argument, the file that $DEEPIBL_LOCALPATHS names,
./localPaths.toml, ./localPaths.m (the user's own MATLAB file, which `deepibl.runtime.matlab_paths` reads
without running it), localPaths.toml and localPaths.m in the user's configuration folder. What it does not set
is under the user's data folder.

A localPaths.toml has one line per path, e.g.  dsetRootPitts = "~/Databases/Pittsburgh/"
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from deepibl.errors import ConfigurationError
from deepibl.runtime.matlab_paths import read_local_paths
from deepibl.runtime.text_files import read_text
from matlab_compat.files import StrPath

VARIABLE = "DEEPIBL_LOCALPATHS"
FILES = ("localPaths.toml", "localPaths.m")

# name -> folder below the user's data folder
DEFAULTS = {
    "libReljaMatlab": "",
    "libMatConvNet": "",
    "libYaelMatlab": "",
    "dsetSpecDir": "datasets/",
    "dsetRootPitts": "images/Pittsburgh/",
    "dsetRootTokyo247": "images/Tokyo247/",
    "dsetRootTokyoTM": "images/TokyoTM/",
    "dsetRootSf0": "images/SanFrancisco/",
    "dsetRootOxford": "images/OxfordBuildings/",
    "dsetRootParis": "images/Paris/",
    "dsetRootHolidays": "images/Holidays/",
    "ourCNNs": "models/",
    "pretrainedCNNs": "pretrained/",
    "initData": "initdata/",
    "outPrefix": "output/",
}

# needed by the original, not by this project
UNUSED = ("libReljaMatlab", "libMatConvNet", "libYaelMatlab")

# put before file names, so not necessarily a folder
PREFIXES = ("outPrefix",)


class LocalPaths:
    """The paths, one attribute each under the original's names. source: where they come from.

    Folders end in a slash; outPrefix is as it was given. Names that the original does not have are kept too.
    """

    def __init__(self, values: Mapping[str, str] | None = None, source: str = "defaults") -> None:
        given = dict(values or {})
        wrong = [name for name, value in given.items() if not isinstance(value, str)]
        if wrong:
            raise ConfigurationError(f"{source}: paths are strings; {', '.join(wrong)} are not")
        self.source, data = source, platformdirs.user_data_path("deepibl").as_posix()
        defaults = {name: f"{data}/{folder}" if folder else "" for name, folder in DEFAULTS.items()}
        for name, value in {**defaults, **given}.items():
            expanded = os.path.expanduser(value)
            if expanded and name not in PREFIXES and not expanded.endswith(("/", os.sep)):
                expanded += "/"
            setattr(self, name, expanded)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"localPaths has no {name!r} (from {self.__dict__.get('source')}); "
            f"it has {', '.join(sorted(self.as_dict()))}"
        )

    def __repr__(self) -> str:
        lines = "".join(f"\n  {name} = {value!r}" for name, value in self.as_dict().items())
        return f"LocalPaths from {self.source}:{lines}"

    def as_dict(self) -> dict[str, str]:
        return {name: value for name, value in vars(self).items() if name != "source"}


def localPaths(source: StrPath | Mapping[str, str] | LocalPaths | None = None) -> LocalPaths:
    """Returns the paths of this computer.

    source: a .toml or .m file, a folder that holds one, a mapping, or a LocalPaths (returned as it is); None:
    see the module. Raises ConfigurationError for a file that is missing, or lines that cannot be read.

    Ported from: netvlad/localPaths.m.setup
    """
    if isinstance(source, LocalPaths):
        return source
    if isinstance(source, Mapping):
        return LocalPaths(source, "the argument")
    if source is not None:
        return _read(_named(os.fspath(source), "the argument"))
    if os.environ.get(VARIABLE):
        return _read(_named(os.environ[VARIABLE], f"${VARIABLE}"))
    for folder in (Path(), platformdirs.user_config_path("deepibl")):
        for name in FILES:
            if (folder / name).is_file():
                return _read(folder / name)
    return LocalPaths()


def missing_paths(paths: LocalPaths) -> list[str]:
    """Returns a line for each path in use that does not exist, for `setup` and the command line."""
    lines = []
    for name, value in paths.as_dict().items():
        folder = os.path.dirname(value) if name in PREFIXES else value
        if name not in UNUSED and not os.path.isdir(folder):
            lines.append(f"{name}: {value or '(empty)'} does not exist")
    return lines


def _named(path: str, where: str) -> Path:
    expanded = Path(os.path.expanduser(path))
    candidates = [expanded / name for name in FILES] if expanded.is_dir() else [expanded]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigurationError(f"{where} names {path}, not a {' or '.join(FILES)} nor a folder with one")


def _read(path: Path) -> LocalPaths:
    if path.suffix == ".m":
        values: Any = read_local_paths(path)
    elif path.suffix == ".toml":
        values = _toml(path)
    else:
        raise ConfigurationError(f"{path}: localPaths must be a .toml or a .m file")
    return LocalPaths(values, str(path))


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = read_text(path, ConfigurationError)
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        advice = "; write paths with / or in 'single quotes'" if "\\" in text else ""
        raise ConfigurationError(f"{path}: {problem}{advice}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: values are nested too deeply") from None
    found = content.get("paths", content)
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: paths is {found!r:.80}; expected [paths] or a line per path")
    return found

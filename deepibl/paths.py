"""localPaths(): where data sets, networks and results lie on this computer.

Looked at in this order, the first that is there counts: the argument, the file that $DEEPIBL_LOCALPATHS
names, ./localPaths.toml, ./localPaths.m (the user's own MATLAB file: parsed by paths_matlab, never run),
localPaths.toml and localPaths.m in the user's configuration folder. What it does not set lies under the
user's data folder.

A localPaths.toml holds one line a path, e.g.  dsetRootPitts = "~/Databases/Pittsburgh/"
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepibl.errors import ConfigurationError
from deepibl.paths_matlab import parse_local_paths

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
# what the original needs and this project does not
UNUSED = ("libReljaMatlab", "libMatConvNet", "libYaelMatlab")
# outPrefix goes before file names, so it need not be a folder
PREFIXES = ("outPrefix",)


class LocalPaths:
    """The paths, one attribute each under the original's names; `source` says where they come from.

    Folders end in a slash, so that `paths.ourCNNs + "net.mat"` is a path; outPrefix stays as it was written.
    Names that the original does not know are kept too.
    """

    def __init__(self, values: Mapping[str, str] | None = None, source: str = "defaults") -> None:
        given = dict(values or {})
        wrong = [name for name, value in given.items() if not isinstance(value, str)]
        if wrong:
            raise ConfigurationError(f"{source}: paths are strings; {', '.join(wrong)} are not")
        self.source = source
        self.given = tuple(given)
        for name, value in {**_defaults(), **given}.items():
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
        """All paths by name."""
        return {name: value for name, value in vars(self).items() if name not in ("source", "given")}


def localPaths(source: str | os.PathLike[str] | Mapping[str, str] | LocalPaths | None = None) -> LocalPaths:
    """The paths of this computer; see the module for where they are looked for.

    source: a .toml or .m file, a folder that holds one, a mapping, or a LocalPaths (given back as it is).
    Errors: ConfigurationError for a file that is not there or cannot be parsed; it names the lines.
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
    for folder in (Path(), _user_folder("config")):
        for name in FILES:
            if (folder / name).is_file():
                return _read(folder / name)
    return LocalPaths()


def missing_paths(paths: LocalPaths) -> list[str]:
    """A line for each path in use that is not there, for `setup` and the command line."""
    lines = []
    for name, value in paths.as_dict().items():
        folder = os.path.dirname(value) if name in PREFIXES else value
        if name not in UNUSED and not os.path.isdir(folder):
            lines.append(f"{name}: {value or '(empty)'} is not there")
    return lines


def _named(path: str, where: str) -> Path:
    expanded = Path(os.path.expanduser(path))
    candidates = [expanded / name for name in FILES] if expanded.is_dir() else [expanded]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ConfigurationError(
        f"{where} names {path}, where no {' or '.join(FILES)} is: give a file of one of these kinds"
    )


def _read(path: Path) -> LocalPaths:
    if path.suffix == ".m":
        values: Any = parse_local_paths(path.read_text(encoding="utf-8", errors="replace"), str(path))
    elif path.suffix == ".toml":
        values = _toml(path)
    else:
        raise ConfigurationError(f"{path}: localPaths is a .toml or a .m file")
    return LocalPaths(values, str(path))


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigurationError(f"{path}: {problem}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: values are nested too deep") from None
    found = content.get("paths", content)
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"{path}: paths is {found!r:.80}; expected a table [paths], or a line a path"
        )
    return found


def _defaults() -> dict[str, str]:
    data = _user_folder("data")
    return {name: f"{data.as_posix()}/{folder}" if folder else "" for name, folder in DEFAULTS.items()}


def _user_folder(kind: str) -> Path:
    import platformdirs

    return (
        platformdirs.user_config_path("deepibl")
        if kind == "config"
        else platformdirs.user_data_path("deepibl")
    )

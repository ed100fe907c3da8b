"""Where a network lies that is named rather than given as a path: shipped with the package, or fetched."""

import os
from pathlib import Path

from deepibl.errors import ConfigurationError
from deepibl.paths import LocalPaths
from deepibl.weights import REGISTRY, default_folder


def weights_folder() -> Path:
    """The folder of the networks that ship: weights/ of the checkout, or where the package was installed."""
    here = Path(__file__).resolve().parent
    installed, checkout = here / "_weights", here.parent / "weights"
    return installed if installed.is_dir() else checkout


def shipped_networks() -> list[str]:
    """Names (without suffix) of the networks that ship."""
    return sorted(file.stem for file in weights_folder().glob("*.mat"))


def find_network(name: str | os.PathLike[str], paths: LocalPaths | None = None) -> Path:
    """The file of a network: a path, the name of one that ships, or of one that `deepibl fetch` brought.

    paths: where fetched networks lie; default below the user's data folder.
    Raises ConfigurationError, which lists what there is, when it is none of these.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    shipped = weights_folder() / f"{name}.mat"
    if shipped.is_file():
        return shipped
    fetched = _fetched(str(name), paths)
    if fetched is not None:
        return fetched
    raise ConfigurationError(
        f"there is no network file {os.fspath(name)!r}, and no network of that name; "
        f"those that ship: {', '.join(shipped_networks()) or 'none'}; `deepibl fetch` brings published ones"
    )


def _fetched(name: str, paths: LocalPaths | None) -> Path | None:
    for card in REGISTRY.values():
        file = default_folder(card, paths) / card.file
        if name in (card.name, card.file) and file.is_file():
            return file
    return None

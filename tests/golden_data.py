"""Where the golden data lies, and how to read it.

`$DEEPIBL_GOLDEN` names another directory of the same layout; every parity test must pass on that one too,
so a test finds its fixtures through `golden_files` and never by their number, size or seed.
"""

import os
from pathlib import Path
from typing import Any

import scipy.io

GOLDEN = Path(os.environ.get("DEEPIBL_GOLDEN", Path(__file__).parent / "golden"))
REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


def golden_files(pattern: str) -> list[Path]:
    """All fixtures whose path below the golden directory matches the glob pattern, sorted."""
    return sorted(GOLDEN.glob(pattern))


def golden_id(path: Path) -> str:
    """The name that pytest prints for a fixture."""
    return str(path.relative_to(GOLDEN).with_suffix(""))


def read_golden(path: Path) -> dict[str, Any]:
    """The variables of a golden .mat file as scipy gives them (MATLAB shapes, structs as objects)."""
    content = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=False)
    return {name: value for name, value in content.items() if not name.startswith("__")}

"""Notes in JSON that lie beside unfinished work; one that cannot be read says nothing, and the work is done
again.
"""

import json
from pathlib import Path
from typing import Any


def read_note(path: Path) -> dict[str, Any]:
    """What a note says; {} where it is not there, damaged or no JSON object."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}

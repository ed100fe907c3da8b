"""Bad files that follow the code: python -m tests.reliability.guided --kind csv --seconds 60

atheris (pip install "deepibl[fuzz]") sees which branches of our readers a file takes and keeps what takes a
new one. It fuzzes one kind in this process until the time is over; an error that is not ours ends it, and
the file is written as crash-… into the current folder.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

OURS = ["deepibl", "matlab_compat"]
with atheris.instrument_imports(include=OURS):
    from tests.reliability.readers import KINDS, accepted
    from tests.reliability.seeds import make_seeds

LARGEST = 2**16


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=list(KINDS), required=True)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="deepibl-guided-"))
    make_seeds(place / "seeds")
    kind = KINDS[given.kind]

    def read(data: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            for number, reader in enumerate(kind.readers):
                path = Path(folder) / f"{number}" / f"bad{kind.suffix}"
                path.parent.mkdir()
                path.write_bytes(data)
                try:
                    reader(path)
                except Exception as error:
                    if not accepted(error):
                        raise

    with atheris.instrument_imports(include=OURS):  # readers import what they need when they run
        read(sorted((place / "seeds" / given.kind).iterdir())[0].read_bytes())
    limits = [f"-max_total_time={given.seconds}", f"-max_len={LARGEST}", "-timeout=10", "-rss_limit_mb=2500"]
    atheris.Setup([sys.argv[0], *limits, str(place / "seeds" / given.kind)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

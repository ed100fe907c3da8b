"""Migrated programs print what Octave prints."""

import pytest

pytest.importorskip("tree_sitter_matlab", reason="needs the extra `migrate`")

from tests.unit.migrate.differential import compare, in_python
from tests.unit.migrate.programs import program


@pytest.mark.octave
def test_generated_programs_print_what_octave_prints() -> None:
    outcomes = compare([program(seed) for seed in range(300)])
    wrong = [outcome for outcome in outcomes if outcome.verdict in ("wrong", "refused")]
    assert not wrong, "\n".join(wrong[0])
    assert sum(outcome.verdict == "equal" for outcome in outcomes) > 290


def test_generated_programs_run() -> None:
    ran = [in_python(program(seed)) for seed in range(1000, 1100)]
    assert sum(whole and "!!!" not in text for whole, text in ran) > 95

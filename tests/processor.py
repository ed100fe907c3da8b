"""Marks of tests that need what not every processor has."""

import pytest

from deepibl.engine import onednn

int8_here = pytest.mark.skipif(
    not onednn.instructions("int8") or bool(onednn.available()), reason="no int8 on this processor"
)
bf16_here = pytest.mark.skipif(not onednn.instructions("bf16"), reason="no bf16 on this processor")

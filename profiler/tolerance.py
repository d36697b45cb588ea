"""How near stored numbers must be to recomputed ones."""

from __future__ import annotations

from typing import Final

SUM_TOLERANCE: Final = 1e-9
VECTOR_TOLERANCE: Final = 1e-5
CANCELLATION: Final = 0.1
"""Random directions cancel, so a long sum's norm is far below the length of what was added, to
which float32 rounding is proportional: a vector counts as at least this share of that length."""

FLOAT64_FLOOR: Final = 1e-290
FLOAT32_FLOOR: Final = 1e-30
"""Where decay has used up the digits of the type: about 2^-960 and 2^-100 of a fresh event."""

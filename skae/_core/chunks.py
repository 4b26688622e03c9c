"""How many rows go through a network at once where nothing is trained."""

from __future__ import annotations

# Of what one layer makes of the rows.
_ENTRIES = 2**24


def rows_at_a_time(most: int, n_columns: int) -> int:
    """Return how many rows of this width may be held at once: of wide ones fewer than `most`."""
    return max(1, min(most, _ENTRIES // n_columns))

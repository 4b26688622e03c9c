"""Keywords of the points of a scatter plot."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Keywords of the outlines of points.
_OF_LINES = frozenset(
    (
        "linewidth",
        "linewidths",
        "lw",
        "edgecolor",
        "edgecolors",
        "ec",
        "facecolor",
        "facecolors",
        "fc",
    )
)


def point_defaults(n_rows: int, given: dict[str, Any]) -> dict[str, Any]:
    """Return size, opacity and width of the outlines of points, beside the keywords given."""
    from matplotlib.markers import MarkerStyle

    options: dict[str, Any] = {"s": 14 if n_rows < 2500 else 5, "alpha": 0.8}
    marker = given.get("marker")
    # Markers such as "x" consist of lines.
    is_filled = marker is None or MarkerStyle(marker).is_filled()
    if is_filled and not _OF_LINES & given.keys():
        options["linewidths"] = 0
    return options


def in_order(keywords: dict[str, Any], order: NDArray[np.intp]) -> dict[str, Any]:
    """Return keywords, with those that have a value for each row in the order of the drawing."""
    return {
        name: [value[row] for row in order] if _is_of_rows(value, len(order)) else value
        for name, value in keywords.items()
    }


def _is_of_rows(value: Any, n_rows: int) -> bool:
    return isinstance(value, np.ndarray | list | tuple) and len(np.atleast_1d(value)) == n_rows

"""Warnings that point to the line of the caller."""

from __future__ import annotations

import sys
import warnings

# Decorated methods are called via contextlib, pipelines and searches via joblib.
_BETWEEN = frozenset({"skae", "sklearn", "contextlib", "joblib"})


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning at the first frame outside the package, however deep the call is."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)

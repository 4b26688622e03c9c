"""Warnings that name the caller's line."""

from __future__ import annotations

import sys
import warnings

# Decorated methods pass through contextlib, pipelines and searches through joblib.
_BETWEEN = frozenset({"skae", "sklearn", "contextlib", "joblib"})


def warn(message: str, category: type[Warning]) -> None:
    """Warn of what a caller did, however deep in the package it is noticed."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)

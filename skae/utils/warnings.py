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


def warn_of_wide_code(n_components: float, n_rows: int, n_features: int) -> None:
    """Warn of more components than X has features or rows, which PCA refuses."""
    if n_components > n_features:
        warn(
            f"n_components={n_components} is above the number of features of X, {n_features}: such "
            "a code can copy X without learning anything. Lower it, or use a method meant for wide "
            "codes, such as SparseAutoencoder or DenoisingAutoencoder.",
            UserWarning,
        )
    else:
        warn(
            f"n_components={n_components} is above the number of rows of X, {n_rows}, which PCA "
            "describes with fewer components. Lower it, or pass more rows.",
            UserWarning,
        )

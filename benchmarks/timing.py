"""Timing of function calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def timed(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> tuple[Any, float]:
    """Call a function; return its result and the wall-clock seconds."""
    start = time.perf_counter()
    result = function(*arguments, **keywords)
    return result, time.perf_counter() - start


def median_seconds(functions: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each function.

    The functions are called in turn, so that a busy machine slows all of them equally.
    """
    rounds = [[timed(function)[1] for function in functions.values()] for _ in range(repeats)]
    return dict(zip(functions, np.median(rounds, axis=0).tolist(), strict=True))

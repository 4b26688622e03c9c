"""What `SearchDisplay` reads from the `cv_results_` of a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def find_parameter(results: Mapping[str, Any], param_name: str | None) -> str:
    """Return the full name of a parameter of the search."""
    names = [key.removeprefix("param_") for key in results if key.startswith("param_")]
    if param_name is not None:
        found = [param_name] if param_name in names else []
        found = found or [name for name in names if name.endswith(f"__{param_name}")]
        if len(found) == 1:
            return found[0]
        raise ValueError(f"param_name={param_name!r} must be one of {', '.join(names)}.")
    found = varied(results) or names
    if len(found) != 1:
        raise ValueError(f"param_name=None, but the search varies {', '.join(found)}. Name one.")
    return found[0]


def varied(results: Mapping[str, Any]) -> list[str]:
    """Return the names of the parameters that have more than one value."""
    return [
        key.removeprefix("param_")
        for key, values in results.items()
        if key.startswith("param_") and len({repr(value) for value in values}) > 1
    ]


def find_scores(results: Mapping[str, Any], refit: Any, scores: Sequence[str] | None) -> list[str]:
    """Return the names of the scores to draw; the one that chose comes first."""
    prefix = "mean_test_"
    names = [key.removeprefix(prefix) for key in results if key.startswith(prefix)]
    if scores is None:
        return sorted(names, key=lambda name: name != refit)
    for name in scores:
        if name not in names:
            raise ValueError(f"scores={scores!r}, but the search has {names}.")
    return list(scores)


def best_of_each(
    values: Any, scores: NDArray[Any], candidates: set[int], best: int | None
) -> tuple[list[int], bool]:
    """Return the candidate with the highest score at each value, and whether values repeat.

    The candidate `best` counts as the highest. Candidates without the parameter are left out.
    """
    found: dict[str, int] = {}
    n_candidates = 0
    keys = np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=-np.inf)
    if best is not None:
        keys[best] = np.inf
        candidates = candidates | {best}
    without = np.ma.getmaskarray(values)
    for candidate in sorted(candidates):
        if without[candidate]:
            continue
        n_candidates += 1
        name = repr(values[candidate])
        if name not in found or keys[candidate] > keys[found[name]]:
            found[name] = candidate
    return list(found.values()), len(found) < n_candidates


def order_of(values: list[Any]) -> list[int]:
    """Return the order of numbers; other values keep theirs."""
    if plain_values(values).dtype.kind in "iuf":
        return list(np.argsort(np.array(values, dtype=np.float64), kind="stable"))
    return list(range(len(values)))


def plain_values(values: list[Any]) -> NDArray[Any]:
    """Return values as an array of numbers, if they are, and otherwise of objects."""
    if all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values):
        return np.array(values)
    plain = np.empty(len(values), dtype=object)
    plain[:] = values
    return plain

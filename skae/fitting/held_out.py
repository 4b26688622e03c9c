"""What the user says of the held-out rows: which belong together, and which are held out."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils.validation import column_or_1d

from skae.utils.arrays import plain_array
from skae.utils.csr import Array
from skae.utils.validation import is_missing
from skae.utils.warnings import warn

# With fewer groups, even if all of them improve, they are no majority as the decision asks for it,
# see `skae.fitting.selection`.
MIN_GROUPS = 7
_OWN_GROUP = "Name a group for each row, one of its own if it belongs to no other."


def group_numbers(n_rows: int, groups: ArrayLike) -> NDArray[np.int64]:
    """Return the number of each row's group.

    Raises
    ------
    ValueError
        If there is not one group for each row, or only one in all.
    """
    groups = plain_array(groups, "groups", remedy=_OWN_GROUP)
    try:
        values = column_or_1d(groups)
    except (TypeError, ValueError) as error:
        got = type(groups).__name__
        with suppress(ValueError):  # rows of different lengths have no shape
            got += f" of shape {np.shape(groups)}"
        raise ValueError(
            "groups must have one dimension, with a number or a string for each row that names its "
            f"group. Got {got}."
        ) from error
    if len(values) != n_rows:
        raise ValueError(f"X has {n_rows} rows, but groups has {len(values)} entries.")
    missing = is_missing(values)
    if missing.any():
        raise ValueError(f"groups has no value for row {missing.argmax()}. {_OWN_GROUP}")
    numbers = _numbers_of(values)
    if not numbers.any():
        raise ValueError("groups has a single group, so no other could be held out.")
    return numbers


def _numbers_of(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each value among the distinct ones, in their order if they have one."""
    if values.dtype.kind != "O":
        numbers: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
        return numbers
    try:
        names = list(dict.fromkeys(values))
    except TypeError as error:
        raise ValueError(
            f"groups must name each row's group by a number or a string, but {error}."
        ) from error
    with suppress(TypeError):  # numbers and strings have no common order
        names.sort()
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[value] for value in values], dtype=np.int64)


def read_groups(estimator: Any, n_rows: int, groups: ArrayLike) -> NDArray[np.int64]:
    """Return the number of each row's group in the fit of an autoencoder.

    Raises
    ------
    ValueError
        As `group_numbers`.

    Warns
    -----
    UserWarning
        If there are so few groups that PCA is kept.
    """
    numbers = group_numbers(n_rows, groups)
    n_groups = int(numbers.max()) + 1
    if n_groups < MIN_GROUPS and estimator.shortcut == "pca":
        warn(
            f"groups has only {n_groups} groups: however many improve, it may be chance, so PCA is "
            f"kept. Pass rows of at least {MIN_GROUPS} groups.",
            UserWarning,
        )
    return numbers


def check_holds_out(estimator: Any) -> None:
    """Raise a ValueError if rows that the user names would not be held out."""
    for parameter, needed in (("early_stopping", True), ("warm_start", False)):
        if bool(getattr(estimator, parameter)) is not needed:
            raise ValueError(
                "groups, or a splitter as validation_fraction, decide which rows are held out, "
                f"but {parameter}={not needed}. Set {parameter}={needed}."
            )


def read_splits(
    splitter: Any,
    X: Array,
    y: object,
    groups: NDArray[np.int64] | None,
    *,
    name: str = "validation_fraction",
    used: int | None = None,
    max_splits: int | None = None,
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the training and the held-out rows of each split of a splitter.

    Parameters
    ----------
    splitter : splitter of scikit-learn, or list of pairs of rows
    X : array or CSR matrix of shape (n_rows, n_features)
    y, groups : passed to the splitter
    name : str
        The parameter that the splitter is passed as, for error messages.
    used : int or None
        How many of the splits are used; None for all.
    max_splits : int or None
        How many splits there may be.

    Raises
    ------
    ValueError
        If the splitter raises an error, a part is empty or has rows that X does not have, rows are
        in both parts, or there are too many splits.
    """
    n_rows = X.shape[0]
    fold = getattr(splitter, "test_fold", None)  # of PredefinedSplit, which ignores X
    if fold is not None and len(fold) != n_rows:
        raise ValueError(
            f"{name}={type(splitter).__name__}(...) has {len(fold)} entries, but X has {n_rows} "
            "rows. Pass an entry for each row."
        )
    splits = splitter[:used] if isinstance(splitter, list | tuple) else None
    if splits is None:
        try:
            splits = list(islice(splitter.split(X, y, groups), used))
        except (TypeError, ValueError) as error:
            absent = [what for what, given in (("y", y), ("groups", groups)) if given is None]
            remedy = "Pass another splitter."
            if absent:
                remedy = (
                    f"Pass {' and '.join(absent)} to fit if it needs them, or another splitter."
                )
            raise ValueError(
                f"{name}={type(splitter).__name__}(...) cannot split the rows: {error} {remedy}"
            ) from error
    if not splits or (max_splits is not None and len(splits) > max_splits):
        most = ""
        if max_splits is not None:
            most = (
                f", and for this estimator and size of the network at most {max_splits} may be "
                "validated together"
            )
        raise ValueError(
            f"{name} makes {len(splits)} splits, but there must be at least one{most}. Pass "
            "another splitter, such as ShuffleSplit(1)."
        )
    parts = []
    for pair in splits:
        training, held_out = (_row_numbers(rows, n_rows, name) for rows in pair)
        if not len(training) or not len(held_out) or np.intersect1d(training, held_out).size:
            raise ValueError(
                f"{name} makes a split of {len(training)} training and {len(held_out)} held-out "
                "rows. Both are needed, and no row may be in both."
            )
        parts.append((training, held_out))
    return parts


def _row_numbers(rows: ArrayLike, n_rows: int, name: str) -> NDArray[np.int64]:
    """Return the numbers of the rows that a splitter names by their numbers or by a mask."""
    rows = np.asarray(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "biu"):
        raise ValueError(
            f"{name} must name rows by one-dimensional arrays of row numbers, or by masks, but "
            f"one has the shape {rows.shape} and the dtype {rows.dtype}."
        )
    if rows.dtype.kind == "b":
        if len(rows) != n_rows:
            raise ValueError(
                f"{name} has a mask of {len(rows)} entries, but X has {n_rows} rows. Pass an entry "
                "for each row."
            )
        return np.flatnonzero(rows)
    outside = rows[(rows < 0) | (rows >= n_rows)]
    if outside.size:
        raise ValueError(
            f"{name} names row {outside[0]}, but X has {n_rows} rows, with the numbers 0 to "
            f"{n_rows - 1}."
        )
    return rows.astype(np.int64)


def joined_groups(duplicates: NDArray[np.int64], given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups of rows that are linked by either of two groupings."""
    n = int(duplicates.max()) + 1
    size = n + int(given.max()) + 1
    links = coo_array((np.ones(len(given), dtype=bool), (duplicates, given + n)), (size, size))
    labels = connected_components(links, directed=False)[1][duplicates]
    return np.unique(labels, return_inverse=True)[1]

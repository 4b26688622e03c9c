"""What the user says of the held-out rows: which belong together, and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils.validation import column_or_1d

from skae.utils.validation import is_missing
from skae.utils.warnings import warn

# With fewer groups, even if all of them improve, they are no majority as the decision asks for it,
# see `skae.fitting.selection`.
MIN_GROUPS = 7


def group_numbers(n_rows: int, groups: ArrayLike) -> NDArray[np.int64]:
    """Return the number of each row's group.

    Raises
    ------
    ValueError
        If there is not one group for each row, or only one in all.
    """
    values = column_or_1d(groups)
    if len(values) != n_rows:
        raise ValueError(f"X has {n_rows} rows, but groups has {len(values)} entries.")
    missing = is_missing(values)
    if missing.any():
        raise ValueError(
            f"groups has no value for row {missing.argmax()}. Name a group for each row, "
            "one of its own if it belongs to no other."
        )
    numbers: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    if not numbers.any():
        raise ValueError("groups has a single group, so no other could be held out.")
    return numbers


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
    splits: Sequence[tuple[Any, Any]], max_splits: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the training and the held-out rows of each split of a splitter.

    Raises
    ------
    ValueError
        If a part is empty, if rows are in both parts, or if there are too many splits.
    """
    if not 1 <= len(splits) <= max_splits:
        raise ValueError(
            f"validation_fraction makes {len(splits)} splits, but there must be at least one, and "
            f"for this estimator and size of the network at most {max_splits} may be validated "
            "together. Pass another splitter, such as ShuffleSplit(1)."
        )
    parts = []
    for training, held_out in splits:
        training, held_out = (np.asarray(rows, dtype=np.int64) for rows in (training, held_out))
        if not len(training) or not len(held_out) or np.intersect1d(training, held_out).size:
            raise ValueError(
                f"validation_fraction makes a split of {len(training)} training and "
                f"{len(held_out)} held-out rows. Both are needed, and no row may be in both."
            )
        parts.append((training, held_out))
    return parts


def joined_groups(duplicates: NDArray[np.int64], given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the groups of rows that are linked by either of two groupings."""
    n = int(duplicates.max()) + 1
    size = n + int(given.max()) + 1
    links = coo_array((np.ones(len(given), dtype=bool), (duplicates, given + n)), (size, size))
    labels = connected_components(links, directed=False)[1][duplicates]
    return np.unique(labels, return_inverse=True)[1]

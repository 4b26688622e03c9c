"""Rows without a label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import column_or_1d

from skae.utils.validation import is_missing

UNLABELLED = -1


def read_labels(
    y: ArrayLike, classes: NDArray[Any] | None = None
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return which rows have a label, and the labels of these rows.

    -1 and missing values (NaN, None, pandas.NA) mark rows without a label. If all others are 1, -1
    is a class: -1 and 1 are the two classes of an older convention.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    classes : ndarray or None
        The classes, if they are known; they tell whether -1 is one of them.
    """
    labels = column_or_1d(y, warn=True)
    names = set(labels.astype(str)) if labels.dtype.kind in "US" else set()
    if str(UNLABELLED) in names and names != {str(UNLABELLED), "1"}:
        raise ValueError(
            f"y holds strings, {str(UNLABELLED)!r} among them. Where that marks rows without a "
            f"label, give y the dtype object and mark them by None or the number {UNLABELLED}; a "
            "class needs another name."
        )
    known = ~is_missing(labels)
    if labels.dtype.kind in "ifO":
        is_unlabelled = known & (np.where(known, labels, 0) == UNLABELLED)  # no string equals -1
        others = labels[known & ~is_unlabelled]
        is_class = len(others) > 0 and bool((others == 1).all())
        if classes is not None:
            is_class = UNLABELLED in classes.tolist()
        if not is_class:
            known &= ~is_unlabelled
    given = labels[known]
    if given.dtype.kind == "O":
        # Beside None, numbers and booleans are objects, which scikit-learn takes for no class.
        typed = np.array(given.tolist())
        given = typed if typed.dtype.kind in "biuf" else given
    return known, given

"""Conversion of masked arrays and tensors to plain arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

# What `plain_array` is for; of other containers, scikit-learn takes care.
UNUSUAL = (np.ma.MaskedArray, Tensor, list, tuple)

_REMEDY = (
    "Fill them or leave them out, or use DenoisingAutoencoder, which takes them as missing entries."
)


def plain_array(
    X: Any, name: str = "X", *, allows_missing: bool = False, remedy: str = _REMEDY
) -> Any:
    """Return a masked array or a tensor, or a list of them, as a plain array; others as they are.

    NumPy drops a mask in silence, and takes no tensor that is on another device or requires a
    gradient.

    Parameters
    ----------
    X : object
    name : str
        What X is, for error messages.
    allows_missing : bool
        Whether masked entries become NaN. Otherwise there must be none.
    remedy : str
        What to do about masked entries, for the error message.
    """
    if isinstance(X, list | tuple):
        if any(isinstance(row, Tensor) for row in X):
            X = [_detached(row, name) if isinstance(row, Tensor) else row for row in X]
        if not any(isinstance(row, np.ma.MaskedArray) for row in X):
            return X
        X = np.ma.stack(X)
    if isinstance(X, Tensor):
        return _detached(X, name)
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if not np.ma.is_masked(X):
        return X.data
    if not allows_missing:
        raise ValueError(
            f"{name} is a masked array with {np.ma.count_masked(X)} masked entries. {remedy}"
        )
    # Only floats can hold NaN. The values behind the mask do not affect the dtype.
    return np.ma.filled(X.astype(X.dtype if X.dtype.kind == "f" else np.float64), np.nan)


def plain_arrays(X: Any, y: Any, sample_weight: Any, allows_missing: bool) -> tuple[Any, Any, Any]:
    """Return all three as `plain_array` does; targets and weights may not be masked."""
    remedy = "Leave these rows out, or mark rows without a label as the class documents."
    return (
        plain_array(X, allows_missing=allows_missing),
        plain_array(y, "y", remedy=remedy),
        plain_array(sample_weight, "sample_weight", remedy="Give rows to leave out the weight 0."),
    )


def _detached(X: Tensor, name: str) -> Any:
    try:
        X = X.detach().cpu().resolve_conj().resolve_neg()
        return (X.double() if X.dtype is torch.bfloat16 else X).numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"{name} is a tensor that is no array of numbers: its layout is {X.layout}, its dtype "
            f"{X.dtype}, its device {X.device}. Pass a dense tensor with values, such as "
            f"{name}.to_dense(), or a SciPy matrix where sparse rows are allowed."
        ) from error

"""Scores by which to choose how strongly an autoencoder is regularised.

A code at least as wide as the data can copy it: plain reconstruction, scored on held-out rows, then
always prefers no regularisation. These scores ask for something that a copy does not give. Each
has the signature of a scorer, ``(estimator, X, y=None)``, so it can be passed as `scoring` to
`GridSearchCV` and `cross_val_score`; set its keywords by `functools.partial`. They work on any
estimator or pipeline with `transform` and `inverse_transform`, PCA for one. Missing entries (NaN)
go to the estimator as they are and are not scored.
"""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.manifold import trustworthiness
from sklearn.utils import check_array, check_random_state

from skae._core.corruption import gaussian, masking, salt_and_pepper

__all__ = ["denoising_score", "hidden_entries_score", "trustworthiness_score"]

RandomState = int | np.random.RandomState | None


def hidden_entries_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    share: float = 0.1,
    random_state: RandomState = 0,
) -> float:
    """How well entries that the estimator does not see are predicted from the others.

    A share of the entries is replaced by the mean of its feature over X; the score is the R2 of
    the reconstruction on these entries: 1 is perfect, 0 is predicting the mean.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`.
    X : array-like of shape (n_samples, n_features)
        Rows that the estimator was not fitted on.
    y : Ignored
    share : float, default=0.1
        Share of entries to hide, in (0, 1).
    random_state : int, RandomState instance or None, default=0
        Which entries. An int hides the same ones in each call, so that scores compare.

    Returns
    -------
    score : float

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skae.metrics import hidden_entries_score
    >>> X = load_digits().data
    >>> copy, compression = PCA().fit(X[:1000]), PCA(16).fit(X[:1000])
    >>> bool(abs(hidden_entries_score(copy, X[1000:])) < 0.01)
    True
    >>> bool(hidden_entries_score(compression, X[1000:]) > 0.3)
    True
    """
    _check_share("share", share)
    clean = _clean(X)
    random = check_random_state(random_state)
    hidden = (random.random_sample(clean.shape) < share) & ~np.isnan(clean)
    if not hidden.any():
        raise ValueError(
            f"share={share!r} of the {clean.size} entries of X hides none. Raise share, or score "
            "more rows."
        )
    means = np.nanmean(clean, axis=0)
    restored = _reconstruct(estimator, X, np.where(hidden, means, clean))
    return _r2(clean, restored, means, hidden)


def denoising_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    noise: str = "masking",
    noise_level: float = 0.25,
    random_state: RandomState = 0,
) -> float:
    """How well X is reconstructed from a corrupted copy: R2 over all entries.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`.
    X : array-like of shape (n_samples, n_features)
        Rows that the estimator was not fitted on.
    y : Ignored
    noise : {"masking", "gaussian", "salt_and_pepper"}, default="masking"
        As in `DenoisingAutoencoder`; means, smallest and largest values are those of X.
    noise_level : float, default=0.25
        Share of corrupted entries, in (0, 1), or for "gaussian" the standard deviation, in the
        units of X.
    random_state : int, RandomState instance or None, default=0
        An int gives the same noise in each call, so that scores compare.

    Returns
    -------
    score : float
        1 is perfect, 0 is predicting the mean.
    """
    clean = _clean(X)
    means = np.nanmean(clean, axis=0)
    missing = np.isnan(clean)
    # In one order: the noise must not depend on the memory layout of X.
    centred = torch.from_numpy(np.ascontiguousarray(clean - means))
    if noise == "gaussian":
        if not isinstance(noise_level, Real) or not noise_level > 0:
            raise ValueError(f"noise_level={noise_level!r} must be above 0.")
        corrupt = partial(gaussian, standard_deviation=noise_level)
    elif noise == "masking":
        _check_share("noise_level", noise_level)
        corrupt = partial(masking, share=noise_level)
    elif noise == "salt_and_pepper":
        _check_share("noise_level", noise_level)
        low = torch.from_numpy(np.fmin.reduce(clean, axis=0) - means)
        high = torch.from_numpy(np.fmax.reduce(clean, axis=0) - means)
        corrupt = partial(salt_and_pepper, share=noise_level, low=low, high=high)
    else:
        raise ValueError(f"noise={noise!r} must be 'masking', 'gaussian' or 'salt_and_pepper'.")
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    noisy = corrupt(centred, torch.Generator().manual_seed(seed)).numpy() + means
    noisy[missing] = np.nan
    return _r2(clean, _reconstruct(estimator, X, noisy), means, ~missing)


def trustworthiness_score(
    estimator: Any, X: ArrayLike, y: object = None, *, n_neighbors: int = 5
) -> float:
    """Whether neighbours in the code are neighbours in X: scikit-learn's `trustworthiness`.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform`.
    X : array-like of shape (n_samples, n_features)
        Rows that the estimator was not fitted on. Time and memory grow with their square.
    y : Ignored
    n_neighbors : int, default=5
        Fewer than half the rows.

    Returns
    -------
    score : float
        In [0, 1]; 1 where no row has a false neighbour.
    """
    return float(trustworthiness(_clean(X), estimator.transform(X), n_neighbors=n_neighbors))


def _check_share(name: str, share: float) -> None:
    if not isinstance(share, Real) or not 0 < share < 1:
        raise ValueError(f"{name}={share!r} is a share of entries, so it must be in (0, 1).")


def _clean(X: ArrayLike) -> NDArray[np.float64]:
    return check_array(
        X, dtype=np.float64, ensure_all_finite="allow-nan", ensure_min_samples=2, input_name="X"
    )


def _reconstruct(estimator: Any, X: Any, changed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reconstruct changed values, in the kind of table that X is."""
    table: Any = changed
    if hasattr(X, "iloc"):
        table = type(X)(changed, columns=X.columns, index=X.index)
    elif hasattr(X, "columns"):
        table = type(X)(changed, schema=list(X.columns))
    elif getattr(X, "dtype", None) == np.float32:
        table = changed.astype(np.float32)
    return np.asarray(estimator.inverse_transform(estimator.transform(table)), dtype=np.float64)


def _r2(
    clean: NDArray[np.float64],
    restored: NDArray[np.float64],
    means: NDArray[np.float64],
    counted: NDArray[np.bool_],
) -> float:
    total = float(np.square(clean - means).sum(where=counted))
    error = float(np.square(clean - restored).sum(where=counted))
    if total == 0:
        return 1.0 if error == 0 else 0.0
    return 1.0 - error / total

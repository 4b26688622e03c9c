"""Scores of a fitted autoencoder, for choosing its strength and for looking at its code.

A code at least as wide as the data can copy it: plain reconstruction, scored on held-out rows, then
always prefers no regularisation. `hidden_entries_score`, `denoising_score` and
`trustworthiness_score` ask for something that a copy does not give; to the first two, missing
entries (NaN) go as they are and are not scored. `prior_match_score`, `interpolation_score` and
`separability_score` say what a code is like: whether it has the distribution that codes are drawn
from, whether points between codes are like data, whether it keeps classes apart. A code that tells
nothing does well by the first two of these, so read them beside a score of reconstruction.

Each has the signature of a scorer, ``(estimator, X, y=None)``, so it can be passed as `scoring` to
`GridSearchCV` and `cross_val_score`; set its keywords by `functools.partial`. They work on any
estimator or pipeline with `transform` and, where rows are reconstructed, `inverse_transform`, PCA
for one.
"""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.stats import norm
from sklearn.manifold import trustworthiness
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_random_state

from skae._core.corruption import gaussian, masking, salt_and_pepper
from skae._validation import check_count

__all__ = [
    "denoising_score",
    "hidden_entries_score",
    "interpolation_score",
    "prior_match_score",
    "separability_score",
    "trustworthiness_score",
]

# Of the largest standard deviation of a code's columns.
_NOTHING = 1e-6

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
    # A generator of its own: a caller may have made the holes of X by the same seed.
    random = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    hidden = (random.random(clean.shape) < share) & ~np.isnan(clean)
    if not hidden.any():
        raise ValueError(
            f"share={share!r} of the {np.isfinite(clean).sum()} entries of X hides none. Raise "
            "share, or score more rows."
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


def prior_match_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    standardise: bool = False,
    n_projections: int = 100,
    random_state: RandomState = 0,
) -> float:
    """How near the code of all rows together is to N(0, I), from which codes are drawn.

    Minus the sliced Wasserstein distance: the code is projected on random directions, and the
    sorted values are compared with the quantiles of N(0, 1) (root mean square of the differences
    over all directions). Codes are drawn from the posterior where the estimator, or the last step
    of a pipeline or of the best estimator of a search, has `encode_distribution`; else they are
    those of `transform`.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform`.
    X : array-like of shape (n_samples, n_features)
    y : Ignored
    standardise : bool, default=False
        Centre each column of the code and divide it by its standard deviation first, for codes
        in units of their own: their shape alone is then compared.
    n_projections : int, default=100
    random_state : int, RandomState instance or None, default=0
        Draws of directions and codes. An int draws the same in each call, so that scores compare.

    Returns
    -------
    score : float
        0 is a perfect match; -1 is a shift of all columns by one standard deviation of the prior.
        n rows of N(0, I) itself score about ``-1.7 / sqrt(n)``.

    References
    ----------
    Bonneel, N., et al. (2015). Sliced and Radon Wasserstein barycenters of measures. JMIV.
    """
    check_count("n_projections", n_projections)
    random = check_random_state(random_state)
    code = _drawn_code(estimator, X, random)
    if standardise:
        deviations = code.std(axis=0)
        varies = deviations > _NOTHING * deviations.max()  # the rest is rounding
        code = np.where(varies, (code - code.mean(axis=0)) / np.where(varies, deviations, 1.0), 0.0)
    directions = random.standard_normal((code.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    quantiles = norm.ppf((np.arange(len(code)) + 0.5) / len(code))
    projected = np.sort(code @ directions, axis=0)
    return -float(np.sqrt(np.square(projected - quantiles[:, None]).mean()))


def interpolation_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    n_pairs: int = 1000,
    random_state: RandomState = 0,
) -> float:
    """Whether points between codes decode to something like data: how free of gaps a code is.

    The points midway between the codes of random pairs of rows are decoded, and their distances
    to the nearest row of X measured; those of reconstructed rows to the nearest other row are
    what they are compared with.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`.
    X : array-like of shape (n_samples, n_features)
        Three rows or more.
    y : Ignored
    n_pairs : int, default=1000
    random_state : int, RandomState instance or None, default=0
        Which pairs. An int takes the same ones in each call, so that scores compare.

    Returns
    -------
    score : float
        Mean distance of the reconstructions over that of the midpoints: about 1 and more without
        gaps, towards 0 the emptier the space between the codes. Not to be maximised: where all
        rows are reconstructed alike there are no gaps either. The distances are Euclidean, which
        says little where most features are noise.
    """
    check_count("n_pairs", n_pairs)
    rows = check_array(X, dtype=np.float64, ensure_min_samples=3, input_name="X")
    random = check_random_state(random_state)
    first = random.randint(len(rows), size=n_pairs)
    second = (first + random.randint(1, len(rows), size=n_pairs)) % len(rows)
    code = _dense(estimator.transform(X))
    between = np.asarray(estimator.inverse_transform((code[first] + code[second]) / 2))
    restored = np.asarray(estimator.inverse_transform(code))
    neighbours = NearestNeighbors(n_neighbors=2).fit(rows)
    distances, indices = neighbours.kneighbors(restored)
    own = indices[:, 0] == np.arange(len(rows))
    to_others = np.where(own, distances[:, 1], distances[:, 0]).mean()
    to_nearest = neighbours.kneighbors(between, n_neighbors=1)[0].mean()
    return float(to_others / to_nearest) if to_nearest > 0 else 1.0


def separability_score(
    estimator: Any, X: ArrayLike, y: ArrayLike, *, n_neighbors: int = 5, cv: Any = 5
) -> float:
    """How well the code keeps the classes y apart: accuracy of its nearest neighbours.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform`.
    X : array-like of shape (n_samples, n_features)
        Rows that the estimator was not fitted on.
    y : array-like of shape (n_samples,)
        Their classes.
    n_neighbors : int, default=5
    cv : int or splitter, default=5
        Each fold's rows are classified by those of the other folds.

    Returns
    -------
    score : float
        In [0, 1].
    """
    classifier = KNeighborsClassifier(n_neighbors)
    code = estimator.transform(X)
    return float(cross_val_score(classifier, code, y, cv=cv, error_score="raise").mean())


def _drawn_code(estimator: Any, X: Any, random: np.random.RandomState) -> NDArray[np.float64]:
    """Return one code a row, drawn from its posterior where there is one."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline) and hasattr(estimator[-1], "encode_distribution"):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    if not hasattr(estimator, "encode_distribution"):
        return _dense(estimator.transform(X))
    mean, deviation = estimator.encode_distribution(X)
    return np.asarray(mean + deviation * random.standard_normal(mean.shape), dtype=np.float64)


def _dense(code: Any) -> NDArray[np.float64]:
    return np.asarray(code.toarray() if issparse(code) else code, dtype=np.float64)


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
    # Squares relative to the largest deviation neither overflow nor vanish.
    deviations = clean - means
    unit = float(np.nanmax(np.abs(deviations))) or 1.0
    total = float(np.square(deviations / unit).sum(where=counted))
    error = float(np.square((clean - restored) / unit).sum(where=counted))
    if total == 0:
        return 1.0 if error == 0 else 0.0
    return 1.0 - error / total

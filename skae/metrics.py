"""Scores of a fitted autoencoder, to choose the strength of a penalty and to evaluate the code.

A code at least as wide as the data can copy its input. The reconstruction error of held-out rows
then always prefers no regularisation. `masked_imputation_score`, `denoising_score` and
`trustworthiness_score` measure tasks that a copy does not solve. The first two pass missing entries
(NaN) to the estimator and do not score them.

`prior_match_score`, `interpolation_score` and `separability_score` evaluate the code: whether it
follows the prior, whether points between codes decode to rows like the data, and whether it
separates classes. A code without information scores well on the first two, so use them together
with a reconstruction score.

Each score has the signature of a scorer, ``(estimator, X, y=None)``, and can be passed as `scoring`
to `GridSearchCV` and `cross_val_score`; set its keywords with `functools.partial`. The scores
accept any estimator or pipeline with `transform` and, if rows are reconstructed,
`inverse_transform`, for example PCA. Sparse X becomes dense a part at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.manifold import trustworthiness
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import check_array, check_consistent_length, check_random_state

from skae.utils.arrays import plain_array
from skae.utils.labels import read_labels
from skae.utils.scoring import (
    check_share,
    check_sparse_table,
    check_table,
    corruption,
    dense_code,
    distance_to_normal,
    drawn_code,
    hiding,
    masked_r2,
    noising,
    reconstruct_table,
    relative_gap,
    sparse_r2,
)
from skae.utils.validation import check_count

__all__ = [
    "denoising_score",
    "interpolation_score",
    "masked_imputation_score",
    "prior_match_score",
    "reconstruction_score",
    "separability_score",
    "trustworthiness_score",
]

# A column of the code is constant if its standard deviation is below this share of the largest.
_NOTHING = 1e-6

RandomState = int | np.random.RandomState | None


def reconstruction_score(estimator: Any, X: ArrayLike, y: object = None) -> float:
    """Compute how well X is reconstructed: R2 over all entries, in the units of X.

    The `score` of an autoencoder is the same around its own mean. That of a pipeline is in the
    units of its last step, so it cannot compare scalers; this score can.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that the estimator was not fitted on.
    y : Ignored

    Returns
    -------
    score : float
        1 is perfect, 0 is predicting the mean of X.
    """
    if issparse(X):
        return sparse_r2(estimator, *check_sparse_table(X))
    clean = check_table(X)
    restored = reconstruct_table(estimator, X, clean)
    return masked_r2(clean, restored, np.nanmean(clean, axis=0), ~np.isnan(clean))


def masked_imputation_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    share: float = 0.1,
    random_state: RandomState = 0,
) -> float:
    """Compute how well masked entries are predicted from the others.

    A share of the entries is replaced by the mean of their feature over X. The score is the R2 of
    the reconstruction over these entries.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that the estimator was not fitted on.
    y : Ignored
    share : float, default=0.1
        Share of entries to mask, in (0, 1).
    random_state : int, RandomState instance or None, default=0
        Seed of the masked entries. An int masks the same entries in each call, so that scores are
        comparable.

    Returns
    -------
    score : float
        1 is perfect, 0 is predicting the mean.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skae.metrics import masked_imputation_score
    >>> X = load_digits().data
    >>> copy, compression = PCA().fit(X[:1000]), PCA(16).fit(X[:1000])
    >>> bool(abs(masked_imputation_score(copy, X[1000:])) < 0.01)
    True
    >>> bool(masked_imputation_score(compression, X[1000:]) > 0.3)
    True
    """
    check_share("share", share)
    # Not the RandomState itself: its seed may also have drawn the missing entries of X.
    random = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    if issparse(X):
        return sparse_r2(estimator, *check_sparse_table(X), hiding(share, random))
    clean = check_table(X)
    hidden = (random.random(clean.shape) < share) & ~np.isnan(clean)
    if not hidden.any():
        raise ValueError(
            f"share={share!r} of the {np.isfinite(clean).sum()} entries of X hides none. Raise "
            "share, or score more rows."
        )
    means = np.nanmean(clean, axis=0)
    restored = reconstruct_table(estimator, X, np.where(hidden, means, clean))
    return masked_r2(clean, restored, means, hidden)


def denoising_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    noise: str = "masking",
    noise_level: float = 0.25,
    random_state: RandomState = 0,
) -> float:
    """Compute how well X is reconstructed from a corrupted copy: R2 over all entries.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that the estimator was not fitted on.
    y : Ignored
    noise : {"masking", "gaussian", "salt_and_pepper"}, default="masking"
        As in `DenoisingAutoencoder`, with the feature means, minima and maxima of X.
    noise_level : float, default=0.25
        Share of corrupted entries, in (0, 1); for "gaussian" the standard deviation, in the units
        of X.
    random_state : int, RandomState instance or None, default=0
        Seed of the noise. An int gives the same noise in each call, so that scores are comparable.

    Returns
    -------
    score : float
        1 is perfect, 0 is predicting the mean.
    """
    generator = torch.Generator().manual_seed(check_random_state(random_state).randint(2**31 - 1))
    if issparse(X):
        clean, means = check_sparse_table(X)
        corrupt = corruption(noise, noise_level, clean, means)
        return sparse_r2(estimator, clean, means, noising(corrupt, generator))
    clean = check_table(X)
    means = np.nanmean(clean, axis=0)
    missing = np.isnan(clean)
    # In C order, so that the noise does not depend on the memory layout of X.
    centred = torch.from_numpy(np.ascontiguousarray(clean - means))
    corrupt = corruption(noise, noise_level, clean, means)
    noisy = corrupt(centred, generator).numpy() + means
    noisy[missing] = np.nan
    return masked_r2(clean, reconstruct_table(estimator, X, noisy), means, ~missing)


def trustworthiness_score(
    estimator: Any, X: ArrayLike, y: object = None, *, n_neighbors: int = 5
) -> float:
    """Compute the trustworthiness of the code: whether its neighbours are neighbours in X.

    See `sklearn.manifold.trustworthiness`.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that the estimator was not fitted on. Time and memory are quadratic in their number.
    y : Ignored
    n_neighbors : int, default=5
        Number of neighbours, less than half the number of rows.

    Returns
    -------
    score : float
        In [0, 1]. 1 if all neighbours in the code are neighbours in X.
    """
    rows = check_sparse_table(X)[0] if issparse(X) else check_table(X)
    return float(trustworthiness(rows, estimator.transform(X), n_neighbors=n_neighbors))


def prior_match_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    standardise: bool = False,
    n_projections: int = 100,
    random_state: RandomState = 0,
) -> float:
    """Compute how close the distribution of all codes is to the prior N(0, I).

    The score is minus the sliced Wasserstein distance: codes are projected on random directions,
    and the sorted projections are compared with the quantiles of N(0, 1), by the root mean square
    difference over all directions. Codes are drawn from the posterior if the estimator has
    `encode_distribution`, otherwise they are those of `transform`. For a search this refers to the
    best estimator, for a pipeline to the last step.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : Ignored
    standardise : bool, default=False
        Standardise each column of the code first. Only the shape of the distribution is then
        compared, as is useful for codes that are not in units of the prior.
    n_projections : int, default=100
        Number of random directions.
    random_state : int, RandomState instance or None, default=0
        Seed of directions and codes. An int gives the same draws in each call, so that scores are
        comparable.

    Returns
    -------
    score : float
        0 is a perfect match; -1 is a shift of all columns by one standard deviation of the prior.
        A sample of n draws from N(0, I) scores about ``-1.7 / sqrt(n)``.

    References
    ----------
    Bonneel, N., et al. (2015). Sliced and Radon Wasserstein barycenters of measures. JMIV.
    """
    check_count("n_projections", n_projections)
    random = check_random_state(random_state)
    code = drawn_code(estimator, X, random)
    if standardise:
        deviations = code.std(axis=0)
        varies = deviations > _NOTHING * deviations.max()  # the others are constant up to rounding
        code = np.where(varies, (code - code.mean(axis=0)) / np.where(varies, deviations, 1.0), 0.0)
    return -distance_to_normal(code, n_projections, random)


def interpolation_score(
    estimator: Any,
    X: ArrayLike,
    y: object = None,
    *,
    n_pairs: int = 1000,
    random_state: RandomState = 0,
) -> float:
    """Compute whether points between codes decode to rows like the data, without gaps.

    The midpoints between the codes of random pairs of rows are decoded. Their distances to the
    nearest row of X are compared with the distances of reconstructions to the nearest other row.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform` and `inverse_transform`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Three rows or more.
    y : Ignored
    n_pairs : int, default=1000
        Number of random pairs.
    random_state : int, RandomState instance or None, default=0
        Seed of the pairs. An int gives the same pairs in each call, so that scores are comparable.

    Returns
    -------
    score : float
        Mean distance of the reconstructions, divided by that of the midpoints. It is about 1 or
        more without gaps, and tends to 0 as the space between the codes gets emptier. Do not
        maximise it: if all reconstructions are equal, there are no gaps either. The distances are
        Euclidean, which is not informative if most features are noise.
    """
    check_count("n_pairs", n_pairs)
    rows = check_array(
        plain_array(X), dtype=np.float64, accept_sparse="csr", ensure_min_samples=3, input_name="X"
    )
    random, n_rows = check_random_state(random_state), rows.shape[0]
    first = random.randint(n_rows, size=n_pairs)
    second = (first + random.randint(1, n_rows, size=n_pairs)) % n_rows
    code = dense_code(estimator.transform(X))
    return relative_gap(estimator, rows, code, (code[first] + code[second]) / 2)


def separability_score(
    estimator: Any, X: ArrayLike, y: ArrayLike, *, n_neighbors: int = 5, cv: Any = 5
) -> float:
    """Compute how well the code separates the classes y: accuracy of its nearest neighbours.

    Parameters
    ----------
    estimator : object
        Fitted, with `transform`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that the estimator was not fitted on.
    y : array-like of shape (n_samples,)
        Class labels. Rows without one, marked as in `AutoencoderClassifier`, are left out.
    n_neighbors : int, default=5
        Number of neighbours of the classifier.
    cv : int or splitter, default=5
        Cross-validation folds. The rows of a fold are classified by those of the other folds.

    Returns
    -------
    score : float
        Accuracy, in [0, 1].
    """
    classifier = KNeighborsClassifier(n_neighbors)
    code = dense_code(estimator.transform(X))
    known, labels = read_labels(y)
    check_consistent_length(code, known)
    code = code[known]
    return float(cross_val_score(classifier, code, labels, cv=cv, error_score="raise").mean())

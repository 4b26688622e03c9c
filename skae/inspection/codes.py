"""The code: its statistics, and how the reconstruction changes with a component."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch
from torch import Tensor

from skae.inspection.fitted import open_fitted
from skae.inspection.jacobians import code_jacobians
from skae.inspection.layers import check_number, codes_of
from skae.utils.csr import Array

# A column is constant if its standard deviation is at most this share of the largest one.
_CONSTANT = 1e-6


def latent_traversal(
    estimator: Any, component: int, values: ArrayLike, *, at: ArrayLike | None = None
) -> Array:
    """Decode codes that differ in one component only, to see what it stands for.

    Parameters
    ----------
    estimator : object
        A fitted autoencoder of skae, a fitted `Pipeline` that ends with one, or a fitted search
        over either. The rows are in the units that the autoencoder sees.
    component : int
        Number of the component.
    values : array-like of shape (n_values,)
        Values of the component, in the units of `transform`. The standard deviation of the
        component, ``transform(X)[:, component].std()``, is a good step.
    at : array-like of shape (n_components_,), default=None
        Code that gives the other components, for example a row of `transform`. None is a code of
        zeros: the mean of a linear code, the mean of the prior of a variational code, and a sparse
        code without active units.

    Returns
    -------
    rows : ndarray of shape (n_values, n_features)
        One row for each value.

    Raises
    ------
    ValueError
        If there is no such component, or `at` does not have `n_components_` entries.
    TypeError
        If `estimator` has no decoder of skae.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import latent_traversal
    >>> autoencoder = Autoencoder(8, max_iter=5, random_state=0).fit(load_digits().data)
    >>> latent_traversal(autoencoder, 0, [-20, 0, 20]).shape
    (3, 64)
    """
    autoencoder = open_fitted(estimator, decodes=True).autoencoder
    n_components = autoencoder.n_components_
    number = check_number("component", component, n_components, "the code has", "components")
    steps = _numbers("values", values)
    if steps.ndim != 1:
        raise ValueError(f"values has shape {steps.shape}. Pass a list of numbers.")
    code = np.zeros(n_components) if at is None else _numbers("at", at)
    if code.shape != (n_components,):
        raise ValueError(
            f"at has shape {code.shape}, but must be a single code of {n_components} components, "
            "such as transform(X)[0]."
        )
    codes = np.tile(code, (len(steps), 1))
    codes[:, number] = steps
    return autoencoder.inverse_transform(codes)


def code_statistics(estimator: Any, X: ArrayLike) -> Bunch:
    """Summarise the code of X: activity, dead units, correlation, sensitivity.

    Codes are those of `transform`, which looks for the nearest codes in some methods; of a
    classifier or a regressor, those of its fine-tuned encoder. The Jacobian
    is that of the encoder. Bits have no derivative: theirs is that of the units before the
    threshold.

    Parameters
    ----------
    estimator : object
        A fitted estimator of skae, a fitted `Pipeline` that ends with one, or a fitted search
        over either.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As passed to `estimator`. The Jacobian takes about as long as `n_components_` transforms; a
        sample of a thousand rows is enough.

    Returns
    -------
    statistics : Bunch
        Dictionary-like object, with the following attributes.

        mean : ndarray of shape (n_components_,)
            Mean of each component.
        standard_deviation : ndarray of shape (n_components_,)
            Standard deviation of each component.
        zero_fraction : ndarray of shape (n_components_,)
            Share of the rows in which the component is exactly 0.
        n_active : float
            Mean number of components that are not 0 in a row.
        dead_units : ndarray of int
            Numbers of the components that are the same for all rows, up to rounding. Pass more
            than one row.
        correlation : ndarray of shape (n_components_, n_components_)
            Correlation of the components; NaN for dead units.
        singular_values : ndarray of shape (min(n_components_, n_features),)
            Singular values, in decreasing order, of the Jacobian of the code with respect to the
            features; root mean squares over the rows. The number of large values is the number of
            directions to which the code is sensitive.

    Raises
    ------
    TypeError
        If `estimator` has no autoencoder of skae.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import code_statistics
    >>> X = load_digits().data
    >>> statistics = code_statistics(Autoencoder(8, max_iter=5, random_state=0).fit(X), X[:200])
    >>> statistics.n_active
    8.0
    >>> statistics.dead_units
    array([], dtype=int64)
    """
    fitted = open_fitted(estimator, X)
    codes = codes_of(fitted)
    deviations = codes.std(axis=0, dtype=np.float64)
    is_dead = deviations <= _CONSTANT * deviations.max()
    correlation = np.full((len(deviations), len(deviations)), np.nan)
    if (~is_dead).any():
        alive = np.flatnonzero(~is_dead)
        correlation[np.ix_(alive, alive)] = np.corrcoef(codes[:, alive].T)
    squares = [_squared_singular_values(part).numpy() for part in code_jacobians(fitted)]
    return Bunch(
        mean=codes.mean(axis=0, dtype=np.float64),
        standard_deviation=deviations,
        zero_fraction=(codes == 0).mean(axis=0),
        n_active=float((codes != 0).sum(axis=1).mean()),
        dead_units=np.flatnonzero(is_dead),
        correlation=correlation,
        singular_values=np.sqrt(np.concatenate(squares).mean(axis=0)),
    )


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers. Got {values!r}.") from None


def _squared_singular_values(jacobians: Tensor) -> Tensor:
    """Return the squares of the singular values of each Jacobian, in decreasing order."""
    # Of the smaller Gram matrix: the decomposition itself would take ten times the memory.
    values = jacobians.double()
    if values.shape[-2] > values.shape[-1]:
        values = values.mT
    return torch.linalg.eigvalsh(values @ values.mT).flip(-1).clamp_min(0.0)

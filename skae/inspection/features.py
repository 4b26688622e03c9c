"""Features and components: which features drive a component, and which it explains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch
from torch import Tensor

from skae.core.canonical import jacobian_factors
from skae.core.model import Model
from skae.core.numerics import threads_for, torch_defaults
from skae.inspection.fitted import Fitted, open_fitted
from skae.inspection.jacobians import code_jacobians
from skae.utils.csr import Array, dense_parts

# The integrand has kinks under "relu", and is smooth otherwise.
_N_NODES, _N_NODES_WITH_KINKS = 8, 64  # of the integral along the way from the mean code to a code
_MAX_ENTRIES = 2**21  # of the Jacobians held in memory at once


def code_sensitivities(estimator: Any, X: ArrayLike) -> Bunch:
    """Compute how much each component of the code changes with each feature, on average over X.

    This answers which features drive a component: the derivative of the encoder's code with respect
    to the features. Of PCA it is `components_`, the same at every row. Of a network it differs from
    row to row, and changes of both signs cancel in its mean, but not in its root mean square.

    Parameters
    ----------
    estimator : object
        A fitted estimator of skae, a fitted `Pipeline` that ends with one, or a fitted search over
        either. The features are those that the autoencoder sees; compare them only if they have the
        same units.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As passed to `estimator`. A thousand rows are enough.

    Returns
    -------
    sensitivities : Bunch
        Dictionary-like object, with the following attributes.

        mean : ndarray of shape (n_components_, n_features)
            Mean derivative, in units of the code per unit of the feature.
        root_mean_square : ndarray of shape (n_components_, n_features)
            Root mean square of the derivative, in the same units.
        feature_names : ndarray of str of shape (n_features,)
            As in X; after the other steps of a pipeline, as these pass them on.
        component_names : ndarray of str of shape (n_components_,)
            As in `get_feature_names_out`.

    Raises
    ------
    TypeError
        If `estimator` has no autoencoder of skae.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import Autoencoder
    >>> from skae.inspection import code_sensitivities
    >>> X = load_wine(as_frame=True).data
    >>> pipeline = make_pipeline(StandardScaler(), Autoencoder(2, random_state=0)).fit(X)
    >>> sensitivities = code_sensitivities(pipeline, X)
    >>> order = sensitivities.root_mean_square[0].argsort()[::-1]
    >>> sensitivities.feature_names[order[:3]].shape  # what drives the first component most
    (3,)
    """
    return mean_sensitivities(open_fitted(estimator, X))


def mean_sensitivities(fitted: Fitted) -> Bunch:
    """Return what `code_sensitivities` returns."""
    total: Any = 0.0
    squares: Any = 0.0
    for jacobians in code_jacobians(fitted):
        values = jacobians.double()
        total = total + values.sum(0)
        squares = squares + values.square().sum(0)
    n_rows = fitted.rows.shape[0]
    return Bunch(
        mean=(total / n_rows).numpy(),
        root_mean_square=(squares / n_rows).sqrt().numpy(),
        feature_names=fitted.names,
        component_names=fitted.autoencoder.get_feature_names_out(),
    )


def feature_contribution(estimator: Any, X: ArrayLike) -> NDArray[np.float64]:
    r"""Compute the share of each feature's variance that each component explains.

    The reconstruction of a row is the sum of contributions of the components, the integrated
    gradients [1]_ of the decoder g along the line from the mean code to the row's code z:

    .. math::

        c_{j} = (z_j - \bar z_j) \int_0^1 \frac{\partial g}{\partial z_j}
                (\bar z + t (z - \bar z)) \, dt .

    For the values :math:`x_i` of a feature, their reconstructions :math:`\hat x_i` and the
    contributions :math:`c_{ij}` in row i, each minus its mean over the rows, component j explains
    the share :math:`\sum_i c_{ij} (2 x_i - \hat x_i) / \sum_i x_i^2`. Over the components, they sum
    to the share that the reconstruction explains. Those of PCA are the explained variance of a
    component times its squared loading, divided by the variance of the feature. A share below 0
    means that the component makes the reconstruction of the feature worse.

    Codes are those of `transform`.

    Parameters
    ----------
    estimator : object
        A fitted autoencoder of skae, a fitted `Pipeline` that ends with one, or a fitted search
        over either.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        As passed to `estimator`. It takes about as long as ``3 * n_components_`` transforms; a
        thousand rows are enough.

    Returns
    -------
    contribution : ndarray of shape (n_components_, n_features)
        The sum over the components is ``explained_variance_score(X, reconstruction,
        multioutput="raw_values")`` of scikit-learn, up to the error of the integral: 1e-4 or less,
        with ``activation="relu"`` up to a hundredth. NaN for a feature that does not vary in X.

    Raises
    ------
    ValueError
        If X has missing entries.
    TypeError
        If `estimator` has no decoder of skae.

    References
    ----------
    .. [1] Sundararajan, M., Taly, A., & Yan, Q. (2017). Axiomatic attribution for deep networks.
       ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skae import Autoencoder
    >>> from skae.inspection import feature_contribution
    >>> X = load_iris().data
    >>> contribution = feature_contribution(Autoencoder(2, random_state=0).fit(X), X)
    >>> contribution.shape
    (2, 4)
    """
    fitted = open_fitted(estimator, X, decodes=True)
    autoencoder, rows = fitted.autoencoder, fitted.rows
    codes = autoencoder._encode(rows).astype(np.float64)
    mean_code = codes.mean(axis=0)
    model = replace(fitted.model, network=fitted.model.network_in(torch.float64))
    n_rows = max(1, _MAX_ENTRIES // (codes.shape[1] * len(fitted.names)))
    # Sums over rows of contributions c, rows w = 2 x - reconstruction, and their products.
    # Rows are relative to their mean: nothing is lost when the means that remain are subtracted.
    centre = np.asarray(rows.mean(axis=0, dtype=np.float64)).ravel()
    low, high = np.full(len(centre), np.inf), np.full(len(centre), -np.inf)
    sums: dict[str, Any] = dict.fromkeys(("c", "w", "cw", "x", "xx"), 0.0)
    start = 0
    for part in dense_parts(rows, n_rows):
        if np.isnan(part).any():
            raise ValueError(
                "X has missing entries (NaN), whose variance is unknown. Pass complete rows, for "
                "example what DenoisingAutoencoder.impute or AutoencoderImputer fills in."
            )
        at = codes[start : start + len(part)]
        start += len(part)
        contributions = _contributions(model, at, mean_code) * model.scale
        low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
        x = part.astype(np.float64) - centre
        w = 2.0 * x - (autoencoder._decode(at) - centre)
        sums["c"] = sums["c"] + contributions.sum(axis=0)
        sums["cw"] = sums["cw"] + np.einsum("ikd,id->kd", contributions, w)
        for name, values in (("w", w), ("x", x), ("xx", np.square(x))):
            sums[name] = sums[name] + values.sum(axis=0)
    n = rows.shape[0]
    explained = sums["cw"] - sums["c"] * sums["w"] / n
    variance = sums["xx"] - np.square(sums["x"]) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(low < high, explained / variance, np.nan)


@torch.no_grad()
def _contributions(model: Model, codes: Array, mean_code: Array) -> NDArray[np.float64]:
    """Return the contributions of the components, in training units: ``(n, k, d)``."""
    has_kinks = model.network.decoder.activation == "relu"
    n_nodes = _N_NODES_WITH_KINKS if has_kinks else _N_NODES
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    operations = n_nodes * 2 * model.network.cost * codes.size
    with torch_defaults(), threads_for(operations, 8):
        start = torch.from_numpy(mean_code / model.code_unit).to(model.device)
        way = torch.from_numpy(codes / model.code_unit).to(model.device) - start
        mean_factor: Tensor | float = 0.0
        base: Tensor | None = None
        for node, weight in zip(nodes, weights, strict=True):
            factor, base = jacobian_factors(model, model.decode, start + way * (1 + node) / 2)
            mean_factor = mean_factor + factor * (weight / 2)
        assert isinstance(mean_factor, Tensor)
        mean_factor = mean_factor * way[..., None]
        product = mean_factor if base is None else mean_factor @ base
        return product.cpu().numpy()

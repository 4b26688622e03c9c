"""The plain autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skae._base import BaseAutoencoder
from skae._docs import document
from skae._generation import MixtureSampling
from skae._nearest import NearestCode


@document
@dataclass(eq=False, repr=False)
class Autoencoder(NearestCode, MixtureSampling, BaseAutoencoder):
    r"""Autoencoder: nonlinear dimensionality reduction in place of PCA.

    An encoder :math:`f` and a decoder :math:`g`, multilayer perceptrons, minimise

    .. math::

        \frac{\sum_i \| x_i - g(f(x_i)) \|^2}{\sum_i \| x_i - \bar x \|^2}

    over the training rows [1]_: the share of variance that the reconstruction leaves unexplained.
    Beside both runs a fixed linear path that is the PCA solution, so training starts at PCA, and
    PCA is what stays unless held-out rows show that training helped. A linear code is returned on
    its principal axes: mean 0, uncorrelated columns in decreasing order of the variance they
    carry, in the units of X, signs fixed as scikit-learn's PCA fixes them.

    The code of a row is that of the nearest reconstruction, as PCA's is. An encoder alone comes
    near it, and `transform` goes on from there [2]_ (see `transform_max_iter`).

    X is centred and divided by one number. As with PCA, scale features of different units first.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    sklearn.decomposition.PCA : The linear special case.

    References
    ----------
    .. [1] Hinton, G. E., & Salakhutdinov, R. R. (2006). Reducing the dimensionality of data with
       neural networks. Science, 313(5786), 504-507.
    .. [2] Kim, Y., Wiseman, S., Miller, A. C., Sontag, D., & Rush, A. M. (2018). Semi-amortized
       variational autoencoders. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skae import Autoencoder
    >>> X = load_digits().data
    >>> autoencoder = Autoencoder(8, random_state=0).fit(X[:1500])
    >>> autoencoder.transform(X[1500:]).shape
    (297, 8)
    >>> pca = PCA(8).fit(X[:1500])
    >>> error = autoencoder.reconstruction_error(X[1500:]).sum()
    >>> pca_error = ((X[1500:] - pca.inverse_transform(pca.transform(X[1500:]))) ** 2).sum()
    >>> bool(error < 0.6 * pca_error)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        **NearestCode._nearest_constraints,
    }

"""The plain autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skae.base import BaseAutoencoder
from skae.inference.sampling import MixtureSampling
from skae.inference.transformer import IterativeInference
from skae.utils.docs import document


@document
@dataclass(eq=False, repr=False)
class Autoencoder(IterativeInference, MixtureSampling, BaseAutoencoder):
    r"""Autoencoder: nonlinear dimensionality reduction in place of PCA.

    Trains an encoder :math:`f` and a decoder :math:`g`, each a multilayer perceptron, to minimise

    .. math::

        \frac{\sum_i \| x_i - g(f(x_i)) \|^2}{\sum_i \| x_i - \bar x \|^2}

    over the training rows [1]_. This is the share of variance that the reconstruction leaves
    unexplained. Linear skip connections, fixed at the PCA solution, make training start at PCA.
    The trained network is returned only if held-out rows show that it improves on PCA.

    A linear code is returned on its principal axes. Its columns have mean 0, are uncorrelated and
    in the units of X, and are sorted by the variance they carry. Signs follow the convention of
    scikit-learn's PCA.

    As in PCA, the code of a row is that of the nearest reconstruction. The encoder only predicts
    this code; `transform` then refines it by iterative (semi-amortised) inference [2]_, see
    `transform_max_iter`.

    X is centred and divided by a single number. As for PCA, scale features of different units
    first.

    X may be a sparse matrix. Its rows are made dense one batch at a time; with ``solver="lbfgs"``
    the batch is all of X. The start is the same as for dense X, up to rounding. If X has at least
    1000 columns and at most 5 % nonzero values, the first layer multiplies only these on the CPU.
    The order of the sums then differs, and training amplifies such differences, as with another
    number of threads.

    If X has many more features than rows, training runs on the coordinates of the rows in the space
    that they span, which have the same distances. The weights are then converted back, so the
    fitted model takes and returns features. This is so for the squared error and dense X of at most
    2000 rows, with at least twice as many features. With `tied_weights` or `warm_start`, and in a
    subclass with hooks of its own, training runs on the features themselves.

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

    _is_rotation_invariant: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        **IterativeInference._inference_constraints,
    }

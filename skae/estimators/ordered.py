"""The ordered autoencoder: every prefix of the code is a code."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae.base import CONTINUED, BaseAutoencoder
from skae.core.criterion import Criterion
from skae.core.model import Model
from skae.core.nested import NestedReconstruction
from skae.core.networks.ordered import OrderedArchitecture, OrderedNetwork
from skae.inference.sampling import MixtureSampling
from skae.inference.transformer import IterativeInference
from skae.utils.docs import document
from skae.utils.validation import check_count, computed, fraction, integer, without

# Sum of squares of all entries, in training units, below which data vary only by rounding.
_NO_VARIANCE = 1e-30
# Root of the loss of a size at which a ten thousandth of the variance is left over: losses are
# relative to that of PCA, or to a thousandth (`skae.core.networks.ordered`).
_NEGLIGIBLE = math.sqrt(0.1)
# Fitted attributes with an entry for each column of the code.
_OF_COLUMNS = (
    "components_",
    "explained_variance_ratio_",
    "explained_variance_",
    "singular_values_",
)


@document
@dataclass(eq=False, repr=False)
class OrderedAutoencoder(IterativeInference, MixtureSampling, BaseAutoencoder):
    r"""Autoencoder whose first columns can be used alone, as those of PCA.

    Fit once, look at ``explained_variance_ratio_.cumsum()``, and keep as many columns as needed:
    ``transform(X)[:, :k]`` is a code of k numbers, which `inverse_transform` takes. Minimises the
    weighted mean over sizes k of the root mean squared error relative to that of PCA,

    .. math::

        w_k \sqrt{\frac{\sum_i \| x_i - g_k(f(x_i)_{1..k}) \|^2}
        {s_k \sum_i \| x_i - \bar x \|^2}},

    where :math:`s_k` is the share of the variance that PCA of k components leaves unexplained [1]_,
    [2]_. The sizes are 1, 2, 3, 4, 6, 8, 11, 16, ... (powers of the square root of 2),
    ``n_components - 1`` and `n_components`. Each size has a decoder :math:`g_k`. A number of
    columns between two sizes is decoded by the decoder of the next size, which is trained on both.
    The weight :math:`w_k` of each size is 0.85 times that of the size before it; that of
    `n_components` is that of size 1. Each batch trains all columns and, drawn at random, half of
    the other sizes. So with ``max_iter="auto"``, there may be six cycles of 50 epochs instead of
    three. Another one follows if the last one lowered the validation loss by 1 %.

    PCA is returned unless held-out rows show that the objective is clearly lower, and its part of
    each of these sizes is lower by at least 1 %. The columns have mean 0, are uncorrelated, and are
    in the units of X; their order is that of the objective, not of their variance.

    `transform` refines the encoder's code, see `transform_max_iter`. The best code of k columns is
    not the first k columns of the best code of all. `truncated` returns an estimator of k
    components, whose `transform` refines the code for these: its error is lower than that of
    ``transform(X)[:, :k]``.

    Parameters
    ----------
    n_components : int, float or None, default=2
        Number of columns of the code. A float in (0, 1) selects the smallest number with which PCA
        explains that share of the variance. None keeps as many as PCA does, the smaller of the
        numbers of rows and features. With all columns, PCA is then exact, so no network improves on
        it. Sizes at which the network leaves less than 0.01 % of the variance unexplained are
        therefore exempt from the comparison.

    transform_max_iter : int, default=10
        Maximum number of refinement steps in `transform`: gradient descent on the sum of the losses
        of a row over all sizes, from the encoder's code. The loss of all columns has 32 times the
        weight of each other size. The sum never rises. Each step decodes with every decoder. 0
        returns the encoder's code.

    {parameters}

    Attributes
    ----------
    {attributes}

    explained_variance_ratio_ : ndarray of shape (n_components_,)
        The sum of the first k is the R2 of the reconstruction of the training rows from the first k
        columns. A value is negative if one more column gives a worse reconstruction, which may
        happen between two sizes. In an estimator that `truncated` returned, the values are those of
        the first columns of the whole code, and its `score` is higher than their sum.

    See Also
    --------
    Autoencoder : One size; usually with a lower error.

    References
    ----------
    .. [1] Rippel, O., Gelbart, M. A., & Adams, R. P. (2014). Learning ordered representations with
       nested dropout. ICML.
    .. [2] Kusupati, A., et al. (2022). Matryoshka representation learning. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import OrderedAutoencoder
    >>> X = load_digits().data
    >>> autoencoder = OrderedAutoencoder(8, max_iter=10, random_state=0).fit(X)
    >>> code = autoencoder.transform(X)
    >>> autoencoder.inverse_transform(code[:, :3]).shape
    (1797, 64)
    >>> small = autoencoder.truncated(3)
    >>> small.transform(X).shape
    (1797, 3)
    >>> bool(small.score(X) > autoencoder.explained_variance_ratio_[:3].sum())
    True
    """

    n_components: int | float | None = 2  # type: ignore[assignment]
    loss: str = computed(lambda self: "squared_error")
    code_activation: str = computed(lambda self: "identity")
    tied_weights: bool = computed(lambda self: False)

    _takes_prefixes: ClassVar[bool] = True
    # A decoder is trained with every second batch.
    _max_epochs: ClassVar[int] = 300
    # The objective is a root, so this is about 2 % of the losses, as elsewhere.
    _least_gain: ClassVar[float] = 0.01

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **without(
            BaseAutoencoder._parameter_constraints, "loss", "code_activation", "tied_weights"
        ),
        **IterativeInference._inference_constraints,
        "n_components": [integer(1), fraction(), None],
    }

    def _network(self, n_features: int, n_components: int) -> OrderedArchitecture:
        return OrderedArchitecture(**vars(super()._network(n_features, n_components)))

    def _criterion(self, model: Model) -> Criterion:
        criterion = NestedReconstruction(model)
        # Where PCA explains nearly all, its loss is 0, and none is lower.
        criterion.tolerance = _NEGLIGIBLE if self.n_components is None else 0.0
        return criterion

    def _fitted_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        errors, total = _errors_of_prefixes(model, data, self.transform_max_iter)
        shares = errors / total if total > _NO_VARIANCE else np.ones_like(errors)
        ratio = np.diff(1.0 - shares, prepend=0.0)
        with np.errstate(over="ignore"):  # beyond the largest number, they are infinite
            singular_values = np.sqrt(ratio.clip(min=0.0) * total) * model.scale
            variances = np.square(singular_values / math.sqrt(max(1, len(data) - 1)))
        return {
            "explained_variance_ratio_": ratio,
            "explained_variance_": variances,
            "singular_values_": singular_values,
        }

    def truncated(self, n_components: int) -> Self:
        """Return a fitted estimator of fewer components.

        It is smaller and faster. Its `transform` starts from the first columns of the encoder's
        code, and refines them for these columns, so the error is lower than that of the first
        columns of this estimator's code. If `transform_max_iter` is 0 in both, the codes are the
        same. Both estimators decode the first columns of any of these codes alike. `components_`
        and the other attributes of columns are the first entries of this estimator's.

        Parameters
        ----------
        n_components : int
            Number of columns, at most `n_components_`.

        Returns
        -------
        autoencoder : OrderedAutoencoder

        Raises
        ------
        ValueError
            If `n_components` is not a number from 1 to `n_components_`.
        """
        check_is_fitted(self)
        check_count("n_components", n_components, lowest=1)
        if n_components > self.n_components_:
            raise ValueError(
                f"n_components={n_components} is more than the {self.n_components_} columns of the "
                f"code. Pass a number from 1 to {self.n_components_}."
            )
        n_components, network = int(n_components), self._model.network
        assert isinstance(network, OrderedNetwork)
        fitted = {name: value for name, value in vars(self).items() if name not in CONTINUED}
        for name in _OF_COLUMNS:
            fitted[name] = fitted[name][:n_components].copy()
        for name in ("n_components", "n_components_", "_requested_components"):
            fitted[name] = n_components
        preconditioner = self._model.preconditioner
        if preconditioner is not None:
            # The inverse of the Hessian of the first columns. It is stored in this layout.
            hessian = torch.linalg.inv(preconditioner)[:n_components, :n_components]
            preconditioner = torch.linalg.inv(hessian).contiguous()
        fitted["_model"] = replace(
            self._model,
            network=network.truncated(n_components),
            preconditioner=preconditioner,
        )
        autoencoder = clone(self)
        autoencoder.__dict__.update(fitted)
        return autoencoder


@torch.no_grad()
def _errors_of_prefixes(
    model: Model, data: Tensor, n_steps: int
) -> tuple[NDArray[np.float64], float]:
    """Return the squared error of the first 1, 2, ... columns of the code, and that of the mean."""
    network, total = model.network_in(data.dtype), 0.0
    centre = (data.nansum(0) / len(data)).to(data.dtype).to(model.device)
    errors = np.zeros(network.architecture.n_components)
    for part in data.split(model.chunk_size):
        z = part.to(model.device).to(data.dtype)
        code = model.encode(z, n_steps, network)
        total += float((z - centre).square_().sum(dtype=torch.float64))
        for column in range(len(errors)):
            output = model.decode(code[:, : column + 1], network)
            errors[column] += float(output.sub_(z).square_().sum(dtype=torch.float64))
    return errors, total

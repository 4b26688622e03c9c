"""The sparse autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import csr_array, issparse, vstack
from sklearn.utils import gen_batches
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._core.canonical import Axes
from skae._core.held_out import Division
from skae._core.model import Model
from skae._core.networks import ACTIVATIONS, Architecture
from skae._core.penalties import PRIORS, bernoulli_divergence, unit_gains, unused_largest
from skae._docs import document
from skae._fitted import Array
from skae._generation import MixtureSampling
from skae._sparse_input import dense_parts
from skae._validation import StrOptions, fraction, integer, real

# Weight of the dead units' own reconstruction (Gao et al. 2024).
_AUXILIARY = 1 / 32
# How many unused units share in it, over n_active.
_REVIVED = 8
_ROWS_AT_A_TIME = 4096
_CODE_ACTIVATIONS = {"kl": "logistic", "topk": "identity"}


@document
@dataclass(eq=False, repr=False)
class SparseAutoencoder(MixtureSampling, BaseAutoencoder):
    r"""Sparse autoencoder: a code, often wider than the data, of which few units are active.

    Minimises

    .. math::

        \frac{\sum_i \| x_i - g(f(x_i)) \|^2}{\sum_i \| x_i - \bar x \|^2}
        + \alpha \frac{1}{n} \sum_i \sum_j \Omega(h_{ij}),
        \qquad h_{ij} = f_j(x_i) \, \| d_j \|

    with :math:`\Omega(h)` one of :math:`|h|`, :math:`h^2` and :math:`\log(1 + h^2)`, or with the
    divergence :math:`\mathrm{KL}(\rho \| \bar f_j)` of each unit's mean activation from a target
    rate [1]_, or with no penalty but only the `n_active` largest units of each row kept [2]_.

    Predicting the mean scores 1 in the first term, and in :math:`h` all of the data has variance
    1, so one `alpha` means the same on X and on 1000 X, on 10 columns and on 1000. (Under other
    losses, :math:`h` is in units of the decoder's output: logits or logarithms.) A unit is
    measured by what it adds to the reconstruction, its activation times the norm of its atom
    :math:`d_j` (its row of the decoder's weights) [3]_: a small code with a large decoder gains
    nothing. With hidden layers, the norm is that of the decoder's first layer times the root mean
    square gains of the further ones, so growing any of them gains nothing either.

    `fit` puts a "relu" or "identity" code in the units of X: a step of 1 along a unit moves the
    reconstruction by 1 (root mean square over the training data), so without hidden layers every
    atom has norm 1. Tied weights and ``penalty="topk"`` keep their scales, as does `partial_fit`.

    Parameters
    ----------
    {parameters}

    hidden_layer_sizes : sequence of int, default=()
        Widths of the encoder's hidden layers; the decoder mirrors them. ``()`` gives one layer:
        the reconstruction is then a sum of atoms, as in dictionary learning.

    code_activation : same choices as `activation` or "auto", default="auto"
        Activation of the code. "auto" is "relu", which gives exact zeros; "logistic" for
        ``penalty="kl"``; "identity" for "topk". With ``shortcut="pca"``, only "identity" starts at
        PCA exactly.

    penalty : {"l1", "l2", "student_t", "kl", "topk"}, default="l1"
        What is asked of the code; see above. "kl" needs a "logistic" code.

    alpha : float, default=0.03
        Weight of the penalty; 0 gives `Autoencoder` with the same other parameters. Not used by
        "topk".

    sparsity : float, default=0.05
        Target of each unit's mean activation under ``penalty="kl"``, in (0, 1).

    n_active : int, default=8
        Units kept in each row under ``penalty="topk"``. What the reconstruction leaves over is
        reconstructed once more, with a weight of 1/32, by the largest of the units that no row of
        the batch uses, which revives them [4]_.

    sparse_output : bool, default=False
        Whether `transform` returns a CSR array.

    Attributes
    ----------
    {attributes}

    activity_ : ndarray of shape (n_components_,)
        Mean of each unit over the training rows.

    zero_fraction_ : float
        Share of exact zeros in the training rows' code.

    dead_units_ : ndarray of int
        Indices of the units that are 0 on every training row.

    See Also
    --------
    sklearn.decomposition.DictionaryLearning : Optimises each row's code; slower at `transform`.

    References
    ----------
    .. [1] Ng, A. (2011). Sparse autoencoder. CS294A lecture notes, Stanford University.
    .. [2] Makhzani, A., & Frey, B. (2014). k-sparse autoencoders. ICLR.
    .. [3] Conerly, T., et al. (2024). Update on how we train SAEs. Transformer Circuits.
    .. [4] Gao, L., et al. (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import SparseAutoencoder
    >>> X = load_digits().data
    >>> autoencoder = SparseAutoencoder(100, penalty="topk", n_active=10, random_state=0)
    >>> code = autoencoder.fit_transform(X)
    >>> int((code != 0).sum(axis=1).max())
    10
    """

    n_components: int | float = 64
    _: KW_ONLY
    hidden_layer_sizes: Sequence[int] = ()
    code_activation: str = "auto"
    shortcut: str | None = None
    weight_decay: float = 0.0
    penalty: str = "l1"
    alpha: float = 0.03
    sparsity: float = 0.05
    n_active: int = 8
    sparse_output: bool = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "code_activation": [StrOptions({*ACTIVATIONS, "auto"})],
        "penalty": [StrOptions({*PRIORS, "kl", "topk"})],
        "alpha": [real(0)],
        "sparsity": [fraction()],
        "n_active": [integer(1)],
        "sparse_output": ["boolean"],
    }

    def _activation_of_code(self) -> str:
        if self.code_activation == "auto":
            return _CODE_ACTIVATIONS.get(self.penalty, "relu")
        return self.code_activation

    def _axes(self) -> Axes:
        axes = super()._axes()
        if self._is_plain():
            return axes
        if self.penalty == "topk":  # which units are the largest depends on their scale
            return Axes.AS_TRAINED
        return Axes.SCALED if axes is Axes.PRINCIPAL else axes

    def _architecture(self, n_features: int, n_components: int) -> Architecture:
        architecture = super()._architecture(n_features, n_components)
        if self.penalty != "topk":
            return architecture
        if self.n_active > n_components:
            raise ValueError(
                f"n_active={self.n_active} units cannot be active in a code of {n_components}. "
                "Lower n_active or raise n_components."
            )
        return replace(architecture, n_active=self.n_active)

    @torch.no_grad()
    def _new_model(
        self, X: Array, division: Division, generator: torch.Generator
    ) -> tuple[Model, float]:
        model, left_over = super()._new_model(X, division, generator)
        encoder, decoder = model.network.encoder, model.network.decoder
        if self.penalty == "kl" and not self._is_plain() and self.shortcut is None:
            # From a rate of a half, the way to a small one takes longer than all else. The start
            # at PCA, on the other hand, is one at that rate.
            encoder.layers[-1].bias.fill_(math.log(self.sparsity / (1.0 - self.sparsity)))
        if self.penalty == "topk" and len(encoder.layers) == 1 and not self.tied_weights:
            # Units whose atoms do not match what they detect would lose, and die [4]_.
            decoder.layers[0].weight.copy_(encoder.layers[0].weight.mT)
        return model, left_over

    def _check_values(self, X: Array) -> None:
        super()._check_values(X)
        if self.penalty == "kl" and self._activation_of_code() != "logistic":
            raise ValueError(
                "penalty='kl' takes activations for rates, so it needs a code between 0 and 1, "
                f"but code_activation={self.code_activation!r}. Use code_activation='auto' or "
                "'logistic', or another penalty."
            )

    def _is_plain(self) -> bool:
        return self.alpha == 0 and self.penalty != "topk"

    def _terms(self, model: Model, z: Tensor) -> dict[str, Tensor]:
        network = model.network
        code = network.encode(z)
        output = network.decode(code)
        reconstruction = model.reconstruction(output, z)
        if self.penalty == "topk":
            revival = self._revival(model, code, z, output.detach())
            return {"reconstruction": reconstruction, "revival": revival}
        if self.penalty == "kl":
            penalty = bernoulli_divergence(code, self.sparsity)
        else:
            penalty = PRIORS[self.penalty](code * unit_gains(network.decoder))
        return {"reconstruction": reconstruction, "sparsity": self.alpha * penalty}

    def _revival(self, model: Model, code: Tensor, z: Tensor, output: Tensor) -> Tensor:
        """Loss of a reconstruction that unused units help with, less that without them."""
        n_revived = min(_REVIVED * self.n_active, code.shape[-1])
        unused = unused_largest(model.network.units(z), code, n_revived)
        if unused is None:
            return z.new_zeros(())
        helped = model.network.decode(code.detach() + unused)
        change = model.row_losses(helped, z) - model.row_losses(output, z)
        return _AUXILIARY * change.mean(-1)

    def _further_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        n_components = model.network.encoder.layers[-1].bias.shape[-1]
        total, n_zeros = np.zeros(n_components), np.zeros(n_components, dtype=np.int64)
        for codes in model.encoded_chunks(data):
            total += codes.sum(0, dtype=torch.float64).numpy()
            n_zeros += (codes == 0).sum(0).numpy()
        return {
            "activity_": total * model.code_unit / len(data),
            "zero_fraction_": float(n_zeros.mean() / len(data)),
            "dead_units_": np.flatnonzero(n_zeros == len(data)),
        }

    def _of_silent_code(self) -> str | None:
        if len(self.dead_units_) < self.n_components_:
            return None
        return (
            "No unit of the code is active on any training row, so transform returns zeros: the "
            f"penalty costs more than the code explains. Lower alpha (now {self.alpha:g})."
        )

    def transform(self, X: ArrayLike) -> Array | csr_array:
        """Encode X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        code : ndarray or CSR array of shape (n_samples, n_components_)
            In the dtype of X; CSR with ``sparse_output=True``.
        """
        rows = self._validate_rows(X)
        if not self.sparse_output:
            return self._encode(rows)
        # The dense code of all rows may not fit.
        chunks = gen_batches(len(rows), _ROWS_AT_A_TIME)
        return vstack([csr_array(self._encode(rows[chunk])) for chunk in chunks], format="csr")

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Decode a code.

        Parameters
        ----------
        X : array-like or sparse array of shape (n_samples, n_components_)
            The code.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features_in_)
            In the dtype of the code and the units of the training data.
        """
        codes: Any = self._validate_codes(X, accept_sparse="csr")
        if not issparse(codes):
            return self._decode(codes)
        return np.concatenate([self._decode(part) for part in dense_parts(codes)])

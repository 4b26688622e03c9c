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

from skae.base import BaseAutoencoder
from skae.core.activations import ACTIVATIONS
from skae.core.criterion import CodeSymmetry, Criterion, ForwardPass, Penalty
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture
from skae.core.penalties import PRIORS, bernoulli_divergence, largest_unused, unit_gains
from skae.fitting.split import Split
from skae.inference.sampling import MixtureSampling
from skae.utils.callbacks import EpochCallbacks
from skae.utils.csr import Array, dense_parts
from skae.utils.docs import document
from skae.utils.validation import StrOptions, fraction, integer, real

# Weight of the auxiliary loss of top-k codes (Gao et al. 2024).
_AUXILIARY_WEIGHT = 1 / 32
# Number of unused units in that loss, as a multiple of n_active.
_AUXILIARY_UNITS = 8
_MAX_ROWS = 4096
_CODE_ACTIVATIONS = {"kl": "logistic", "topk": "identity"}


@document
@dataclass(eq=False, repr=False)
class SparseAutoencoder(MixtureSampling, BaseAutoencoder):
    r"""Sparse autoencoder: a code with few active units, often wider than the data.

    Minimises

    .. math::

        \frac{\sum_i \| x_i - g(f(x_i)) \|^2}{\sum_i \| x_i - \bar x \|^2}
        + \alpha \frac{1}{n} \sum_i \sum_j \Omega(h_{ij})

    where :math:`h_{ij} = f_j(x_i) \, \| d_j \|` is the size of a unit, and :math:`\Omega(h)` is
    :math:`|h|`, :math:`h^2` or :math:`\log(1 + h^2)`. Alternatively, the penalty is the divergence
    :math:`\mathrm{KL}(\rho \| \bar f_j)` of each unit's mean activation from a target rate [1]_. Or
    only the `n_active` largest units of each row are kept [2]_, and an auxiliary loss revives dead
    units [4]_.

    The size :math:`h` of a unit is what it adds to the reconstruction: its activation times the
    norm of its atom :math:`d_j` (its row of the decoder's weights) [3]_. So the penalty cannot be
    lowered by a smaller code with a larger decoder. With hidden layers, the norm is that of the
    decoder's first layer times the root mean square gains of the other layers.

    The same `alpha` suits any scale of X and any number of columns: predicting the mean gives 1 in
    the first term, and :math:`h` is in units in which the total variance of the data is 1.
    With a `loss` that has a link ("log_loss", "poisson", "multinomial"), :math:`h` is in units of
    the decoder's output: logits or logarithms.

    `fit` scales a "relu" or "identity" code to the units of X: a step of 1 along a unit moves the
    reconstruction by 1 (root mean square over the training data). Without hidden layers, every atom
    then has norm 1. Tied weights, ``penalty="topk"`` and `partial_fit` leave the scales as trained.

    Parameters
    ----------
    {parameters}

    hidden_layer_sizes : sequence of int, default=()
        Widths of the encoder's hidden layers; the decoder mirrors them. ``()`` gives one layer. The
        reconstruction is then a sum of atoms, as in dictionary learning.

    code_activation : same choices as `activation` or "auto", default="auto"
        Activation of the code. "auto" is "logistic" for ``penalty="kl"``, "identity" for "topk" and
        otherwise "relu", which gives exact zeros. With ``shortcut="pca"``, only "identity" starts
        at PCA exactly, and not with "topk".

    penalty : {"l1", "l2", "student_t", "kl", "topk"}, default="l1"
        Sparsity penalty, see above. "kl" needs a "logistic" code.

    alpha : float, default=0.03
        Weight of the penalty. 0 is equivalent to `Autoencoder` with ``transform_max_iter=0`` and
        the same other parameters. Not used by "topk".

    sparsity : float, default=0.05
        Target for the mean activation of each unit with ``penalty="kl"``, in (0, 1).

    n_active : int, default=8
        Number of units kept in each row with ``penalty="topk"``. An auxiliary loss of weight 1/32
        revives dead units: the largest of the units that no row of the batch uses reconstruct the
        residual [4]_.

    sparse_output : bool, default=False
        Whether `transform` returns the code as a CSR array.

    Attributes
    ----------
    {attributes}

    activity_ : ndarray of shape (n_components_,)
        Mean activation of each unit over the training rows.

    zero_fraction_ : float
        Share of exact zeros in the code of the training rows.

    dead_units_ : ndarray of int
        Indices of the units that are 0 for all training rows.

    See Also
    --------
    sklearn.decomposition.DictionaryLearning : Optimises the code of each row; slower `transform`.

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

    _is_rotation_invariant: ClassVar[bool] = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseAutoencoder._parameter_constraints,
        "code_activation": [StrOptions({*ACTIVATIONS, "auto"})],
        "penalty": [StrOptions({*PRIORS, "kl", "topk"})],
        "alpha": [real(0)],
        "sparsity": [fraction()],
        "n_active": [integer(1)],
        "sparse_output": ["boolean"],
    }

    def _resolved_code_activation(self) -> str:
        if self.code_activation == "auto":
            return _CODE_ACTIVATIONS.get(self.penalty, "relu")
        return self.code_activation

    def _network(self, n_features: int, n_components: int) -> Architecture:
        architecture = replace(
            super()._network(n_features, n_components),
            code_activation=self._resolved_code_activation(),
        )
        if self.penalty != "topk":
            return architecture
        if self.n_active > n_components:
            raise ValueError(
                f"n_active={self.n_active} units cannot be active in a code of {n_components}. "
                "Lower n_active or raise n_components."
            )
        return replace(architecture, n_active=self.n_active)

    def _criterion(self, model: Model) -> Criterion:
        criterion = super()._criterion(model)
        if self.penalty == "topk":
            return criterion.with_penalty(
                Penalty("revival", _AUXILIARY_WEIGHT, self._auxiliary_loss)
            )
        # Scaling a unit and its atom inversely leaves the penalty unchanged. (That of "kl" would
        # change, but its code is logistic, and never rescaled.)
        return criterion.with_penalty(
            Penalty("sparsity", self.alpha, self._sparsity, CodeSymmetry.SCALE)
        )

    def _sparsity(self, model: Model, batch: ForwardPass) -> Tensor:
        if self.penalty == "kl":
            return bernoulli_divergence(batch.code, self.sparsity)
        return PRIORS[self.penalty](batch.code * unit_gains(model.network.decoder))

    def _auxiliary_loss(self, model: Model, batch: ForwardPass) -> Tensor:
        """Return the loss with unused units added to the code, minus the loss without them."""
        n_revived = min(_AUXILIARY_UNITS * self.n_active, batch.code.shape[-1])
        unused = largest_unused(model.network.units(batch.inputs), batch.code, n_revived)
        if unused is None:
            return batch.code.new_zeros(batch.code.shape[:-2])
        helped = model.network.decode(batch.code.detach() + unused)
        change = model.row_losses(helped, batch.target)
        change = change - model.row_losses(batch.output.detach(), batch.target)
        return change.mean(-1)

    @torch.no_grad()
    def _initialise(
        self,
        model: Model,
        data: Tensor,
        split: Split,
        generator: torch.Generator,
        callbacks: EpochCallbacks | None,
    ) -> tuple[dict[str, Any], str | None]:
        encoder, decoder = model.network.encoder, model.network.decoder
        if self.penalty == "kl" and self.alpha and self.shortcut is None:
            # Start at the target rate: training from 0.5 down to it would take most of the fit.
            # With PCA initialisation, logits are centred on 0.
            encoder.layers[-1].bias.fill_(math.log(self.sparsity / (1.0 - self.sparsity)))
        if self.penalty == "topk" and len(encoder.layers) == 1 and not self.tied_weights:
            # A unit whose atom differs from its encoder weights tends never to be selected, and to
            # die (Gao et al. 2024).
            decoder.layers[0].weight.copy_(encoder.layers[0].weight.mT)
        return super()._initialise(model, data, split, generator, callbacks)

    def _check_values(self, X: Array) -> None:
        super()._check_values(X)
        if self.penalty == "kl" and self._resolved_code_activation() != "logistic":
            raise ValueError(
                "penalty='kl' takes activations for rates, so it needs a code between 0 and 1, "
                f"but code_activation={self.code_activation!r}. Use code_activation='auto' or "
                "'logistic', or another penalty."
            )

    def _fitted_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        n_components = model.network.encoder.layers[-1].bias.shape[-1]
        total, n_zeros = np.zeros(n_components), np.zeros(n_components, dtype=np.int64)
        for codes in model.encoder_codes(data):
            total += codes.sum(0, dtype=torch.float64).numpy()
            n_zeros += (codes == 0).sum(0).numpy()
        return {
            "activity_": total * model.code_unit / len(data),
            "zero_fraction_": float(n_zeros.mean() / len(data)),
            "dead_units_": np.flatnonzero(n_zeros == len(data)),
        }

    def _advice(self) -> str | None:
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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        code : ndarray or CSR array of shape (n_samples, n_components_)
            In the dtype of X. A CSR array if `sparse_output` is True.
        """
        rows = self._validate_rows(X)
        if not self.sparse_output:
            return self._encode(rows)
        # The dense code of all rows may not fit into memory.
        chunks = gen_batches(rows.shape[0], _MAX_ROWS)
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

"""The stacked autoencoder: deep, trained layer by layer."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, ClassVar, Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from skae._base import BaseAutoencoder
from skae._callbacks import EpochCallbacks
from skae._core.corruption import masking
from skae._core.held_out import Division
from skae._core.jacobians import relative_contraction
from skae._core.layerwise import hidden_model, layer_output, shallow_networks
from skae._core.model import Model
from skae._core.networks import ACTIVATIONS
from skae._core.objectives import Autograd, Backpropagation
from skae._core.rbm import BoltzmannMachine
from skae._core.solvers import SOLVERS
from skae._core.training import History, Objective
from skae._docs import document
from skae._fitted import Array
from skae._generation import MixtureSampling
from skae._nearest import NearestCode
from skae._validation import StrOptions, computed, integer, real, without


@document
@dataclass(eq=False, repr=False)
class StackedAutoencoder(NearestCode, MixtureSampling, BaseAutoencoder):
    r"""Stacked autoencoder: a deep autoencoder that is trained layer by layer first.

    Phase :math:`l` trains layer :math:`l` of the encoder and its mirror image in the decoder, as a
    shallow autoencoder of :math:`h_{l-1}`, the output of the layers below, which are frozen [2]_:

    .. math::

        \frac{\sum_i \| h_{l-1}(x_i) - g_l(f_l(h_{l-1}(x_i))) \|^2}
             {\sum_i \| h_{l-1}(x_i) - \bar h_{l-1} \|^2} + \text{penalty}

    Each layer's output is computed once and kept, so a phase costs what a shallow network costs.
    Then the whole network is trained to reconstruct X, from there (`fine_tune`).

    With ``pretraining="rbm"`` the layers are restricted Boltzmann machines, trained by contrastive
    divergence and unrolled into an autoencoder, with their weights transposed in the decoder [1]_.

    There is no linear path beside the layers, so nothing is promised against PCA. `Autoencoder`,
    which has one, as a rule reconstructs better.

    Parameters
    ----------
    {parameters}

    activation : same choices as `code_activation` or "auto", default="auto"
        Activation of the hidden layers. "auto" is "gelu"; "logistic" for ``pretraining="rbm"``,
        which has no other.

    dropout : float, default=0.0
        Probability with which each hidden unit is set to 0 in a step of the fine-tuning, in [0, 1).
        The phases have none.

    early_stopping : bool, default=True
        Hold rows out, stop fine-tuning after `n_iter_no_change` epochs without improvement and keep
        the best epoch. One split judges, whatever the number of rows; the layers are not trained on
        its rows either. Without `fine_tune` they choose nothing, and `validation_scores_` holds
        their score of the stack.

    pretraining : {"autoencoder", "denoising", "contractive", "rbm"}, default="autoencoder"
        What each layer is trained as. "denoising" [3]_ corrupts the input of each phase by masking,
        "contractive" penalises the Jacobian of each layer. "rbm" has normal visible units, of
        variance 1 in units of the scale of X, or Bernoulli ones with ``loss="log_loss"``; hidden
        units are Bernoulli; those of a linear code are normal. Callbacks that ask for the fitted
        estimator within one of its phases get weights of the machine, which are those of a network
        only once the phase is over.

    pretraining_iter : int, default=20
        Number of epochs of each phase.

    noise_level : float, default=0.25
        Share of entries that are masked under ``pretraining="denoising"``, in [0, 1).

    alpha : float, default=0.001
        Weight of the penalty under ``pretraining="contractive"``, as in `ContractiveAutoencoder`,
        with the variance of each phase's input in place of that of X.

    fine_tune : bool, default=True
        Whether the whole network is trained after the phases, and by a warm start.

    Attributes
    ----------
    {attributes}

    phases_ : list of dict of str to list of float
        `history_` of each phase, from the bottom up. 1 is predicting the mean of the layer below;
        under ``pretraining="rbm"`` it is the mean squared error of a reconstruction.

    References
    ----------
    .. [1] Hinton, G. E., & Salakhutdinov, R. R. (2006). Reducing the dimensionality of data with
       neural networks. Science, 313(5786), 504-507.
    .. [2] Bengio, Y., Lamblin, P., Popovici, D., & Larochelle, H. (2007). Greedy layer-wise
       training of deep networks. NIPS.
    .. [3] Vincent, P., Larochelle, H., Lajoie, I., Bengio, Y., & Manzagol, P.-A. (2010). Stacked
       denoising autoencoders. JMLR, 11, 3371-3408.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import StackedAutoencoder
    >>> X = load_digits().data
    >>> autoencoder = StackedAutoencoder(8, hidden_layer_sizes=(64, 32), random_state=0).fit(X)
    >>> len(autoencoder.phases_)
    3
    """

    _: KW_ONLY
    shortcut: str | None = computed(lambda self: None)
    activation: str = "auto"
    weight_decay: float = 0.0
    pretraining: str = "autoencoder"
    pretraining_iter: int = 20
    noise_level: float = 0.25
    alpha: float = 0.001
    fine_tune: bool = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **without(BaseAutoencoder._parameter_constraints, "shortcut"),
        **NearestCode._nearest_constraints,
        "activation": [StrOptions({*ACTIVATIONS, "auto"})],
        "pretraining": [StrOptions({"autoencoder", "denoising", "contractive", "rbm"})],
        "pretraining_iter": [integer(1)],
        "noise_level": [real(0, high=1)],
        "alpha": [real(0)],
        "fine_tune": ["boolean"],
    }

    def _activation(self) -> str:
        if self.activation == "auto":
            return "logistic" if self.pretraining == "rbm" else "gelu"
        return self.activation

    def _n_epochs(self) -> int:
        n_layers = len(tuple(self.hidden_layer_sizes)) + 1
        return n_layers * self.pretraining_iter + self._max_epochs()

    def _max_epochs(self) -> int:
        return self.max_iter * self.fine_tune

    def _partial_fit(self, X: ArrayLike) -> Self:
        if not self.fine_tune:
            raise ValueError(
                "partial_fit trains the whole network, which fine_tune=False leaves as its phases "
                "made it. Set fine_tune=True, or use fit."
            )
        return super()._partial_fit(X)

    def _may_cross_fit(self) -> bool:
        return False

    def _check_values(self, X: Array) -> None:
        super()._check_values(X)
        if self.pretraining != "rbm":
            return
        if self._activation() != "logistic":
            raise ValueError(
                "pretraining='rbm' has logistic hidden units, but activation="
                f"{self.activation!r}. Use activation='auto', or another pretraining."
            )
        if self.code_activation not in ("identity", "logistic"):
            raise ValueError(
                "pretraining='rbm' has normal or logistic code units, but code_activation="
                f"{self.code_activation!r}. Use 'identity' or 'logistic'."
            )
        if self.loss in ("poisson", "multinomial"):
            raise ValueError(
                "pretraining='rbm' has normal or Bernoulli visible units, so "
                f"loss={self.loss!r} does not fit. Use another loss, or another pretraining."
            )
        if self.loss == "log_loss" and self.tied_weights:
            raise ValueError(
                "pretraining='rbm' with loss='log_loss' needs tied_weights=False: the machine "
                "sees X as it is, but the encoder sees it centred and scaled."
            )

    def _pretrain(
        self,
        model: Model,
        data: Tensor,
        division: Division,
        generator: torch.Generator,
        callbacks: EpochCallbacks | None,
    ) -> tuple[dict[str, Any], str | None]:
        if self.pretraining == "rbm" and SOLVERS[self.solver].full_batch:
            raise ValueError(
                "pretraining='rbm' follows the gradient of no function, so a line search has "
                f"nothing to go by, but solver={self.solver!r}. Use another solver, or another "
                "pretraining."
            )
        phases: list[dict[str, list[float]]] = []
        # All of it, since callbacks see the whole.
        model.network.float().to(data.device)
        # Rows that judge the whole network later are kept from its layers too.
        rows = Division([division.training[-1]])
        inputs = data
        for i, network in enumerate(shallow_networks(model.network)):
            if i == 0:
                phase = Model(network, model.mean, model.scale, model.loss, model.baseline)
            else:
                phase = hidden_model(network, model.network.encoder.activation, inputs)
            history = self._train_layer(phase, inputs, rows, generator, callbacks)
            phases.append(history.terms)
            if history.was_cancelled:
                return {"phases_": phases}, history.stopped_by
            inputs = layer_output(network, inputs)
        return {"phases_": phases}, None

    def _train_layer(
        self,
        phase: Model,
        inputs: Tensor,
        rows: Division,
        generator: torch.Generator,
        callbacks: EpochCallbacks | None,
    ) -> History:
        network = phase.network
        run = self._open_run(network, rows, generator, inputs.device, self.pretraining_iter)
        objective: Objective = Backpropagation(phase, 1)
        machine = None
        if self.pretraining == "rbm":
            is_normal = phase.loss.response is not torch.sigmoid
            objective = machine = BoltzmannMachine(phase, visible_is_normal=is_normal)
            never_varies = ~inputs.any(0)
            inputs = machine.visible_units(inputs)
        elif self.pretraining == "denoising" and self.noise_level:
            network.corruption = partial(masking, share=self.noise_level)
        elif self.pretraining == "contractive" and self.alpha:
            variance = float(inputs.var(0, correction=0).mean())
            objective = Autograd(run.parameters, partial(self._contracted, phase, variance), 1)
        history = self._train(run, objective, inputs, rows, hooks=callbacks)
        run.parameters.release()
        network.corruption = None
        if machine is not None:
            machine.unroll()
            # Units of X other than 0 did teach these weights, though all rows have the same.
            network.encoder.ignore(never_varies)
        return history

    def _contracted(self, phase: Model, variance: float, inputs: Tensor) -> dict[str, Tensor]:
        norm = relative_contraction(phase.network, inputs, variance)
        reconstruction = phase.reconstruction(phase.network(inputs), inputs)
        return {"reconstruction": reconstruction, "contraction": self.alpha * norm}

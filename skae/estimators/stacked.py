"""The stacked autoencoder, with layer-wise pretraining."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from skae.base import BaseAutoencoder
from skae.core.activations import ACTIVATIONS
from skae.core.autograd import Autograd
from skae.core.backprop import DERIVATIVES, Backpropagation, Derivative, hidden_derivative
from skae.core.corruption import masking
from skae.core.criterion import ForwardPass, Penalty, Reconstruction
from skae.core.history import History
from skae.core.jacobians import relative_contraction
from skae.core.layerwise import hidden_model, layer_output, shallow_networks
from skae.core.loop import Corruption, LossAndGradient
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture
from skae.core.optimizers import OPTIMIZERS
from skae.core.rbm import BoltzmannMachine
from skae.fitting.split import Split
from skae.inference.sampling import MixtureSampling
from skae.inference.transformer import IterativeInference
from skae.utils.callbacks import EpochCallbacks
from skae.utils.csr import Array
from skae.utils.docs import document
from skae.utils.validation import StrOptions, computed, integer, real, without


@document
@dataclass(eq=False, repr=False)
class StackedAutoencoder(IterativeInference, MixtureSampling, BaseAutoencoder):
    r"""Stacked autoencoder: a deep autoencoder with greedy layer-wise pretraining.

    Phase :math:`l` trains layer :math:`l` of the encoder and its mirror image in the decoder as a
    shallow autoencoder of :math:`h_{l-1}`, the output of the frozen layers below [2]_:

    .. math::

        \frac{\sum_i \| h_{l-1}(x_i) - g_l(f_l(h_{l-1}(x_i))) \|^2}
             {\sum_i \| h_{l-1}(x_i) - \bar h_{l-1} \|^2} + \text{penalty}

    The output of each layer is computed only once, so a phase costs as much as training a shallow
    network. Afterwards the whole network is trained to reconstruct X (`fine_tune`).

    With ``pretraining="rbm"`` the layers are restricted Boltzmann machines, trained by contrastive
    divergence and unrolled into an autoencoder, with transposed weights in the decoder [1]_.

    The network has no skip connection and does not start at PCA, so the result may be worse than
    PCA. `Autoencoder` usually reconstructs better.

    Parameters
    ----------
    {parameters}

    activation : same choices as `code_activation` or "auto", default="auto"
        Activation of the hidden layers. "auto" is "gelu", but "logistic" for
        ``pretraining="rbm"``, which requires it.

    dropout : float, default=0.0
        Share of hidden units dropped in each step of the fine-tuning, in [0, 1). Not used in the
        phases.

    early_stopping : bool, default=True
        Hold rows out, stop fine-tuning after `n_iter_no_change` epochs in which the validation loss
        does not improve, and keep the best epoch. The rows are held out in a single split; the
        phases do not train on them, either. With ``fine_tune=False``, they only give the score of
        the pretrained network in `validation_scores_`.

    pretraining : {"autoencoder", "denoising", "contractive", "rbm"}, default="autoencoder"
        How each layer is trained. "denoising" [3]_ masks entries of the input of each phase.
        "contractive" penalises the Jacobian of each layer. "rbm" has normal visible units, of
        variance 1 in units of the scale of X, or Bernoulli ones with ``loss="log_loss"``. Its
        hidden units are Bernoulli, but normal for a linear code. Callbacks that request the fitted
        estimator during such a phase get the weights of the machine, which become valid weights of
        the network only at the end of the phase.

    pretraining_iter : int, default=20
        Number of epochs of each phase.

    noise_level : float, default=0.25
        Share of masked entries with ``pretraining="denoising"``, in [0, 1).

    alpha : float, default=0.001
        Weight of the penalty with ``pretraining="contractive"``, as in `ContractiveAutoencoder`,
        but relative to the variance of the input of each phase.

    fine_tune : bool, default=True
        Whether to train the whole network after the phases. A warm start has no phases, so with
        False it trains nothing.

    Attributes
    ----------
    {attributes}

    phases_ : list of dict of str to list of float
        `history_` of each phase, from the bottom up. Predicting the mean of the layer below has
        loss 1. With ``pretraining="rbm"``, the mean squared error of the reconstruction.

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

    _may_cross_fit: ClassVar[bool] = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **without(BaseAutoencoder._parameter_constraints, "shortcut"),
        **IterativeInference._inference_constraints,
        "activation": [StrOptions({*ACTIVATIONS, "auto"})],
        "pretraining": [StrOptions({"autoencoder", "denoising", "contractive", "rbm"})],
        "pretraining_iter": [integer(1)],
        "noise_level": [real(0, high=1, closed="left")],
        "alpha": [real(0)],
        "fine_tune": ["boolean"],
    }

    def _resolved_activation(self) -> str:
        if self.activation == "auto":
            return "logistic" if self.pretraining == "rbm" else "gelu"
        return self.activation

    def _network(self, n_features: int, n_components: int) -> Architecture:
        architecture = super()._network(n_features, n_components)
        return replace(architecture, activation=self._resolved_activation())

    def _n_epochs(self) -> tuple[int, int]:
        n_layers = len(tuple(self.hidden_layer_sizes)) + 1
        return n_layers * self.pretraining_iter, super()._n_epochs()[1] * self.fine_tune

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train for one pass over X, a part of the data; see `Autoencoder.partial_fit`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        self : object
        """
        if not self.fine_tune:
            raise ValueError(
                "partial_fit trains the whole network, which fine_tune=False leaves as its phases "
                "made it. Set fine_tune=True, or use fit."
            )
        return super().partial_fit(X, y)

    def _check_values(self, X: Array) -> None:
        super()._check_values(X)
        if self.pretraining != "rbm":
            return
        if self._resolved_activation() != "logistic":
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

    def _initialise(
        self,
        model: Model,
        data: Tensor,
        split: Split,
        generator: torch.Generator,
        callbacks: EpochCallbacks | None,
    ) -> tuple[dict[str, Any], str | None]:
        if self.pretraining == "rbm" and OPTIMIZERS[self.solver].full_batch:
            raise ValueError(
                "pretraining='rbm' follows the gradient of no function, so a line search has "
                f"nothing to go by, but solver={self.solver!r}. Use another solver, or another "
                "pretraining."
            )
        phases: list[dict[str, list[float]]] = []
        # The whole network moves to the device, since callbacks may request it.
        model.network.float().to(data.device)
        # Rows that validate the whole network are held out from the phases, too.
        rows = Split([split.training[-1]])
        inputs = data
        activation = model.network.encoder.activation
        for i, network in enumerate(shallow_networks(model.network)):
            if i == 0:
                phase = replace(model, network=network)
                derivative = DERIVATIVES[model.loss.function]
            else:
                phase = hidden_model(network, activation, inputs)
                derivative = hidden_derivative(activation)
            history = self._train_layer(phase, derivative, inputs, rows, generator, callbacks)
            phases.append(history.terms)
            if history.was_cancelled:
                return {"phases_": phases}, history.stopped_by
            inputs = layer_output(network, inputs)
        return {"phases_": phases}, None

    def _train_layer(
        self,
        phase: Model,
        derivative: Derivative,
        inputs: Tensor,
        rows: Split,
        generator: torch.Generator,
        callbacks: EpochCallbacks | None,
    ) -> History:
        network = phase.network
        state = self._init_training(network, rows, generator, inputs.device, self.pretraining_iter)
        corruption: Corruption | None = None
        if self.pretraining == "rbm":
            is_normal = phase.loss.response is not torch.sigmoid
            machine = BoltzmannMachine(phase, visible_is_normal=is_normal)
            units = machine.visible_units(inputs)
            history = self._train(state, machine, units, rows, callbacks=callbacks)
            machine.unroll()
            # The machine may have trained weights of constant inputs, which are 0 for the network.
            network.encoder.mask_inputs(~inputs.any(0))
            return history
        evaluate: LossAndGradient = Backpropagation(phase, derivative=derivative)
        if self.pretraining == "denoising" and self.noise_level:
            corruption = partial(masking, share=self.noise_level)
        elif self.pretraining == "contractive" and self.alpha:
            variance = float(inputs.var(0, correction=0).mean())
            criterion = Reconstruction(phase).with_penalty(
                Penalty("contraction", self.alpha, partial(_contraction, variance))
            )
            evaluate = Autograd(state.parameters, criterion.terms)
        return self._train(state, evaluate, inputs, rows, corruption, callbacks=callbacks)


def _contraction(variance: float, model: Model, batch: ForwardPass) -> Tensor:
    return relative_contraction(model.network, batch, variance)

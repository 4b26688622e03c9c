"""Criterion of predictive sparse decomposition."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skae.core.autograd import Terms
from skae.core.criterion import Criterion
from skae.core.model import Model
from skae.core.networks.dictionary import DictionaryNetwork
from skae.core.sparse_coding import sparse_codes

_STEPS_IN_TRAINING = 20


class SparseCoding(Criterion):
    """Reconstruction loss of optimised codes, plus penalties on their L1 norm and prediction error.

    Parameters
    ----------
    model : Model
        Its network is a `DictionaryNetwork`.
    alpha : float
        Weight of the L1 norm.
    prediction_weight : float
    """

    def __init__(self, model: Model, alpha: float, prediction_weight: float) -> None:
        self.model = model
        assert isinstance(model.network, DictionaryNetwork)
        self.network = model.network
        self.alpha = alpha
        self.prediction_weight = prediction_weight

    def row_terms(self, inputs: Tensor, target: Tensor) -> Terms:
        """Return the terms of each row, with codes optimised for the current network."""
        n_features = target.shape[-1]
        prediction = self.network.encode(inputs)
        codes = sparse_codes(
            target,
            self.network.atoms().detach(),
            self.alpha * math.sqrt(n_features),
            prediction=prediction.detach(),
            prediction_weight=self.prediction_weight,
            n_steps=_STEPS_IN_TRAINING,
        )
        distance = (codes - prediction).square().sum(-1) / n_features
        return {
            "reconstruction": (self.network.decode(codes) - target).square().mean(-1),
            "sparsity": self.alpha * codes.abs().sum(-1) / math.sqrt(n_features),
            "prediction": self.prediction_weight * distance,
        }

    def terms(self, inputs: Tensor, target: Tensor) -> Terms:
        return {name: term.mean() for name, term in self.row_terms(inputs, target).items()}

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return torch.stack(list(self.row_terms(inputs, target).values())).sum(0)

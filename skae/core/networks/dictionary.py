"""A dictionary, and an encoder that predicts sparse codes over it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork
from skae.core.networks.dense import MLP, Dense, WeightInit
from skae.core.sparse_coding import shrink


class UnitAtoms(Dense):
    """``x D``, where rows of D have norm 1. The weight may have any norm; the bias is not used."""

    def atoms(self) -> Tensor:
        """Return D."""
        return F.normalize(self.weight, dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.atoms()


class DictionaryNetwork(AutoencoderNetwork):
    """A dictionary, and an encoder that predicts sparse codes over it.

    Attributes
    ----------
    thresholds : Parameter of shape (n_models, 1, k), of shape (k,) without a model axis
        Soft thresholds of the encoder's output.
    """

    def __init__(self, encoder: MLP, decoder: MLP) -> None:
        super().__init__(encoder, decoder, "identity")
        self.thresholds = nn.Parameter(torch.zeros_like(encoder.layers[-1].bias))

    def encode(self, x: Tensor) -> Tensor:
        # Clip with the derivative of the identity, so that a threshold below 0 can recover.
        below = (self.thresholds.clamp_min(0.0) - self.thresholds).detach()
        return shrink(self.encoder(x), self.thresholds + below)

    def atoms(self) -> Tensor:
        """Return the dictionary, ``(k, features)``."""
        layer = self.decoder.layers[0]
        assert isinstance(layer, UnitAtoms)
        return layer.atoms()


@dataclass(frozen=True)
class DictionaryArchitecture(Architecture):
    """Architecture of a `DictionaryNetwork`: the decoder has one layer, whatever the encoder."""

    def n_weights(self) -> int:
        return super().n_weights() // 2 + self.n_components * self.n_features

    def mlps(self, init: WeightInit) -> tuple[MLP, MLP]:
        layers = init.layers(self.sizes, self.activation)
        encoder = MLP(layers, self.activation, self.dropout)
        atoms = init.dense(self.n_components, self.n_features)
        return encoder, MLP([UnitAtoms(atoms.weight)], "identity")

    def join(self, encoder: MLP, decoder: MLP, init: WeightInit) -> DictionaryNetwork:
        return DictionaryNetwork(encoder, decoder)

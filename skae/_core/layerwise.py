"""A deep autoencoder as a stack of shallow ones, made of its own layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from skae._core.losses import ReconstructionLoss
from skae._core.model import Model
from skae._core.networks import ACTIVATIONS, AutoencoderNetwork, Perceptron
from skae._core.objectives import BACKWARD

_ROWS_AT_A_TIME = 8192


def shallow_networks(network: AutoencoderNetwork) -> list[AutoencoderNetwork]:
    """One autoencoder a layer, from the bottom up.

    Each consists of a layer of the encoder and its mirror image of the decoder: the modules
    themselves, so that training it trains them.
    """
    encoder, decoder = network.encoder, network.decoder
    pairs = list(zip(encoder.layers, decoder.layers[::-1], strict=True))
    codes = [encoder.activation] * (len(pairs) - 1) + [network.code_activation]
    shallow = [
        AutoencoderNetwork(
            Perceptron([coding], encoder.activation),
            Perceptron([decoding], encoder.activation),
            code,
        )
        for (coding, decoding), code in zip(pairs, codes, strict=True)
    ]
    shallow[0].decoder.set_linear_path(*decoder.exact_linear_path)
    return shallow


def hidden_loss(activation: str) -> ReconstructionLoss:
    """Squared error of a hidden layer, whose reconstruction passes through its activation."""
    activate, backward = ACTIVATIONS[activation], BACKWARD[activation]

    def function(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        return F.mse_loss(activate(output), target, reduction=reduction)

    def derivative(output: Tensor, target: Tensor) -> Tensor:
        after = activate(output)
        return backward((after - target).mul_(2.0), output, after)

    return ReconstructionLoss(function, derivative, response=activate)


def hidden_model(network: AutoencoderNetwork, activation: str, activations: Tensor) -> Model:
    """Return a shallow autoencoder of a hidden layer's activations, which have no other unit."""
    n_inputs = activations.shape[-1]
    variance = float(activations.var(0, correction=0).mean())
    mean = torch.zeros(n_inputs, dtype=torch.float64)
    return Model(network, mean, 1.0, hidden_loss(activation), baseline=variance or 1.0)


@torch.no_grad()
def layer_output(network: AutoencoderNetwork, inputs: Tensor) -> Tensor:
    """Codes of all rows: what the next layer trains on, computed once."""
    network.eval()
    return torch.cat([network.encode(chunk) for chunk in inputs.split(_ROWS_AT_A_TIME)])

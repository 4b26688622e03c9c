"""A deep autoencoder as a stack of shallow autoencoders that share its layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from skae.core.activations import ACTIVATIONS
from skae.core.losses import ReconstructionLoss
from skae.core.model import Model
from skae.core.networks.autoencoder import AutoencoderNetwork
from skae.core.networks.dense import MLP

_MAX_ROWS = 8192


def shallow_networks(network: AutoencoderNetwork) -> list[AutoencoderNetwork]:
    """Return one shallow autoencoder for each layer of the encoder, starting at the input.

    Each consists of a layer of the encoder and its mirror image in the decoder. They share the
    modules of the deep network, so training them trains the deep network.
    """
    encoder, decoder = network.encoder, network.decoder
    pairs = list(zip(encoder.layers, decoder.layers[::-1], strict=True))
    codes = [encoder.activation] * (len(pairs) - 1) + [network.code_activation]
    shallow = [
        AutoencoderNetwork(
            MLP([coding], encoder.activation),
            MLP([decoding], encoder.activation),
            code,
        )
        for (coding, decoding), code in zip(pairs, codes, strict=True)
    ]
    shallow[0].encoder.input_map = encoder.input_map
    shallow[0].decoder.set_skip(*decoder.exact_skip)
    return shallow


def hidden_loss(activation: str) -> ReconstructionLoss:
    """Return the squared error of a hidden layer, with its activation applied to the output."""
    activate = ACTIVATIONS[activation].function

    def function(output: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
        return F.mse_loss(activate(output), target, reduction=reduction)

    return ReconstructionLoss(function, response=activate)


def hidden_model(network: AutoencoderNetwork, activation: str, activations: Tensor) -> Model:
    """Return a model of the activations of a hidden layer, which are not standardised."""
    n_inputs = activations.shape[-1]
    variance = float(activations.var(0, correction=0).mean())
    mean = torch.zeros(n_inputs, dtype=torch.float64)
    return Model(network, mean, 1.0, hidden_loss(activation), baseline=variance or 1.0)


@torch.no_grad()
def layer_output(network: AutoencoderNetwork, inputs: Tensor) -> Tensor:
    """Return the codes of all rows, on which the next layer is trained."""
    network.eval()
    return torch.cat([network.encode(chunk[None])[0] for chunk in inputs.split(_MAX_ROWS)])

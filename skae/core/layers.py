"""The output of any layer of a network, by position: encoder, code, decoder, output."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from skae.core.activations import ACTIVATIONS
from skae.core.networks.autoencoder import AutoencoderNetwork


def n_layers(network: AutoencoderNetwork) -> tuple[int, int]:
    """Return the number of layers of the encoder, with the code, and of the decoder."""
    return len(network.encoder.stages()), len(network.decoder.stages())


class LayerReader:
    """Computes the output of one layer for rows in training units.

    Parameters
    ----------
    network : AutoencoderNetwork
        Without a model axis. It is copied, because other threads may use it.
    layer : int
        Position, counted from the input: the hidden layers of the encoder, the code, the hidden
        layers of the decoder, the output.

    Attributes
    ----------
    is_code, is_output : bool
        Whether the layer is the code or the output of the network.
    """

    def __init__(self, network: AutoencoderNetwork, layer: int) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        n_encoder, n_decoder = n_layers(network)
        self.layer = layer
        self.is_code = layer == n_encoder - 1
        self.is_output = layer == n_encoder + n_decoder - 1
        self._read: list[Tensor] = []
        self._activation = ACTIVATIONS["identity"]
        if not (self.is_code or self.is_output):
            mlp = network.encoder if layer < n_encoder else network.decoder
            self._activation = ACTIVATIONS[mlp.activation]
            stages = [*self.network.encoder.stages(), *self.network.decoder.stages()]
            stages[layer].register_forward_hook(self._keep)

    def _keep(self, stage: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._read.append(output)

    def inputs(self, z: Tensor) -> Tensor:
        """Return what enters the layer's activation: ``(n, units)`` or ``(n, channels, h, w)``."""
        network = self.network
        if self.layer < n_layers(network)[0]:
            units = network.encoder(network.impute(z))
        else:
            units = network.decode(network.encode(z))
        return units if self.is_code or self.is_output else self._read.pop()

    def outputs(self, z: Tensor) -> Tensor:
        """Return the layer's output; for the code, what `AutoencoderNetwork.encode` returns."""
        if self.is_code:
            return self.network.encode(z)
        return self._activation.function(self.inputs(z))

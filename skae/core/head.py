"""An encoder with a head on its code, as trained by classifiers and regressors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from skae.core.activations import ACTIVATIONS
from skae.core.autograd import Terms
from skae.core.criterion import Criterion
from skae.core.model import Model, NetworkInUnits
from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork, Network
from skae.core.networks.dense import MLP, WeightInit
from skae.core.networks.storage import restore_module, restore_network, store_module, store_network
from skae.core.numerics import (
    MAX_WEIGHTS,
    inference_device,
    threads_for,
    too_many_weights,
    torch_defaults,
)
from skae.core.serialise import StoredState

# Factors on the learning rate for random weights. Fine-tuning should keep what was learned without
# labels. A head trained alone starts at 0, far from its optimum, and can take large steps.
_FINE_TUNING_FACTOR, _HEAD_FACTOR = 1 / 3, 10.0
_MAX_SGD_RATE = 0.005


class EncoderWithHead(Network):
    """``head((code - centre) / spread)``, with the code from an autoencoder's encoder.

    Parameters
    ----------
    network : AutoencoderNetwork
        With a model axis. Its decoder is not used.
    head : MLP
        With a model axis.
    codes : Tensor of shape (rows, components)
        Codes of the training rows. Their means and standard deviations standardise the head's
        input; a constant column becomes 0.
    has_bounded_gradient : bool
        Whether the gradient of the loss grows no faster than the head's input.

    Attributes
    ----------
    head_alone : bool
        Whether the whole encoder is frozen; the inputs are then codes, not rows.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self, network: AutoencoderNetwork, head: MLP, codes: Tensor, *, has_bounded_gradient: bool
    ) -> None:
        super().__init__()
        self.has_bounded_gradient = has_bounded_gradient
        self.network = network
        self.head = head
        self.mlps = [*network.mlps, head]
        self.max_width = max(network.max_width, *(layer.bias.shape[-1] for layer in head.layers))
        deviations = codes.std(0, correction=0)
        varies = deviations > 1e-6 * deviations.max()  # smaller ones are rounding error
        self.register_buffer("centre", codes.mean(0))
        self.register_buffer("spread", torch.where(varies, deviations, torch.inf))
        self.head_alone = False

    @property
    def architecture(self) -> Architecture:
        return self.network.architecture

    def freeze(self, n_layers: int) -> None:
        """Exclude the first `n_layers` layers of the encoder from training."""
        layers = self.network.encoder.stages()
        self.network.requires_grad_(False)
        for layer in layers[n_layers:]:
            layer.requires_grad_(True)
        self.head_alone = n_layers >= len(layers)
        for parameter in self.network.parameters(recurse=False):  # parameters of the code itself
            parameter.requires_grad_(not self.head_alone)

    def default_learning_rate(self, solver: str) -> float:
        rate = super().default_learning_rate(solver)
        rate *= _HEAD_FACTOR if self.head_alone else _FINE_TUNING_FACTOR
        if solver == "sgd" and not self.has_bounded_gradient:
            # Outlying rows would make training diverge.
            return min(rate, _MAX_SGD_RATE)
        return rate

    def multiply_adds(self) -> int:
        if self.head_alone:
            return super().multiply_adds()
        return self.network.multiply_adds() + sum(p.numel() for p in self.head.parameters())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs for rows in training units, or for codes if `head_alone`."""
        codes = inputs if self.head_alone else self.network.encode(inputs)
        return self.head((codes - self.centre) / self.spread)

    def set_generator(self, generator: torch.Generator | None) -> None:
        super().set_generator(generator)
        self.network.generator = generator


def build_head(sizes: Sequence[int], activation: str, generator: torch.Generator | None) -> MLP:
    """Return an MLP with a model axis, whose outputs start at 0."""
    if (n_weights := sum(n_in * n_out for n_in, n_out in pairwise(sizes))) > MAX_WEIGHTS:
        raise too_many_weights(n_weights, f"hidden_layer_sizes={tuple(sizes[1:-1])}")
    return MLP(WeightInit(generator, zero_output=True).layers(sizes, activation), activation)


def class_losses(output: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy of each row; the target is one column of class indices."""
    return F.cross_entropy(output, target[:, 0].long(), reduction="none")


def squared_losses(output: Tensor, target: Tensor) -> Tensor:
    """Return the squared error of each row, averaged over its targets."""
    return (output - target).square().mean(-1)


class HeadCriterion(Criterion):
    """Weighted mean loss of rows that hold ``(inputs, targets, weight)`` in one tensor.

    Parameters
    ----------
    network : EncoderWithHead
    name : str
        Name of the loss in `history_`.
    losses : callable
        ``(output, target) -> Tensor``: the loss of each row.
    n_inputs : int
        Number of input columns.
    mean_weight : float or Tensor
        Mean weight of the held-out rows; weights have mean 1 over all rows.
    perfect_score : float
    """

    def __init__(
        self,
        network: EncoderWithHead,
        name: str,
        losses: Callable[[Tensor, Tensor], Tensor],
        n_inputs: int,
        perfect_score: float,
    ) -> None:
        self.network = network
        self.name = name
        self.losses = losses
        self.n_inputs = n_inputs
        self.mean_weight: float | Tensor = 1.0
        self.perfect_score = perfect_score

    def _weighted_losses(self, rows: Tensor) -> Tensor:
        (output,) = self.network(rows[..., : self.n_inputs])
        (rows,) = rows
        return self.losses(output, rows[:, self.n_inputs : -1]) * rows[:, -1]

    def terms(self, inputs: Tensor, target: Tensor) -> Terms:
        return {self.name: self._weighted_losses(target).mean()}

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return self._weighted_losses(target)[None] / self.mean_weight


class Predictor(NetworkInUnits[EncoderWithHead]):
    """A trained encoder with its head, and the units of its data."""

    @classmethod
    def of(cls, network: EncoderWithHead, model: Model) -> Predictor:
        """Return the predictor of a trained network."""
        network = network.select_model(0)
        network.head_alone = False
        network.to(inference_device(next(network.parameters()).device))
        network.network.restore_skips()
        return cls(network.eval(), model.mean, model.scale)

    def _stored_parts(self) -> dict[str, Any]:
        whole, head = self.network, self.network.head
        return {
            "network": {
                "encoder_and_decoder": store_network(whole.network),
                "head_sizes": [len(head.layers[0].weight), *(len(x.bias) for x in head.layers)],
                "head_activation": head.activation,
                "head": store_module(head),
                "centre": whole.centre,
                "spread": whole.spread,
                "has_bounded_gradient": whole.has_bounded_gradient,
            }
        }

    def _restored_parts(self, stored: StoredState) -> dict[str, Any]:
        stored = stored.read_state("network")
        network = restore_network(stored.read_state("encoder_and_decoder"))
        n_components = network.architecture.n_components
        sizes, arrays = stored.read_sizes("head_sizes"), stored.read_state("head")
        if len(sizes) < 2 or sizes[0] != n_components:
            wanted = f"sizes that begin with {n_components}"
            raise stored.error("head_sizes", wanted, list(sizes))
        arrays.check_size(sum(n_in * n_out for n_in, n_out in pairwise(sizes)))
        activation = stored.read_choice("head_activation", ACTIVATIONS)
        head = restore_module(build_head(sizes, activation, None), arrays, {})
        arrays.end()
        whole = EncoderWithHead(
            network,
            head,
            torch.zeros(1, n_components, dtype=torch.float32),
            has_bounded_gradient=stored.read("has_bounded_gradient", bool),
        )
        whole.centre = stored.read_tensor("centre", (n_components,))
        whole.spread = stored.read_tensor("spread", (n_components,))
        stored.end()
        return {"network": whole.eval()}

    @torch_defaults()
    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs for rows in the units of X, in the precision of the rows."""
        network = self.network_in(x.dtype)
        with threads_for(network.cost * len(x), x.dtype.itemsize):
            return network(self.standardise(x)).cpu()

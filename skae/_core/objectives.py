"""From a batch to the terms of the objective, with the gradient of their sum left behind.

`Autograd` serves every method. `Backpropagation` is the chain rule of the plain network written
out: below a few hundred units a step costs calls, not arithmetic, and autograd makes most of them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skae._core.model import Model
from skae._core.networks import ACTIVATIONS, Dense, Perceptron
from skae._core.solvers import FlatParameters

Terms = dict[str, Tensor]


class Autograd:
    """Differentiate any terms.

    Parameters
    ----------
    parameters : FlatParameters
    terms : callable
        A batch to named terms, each a mean over its rows.
    n_models : int
    """

    def __init__(
        self, parameters: FlatParameters, terms: Callable[[Tensor], Terms], n_models: int
    ) -> None:
        self.gradients = parameters.gradients
        self.terms = terms
        self.n_models = n_models

    def __call__(self, batch: Tensor) -> Terms:
        self.gradients.zero_()
        with torch.enable_grad():
            terms = {
                name: term.mean() if term.ndim else term for name, term in self.terms(batch).items()
            }
            first, *others = terms.values()
            loss = sum(others, start=first)
            # The means are over models too; each model's gradient must be as if it were alone.
            (loss if self.n_models == 1 else loss * self.n_models).backward()
        return {name: term.detach() for name, term in terms.items()}


class Backpropagation:
    """Differentiate the reconstruction loss of a network without dropout, by hand.

    Gradients are those of `Autograd`; a test compares them for every kind of network and loss.
    All tensors are detached, so nothing is recorded on the way.
    """

    def __init__(self, model: Model, n_models: int) -> None:
        network = model.network
        tied = network.decoder.layers[0].transposed
        self.encoder = _Half(network.encoder, network.code_activation, is_shared=tied)
        self.decoder = _Half(network.decoder, "identity", is_shared=False)
        self.model = model
        self.n_models = n_models

    def __call__(self, batch: Tensor) -> Terms:
        output = self.decoder.forward(self.encoder.forward(self.model.network.seen(batch)))
        value = self.model.reconstruction(output, batch)
        delta = self.model.loss.derivative(output, self.model.target(batch, output))
        delta.mul_(self.n_models / (self.model.baseline * delta.numel()))
        self.encoder.backward(self.decoder.backward(delta, into_input=True), into_input=False)
        return {"reconstruction": value}


class _Half:
    """Forward and backward pass of a perceptron and the activation after it."""

    def __init__(self, perceptron: Perceptron, output_activation: str, *, is_shared: bool) -> None:
        self.perceptron = perceptron
        activations = [perceptron.activation] * (len(perceptron.layers) - 1) + ["identity"]
        self.layers = [
            _Layer(layer, activation, is_shared=is_shared)
            for layer, activation in zip(perceptron.layers, activations, strict=True)
        ]
        self.activation = ACTIVATIONS[output_activation]
        self.activation_backward = BACKWARD[output_activation]

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer.forward(y)
        self.before = self.perceptron.add_linear_path(y, x)
        self.after = self.activation(self.before)
        return self.after

    def backward(self, delta: Tensor, *, into_input: bool) -> Tensor:
        """Fill the gradients; return the derivative by the input, or `delta` if not asked for."""
        perceptron = self.perceptron
        delta = self.activation_backward(delta.to(self.before.dtype), self.before, self.after)
        into_layers = delta if perceptron.scale == 1.0 else delta * perceptron.scale
        first = self.layers[0]
        for layer in self.layers[:0:-1]:
            into_layers = layer.backward(into_layers, into_input=True)
        into_layers = first.backward(into_layers, into_input=into_input)
        if into_input and perceptron.shortcut is not None:
            into_layers = into_layers + delta @ perceptron.shortcut.mT
        return into_layers


class _Layer:
    """Forward and backward pass of a dense layer and its activation."""

    def __init__(self, dense: Dense, activation: str, *, is_shared: bool) -> None:
        assert dense.weight.grad is not None
        assert dense.bias.grad is not None
        self.is_shared = is_shared
        weight, gradient = dense.weight.detach(), dense.weight.grad
        if dense.transposed:
            weight, gradient = weight.mT, gradient.mT
        self.weight, self.weight_transposed, self.weight_gradient = weight, weight.mT, gradient
        self.bias, self.bias_gradient = dense.bias.detach(), dense.bias.grad
        self.has_model_axis = weight.ndim == 3
        self.activation = ACTIVATIONS[activation]
        self.activation_backward = BACKWARD[activation]

    def forward(self, x: Tensor) -> Tensor:
        self.input = x
        product = torch.baddbmm if self.has_model_axis else torch.addmm
        self.before = product(self.bias, x, self.weight)
        self.after = self.activation(self.before)
        return self.after

    def backward(self, delta: Tensor, *, into_input: bool) -> Tensor:
        delta = self.activation_backward(delta, self.before, self.after)
        product = torch.bmm if self.has_model_axis else torch.mm
        if self.is_shared:
            # Tied weights: the decoder, which comes first, has set its share already.
            self.weight_gradient.add_(product(self.input.mT, delta))
        elif self.before.dtype == self.weight_gradient.dtype:
            product(self.input.mT, delta, out=self.weight_gradient)
        else:  # the product is of reduced precision
            self.weight_gradient.copy_(product(self.input.mT, delta))
        torch.sum(
            delta,
            -2,
            keepdim=self.has_model_axis,
            dtype=self.bias_gradient.dtype,
            out=self.bias_gradient,
        )
        return product(delta, self.weight_transposed) if into_input else delta


def _of_identity(delta: Tensor, before: Tensor, after: Tensor) -> Tensor:
    return delta


_aten = torch.ops.aten
BACKWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "identity": _of_identity,
    "relu": lambda delta, before, after: _aten.threshold_backward.default(delta, after, 0),
    "gelu": lambda delta, before, after: _aten.gelu_backward.default(delta, before),
    "silu": lambda delta, before, after: _aten.silu_backward.default(delta, before),
    "tanh": lambda delta, before, after: _aten.tanh_backward.default(delta, after),
    "logistic": lambda delta, before, after: _aten.sigmoid_backward.default(delta, after),
}

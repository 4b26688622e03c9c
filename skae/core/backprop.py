"""Hand-written backpropagation of the plain reconstruction loss.

In networks below a few hundred units, the cost of a step is calls rather than arithmetic, and
autograd makes most of these calls. Doing without it saves 20 to 30 % of a small fit.
`skae.core.autograd` gives the same gradients for any criterion, and a test compares the two for
every activation and loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from skae.core.activations import ACTIVATIONS
from skae.core.autograd import Terms
from skae.core.losses import huber, log_loss, log_rate, multinomial, poisson
from skae.core.model import Model
from skae.core.networks.dense import MLP, Dense

# ``(output, target) -> derivative``; that of a relative loss takes the levels, too.
Derivative = Callable[..., Tensor]

_IDENTITY = ACTIVATIONS["identity"]  # skipped, to save a call


def _squared_error(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).mul_(2.0)


def _absolute_error(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).sign_()


def _huber(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).clamp_(-1.0, 1.0).mul_(2.0)


def _log_loss(output: Tensor, target: Tensor) -> Tensor:
    return torch.sigmoid(output).sub_(target)


def _poisson(output: Tensor, target: Tensor, level: Tensor) -> Tensor:
    return torch.expm1(output).sub_(target.clamp_min(-1)).mul_(level)


def _multinomial(output: Tensor, target: Tensor, level: Tensor) -> Tensor:
    return _poisson(log_rate(output, target, level), target, level)


# Derivative of each loss with respect to each output entry. The result is always a new tensor.
DERIVATIVES: dict[Callable[..., Tensor], Derivative] = {
    F.mse_loss: _squared_error,
    F.l1_loss: _absolute_error,
    huber: _huber,
    log_loss: _log_loss,
    poisson: _poisson,
    multinomial: _multinomial,
}


def hidden_derivative(activation: str) -> Derivative:
    """Return the derivative of ``(activation(output) - target)^2`` with respect to output."""
    function, backward = ACTIVATIONS[activation].function, ACTIVATIONS[activation].backward

    def derivative(output: Tensor, target: Tensor) -> Tensor:
        after = function(output)
        return backward((after - target).mul_(2.0), output, after)

    return derivative


class Backpropagation:
    """Evaluates the reconstruction loss and sets its gradient.

    Supports networks of `Dense` layers without dropout. All tensors are detached, so autograd
    records nothing.

    Parameters
    ----------
    model : Model
    n_models : int
    derivative : callable or None
        Derivative of the loss with respect to the output; None looks it up in `DERIVATIVES`.
    """

    def __init__(
        self, model: Model, n_models: int = 1, derivative: Derivative | None = None
    ) -> None:
        network = model.network
        tied = network.decoder.layers[0].transposed
        self.encoder = _MLPPasses(network.encoder, network.code_activation, adds_gradient=tied)
        self.decoder = _MLPPasses(network.decoder, "identity", adds_gradient=False)
        self.model = model
        self.derivative = derivative or DERIVATIVES[model.loss.function]
        # Of squared errors, the residual gives both the loss and its derivative.
        self.uses_residual = self.derivative is _squared_error and not network.imputes_missing
        self.n_models = n_models

    def __call__(self, inputs: Tensor, target: Tensor) -> Terms:
        inputs = self.model.network.impute(inputs)
        output = self.decoder.forward(self.encoder.forward(inputs))
        factor = self.n_models / (self.model.baseline * output.numel())
        if self.uses_residual:
            residual = output - target
            value = residual.square().mean()
            if self.model.baseline != 1.0:
                value = value / self.model.baseline
            gradient = residual.mul_(2.0 * factor)
        else:
            value = self.model.reconstruction(output, target)
            arguments = [output, self.model.target(target, output)]
            if self.model.loss.is_relative:
                arguments.append(self.model.count_units(output).weight)
            gradient = self.derivative(*arguments).mul_(factor)
        gradient = self.decoder.backward(gradient, into_input=True)
        self.encoder.backward(gradient, into_input=False)
        return {"reconstruction": value}


class _MLPPasses:
    """Forward and backward pass of an MLP, its skip connection and the activation after it."""

    def __init__(self, mlp: MLP, output_activation: str, *, adds_gradient: bool) -> None:
        self.mlp = mlp
        self.skip_transposed = None if mlp.skip is None else mlp.skip.mT
        activations = [mlp.activation] * (len(mlp.layers) - 1) + ["identity"]
        self.layers = [
            _LayerPasses(layer, activation, adds_gradient=adds_gradient)
            for layer, activation in zip(mlp.layers, activations, strict=True)
        ]
        self.activation = ACTIVATIONS[output_activation]

    def forward(self, x: Tensor) -> Tensor:
        if self.mlp.input_map is not None:
            x = self.mlp.input_map(x)
        y = x
        for layer in self.layers:
            y = layer.forward(y)
        self.before = self.mlp.add_skip(y, x)
        self.after = self.before
        if self.activation is not _IDENTITY:
            self.after = self.activation.function(self.before)
        return self.after

    def backward(self, gradient: Tensor, *, into_input: bool) -> Tensor:
        """Set the gradients of the weights; return the gradient of the input if `into_input`."""
        mlp = self.mlp
        if gradient.dtype != self.before.dtype:  # of reduced precision
            gradient = gradient.to(self.before.dtype)
        if self.activation is not _IDENTITY:
            gradient = self.activation.backward(gradient, self.before, self.after)
        into_layers = gradient if mlp.scale == 1.0 else gradient * mlp.scale
        for layer in self.layers[:0:-1]:
            into_layers = layer.backward(into_layers, into_input=True)
        into_layers = self.layers[0].backward(into_layers, into_input=into_input)
        if into_input and self.skip_transposed is not None:
            into_layers = into_layers + torch.bmm(gradient, self.skip_transposed)
        return into_layers


class _LayerPasses:
    """Forward and backward pass of a dense layer and the activation after it.

    With `adds_gradient`, the backward pass adds to the gradient of the weights, else it sets it.
    """

    def __init__(self, dense: Dense, activation: str, *, adds_gradient: bool) -> None:
        assert dense.weight.grad is not None
        assert dense.bias.grad is not None
        self.adds_gradient = adds_gradient
        weight, gradient = dense.weight.detach(), dense.weight.grad
        if dense.transposed:
            weight, gradient = weight.mT, gradient.mT
        self.weight, self.weight_transposed, self.weight_gradient = weight, weight.mT, gradient
        self.bias, self.bias_gradient = dense.bias.detach(), dense.bias.grad
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        self.input = x
        self.before = self.after = torch.baddbmm(self.bias, x, self.weight)
        if self.activation is not _IDENTITY:
            self.after = self.activation.function(self.before)
        return self.after

    def backward(self, gradient: Tensor, *, into_input: bool) -> Tensor:
        if self.activation is not _IDENTITY:
            gradient = self.activation.backward(gradient, self.before, self.after)
        if self.adds_gradient:
            # Tied weights: the decoder's backward pass runs first and has already set its part.
            self.weight_gradient.add_(torch.bmm(self.input.mT, gradient))
        elif self.before.dtype == self.weight_gradient.dtype:
            torch.bmm(self.input.mT, gradient, out=self.weight_gradient)
        else:  # the product has reduced precision
            self.weight_gradient.copy_(torch.bmm(self.input.mT, gradient))
        torch.sum(
            gradient, -2, keepdim=True, dtype=self.bias_gradient.dtype, out=self.bias_gradient
        )
        return torch.bmm(gradient, self.weight_transposed) if into_input else gradient

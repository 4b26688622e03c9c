"""Activation functions, each with its backward pass, derivative and weight gain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """An elementwise activation function.

    Attributes
    ----------
    function : callable
    backward : callable
        ``(gradient, before, after) -> gradient``: the backward pass, in torch's fused kernels. It
        may overwrite `gradient`. Used by `skae.core.backprop` and by the decoders' `push_forward`,
        where it multiplies by the slope in one call.
    slope : callable
        Derivative, which autograd can differentiate again. Used by `skae.core.jacobians`.
    gain : float
        Variance of the initial weights, times the number of inputs, that preserves the variance of
        the signal: 2 for activations that cut off half of it (He et al. 2015), otherwise 1 (LeCun
        et al. 1998).
    """

    function: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    gain: float = 1.0


def _gelu_slope(x: Tensor) -> Tensor:
    density = torch.exp(-0.5 * x.square()) / math.sqrt(2.0 * math.pi)
    return torch.special.ndtr(x) + x * density


def _silu_slope(x: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return p * (1.0 + x * (1.0 - p))


def _logistic_slope(x: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return p * (1.0 - p)


ACTIVATIONS: dict[str, Activation] = {
    # torch.positive returns its input without copying it.
    "identity": Activation(
        torch.positive, lambda gradient, before, after: gradient, torch.ones_like
    ),
    "relu": Activation(
        torch.relu,
        lambda gradient, before, after: _aten.threshold_backward.default(gradient, after, 0),
        lambda x: (x > 0).to(x.dtype),
        gain=2.0,
    ),
    "gelu": Activation(
        F.gelu,
        lambda gradient, before, after: _aten.gelu_backward.default(gradient, before),
        _gelu_slope,
        gain=2.0,
    ),
    "silu": Activation(
        F.silu,
        lambda gradient, before, after: _aten.silu_backward.default(gradient, before),
        _silu_slope,
        gain=2.0,
    ),
    "tanh": Activation(
        torch.tanh,
        lambda gradient, before, after: _aten.tanh_backward.default(gradient, after),
        lambda x: 1.0 - torch.tanh(x).square(),
    ),
    "logistic": Activation(
        torch.sigmoid,
        lambda gradient, before, after: _aten.sigmoid_backward.default(gradient, after),
        _logistic_slope,
    ),
}

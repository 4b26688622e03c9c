"""Optimizers for parameters in one flat buffer.

The cost of a small step is mostly calls, not arithmetic. Parameters and gradients are therefore
views of two flat buffers: one call zeroes all gradients and one call updates all parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

Closure = Callable[[], Tensor]


class FlatParameters:
    """Parameters as views of one buffer, and their gradients as views of another."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.tensors = list(parameters)
        self.values = torch.cat([p.detach().reshape(-1) for p in self.tensors])
        self.gradients = torch.zeros_like(self.values)
        start = 0
        for p in self.tensors:
            end = start + p.numel()
            p.data = self.values[start:end].view(p.shape)
            p.grad = self.gradients[start:end].view(p.shape)
            start = end

    def leaf(self) -> Tensor:
        """Return the whole buffer as one parameter, for torch's optimizers."""
        leaf = self.values.detach()
        leaf.grad = self.gradients
        return leaf


class Optimizer(ABC):
    """Base class of the optimizers.

    Parameters
    ----------
    parameters : FlatParameters
    weight_decay : float
        Decoupled weight decay: a step at learning rate r multiplies the weights by ``1 - r *
        weight_decay``. It may be changed between steps.
    n_models : int
        Length of the model axis. The loss is the mean over models; the gradient is that of the sum.
    """

    full_batch = False
    weight_decay: float

    @abstractmethod
    def __init__(
        self, parameters: FlatParameters, weight_decay: float, n_models: int = 1
    ) -> None: ...

    @abstractmethod
    def step(self, closure: Closure, learning_rate: float) -> None:
        """Evaluate the closure, which returns the loss and sets the gradients, and update."""


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    This is the functional form of torch's fused AdamW, because the bookkeeping of
    `torch.optim.AdamW` would take a fifth of a small step.
    """

    def __init__(self, parameters: FlatParameters, weight_decay: float, n_models: int = 1) -> None:
        self.weight_decay = weight_decay
        self.values, self.gradients = [parameters.values], [parameters.gradients]
        self.means = [torch.zeros_like(parameters.values)]
        self.squares = [torch.zeros_like(parameters.values)]
        self.steps = [parameters.values.new_zeros(())]

    def step(self, closure: Closure, learning_rate: float) -> None:
        closure()
        adamw(
            self.values,
            self.gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            fused=True,
            lr=learning_rate,
            beta1=0.9,
            beta2=0.99,
            weight_decay=self.weight_decay,
            # Relative losses are small where PCA is already good; Adam's steps must not depend on
            # that.
            eps=1e-12,
            amsgrad=False,
            maximize=False,
        )


class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov momentum of 0.9."""

    def __init__(self, parameters: FlatParameters, weight_decay: float, n_models: int = 1) -> None:
        self.weight_decay = weight_decay
        self.values = parameters.values
        self.optimizer = torch.optim.SGD(
            [parameters.leaf()], lr=1.0, momentum=0.9, nesterov=True, foreach=True
        )

    def step(self, closure: Closure, learning_rate: float) -> None:
        closure()
        self.values.mul_(1.0 - learning_rate * self.weight_decay)
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()


class Muon(Optimizer):
    """Muon (Jordan 2024) for the matrices, AdamW for all other parameters.

    Muon orthogonalises the momentum by Newton-Schulz iterations. Its updates are scaled to the size
    of AdamW's, so that both use the same learning rate.
    """

    def __init__(self, parameters: FlatParameters, weight_decay: float, n_models: int = 1) -> None:
        self.weight_decay = weight_decay
        matrices: list[Tensor] = []
        rest: list[Tensor] = []
        for p in parameters.tensors:
            assert p.grad is not None
            # One matrix per model. A single row or column, such as a bias, has nothing to be
            # orthogonal to.
            for values, gradients in zip(p.detach().unbind(0), p.grad.unbind(0), strict=True):
                values.grad = gradients
                is_matrix = values.ndim >= 2 and min(values.shape) > 1
                (matrices if is_matrix else rest).append(values)
        self.optimizers: list[torch.optim.Optimizer] = []
        if matrices:
            muon = torch.optim.Muon(matrices, lr=1.0, adjust_lr_fn="match_rms_adamw")
            self.optimizers.append(muon)
        if rest:
            adamw = torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.99), foreach=True)
            self.optimizers.append(adamw)

    def step(self, closure: Closure, learning_rate: float) -> None:
        closure()
        for optimizer in self.optimizers:
            optimizer.param_groups[0].update(lr=learning_rate, weight_decay=self.weight_decay)
            optimizer.step()


class LBFGS(Optimizer):
    """Full-batch L-BFGS with a strong-Wolfe line search (Nocedal 1980).

    Decoupled weight decay would break the curvature estimates, so weight decay is a penalty here:
    `weight_decay` times half the mean squared weight of a model.
    """

    full_batch = True

    def __init__(self, parameters: FlatParameters, weight_decay: float, n_models: int = 1) -> None:
        self.weight_decay, self.n_models = weight_decay, n_models
        self.values, self.gradients = parameters.values, parameters.gradients
        self.optimizer = torch.optim.LBFGS(
            [parameters.leaf()],
            lr=1.0,
            max_iter=1,
            max_eval=30,  # the line search needs a few
            history_size=20,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-12,
            tolerance_change=1e-15,
        )

    def step(self, closure: Closure, learning_rate: float) -> None:
        def penalised() -> Tensor:
            loss = closure() * self.n_models  # to match the gradient
            if self.weight_decay:
                scale = self.weight_decay * self.n_models / self.values.numel()
                self.gradients.add_(self.values, alpha=scale)
                loss = loss + 0.5 * scale * self.values.square().sum()
            return loss

        self.optimizer.step(penalised)


OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "muon": Muon, "sgd": SGD, "lbfgs": LBFGS}
DEFAULT_LEARNING_RATES = {"adamw": 3e-3, "muon": 1e-2, "sgd": 5e-2, "lbfgs": 1.0}

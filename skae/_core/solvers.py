"""Solvers over parameters that lie in one flat buffer.

A small step costs mostly calls, not arithmetic, so parameters and gradients are views of two flat
buffers: one call zeroes all gradients and one call updates all parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

Closure = Callable[[], Tensor]


class FlatParameters:
    """Parameters as views of one buffer, their gradients as views of another."""

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
        """Return the whole buffer as one parameter, for torch's optimisers."""
        leaf = self.values.detach()
        leaf.grad = self.gradients
        return leaf

    def release(self) -> None:
        """Give each parameter memory of its own again, so that the network pickles small."""
        for p in self.tensors:
            p.data = p.data.clone()
            p.grad = None


class Solver(ABC):
    """One update of all parameters.

    Parameters
    ----------
    parameters : FlatParameters
    shrinkage : float
        Decoupled weight decay, in units of the learning rate: a step at learning rate r multiplies
        the weights by ``1 - r * shrinkage``. May be set anew between steps.

    Attributes
    ----------
    n_models : int
        The loss is a mean over models side by side; the gradient is that of their sum.
    """

    full_batch = False
    shrinkage: float
    n_models = 1

    @abstractmethod
    def __init__(self, parameters: FlatParameters, shrinkage: float) -> None: ...

    @abstractmethod
    def step(self, closure: Closure, learning_rate: float) -> None:
        """Evaluate the closure (the loss, with gradients left behind) and update."""


class AdamW(Solver):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    torch's own fused kernel, called without the bookkeeping of `torch.optim.AdamW`, which takes a
    fifth of a small step.
    """

    def __init__(self, parameters: FlatParameters, shrinkage: float) -> None:
        self.shrinkage = shrinkage
        self.values, self.gradients = [parameters.values], [parameters.gradients]
        self.means = [torch.zeros_like(parameters.values)]
        self.squares = [torch.zeros_like(parameters.values)]
        self.steps = [parameters.values.new_zeros(())]

    def step(self, closure: Closure, learning_rate: float) -> None:
        closure()
        self.steps[0].add_(1)
        torch._fused_adamw_(
            self.values,
            self.gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            lr=learning_rate,
            beta1=0.9,
            beta2=0.99,
            weight_decay=self.shrinkage,
            # Relative losses are small where PCA is already good; Adam must not notice.
            eps=1e-12,
            amsgrad=False,
            maximize=False,
        )


class SGD(Solver):
    """Gradient descent with Nesterov's momentum of 0.9."""

    def __init__(self, parameters: FlatParameters, shrinkage: float) -> None:
        self.shrinkage = shrinkage
        self.values = parameters.values
        self.optimizer = torch.optim.SGD(
            [parameters.leaf()], lr=1.0, momentum=0.9, nesterov=True, foreach=True
        )

    def step(self, closure: Closure, learning_rate: float) -> None:
        closure()
        self.values.mul_(1.0 - learning_rate * self.shrinkage)
        self.optimizer.param_groups[0]["lr"] = learning_rate
        self.optimizer.step()


class Muon(Solver):
    """Momentum orthogonalised by Newton-Schulz for the matrices (Jordan 2024), AdamW for the rest.

    Updates are scaled to the size of AdamW's, so that both take one learning rate.
    """

    def __init__(self, parameters: FlatParameters, shrinkage: float) -> None:
        self.shrinkage = shrinkage
        matrices: list[Tensor] = []
        rest: list[Tensor] = []
        for p in parameters.tensors:
            # A model axis holds one matrix a model. One row or column, of a bias or not, has
            # nothing to be orthogonal to.
            for values, gradients in _models(p.detach(), p.grad):
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
            optimizer.param_groups[0].update(lr=learning_rate, weight_decay=self.shrinkage)
            optimizer.step()


def _models(values: Tensor, gradients: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    assert gradients is not None
    if values.ndim < 3:
        return [(values, gradients)]
    return list(zip(values.unbind(0), gradients.unbind(0), strict=True))


class LBFGS(Solver):
    """Limited-memory BFGS on the whole data, with a strong-Wolfe line search (Nocedal 1980).

    Decoupled decay would break the curvature estimates, so decay is a penalty here: `shrinkage`
    times half the mean squared weight of a model.
    """

    full_batch = True

    def __init__(self, parameters: FlatParameters, shrinkage: float) -> None:
        self.shrinkage = shrinkage
        self.values, self.gradients = parameters.values, parameters.gradients
        self.optimizer = torch.optim.LBFGS(
            [parameters.leaf()],
            lr=1.0,
            max_iter=1,
            max_eval=30,  # of which the line search needs a few
            history_size=20,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-12,
            tolerance_change=1e-15,
        )

    def step(self, closure: Closure, learning_rate: float) -> None:
        def penalised() -> Tensor:
            loss = closure() * self.n_models  # whose gradient it is
            if self.shrinkage:
                scale = self.shrinkage * self.n_models / self.values.numel()
                self.gradients.add_(self.values, alpha=scale)
                loss = loss + 0.5 * scale * self.values.square().sum()
            return loss

        self.optimizer.step(penalised)


SOLVERS: dict[str, type[Solver]] = {"adamw": AdamW, "muon": Muon, "sgd": SGD, "lbfgs": LBFGS}
DEFAULT_LEARNING_RATES = {"adamw": 3e-3, "muon": 1e-2, "sgd": 5e-2, "lbfgs": 1.0}

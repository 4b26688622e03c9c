"""Gradients of any criterion, computed by autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skae.core.optimizers import FlatParameters

Terms = dict[str, Tensor]


class Autograd:
    """Evaluates the named terms of a loss and sets the gradient of their sum.

    Parameters
    ----------
    parameters : FlatParameters
    terms : callable
        ``(inputs, target) -> terms``: named terms, each a mean over the rows of the batch or of
        each model.
    n_models : int
    """

    def __init__(
        self,
        parameters: FlatParameters,
        terms: Callable[[Tensor, Tensor], Terms],
        n_models: int = 1,
    ) -> None:
        self.gradients = parameters.gradients
        self.terms = terms
        self.n_models = n_models

    def __call__(self, inputs: Tensor, target: Tensor) -> Terms:
        self.gradients.zero_()
        with torch.enable_grad():
            terms = {
                name: term.mean() if term.ndim else term
                for name, term in self.terms(inputs, target).items()
            }
            first, *others = terms.values()
            loss = sum(others, start=first)
            # The loss is also a mean over models, but each model must get the gradient of its own
            # loss.
            (loss if self.n_models == 1 else loss * self.n_models).backward()
        return {name: term.detach() for name, term in terms.items()}

"""Poisson regression of many columns of counts on the same few features."""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_ITER = 20
_MAX_HALVINGS = 12
# The iterations end when one lowers the mean loss of an entry by less than this.
_TOL = 1e-4
# Entries of the Hessians held in memory at once.
_MAX_ENTRIES = 2**23
# Curvature per row that keeps the system solvable where the rows determine no coefficient.
_LEAST_CURVATURE = 1e-9


@torch.no_grad()
def poisson_regression(
    features: Tensor, deviations: Tensor, penalties: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Return coefficients B and intercepts b that minimise a penalised Poisson deviance.

    .. math:: \sum_i \left(e^{\eta_{ij}} - (1 + v_{ij}) \eta_{ij}\right)
        + \frac{\lambda_j}{2} \|B_j\|^2, \qquad \eta = F B + b

    for each column j, by Newton's method. The first step is from the counts themselves, as in
    iteratively reweighted least squares (McCullagh & Nelder 1989); a step that raises the objective
    is halved.

    Parameters
    ----------
    features : Tensor of shape (n, k), float64
        F.
    deviations : Tensor of shape (n, d), float64
        v: deviations of the counts from the level of their column, divided by it.
    penalties : Tensor of shape (d,), float64

    Returns
    -------
    coefficients : Tensor of shape (k, d)
    intercepts : Tensor of shape (d,)
        Of the log of the rate divided by the level.
    """
    n_coefficients = features.shape[1] + 1
    size = max(1, _MAX_ENTRIES // n_coefficients**2)
    design = torch.cat([features, features.new_ones(len(features), 1)], 1)
    indices = torch.triu_indices(n_coefficients, n_coefficients)
    products = design[:, indices[0]] * design[:, indices[1]]
    parts = [
        _Columns(design, indices, products, *part).solve()
        for part in zip(deviations.split(size, 1), penalties.split(size), strict=True)
    ]
    solution = torch.cat(parts, 1)
    return solution[:-1], solution[-1]


class _Columns:
    """Regressions of some columns; the intercept is the last coefficient."""

    def __init__(
        self,
        design: Tensor,
        indices: Tensor,
        products: Tensor,
        deviations: Tensor,
        penalties: Tensor,
    ) -> None:
        self.design, self.deviations = design, deviations.clamp_min(-1)
        self.indices, self.products = indices, products
        self.penalties = penalties.expand(design.shape[1], -1).clone()
        self.penalties[-1] = 0.0  # the intercept has none

    def solve(self) -> Tensor:
        # Weighted least squares at rates half-way between the counts and their level.
        half = 0.5 * self.deviations
        start = self._newton_step(1 + half, (1 + half) * torch.log1p(half) + half)
        solution = torch.zeros_like(start)
        solution, loss = self._descend(solution, start, self._objective(solution))
        for _ in range(_MAX_ITER):
            rate = torch.exp(self.design @ solution)
            residual = 1 + self.deviations - rate
            step = self._newton_step(rate, residual, -self.penalties * solution)
            solution, lower = self._descend(solution, step, loss)
            gain, loss = float((loss - lower).sum()), lower
            if gain <= _TOL * self.deviations.numel():
                break
        return solution

    def _newton_step(self, weights: Tensor, residual: Tensor, pull: Tensor | None = None) -> Tensor:
        """Return the solution of the weighted normal equations, one column per regression."""
        n_rows, n_coefficients = self.design.shape
        hessian = self.design.new_zeros(weights.shape[1], n_coefficients, n_coefficients)
        curvature = weights.T @ self.products
        hessian[:, self.indices[0], self.indices[1]] = curvature
        hessian[:, self.indices[1], self.indices[0]] = curvature
        hessian += torch.diag_embed(self.penalties.T + _LEAST_CURVATURE * n_rows)
        gradient = self.design.T @ residual
        if pull is not None:
            gradient = gradient + pull
        return torch.linalg.solve(hessian, gradient.T[..., None])[..., 0].T

    def _objective(self, solution: Tensor) -> Tensor:
        log_rate = self.design @ solution
        losses = torch.exp(log_rate) - (1 + self.deviations) * log_rate
        return losses.sum(0) + 0.5 * (self.penalties * solution.square()).sum(0)

    def _descend(self, solution: Tensor, step: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
        """Take the step of each column, halved until it lowers the objective."""
        size = torch.ones_like(loss)
        for _ in range(_MAX_HALVINGS):
            tried = solution + size * step
            lower = self._objective(tried)
            is_lower = lower <= loss
            if is_lower.all():
                return tried, lower
            size = torch.where(is_lower, size, 0.5 * size)
        return torch.where(is_lower, tried, solution), torch.where(is_lower, lower, loss)

"""Sparse coding: codes over a dictionary, found by optimisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def shrink(x: Tensor, threshold: Tensor | float) -> Tensor:
    """Apply soft thresholding: move x towards 0 by the threshold, but not past 0."""
    return x.sign() * (x.abs() - threshold).clamp_min(0.0)


@torch.no_grad()
def sparse_codes(
    z: Tensor,
    atoms: Tensor,
    alpha: float,
    *,
    prediction: Tensor,
    prediction_weight: float,
    n_steps: int,
) -> Tensor:
    """Minimise ``||z - c D||^2 + alpha |c|_1 + prediction_weight ||c - prediction||^2`` over c.

    Takes accelerated proximal gradient steps (Beck & Teboulle 2009), and restarts the momentum
    where it points uphill (O'Donoghue & Candes 2015).

    Parameters
    ----------
    z : Tensor of shape (..., rows, features)
    atoms : Tensor of shape (..., components, features)
        D.
    alpha : float
    prediction : Tensor of shape (..., rows, components)
        Also the starting point.
    prediction_weight : float
    n_steps : int

    Returns
    -------
    codes : Tensor of shape (..., rows, components)
    """
    # The prediction acts as one more observation of each code unit.
    nearness = prediction_weight * torch.eye(atoms.shape[-2], dtype=z.dtype, device=z.device)
    gram = atoms @ atoms.mT + nearness
    matches = z @ atoms.mT + prediction_weight * prediction
    # Atoms that diverged are NaN, and so are their codes. Without this, eigvalsh would raise an
    # error.
    curvature = torch.linalg.eigvalsh(gram.nan_to_num())[..., -1:, None]
    ahead = codes = prediction
    pulls = _momentum_factors(n_steps).to(codes)
    # Steps since the last restart of the momentum. Each model restarts on its own.
    age = torch.full((*codes.shape[:-2], 1, 1), -1, device=codes.device)
    for _ in range(n_steps):
        slope = ahead @ gram - matches
        new = shrink(ahead - slope / curvature, 0.5 * alpha / curvature)
        change = new - codes
        uphill = ((ahead - new) * change).sum((-2, -1), keepdim=True) > 0
        age = (age + 1).masked_fill_(uphill, 0)
        ahead = torch.addcmul(new, change, pulls[age])
        codes = new
    return codes


def _momentum_factors(n_steps: int) -> Tensor:
    """Return the extrapolation, in units of the last step, at each step since a restart."""
    pulls, momentum = [], 1.0
    for _ in range(n_steps):
        grown = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum))
        pulls.append((momentum - 1.0) / grown)
        momentum = grown
    return torch.tensor(pulls, dtype=torch.float64)

"""Corruptions of a batch, as pure functions of the batch and a generator.

The clean batch remains the target. Rows are in training units, in which 0 is the mean of each
feature.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gaussian(x: Tensor, generator: torch.Generator, standard_deviation: float) -> Tensor:
    """Add normally distributed noise."""
    noise = torch.empty_like(x).normal_(generator=generator)
    return torch.add(x, noise, alpha=standard_deviation)


def masking(x: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Set a random share of the entries to the mean of their feature."""
    return x * torch.empty_like(x).bernoulli_(1.0 - share, generator=generator)


def salt_and_pepper(
    x: Tensor, generator: torch.Generator, share: float, low: Tensor, high: Tensor
) -> Tensor:
    """Set a random share of the entries to the minimum or, equally often, maximum of a feature."""
    draws = torch.empty_like(x).uniform_(generator=generator)
    extremes = torch.where(draws < share / 2, low.to(x), high.to(x))
    return torch.where(draws < share, extremes, x)


# Corruptions that a file may name.
CORRUPTIONS: dict[str, Callable[..., Tensor]] = {
    corruption.__name__: corruption for corruption in (gaussian, masking, salt_and_pepper)
}

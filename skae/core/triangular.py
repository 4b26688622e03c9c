"""The canonical form of a code whose first columns are a code of their own."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def triangular_map(codes: Tensor, metric: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return an upper triangular A, its inverse and the mean m of ``code -> (code - m) A``.

    The first columns of the new code depend on the first columns of the old one alone: what they
    predict linearly is subtracted from the columns after them. So the new columns are uncorrelated.
    They are scaled such that a step of 1 along one moves the reconstruction by 1.

    Parameters
    ----------
    codes : Tensor of shape (n, k), float64
    metric : Tensor of shape (k, k), float64
        The decoder's sensitivity, see `skae.core.canonical.sensitivity`.
    """
    mean = codes.mean(0)
    covariance = (codes - mean).T @ (codes - mean)
    forward = torch.eye(len(covariance), dtype=codes.dtype)
    for column in range(1, len(covariance)):
        before = covariance[:column, :column]
        # Not of full rank where columns are constant or functions of one another.
        slopes = torch.linalg.pinv(before, hermitian=True) @ covariance[:column, column]
        forward[:column, column] = -slopes
    inverse = torch.linalg.inv(forward)
    scales = (inverse @ metric @ inverse.T).diagonal().clamp_min(0.0).sqrt()
    scales = torch.where(scales > 0, scales, torch.ones_like(scales))
    return forward * scales, inverse / scales[:, None], mean

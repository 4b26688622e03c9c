"""The encoder's view of counts: their logarithm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Smallest total of a row, as a share of the mean total, by which counts are divided.
_SMALLEST_TOTAL = 1e-6


class LogInputs(nn.Module):
    """Maps counts in training units to ``(log(1 + x / unit) - offset) / scale``.

    Counts spread over decades: a linear encoder would see the largest rows alone. The map is
    computed from the deviation of x from its mean, so that it has no rounding error for counts that
    vary little about a large mean.

    Parameters
    ----------
    mean : Tensor of shape (n_features,), float64
        Means of the counts.
    unit : float
        Count that separates the linear from the logarithmic range.
    count_scale : float
        Scale of the training units.
    log_mean : Tensor of shape (n_features,), float64
        Means of ``log(1 + x / unit)``.
    log_scale : float
        Their scale.
    divides_by_total : bool
        Whether x is first divided by the total of its row, relative to the mean total, because the
        loss compares shares.
    """

    ratio: Tensor
    floor: Tensor
    offset: Tensor

    def __init__(
        self,
        mean: Tensor,
        unit: float,
        count_scale: float,
        log_mean: Tensor,
        log_scale: float,
        *,
        divides_by_total: bool,
    ) -> None:
        super().__init__()
        self.register_buffer("ratio", count_scale / (unit + mean))
        self.register_buffer("floor", -mean / (unit + mean))
        self.register_buffer("offset", log_mean - torch.log1p(mean / unit))
        self.log_scale = log_scale
        self.total_slope = count_scale / float(mean.sum()) if divides_by_total else 0.0

    def forward(self, z: Tensor) -> Tensor:
        relative = z * self.ratio
        if self.total_slope:
            excess = z.sum(-1, keepdim=True) * self.total_slope
            relative = relative + excess * self.floor
            relative = relative / (1.0 + excess).clamp_min(_SMALLEST_TOTAL)
        # Noise or rounding may have made a count negative.
        relative = torch.maximum(relative, self.floor)
        return (torch.log1p(relative) - self.offset) / self.log_scale

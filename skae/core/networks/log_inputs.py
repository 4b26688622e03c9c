"""The encoder's view of counts: their logarithm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# A row whose total is a smaller share of the mean total is empty, but for rounding in float32.
_SMALLEST_TOTAL = 1e-5


class LogInputs(nn.Module):
    """Maps counts x in training units to ``(log(1 + x / unit) - log_mean) / log_scale``.

    Counts spread over decades: a linear encoder would see the largest rows alone. With the mean m
    of x, the logarithm is ``log(1 + m / unit) + log(1 + (x - m) / (unit + m))``. The second term
    has no rounding error for counts that vary little about a large mean.

    Parameters
    ----------
    ratio : Tensor of shape (n_features,)
        Scale of the training units, divided by ``unit + m``.
    floor : Tensor of shape (n_features,)
        ``-m / (unit + m)``: a count of 0.
    offset : Tensor of shape (n_features,)
        ``log_mean - log(1 + m / unit)``.
    log_scale : float
    total_slope : float
        If not 0, x is first divided by the total of its row, relative to the mean total, because
        the loss compares shares. The sum of a row in training units times `total_slope` is the
        relative excess of its total.
    """

    ratio: Tensor
    floor: Tensor
    offset: Tensor

    def __init__(
        self, ratio: Tensor, floor: Tensor, offset: Tensor, log_scale: float, total_slope: float
    ) -> None:
        super().__init__()
        self.register_buffer("ratio", ratio)
        self.register_buffer("floor", floor)
        self.register_buffer("offset", offset)
        self.log_scale, self.total_slope = log_scale, total_slope

    def forward(self, z: Tensor) -> Tensor:
        relative = z * self.ratio
        if self.total_slope:
            excess = z.sum(-1, keepdim=True) * self.total_slope
            total = 1.0 + excess
            relative = (relative + excess * self.floor) / total.clamp_min(_SMALLEST_TOTAL)
            relative = torch.where(total > _SMALLEST_TOTAL, relative, self.floor)
        # Noise or rounding may have made a count negative. Its derivative is that of a count of 0.
        allowed = torch.maximum(relative.detach(), self.floor)
        relative = allowed + (relative - relative.detach()) if relative.requires_grad else allowed
        return (torch.log1p(relative) - self.offset) / self.log_scale

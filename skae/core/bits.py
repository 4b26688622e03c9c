"""Criterion and bit thresholds of binary codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skae.core.criterion import Reconstruction
from skae.core.model import Model
from skae.core.networks.hashing import HashingNetwork

# The threshold lies in the widest gap among this share of the rows, around the median.
_LEEWAY = 0.02


class BitReconstruction(Reconstruction):
    """Reconstruction loss of a noisy code, which training makes nearly binary.

    Parameters
    ----------
    model : Model
        Its network is a `HashingNetwork`.
    noise_level : float
        Standard deviation of the noise added before the logistic function.
    straight_through : bool
        Whether to round the code in training and use the gradient of the unrounded code.
    """

    def __init__(self, model: Model, noise_level: float, *, straight_through: bool) -> None:
        super().__init__(model)
        assert isinstance(model.network, HashingNetwork)
        self.network = model.network
        self.noise_level = noise_level
        self.straight_through = straight_through

    def encode(self, inputs: Tensor) -> Tensor:
        if not self.network.training:
            return self.network.encode(inputs)
        return self.network.noisy_code(
            inputs, self.noise_level, straight_through=self.straight_through
        )

    @torch.no_grad()
    def finish(
        self,
        rows: Tensor,
        *,
        held_out: tuple[Tensor, Tensor] | None = None,
        is_trained: bool = True,
        is_part: bool = False,
    ) -> dict[str, Any]:
        if is_part:  # possibly a single row, so the running means are kept
            return {}
        network = self.network.eval()
        chunks = rows.split(self.model.chunk_size)
        units = torch.cat([network.encoder(chunk).cpu() for chunk in chunks])
        return {"thresholds": balanced_thresholds(units).to(network.thresholds)}


def balanced_thresholds(units: Tensor) -> Tensor:
    """Return a threshold for each column of units that about half of the rows exceed.

    It lies in the middle of the widest gap near the median, so that rounding moves no row across
    it. If many rows share the median, the nearest gap is used.
    """
    n_rows = len(units)
    if n_rows < 2:
        return units[0].double() + 1.0
    ordered = units.double().sort(0).values
    gaps = ordered.diff(dim=0)
    ranks = torch.arange(1, n_rows, dtype=torch.float64)[:, None] - n_rows / 2
    near = ranks.abs() <= max(0.5, _LEEWAY / 2 * n_rows)
    # A gap must be wider than rounding error. The spread is that of the inner 90 %, because with
    # one outlier every other gap would count as rounding.
    tail = n_rows // 20
    spread = ordered[-1 - tail] - ordered[tail]
    smallest = 1e-6 * torch.maximum(spread, ordered[1:].abs().maximum(ordered[:-1].abs()))
    # A gap near the median beats any gap further away; among the near ones, the widest wins.
    merit = torch.where(near, gaps / gaps.max(0).values.clamp_min(1e-300), -ranks.abs())
    merit = torch.where(gaps > smallest, merit, -torch.inf)
    chosen = merit.argmax(0, keepdim=True)
    middle = (ordered[:-1].gather(0, chosen) + gaps.gather(0, chosen) / 2)[0]
    # A unit that varies only by rounding becomes a bit that is always 0.
    return torch.where((gaps > smallest).any(0), middle, ordered[-1] + 1.0)

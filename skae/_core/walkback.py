"""Sampling from a denoising autoencoder (Bengio, Yao, Alain & Vincent 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skae._core.model import Model
from skae._core.networks import Corruption

_CHUNK = 8192
_ASTRAY = 1e6  # in standard deviations


@torch.no_grad()
def residual_deviations(model: Model, z: Tensor, corruption: Corruption | None) -> Tensor:
    """Root mean square of each feature's residual from corrupted rows; ``(d,)``.

    Missing entries (NaN) do not count.
    """
    network = model.network_in(z.dtype)
    generator = torch.Generator(model.device).manual_seed(0)
    squares = torch.zeros(z.shape[1], dtype=torch.float64)
    counts = torch.zeros(z.shape[1], dtype=torch.int64)
    for rows in z.split(_CHUNK):
        chunk = rows.to(model.device)
        seen = network.filled(chunk)
        if corruption is not None:
            seen = corruption(seen, generator)
        errors = (model.decode(network.encode(seen), network) - chunk).square()
        squares += errors.nansum(0).cpu().double()
        counts += errors.isfinite().sum(0).cpu()
    return (squares / counts).sqrt().to(z.dtype)


@dataclass
class Walkback:
    """The Markov chain: corrupt, reconstruct, draw about the reconstruction.

    Attributes
    ----------
    corruption : callable or None
    residual_deviations : Tensor of shape (d,)
        In training units, on the CPU.
    """

    corruption: Corruption | None
    residual_deviations: Tensor

    @torch.no_grad()
    def sample(
        self,
        model: Model,
        n_samples: int,
        n_steps: int,
        generator: torch.Generator,
        *,
        return_mean: bool,
    ) -> Tensor:
        """Draw rows, in the units of X, float32."""
        assert self.corruption is not None
        network = model.network_in(torch.float32)
        deviations = self.residual_deviations.to(model.device)
        z = torch.zeros(n_samples, len(deviations), device=model.device)
        for _ in range(n_steps):
            output = network.decode(network.encode(self.corruption(z, generator)))
            if model.loss.draw is None:
                noise = torch.empty_like(output).normal_(generator=generator)
                mean, z = output, output + noise * deviations
            else:
                x = model.loss.response(output)
                mean, z = (
                    (value - model.mean_like(x)) / model.scale
                    for value in (x, model.loss.draw(x, generator))
                )
        rows = mean if return_mean else z
        if not rows.abs().max() < _ASTRAY:
            raise ValueError(
                "The chain left the data: its values grew without bound, as an exponential "
                "output's may. Train longer or with a higher noise_level, or take fewer n_steps."
            )
        return rows.mul(model.scale).add_(model.mean_like(rows)).cpu()

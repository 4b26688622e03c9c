"""Sampling from a denoising autoencoder (Bengio, Yao, Alain & Vincent 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from skae.core.corruption import CORRUPTIONS
from skae.core.loop import Corruption
from skae.core.model import Model
from skae.core.numerics import threads_for, torch_defaults
from skae.core.serialise import StoredState, to_plain

_DIVERGED = 1e6  # in standard deviations
_MIN_ROWS = 2048


@dataclass
class Walkback:
    """Markov chain that corrupts a row, reconstructs it and draws around the reconstruction.

    Attributes
    ----------
    corruption : callable
    corruption_is_visible : bool
        Whether the network can tell which entries are corrupted, as with masking. Only these are
        then redrawn; the others are known.
    residual_deviations : Tensor of shape (d,)
        Root mean square residual of the entries that are drawn, in training units.
    """

    corruption: Corruption
    corruption_is_visible: bool
    residual_deviations: Tensor

    def __getstate__(self) -> dict[str, Any]:
        corruption = self.corruption
        if not isinstance(corruption, partial) or corruption.func not in CORRUPTIONS.values():
            raise TypeError(
                "A model with a custom corruption cannot be saved. Make the corruption a "
                "functools.partial of a function, and add the function to "
                "skae.core.corruption.CORRUPTIONS before saving and before opening."
            )
        stored = {"name": corruption.func.__name__, **corruption.keywords}
        return to_plain(
            {
                "corruption": stored,
                "corruption_is_visible": self.corruption_is_visible,
                "residual_deviations": self.residual_deviations,
            }
        )

    @torch_defaults()
    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = StoredState(state, type(self).__name__)
        self.corruption_is_visible = stored.read("corruption_is_visible", bool)
        self.residual_deviations = stored.read_tensor("residual_deviations", (None,))
        shape = self.residual_deviations.shape
        corruption = stored.read_state("corruption")
        stored.end()
        function = CORRUPTIONS[corruption.read_choice("name", CORRUPTIONS)]
        options = {
            name: (
                corruption.read_tensor(name, shape)
                if parameter.annotation == "Tensor"
                else corruption.read(name, float, int)
            )
            # After the batch and the generator.
            for name, parameter in list(signature(function).parameters.items())[2:]
        }
        corruption.end()
        self.corruption = partial(function, **options)

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: Model, z: Tensor, corruption: Corruption, *, corruption_is_visible: bool
    ) -> Walkback:
        """Return a chain with the residuals of the rows z, ignoring missing entries (NaN)."""
        network = model.network_in(z.dtype)
        generator = torch.Generator(model.device).manual_seed(0)
        if corruption_is_visible and len(z) < _MIN_ROWS:
            # In a single draw on few rows, some columns might have no masked entry.
            z = z.repeat(-(-_MIN_ROWS // len(z)), 1)
        squares = torch.zeros(z.shape[1], dtype=torch.float64)
        counts = torch.zeros(z.shape[1], dtype=torch.int64)
        for rows in z.split(model.chunk_size):
            chunk = rows.to(model.device)
            imputed = network.impute(chunk)
            seen, is_drawn = _corrupted(corruption, corruption_is_visible, imputed, generator)
            errors = (model.decode(network.encode(seen), network) - chunk).square()
            errors = errors.masked_fill(~is_drawn, torch.nan)
            squares += errors.nansum(0).cpu().double()
            counts += errors.isfinite().sum(0).cpu()
        squares /= counts.clamp_min(1)
        # Where no entry was measured, the variance of the column is the best estimate.
        missed = counts == 0
        variances = z[:, missed.to(z.device)].square().nanmean(0).nan_to_num(1.0)
        squares[missed] = variances.cpu().double()
        return cls(corruption, corruption_is_visible, squares.sqrt().to(z.dtype))

    @torch_defaults()
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
        """Draw rows in the units of X, as float64."""
        shape = n_samples, len(self.residual_deviations)
        z = torch.zeros(shape, dtype=torch.float32, device=model.device)
        with threads_for(model.network_in(z.dtype).cost * n_samples):
            _, z = self._draw(model, z, generator)
            for _ in range(n_steps):
                seen, is_drawn = _corrupted(
                    self.corruption, self.corruption_is_visible, z, generator
                )
                mean, drawn = self._draw(model, seen, generator)
                z = torch.where(is_drawn, drawn, z)
        rows = mean if return_mean else z
        if not rows.abs().max() < _DIVERGED:
            raise ValueError(
                "The chain left the data: its values grew without bound, as an exponential "
                "output's may. Train longer or with a higher noise_level, or take fewer n_steps."
            )
        rows = rows.cpu().double().mul_(model.scale).add_(model.mean)
        # These are counts or bits, apart from rounding in the training units of the chain.
        return rows if model.loss.draw is None or return_mean else rows.round_()

    def _draw(
        self, model: Model, seen: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the mean of the clean rows, and a draw around it."""
        network = model.network_in(seen.dtype)
        output = network.decode(network.encode(seen))
        if model.loss.draw is None:
            noise = torch.empty_like(output).normal_(generator=generator)
            return output, output + noise * self.residual_deviations.to(output.device)
        x = model.response(output)
        mean = model.mean_like(x)
        return (x - mean) / model.scale, (model.loss.draw(x, generator) - mean) / model.scale


def _corrupted(
    corruption: Corruption, corruption_is_visible: bool, z: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Corrupt rows, and return a mask of the entries to redraw as well."""
    if not corruption_is_visible:
        return corruption(z, generator), torch.ones_like(z, dtype=torch.bool)
    # Comparing before and after would miss entries at the mean, 0, which masking does not change.
    kept = corruption(torch.ones_like(z), generator) != 0
    return z * kept, ~kept

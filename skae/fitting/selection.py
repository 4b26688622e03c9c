"""The validation loss, and the decision between PCA and the trained network."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from skae.core.canonical import set_preconditioner
from skae.core.criterion import Criterion
from skae.core.loop import Corruption
from skae.core.networks.autoencoder import Network
from skae.core.numerics import chunk_size
from skae.fitting.split import Split

# The network replaces PCA if its share of PCA's loss is below this: smaller gains did not carry
# over to new rows.
MAX_RATIO = 0.99
# The share must also be below 1 by so many standard errors. A likelihood (a loss without a zero,
# see `Criterion.reference_loss`) needs three: a few rows in the tails decide its mean.
_STANDARD_ERRORS, _OF_LIKELIHOOD = 2.0, 3.0
# And the rows that improve must be the majority by so many standard errors of a fair coin.
MIN_MAJORITY = 2.5
_MAX_ROWS = 4096


class ValidationLoss:
    """The validation loss of each held-out row or duplicate group at the current parameters.

    Parameters
    ----------
    criterion : Criterion
    network : Network
        The criterion's network.
    data : Tensor
        All rows, in training units.
    split : Split
        Split with held-out rows.
    corruption : callable or None
        Corruption of the inputs. The same noise is drawn in each call.
    """

    def __init__(
        self,
        criterion: Criterion,
        network: Network,
        data: Tensor,
        split: Split,
        corruption: Corruption | None = None,
    ) -> None:
        assert split.held_out is not None
        assert split.mask is not None
        self.held_out = split.held_out.to(data.device)
        self.criterion = criterion
        self.network = network
        self.data = data
        self.corruption = corruption
        width = max(network.max_width, math.prod(data.shape[1:]))
        self.chunks = self.held_out.split(chunk_size(_MAX_ROWS, width), dim=-1)
        self.mask = split.mask.to(data.device)
        self.groups: Tensor | None = None
        if split.groups is not None:
            numbers = split.groups[split.held_out[split.mask]]
            self.groups = numbers.unique(return_inverse=True)[1]

    @torch.no_grad()
    def measure(self) -> tuple[Tensor, Tensor]:
        """Return the arguments of `Criterion.row_losses`."""
        self.network.eval()
        measured = []
        for rows in self.chunks:
            target = inputs = self.data[rows]
            generator = torch.Generator(target.device)
            if self.corruption is not None:
                noise = generator.manual_seed(0)
                inputs = self.corruption(self.network.impute(target).clone(), noise)
            # Seeded again: what the criterion draws does not depend on the corruption.
            measured.append(self.criterion.measure(inputs, target, generator.manual_seed(0)))
        self.network.train()
        return torch.cat(measured, dim=-1), self.mask

    @torch.no_grad()
    def __call__(self, n_steps: int | None = None) -> Tensor:
        """Return the validation losses: of each held-out row, or of each duplicate group.

        Losses of a group are summed, and scaled such that their mean is that over the rows. Leading
        axes are those of `Criterion.row_losses` before the models.

        Parameters
        ----------
        n_steps : int or None
            Number of steps in which `transform` refines the codes; 0 or None if it does not. Nor
            are codes refined here if there is a penalty or a corruption.
        """
        losses = self._refined(n_steps) if n_steps else None
        if losses is None:
            losses = self.criterion.row_losses(*self.measure())[..., self.mask]
        losses = losses.cpu().double()
        if self.groups is None:
            return losses
        shape = (*losses.shape[:-1], int(self.groups.max()) + 1)
        sums = losses.new_zeros(shape).index_add_(-1, self.groups, losses)
        return sums * (sums.shape[-1] / losses.shape[-1])

    def _refined(self, n_steps: int) -> Tensor | None:
        """Return the loss of each row with refined codes; None if they are not refined."""
        if self.corruption is not None or not self.criterion.refines_codes:
            return None
        losses = []
        for number, (rows, mask) in enumerate(zip(self.held_out, self.mask, strict=True)):
            if not mask.any():
                continue
            model = self.criterion.model.select_model(number)
            network = model.network.eval()
            if network.code_activation != "identity":
                return None
            chunks = rows[mask].split(model.chunk_size)
            codes = torch.cat([network.encode(self.data[chunk]) for chunk in chunks])
            network.cpu().double().restore_skips()
            set_preconditioner(model, codes.cpu(), self.data[chunks[0][:1]])
            network.to(codes)
            for chunk in chunks:
                z = self.data[chunk]
                codes = model.encode(z, n_steps)
                losses.append(self.criterion.losses_of_codes(model, codes, z))
        measured = torch.cat(losses, dim=-1)
        return self.criterion.row_losses(measured, measured.new_ones(measured.shape[-1:]).bool())


@dataclass(frozen=True)
class Comparison:
    """Comparison of a trained network with PCA on held-out rows.

    Attributes
    ----------
    ratio : float
        Loss of the network, divided by PCA's.
    interval : tuple of float
        The ratio minus and plus two standard errors; three for a likelihood.
    improved : float
        Share of the rows with a lower loss than PCA's, of those whose loss differs.
    is_better : bool
        Whether the network replaces PCA.
    """

    ratio: float
    interval: tuple[float, float]
    improved: float
    is_better: bool


def compare(
    losses: Tensor,
    start: Tensor,
    reference: float | None = None,
    has_prefixes: bool = False,
    tolerance: float = 0.0,
) -> Comparison:
    """Compare the validation losses of a trained network with those of PCA.

    Parameters
    ----------
    losses, start : Tensor of shape (n_rows,) or (n_losses, n_rows)
        Validation losses after and before training. With several losses of each row, all must
        improve; the result is that of a loss that does not, else that with the highest ratio.
    reference : float or None
        Mean loss of PCA, above the lowest loss possible. None is the mean of `start`. See
        `Criterion.reference_loss`.
    has_prefixes : bool
        Whether the sum of the losses of a row is compared; their means must then be lower, too. If
        one is not, the result is that of this loss.
    tolerance : float
        Mean below which one of the losses that are summed need not be lower.
    """
    if has_prefixes:
        total = compare(losses.sum(0), start.sum(0), reference)
        shares = losses.mean(-1) / (MAX_RATIO * start.mean(-1)).clamp_min(tolerance)
        worst = int(shares.argmax())
        if not total.is_better or shares[worst] < 1.0:
            return total
        return replace(compare(losses[worst], start[worst], reference), is_better=False)
    compared = []
    for after, before in zip(torch.atleast_2d(losses), torch.atleast_2d(start), strict=True):
        n_rows, change = len(before), after - before
        mean = float(before.mean()) if reference is None else reference
        ratio = 1.0 + float(change.mean()) / mean if mean > 0 else math.inf
        margin = _STANDARD_ERRORS if reference is None else _OF_LIKELIHOOD
        if n_rows > 1 and mean > 0:
            margin *= float(change.std()) / math.sqrt(n_rows) / mean
        n_better, n_worse = int((change < 0).sum()), int((change > 0).sum())
        n_changed = max(1, n_better + n_worse)
        # If gains and losses were equally likely, the difference would have the standard error
        # sqrt(n_changed).
        is_majority = n_better - n_worse > MIN_MAJORITY * math.sqrt(n_changed)
        interval = ratio - margin, ratio + margin
        is_better = is_majority and ratio < MAX_RATIO and interval[1] < 1.0
        compared.append(Comparison(ratio, interval, n_better / n_changed, is_better))
    return max(compared, key=lambda comparison: (not comparison.is_better, comparison.ratio))


def advise_where_pca_was_kept(estimator: Any, effect: str, remedy: str) -> str | None:
    """Return the warning of a fitted method that is PCA, or None if it is not.

    Parameters
    ----------
    estimator : BaseAutoencoder
    effect : str
        What PCA does not do.
    remedy : str
        Why the network was not selected, and what to try.
    """
    if estimator.selected_ == "network":
        return None
    if estimator.validation_ratio_ is None:
        remedy = "no epoch was compared with it. Pass at least 10 rows, and train longer."
    return f"PCA was kept, so {effect}: {remedy}"


def explain(fitted: dict[str, Any]) -> str:
    """Return what was selected and why, given the fitted attributes."""
    epoch = fitted["best_iter_"]
    if fitted["validation_ratio_"] is None:
        if fitted["selected_"] == "network":
            return f"Kept the network of epoch {epoch}." if epoch else "Kept the network as it was."
        if fitted["n_iter_"]:
            return "Kept PCA: no epoch had less than twice its held-out loss."
        return (
            "Kept PCA without training: there was nothing to improve, no held-out row that could "
            "show it, or training was stopped."
        )
    low, high = fitted["validation_ratio_interval_"]
    evidence = (
        f"{fitted['validation_ratio_']:.3f} of PCA's ({low:.3f} to {high:.3f}); "
        f"{fitted['validation_improved_']:.0%} of the held-out rows improved."
    )
    if fitted["selected_"] == "network":
        return f"Selected the network of epoch {epoch}. Its held-out loss is {evidence}"
    reason = "Too few rows improved"
    if high >= 1.0 or fitted["validation_ratio_"] >= MAX_RATIO:
        reason = f"The loss is not clearly lower (by {1 - MAX_RATIO:.0%} at least)"
    return (
        f"Kept PCA. The held-out loss of the best epoch is {evidence} {reason}: pass more rows, "
        "train for longer (max_iter) or try another n_components."
    )

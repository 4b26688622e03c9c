"""The validation loss, and the decision between PCA and the trained network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skae.core.criterion import Criterion
from skae.core.loop import Corruption, History
from skae.core.networks.autoencoder import Network
from skae.core.numerics import chunk_size
from skae.fitting.split import Split

# The trained network replaces PCA only if its validation loss is lower by this many standard
# errors. At two, the final model was worse than PCA on 1 of 24 tiny data sets; at three, on none.
STANDARD_ERRORS = 3.0
# It must also be lower by this share of PCA's loss: smaller gains did not carry over to new rows.
MIN_RELATIVE_GAIN = 0.01
# The outlier-robust test requires that the total gain exceed this many times the loss of the
# heaviest row under PCA. On heavy-tailed data, some networks that this test alone accepted did
# worse than PCA on new rows: 10 of 25 with a factor of 0, 3 of 12 with 1, none of 6 with 2.
OUTLIER_FACTOR = 2.0
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
        self.criterion = criterion
        self.network = network
        self.data = data
        self.corruption = corruption
        width = max(network.max_width, math.prod(data.shape[1:]))
        self.chunks = split.held_out.to(data.device).split(chunk_size(_MAX_ROWS, width), dim=-1)
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
    def __call__(self) -> Tensor:
        """Return the validation losses: of each held-out row, or of each duplicate group.

        Losses of a group are summed, and scaled such that their mean is that over the rows. Leading
        axes are those of `Criterion.row_losses` before the models.
        """
        losses = self.criterion.row_losses(*self.measure())[..., self.mask].cpu().double()
        if self.groups is None:
            return losses
        shape = (*losses.shape[:-1], int(self.groups.max()) + 1)
        sums = losses.new_zeros(shape).index_add_(-1, self.groups, losses)
        return sums * (sums.shape[-1] / losses.shape[-1])


def keeps_start(history: History, reference: float | None) -> bool:
    """Return whether to keep the initial model, which is PCA or that of the previous fit.

    Parameters
    ----------
    history : History
    reference : float or None
        `Criterion.reference_loss`.
    """
    if history.best_epoch == 0:
        return True
    assert history.best_row_losses is not None
    assert history.start_row_losses is not None
    best, start = map(torch.atleast_2d, (history.best_row_losses, history.start_row_losses))
    for losses, start_losses in zip(best, start, strict=True):
        if not improves_significantly(losses, start_losses, reference):
            return True
    return False


def improves_significantly(losses: Tensor, start: Tensor, reference: float | None = None) -> bool:
    """Return whether the paired change from `start` is a significant and large enough gain.

    The mean loss must fall by the share `MIN_RELATIVE_GAIN`, and one of two tests must be passed.
    In the first, the mean change lies three standard errors below 0. If one row carries most of
    PCA's loss, the standard error is as large as the gain, even if no row's loss rises. Hence the
    second, outlier-robust test: the gain of each row is capped at the largest increase of any row's
    loss, and the mean of the capped changes lies three standard errors below 0. Because heavy rows
    are few, the total gain must also survive one more, on which the network has three times PCA's
    loss.

    Parameters
    ----------
    losses, start : Tensor of shape (n,)
        Validation losses after and before training.
    reference : float or None
        As in `keeps_start`; None is the mean of `start`.
    """
    change = losses - start
    if len(change) < 2:
        return False
    min_gain = MIN_RELATIVE_GAIN * (float(start.mean()) if reference is None else reference)
    if not -float(change.mean()) > min_gain:
        return False
    if _is_below_zero(change):
        return True
    capped = change.clamp_min(-max(0.0, float(change.max())))
    heaviest = float(start.max()) if reference is None else float(start.max() - start.min())
    return -float(change.sum()) > OUTLIER_FACTOR * heaviest and _is_below_zero(capped)


def _is_below_zero(change: Tensor) -> bool:
    standard_error = float(change.std()) / math.sqrt(len(change))
    return -float(change.mean()) > STANDARD_ERRORS * standard_error

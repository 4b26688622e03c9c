"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from skae._core.held_out import Division, Judge, is_clearly_better, repeated
from skae._core.solvers import FlatParameters, Solver

# A batch of rows to named terms, each a mean over the rows (and models), with the gradient of their
# sum left in the parameters; see skae._core.objectives.
Objective = Callable[[Tensor], dict[str, Tensor]]

_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_GATHERED_ENTRIES = 2**22  # entries of X copied at a time for a run of batches
_DIVERGED = 1e3  # predicting the mean scores 1; a strong penalty may start higher


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know besides the network and the data."""

    batch_size: int
    max_epochs: int
    learning_rate: float
    constant_learning_rate: bool = False
    shuffle: bool = True
    patience: int | None = None
    tol: float = 0.0
    # What counts as 1 in a loss without a zero of its own; None: the loss itself.
    loss_unit: float | None = None


@dataclass
class History:
    """What happened, epoch by epoch.

    Attributes
    ----------
    terms : dict of list of float
        Mean of each term of the objective over the batches of an epoch.
    validation : list of float
        Mean held-out loss, at the start and after each epoch.
    best_epoch : int
        Epoch whose parameters were kept; 0 is the start.
    stopped_by : {"max_epochs", "patience", "callback", "interrupt", "divergence"}
    """

    terms: dict[str, list[float]] = field(default_factory=dict)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = 0
    stopped_by: str = "max_epochs"

    @property
    def n_epochs(self) -> int:
        """Number of epochs that ended."""
        return max((len(values) for values in self.terms.values()), default=0)

    @property
    def was_cancelled(self) -> bool:
        """Whether somebody asked for the end: nothing is to be trained after it."""
        return self.stopped_by in ("callback", "interrupt")

    @property
    def losses(self) -> list[float]:
        """Sum of the terms after each epoch."""
        return [sum(values) for values in zip(*self.terms.values(), strict=True)]


class EpochHooks(Protocol):
    """What a caller wants to do around each epoch."""

    def begin_epoch(self) -> None: ...

    def end_epoch(self, history: History) -> bool:
        """Return True to stop the training."""
        ...


def schedule(step: int, n_steps: int) -> float:
    """Share of the learning rate at a step: a linear rise, then half a cosine down to 0."""
    return (
        min(1.0, step / (_WARM_UP * n_steps + 1)) * 0.5 * (1 + math.cos(math.pi * step / n_steps))
    )


def batch_sizes(division: Division, settings: Settings) -> list[int]:
    """Sizes that differ by 1 at most: a last batch of 3 rows would step as far as one of 300."""
    n_rows = division.n_training
    n_batches = max(1, round(n_rows / settings.batch_size))
    size, n_larger = divmod(n_rows, n_batches)
    return [size + 1] * n_larger + [size] * (n_batches - n_larger)


def epoch_batches(
    data: Tensor, division: Division, settings: Settings, generator: torch.Generator
) -> Iterator[Tensor]:
    """Yield an epoch's batches, ``(rows, columns)`` or ``(models, rows, columns)``.

    Models of a cross-fit train on different numbers of rows but take the same steps, so the
    shorter ones begin again.
    """
    longest, sizes = division.n_training, batch_sizes(division, settings)
    orders = []
    for rows in division.training:
        if settings.shuffle:
            rows = rows[torch.randperm(len(rows), generator=generator)]
        orders.append(repeated(rows, longest))
    order = orders[0] if division.n_models is None else torch.stack(orders)
    batches_a_run = max(
        1, _GATHERED_ENTRIES // (sizes[0] * len(orders) * math.prod(data.shape[1:]))
    )
    start = 0
    for i in range(0, len(sizes), batches_a_run):
        run = sizes[i : i + batches_a_run]
        rows = order[..., start : start + sum(run)].to(data.device)
        start += sum(run)
        yield from data[rows].split(run, dim=-data.ndim)


def train(
    parameters: FlatParameters,
    solver: Solver,
    objective: Objective,
    data: Tensor,
    division: Division,
    settings: Settings,
    *,
    generator: torch.Generator,
    judge: Judge | None = None,
    hooks: EpochHooks | None = None,
    must_beat_start: bool = False,
) -> History:
    """Minimise the objective; leave the best parameters in place.

    With a judge, the best are those of the epoch with the lowest mean held-out loss, the start
    included; without one, those after the last epoch, or where training diverged, those before the
    epoch of the lowest mean loss. An interrupt (Ctrl-C) or a divergence ends the training early and
    keeps the best so far. With `must_beat_start` the best must also be better than the start beyond
    doubt, or the start stays.
    """
    history = History()
    start = parameters.values.clone()
    best = start.clone()
    lowest, lowest_trained, since_lowest = math.inf, math.inf, 0
    if judge is not None:
        start_rows = best_rows = judge()
        lowest = float(start_rows.mean())
        history.validation.append(lowest)
    # Where a divergence goes back to without a judge.
    safe, safe_epoch, lowest_mean = start, 0, math.inf
    # The rate of the last step is 0, so a single one counts as the first of two.
    step, n_steps = 0, max(2, len(batch_sizes(division, settings)) * settings.max_epochs)
    recorded: dict[int, dict[str, Tensor]] = {}

    def closure() -> Tensor:
        terms = objective(batch)
        recorded.setdefault(step, terms)  # later ones are trial points of a line search
        first, *others = terms.values()
        return sum(others, start=first)

    try:
        for epoch in range(1, settings.max_epochs + 1):
            recorded.clear()
            if hooks is not None:
                hooks.begin_epoch()
            for batch in epoch_batches(data, division, settings, generator):  # noqa: B007 (the closure reads it)
                step += 1
                share = 1.0 if settings.constant_learning_rate else schedule(step, n_steps)
                solver.step(closure, settings.learning_rate * share)
            if epoch == 1:
                first_loss = float(sum(recorded[1].values()))
            for name in recorded[step]:
                mean = float(torch.stack([terms[name] for terms in recorded.values()]).mean())
                history.terms.setdefault(name, []).append(mean)
            mean_loss = history.losses[-1]
            if judge is None and mean_loss < lowest_mean:
                # Losses may rise long before they diverge, and within an epoch, too.
                lowest_mean, safe, safe_epoch = mean_loss, best, epoch - 1
            limit = first_loss + _DIVERGED * max(1.0, abs(first_loss))
            is_finite = judge is not None or bool(parameters.values.isfinite().all())
            if not (mean_loss < limit and is_finite):
                history.stopped_by = "divergence"
                if judge is None:
                    best, history.best_epoch = safe, safe_epoch
                break
            if judge is None:
                best, history.best_epoch = parameters.values.clone(), epoch
            else:
                rows = judge()
                loss = float(rows.mean())
                history.validation.append(loss)
                if loss < lowest:
                    lowest, best_rows, history.best_epoch = loss, rows, epoch
                    best.copy_(parameters.values)
                # The start does not count here: training may first rise above PCA, then fall.
                unit = lowest_trained if settings.loss_unit is None else settings.loss_unit
                if loss < lowest_trained - settings.tol * unit or math.isinf(lowest_trained):
                    lowest_trained, since_lowest = loss, 0
                else:
                    since_lowest += 1
            if hooks is not None and hooks.end_epoch(history):
                history.stopped_by = "callback"
                break
            if settings.patience is not None and since_lowest >= settings.patience:
                history.stopped_by = "patience"
                break
    except KeyboardInterrupt:
        history.stopped_by = "interrupt"
    if judge is None and history.best_epoch and history.stopped_by != "divergence":
        # An epoch's mean does not tell what its last step did.
        parameters.values.copy_(best)
        if not float(sum(objective(batch).values())) < limit:
            history.stopped_by = "divergence"
            best, history.best_epoch = safe, safe_epoch
    left_start = must_beat_start and history.best_epoch > 0
    if left_start and not is_clearly_better(best_rows, start_rows, settings.loss_unit):
        history.best_epoch, best = 0, start
    parameters.values.copy_(best)
    return history

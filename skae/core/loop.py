"""The training loop: `train` performs every training step of the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from skae.core.autograd import Terms
from skae.core.csr_rows import CSRRows
from skae.core.history import History
from skae.core.optimizers import FlatParameters, Optimizer

# ``(inputs, target) -> terms``: named terms, each a mean over rows and models. A call also sets the
# gradients: each model gets the gradient of its own mean over rows. See
# `skae.core.autograd` and `skae.core.backprop`.
LossAndGradient = Callable[[Tensor, Tensor], Terms]
Corruption = Callable[[Tensor, torch.Generator], Tensor]

_WARM_UP = 0.05  # share of the first cycle's steps in which the learning rate rises
_LATE = 0.2  # last part of a cycle; if the best epoch is earlier, longer training overfits
_GATHERED_ENTRIES = 2**22  # entries of X copied at once, for several batches
# Training has diverged if the mean loss of an epoch exceeds the loss of the first step by more than
# this many times that loss, or times 1 (the loss of predicting the mean) if that loss is lower.
_DIVERGED = 1e3
# After divergence, training goes on from the best parameters at this share of the learning rate.
_RESTART_FACTOR = 0.1


@dataclass(frozen=True)
class Settings:
    """Settings of the training loop."""

    batch_size: int
    max_epochs: int
    # Epochs of a cycle, in which the learning rate falls to 0. See `train`.
    cycle: int
    learning_rate: float
    constant_learning_rate: bool = False
    shuffle: bool = True
    patience: int | None = None
    tol: float = 0.0
    least_gain: float = 0.02  # of a cycle after which another one follows
    # See `skae.core.criterion.Criterion`.
    reference_loss: float | None = None
    # How often training goes on at a lower learning rate after it diverged.
    max_restarts: int = 0
    # Whether the start is one of the states to choose the best from. If not, the best epoch is 0
    # only where none has less than about twice its loss.
    may_keep_start: bool = True


class TrainingCallbacks(Protocol):
    """Hooks of the caller before and after each epoch."""

    def begin_epoch(self) -> None: ...

    def end_epoch(self, history: History) -> bool:
        """Return True to stop training."""
        ...


def learning_rate_factor(step: int, n_steps: int) -> float:
    """Return the factor on the learning rate at a step: linear warm-up times cosine decay to 0.

    Each `n_steps` steps, the decay begins anew; the warm-up does not.
    """
    share = ((step - 1) % n_steps + 1) / n_steps
    return min(1.0, step / (_WARM_UP * n_steps + 1)) * 0.5 * (1 + math.cos(math.pi * share))


def batch_sizes(n_rows: int, batch_size: int) -> list[int]:
    """Return batch sizes that differ by at most 1.

    Otherwise, a last batch of 3 rows would take as large a step as a batch of 300.
    """
    n_batches = max(1, round(n_rows / batch_size))
    size, n_larger = divmod(n_rows, n_batches)
    return [size + 1] * n_larger + [size] * (n_batches - n_larger)


def epoch_batches(
    data: Tensor,
    rows: Sequence[Tensor],
    sizes: Sequence[int],
    shuffle: bool,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield the batches of an epoch, ``(models, rows, columns)``.

    Parameters
    ----------
    data : Tensor of shape (n, ...)
    rows : sequence of Tensor
        Indices of the rows that each model trains on. All models take the same number of steps, so
        shorter sequences are repeated.
    sizes : sequence of int
        Number of rows in each batch.
    shuffle : bool
    generator : torch.Generator
    """
    places = torch.arange(sum(sizes))
    if shuffle:
        rows = [own[torch.randperm(len(own), generator=generator)] for own in rows]
    order = torch.stack([own[places % len(own)] for own in rows])
    entries = sizes[0] * len(rows) * math.prod(data.shape[1:])
    n_batches = 1 if isinstance(data, CSRRows) else max(1, _GATHERED_ENTRIES // entries)
    start = 0
    for i in range(0, len(sizes), n_batches):
        run = list(sizes[i : i + n_batches])
        numbers = order[:, start : start + sum(run)].to(data.device)
        start += sum(run)
        batches = data[numbers]
        yield from [batches] if n_batches == 1 else batches.split(run, dim=1)


def train(
    parameters: FlatParameters,
    optimizer: Optimizer,
    loss_and_gradient: LossAndGradient,
    data: Tensor,
    rows: Sequence[Tensor],
    settings: Settings,
    *,
    generator: torch.Generator,
    corrupt: Callable[[Tensor], Tensor] | None = None,
    validate: Callable[[], Tensor] | None = None,
    callbacks: TrainingCallbacks | None = None,
) -> History:
    """Minimise the objective and keep the best parameters.

    With `validate`, the best parameters are those with the lowest mean validation loss, including
    those at the start if `Settings.may_keep_start` is true. Without it, they are those after the
    last epoch or, if training diverges, those at the start of the epoch with the lowest mean loss.
    An interrupt (Ctrl-C) ends training early. An epoch that diverges is repeated from the best
    parameters at a lower learning rate, at most `Settings.max_restarts` times; then training ends.

    In each cycle, the learning rate falls to 0 (warm restarts; Loshchilov & Hutter 2017). Another
    cycle follows if the last one lowered the validation loss by `Settings.least_gain` and its best
    epoch is in its last fifth. Weights decay in the first cycle only.

    Parameters
    ----------
    parameters : FlatParameters
    optimizer : Optimizer
    loss_and_gradient : callable
    data : Tensor of shape (n, ...)
    rows : sequence of Tensor
        Indices of the rows that each model trains on.
    settings : Settings
    generator : torch.Generator
        Source of the order of the rows.
    corrupt : callable or None
        Maps a batch to the inputs of the encoder; None passes the batch itself. The clean batch is
        the target.
    validate : callable or None
        Returns the validation loss of each row at the current parameters.
    callbacks : TrainingCallbacks or None
    """
    history = History()
    checkpoint: _LastCheckpoint | _BestCheckpoint
    if validate is None:
        checkpoint = _LastCheckpoint(parameters, history)
    else:
        checkpoint = _BestCheckpoint(parameters, history, validate, settings)
    sizes = batch_sizes(max(map(len, rows)), settings.batch_size)
    # The learning rate is 0 at step n_steps. A single step must not have rate 0, hence at least 2.
    step, n_steps = 0, max(2, len(sizes) * settings.cycle)
    is_constant = settings.constant_learning_rate
    epoch, n_restarts, is_repeated, highest_rate = 0, 0, False, settings.learning_rate
    objective = _Objective(loss_and_gradient, len(sizes))
    try:
        while epoch < settings.max_epochs:
            epoch += 1
            optimizer.weight_decay *= epoch <= settings.cycle
            if callbacks is not None and not is_repeated:
                callbacks.begin_epoch()
            for batch in epoch_batches(data, rows, sizes, settings.shuffle, generator):
                objective.arguments = batch if corrupt is None else corrupt(batch), batch
                objective.place, step = step % len(sizes), step + 1
                factor = 1.0 if is_constant else learning_rate_factor(step, n_steps)
                optimizer.step(objective, highest_rate * factor)
            if epoch == 1 and not is_repeated:
                first_loss = float(sum(values[0] for values in objective.recorded.values()))
                limit = first_loss + _DIVERGED * max(1.0, abs(first_loss))
            mean_loss = objective.record_means(history)
            has_diverged = not checkpoint.update(epoch, mean_loss, limit)
            is_repeated = has_diverged and n_restarts < settings.max_restarts
            if is_repeated:
                checkpoint.restore()
                history.forget_epoch()
                epoch, step, n_restarts = epoch - 1, step - len(sizes), n_restarts + 1
                highest_rate = history.restart_rate = highest_rate * _RESTART_FACTOR
                # New moments, and the same weight decay over the fit at a lower rate.
                weight_decay = optimizer.weight_decay / _RESTART_FACTOR
                optimizer = type(optimizer)(parameters, weight_decay, len(rows))
                continue
            if has_diverged:
                history.stopped_by = "divergence"
                break
            if callbacks is not None and callbacks.end_epoch(history):
                history.stopped_by = "callback"
                break
            if epoch < settings.max_epochs and not checkpoint.goes_on(epoch):
                history.stopped_by = "patience"
                break
    except KeyboardInterrupt:
        history.stopped_by = "interrupt"
    checkpoint.restore()
    if validate is None and history.best_epoch and history.stopped_by != "divergence":
        # The mean loss of the last epoch does not include the effect of its last step.
        final_loss = float(sum(loss_and_gradient(*objective.arguments).values()))
        if not final_loss < limit:
            history.stopped_by = "divergence"
            checkpoint.restore(after_divergence=True)
    return history


@dataclass
class _Objective:
    """The objective of one step after the other, which records the terms of each.

    All in one tensor: small ones, left between batches, would keep their memory from reuse.
    """

    loss_and_gradient: LossAndGradient
    n_steps: int
    recorded: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)
    arguments: Sequence[Tensor] = ()
    place: int | None = None  # of the step in the epoch; None once it is recorded

    def __call__(self) -> Tensor:
        terms = self.loss_and_gradient(*self.arguments)
        if self.place is not None:  # a line search calls this again at trial points
            for name, term in terms.items():
                if name not in self.recorded:
                    self.recorded[name] = term.new_empty(self.n_steps).unbind()
                self.recorded[name][self.place].copy_(term)
            self.place = None
        first, *others = terms.values()
        return sum(others, start=first)

    def record_means(self, history: History) -> float:
        """Append the means of an epoch's terms to the history; return their sum."""
        total = 0.0
        for name, values in self.recorded.items():
            history.terms.setdefault(name, []).append(float(torch.stack(values).mean()))
            total += history.terms[name][-1]
        history.losses.append(total)
        return total


class _BestCheckpoint:
    """Keeps the parameters with the lowest validation loss."""

    def __init__(
        self,
        parameters: FlatParameters,
        history: History,
        validate: Callable[[], Tensor],
        settings: Settings,
    ) -> None:
        self.parameters, self.history = parameters, history
        self.validate, self.settings = validate, settings
        self.best = parameters.values.clone()
        history.validation.append(float(validate().mean()))
        self.lowest = history.validation[0]
        if not settings.may_keep_start:
            # Refined codes may be better than the start where the encoder's are worse, but not if
            # these have twice its loss. A restart after divergence is then from the start.
            self.lowest += settings.reference_loss or self.lowest
        # The lowest loss before this cycle. Before the first one, it is twice the start's, too.
        self.before = self.lowest
        # Patience ignores the start: the loss may first rise above that of PCA, then fall.
        self.lowest_trained = math.inf
        self.n_without_gain = 0

    def update(self, epoch: int, mean_loss: float, limit: float) -> bool:
        """Validate after an epoch; return False if training diverged."""
        if not mean_loss < limit:
            return False
        loss = float(self.validate().mean())
        self.history.validation.append(loss)
        if loss < self.lowest:
            self.lowest, self.history.best_epoch = loss, epoch
            self.best.copy_(self.parameters.values)
        reference = self.settings.reference_loss
        min_gain = self.settings.tol * (self.lowest_trained if reference is None else reference)
        if loss < self.lowest_trained - min_gain or math.isinf(self.lowest_trained):
            self.lowest_trained, self.n_without_gain = loss, 0
        else:
            self.n_without_gain += 1
        return True

    def goes_on(self, epoch: int) -> bool:
        """Return False if patience is exhausted, or if a cycle ends that did not pay."""
        patience, cycle = self.settings.patience, self.settings.cycle
        if patience is not None and self.n_without_gain >= patience:
            return False
        if epoch % cycle:
            return True
        reference = self.settings.reference_loss
        least_gain = self.settings.least_gain * (self.before if reference is None else reference)
        pays = self.before - self.lowest > least_gain
        pays = pays and self.history.best_epoch > epoch - _LATE * cycle
        # The loss first rises with the learning rate. Patience compares with losses of the cycle.
        self.before, self.lowest_trained, self.n_without_gain = self.lowest, math.inf, 0
        return pays

    def restore(self, *, after_divergence: bool = False) -> None:
        """Restore the best parameters."""
        self.parameters.values.copy_(self.best)


class _LastCheckpoint:
    """Keeps the parameters of the last epoch or, after divergence, those of a safe epoch.

    The safe epoch is the one before the epoch with the lowest mean loss. Within the latter, the
    loss may already have begun to rise, so the parameters after it are not safe.
    """

    def __init__(self, parameters: FlatParameters, history: History) -> None:
        self.parameters, self.history = parameters, history
        self.last = self.safe = parameters.values.clone()
        self.safe_epoch, self.lowest = 0, math.inf

    def update(self, epoch: int, mean_loss: float, limit: float) -> bool:
        """Keep the parameters after an epoch; return False if training diverged."""
        if mean_loss < self.lowest:
            self.lowest, self.safe, self.safe_epoch = mean_loss, self.last, epoch - 1
        if not mean_loss < limit or not self.parameters.values.isfinite().all():
            self.last, self.history.best_epoch = self.safe, self.safe_epoch
            return False
        self.last, self.history.best_epoch = self.parameters.values.clone(), epoch
        return True

    def goes_on(self, epoch: int) -> bool:
        """Return True: without held-out rows, nothing shows that training no longer pays."""
        return True

    def restore(self, *, after_divergence: bool = False) -> None:
        """Restore the kept parameters."""
        if after_divergence:
            self.last, self.history.best_epoch = self.safe, self.safe_epoch
        self.parameters.values.copy_(self.last)

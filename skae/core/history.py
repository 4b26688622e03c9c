"""The record of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """Record of a training run, epoch by epoch.

    Attributes
    ----------
    terms : dict of list of float
        Mean of each term of the objective over the batches of an epoch.
    losses : list of float
        Sum of the terms.
    validation : list of float
        Mean validation loss, at the start and after each epoch.
    best_epoch : int
        Epoch whose parameters were kept; 0 is the start.
    stopped_by : {"max_epochs", "patience", "callback", "interrupt", "divergence"}
        "patience" also stands for a cycle of the learning rate that did not pay.
    restart_rate : float or None
        Learning rate at which training went on after it diverged. None if it never did.
    """

    terms: dict[str, list[float]] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = 0
    stopped_by: str = "max_epochs"
    restart_rate: float | None = None

    def forget_epoch(self) -> None:
        """Remove the losses of the last epoch."""
        self.losses.pop()
        for losses in self.terms.values():
            losses.pop()

    @property
    def was_cancelled(self) -> bool:
        """Whether a callback or the user stopped training: later phases must be skipped."""
        return self.stopped_by in ("callback", "interrupt")

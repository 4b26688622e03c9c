"""Reporting of epochs to scikit-learn's callbacks, and the output of `verbose`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skae.core.history import History


class EpochCallbacks:
    """Reports each epoch to the callbacks of an estimator.

    Parameters
    ----------
    estimator : object
        A `skae.fitting.trainer.Trainer` that supports callbacks.
    attributes : callable
        ``history -> dict``: the fitted attributes for the current weights. Only called if a
        callback asks for the fitted estimator.
    X, y : training data, as given to `fit`
    perfect_score : float
        See `skae.core.criterion.Criterion`.
    """

    def __init__(
        self,
        estimator: Any,
        attributes: Callable[[History], dict[str, Any]],
        X: Any,
        y: Any,
        perfect_score: float,
    ) -> None:
        self.estimator = estimator
        self.attributes = attributes
        self.perfect_score = perfect_score
        # An autoencoder's target is X, so scoring callbacks have something to score against.
        self.data = {"estimator": estimator, "X": X, "y": X if y is None else y}
        n_epochs = sum(estimator._n_epochs())
        self.context = estimator._init_callback_context(max_subtasks=n_epochs)
        self.context.call_on_fit_task_begin(**self.data)
        self.task: Any = None  # of the current epoch

    def fit_part(self, estimator: Any, X: Any, groups: Any = None) -> None:
        """Fit a sub-estimator, which inherits the callbacks of this one."""
        task = self.context.subcontext(task_name=type(estimator).__name__)
        task.call_on_fit_task_begin(**self.data)
        with task.propagate_callback_context(estimator):
            estimator.fit(X, **({} if groups is None else {"groups": groups}))
        task.call_on_fit_task_end(**self.data)

    def begin_epoch(self) -> None:
        """Begin the epoch's task."""
        self._end_open_task()
        self.task = self.context.subcontext(task_name="epoch")
        self.task.call_on_fit_task_begin(**self.data)

    def end_epoch(self, history: History) -> bool:
        """End the epoch's task; return True if a callback asks to stop."""
        if self.estimator.verbose:
            line = f"Epoch {len(history.losses)}, loss = {history.losses[-1]:.6f}"
            if history.validation:
                score = self.perfect_score - history.validation[-1]
                line += f", validation score = {score:.6f}"
            print(line)
        task, self.task = self.task, None
        return bool(
            task.call_on_fit_task_end(
                **self.data, reconstruction_attributes=lambda: self.attributes(history)
            )
        )

    def _end_open_task(self) -> None:
        """End the task of an epoch that diverged or was interrupted, without a fitted estimator."""
        if self.task is not None:
            self.task.call_on_fit_task_end(**self.data)
            self.task = None

    def end_fit(self, fitted: dict[str, Any]) -> None:
        """End the task of the fit."""
        self._end_open_task()
        self.context.call_on_fit_task_end(**self.data, reconstruction_attributes=lambda: fitted)

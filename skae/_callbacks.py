"""Epochs as tasks of scikit-learn's callbacks, and the lines that `verbose` prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skae._core.training import History


class EpochCallbacks:
    """Report each epoch to the callbacks of an estimator.

    Parameters
    ----------
    estimator : object
        One that is trained in epochs, see `skae._runs.TrainingRuns`, and supports callbacks.
    attributes : callable
        History to the fitted attributes that the present weights would leave. Only called where a
        callback asks for the fitted estimator.
    X, y : training data, as given to `fit`
    """

    def __init__(
        self,
        estimator: Any,
        attributes: Callable[[History], dict[str, Any]],
        X: Any,
        y: Any,
    ) -> None:
        self.estimator = estimator
        self.attributes = attributes
        # An autoencoder's target is X, so monitors of scores have something to score against.
        self.data = {"estimator": estimator, "X": X, "y": X if y is None else y}
        self.context = estimator._init_callback_context(max_subtasks=estimator._n_epochs())
        self.context.call_on_fit_task_begin(**self.data)
        self.task: Any = None  # of the epoch that runs

    def fit_part(self, estimator: Any, X: Any) -> None:
        """Fit an estimator that is a part of this one, under the callbacks that go with it."""
        task = self.context.subcontext(task_name=type(estimator).__name__)
        task.call_on_fit_task_begin(**self.data)
        with task.propagate_callback_context(estimator):
            estimator.fit(X)
        task.call_on_fit_task_end(**self.data)

    def begin_epoch(self) -> None:
        """Open the epoch's task."""
        self._close_epoch()
        self.task = self.context.subcontext(task_name="epoch")
        self.task.call_on_fit_task_begin(**self.data)

    def end_epoch(self, history: History) -> bool:
        """Close the epoch's task; True if a callback asks to stop."""
        if self.estimator.verbose:
            line = f"Epoch {history.n_epochs}, loss = {history.losses[-1]:.6f}"
            if history.validation:
                score = self.estimator._as_score(history.validation[-1])
                line += f", validation score = {score:.6f}"
            print(line)
        task, self.task = self.task, None
        return bool(
            task.call_on_fit_task_end(
                **self.data, reconstruction_attributes=lambda: self.attributes(history)
            )
        )

    def _close_epoch(self) -> None:
        """Close the task of an epoch that diverged or was interrupted; it left no estimator."""
        if self.task is not None:
            self.task.call_on_fit_task_end(**self.data)
            self.task = None

    def end_fit(self, fitted: dict[str, Any]) -> None:
        """Close the fit's task."""
        self._close_epoch()
        self.context.call_on_fit_task_end(**self.data, reconstruction_attributes=lambda: fitted)

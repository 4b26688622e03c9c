"""Epochs as tasks of scikit-learn's callbacks, and the lines that `verbose` prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skae._core.training import History

if TYPE_CHECKING:
    from skae._base import BaseAutoencoder


class EpochCallbacks:
    """Report each epoch to the callbacks of an estimator.

    Parameters
    ----------
    estimator : BaseAutoencoder
    attributes : callable
        History to the fitted attributes, as if the fit had stopped there. Only called where a
        callback asks for the fitted estimator.
    X, y : training data, as given to `fit`
    """

    def __init__(
        self,
        estimator: BaseAutoencoder,
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

    def begin_epoch(self) -> None:
        """Open the epoch's task."""
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
        return bool(
            self.task.call_on_fit_task_end(
                **self.data, reconstruction_attributes=lambda: self.attributes(history)
            )
        )

    def end_fit(self, fitted: dict[str, Any]) -> None:
        """Close the fit's task."""
        self.context.call_on_fit_task_end(**self.data, reconstruction_attributes=lambda: fitted)

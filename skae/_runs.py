"""Trainings of a network under the parameters that all estimators share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skae._core.held_out import Division, Judge
from skae._core.networks import Network
from skae._core.numerics import training_numerics
from skae._core.solvers import DEFAULT_LEARNING_RATES, SOLVERS, FlatParameters, Solver
from skae._core.training import EpochHooks, History, Objective, Settings, batch_sizes, train
from skae._validation import StrOptions, fraction, integer, real
from skae._warnings import warn

# Of the parameters that every estimator here has.
TRAINING_CONSTRAINTS: dict[str, Any] = {
    "weight_decay": [real(0)],
    "solver": [StrOptions(set(SOLVERS))],
    "learning_rate_init": [real(0, closed="neither"), StrOptions({"auto"})],
    "batch_size": [integer(1), StrOptions({"auto"})],
    "max_iter": [integer(1)],
    "tol": [real(0)],
    "early_stopping": ["boolean"],
    "validation_fraction": [fraction()],
    "n_iter_no_change": [integer(1)],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


@dataclass
class Run:
    """A training that is under way, the moments of its solver included."""

    parameters: FlatParameters
    solver: Solver
    settings: Settings
    generator: torch.Generator
    operations: float  # of a step, floating-point
    first_rate: float  # learning rate at its start

    def goes_on(self, solver: type[Solver], device: torch.device) -> bool:
        """Whether its moments serve this solver on this device."""
        # Not of the name of the device: "cuda" is "cuda:0".
        here = torch.empty(0, device=device).device
        return type(self.solver) is solver and self.parameters.values.device == here


class TrainingRuns:
    """Opens and runs trainings; the parameters are the estimator's."""

    solver: str
    learning_rate_init: float | str
    batch_size: int | str
    max_iter: int
    tol: float
    n_iter_no_change: int
    shuffle: bool
    weight_decay: float
    precision: str

    # Most rows in a step where `batch_size` is "auto".
    _largest_batch: ClassVar[int] = 512

    def _n_epochs(self) -> int:
        """Return the most epochs that a fit may take."""
        return self.max_iter

    def _as_score(self, loss: float) -> float:
        """Turn a held-out loss into a score, of which more is better."""
        return 1.0 - loss

    def _has_penalty(self) -> bool:
        """Whether a penalty may be what makes a training diverge."""
        return False

    def _default_learning_rate(self, network: Network) -> float:
        return DEFAULT_LEARNING_RATES[self.solver]

    def _loss_unit(self, network: Network) -> float | None:
        """Return what counts as 1 in a loss without a zero of its own; None for others."""
        return None

    def _open_run(
        self,
        network: Network,
        division: Division,
        generator: torch.Generator,
        device: torch.device,
        max_epochs: int,
        *,
        constant_learning_rate: bool = False,
    ) -> Run:
        """Move the network to its device and lay its parameters into flat buffers."""
        network.float().to(device)  # a finished network's linear path is in float64
        # Dropout draws on the device; batches are drawn on the CPU.
        network.set_generator(torch.Generator(device).manual_seed(generator.initial_seed()))
        parameters = FlatParameters(p for p in network.parameters() if p.requires_grad)
        settings, shrinkage, operations = self._pace(
            network, division, max_epochs, constant_learning_rate=constant_learning_rate
        )
        solver = SOLVERS[self.solver](parameters, shrinkage)
        solver.n_models = division.n_models or 1
        return Run(parameters, solver, settings, generator, operations, settings.learning_rate)

    def _pace(
        self,
        network: Network,
        division: Division,
        max_epochs: int,
        *,
        constant_learning_rate: bool = False,
        first_rate: float | None = None,
    ) -> tuple[Settings, float, float]:
        """Return what depends on the number of rows.

        That is the settings, by how much the solver shrinks the weights, and the floating-point
        operations of a step. Where the caller changes the learning rate from part to part, the
        weights shrink by `weight_decay` at `first_rate`, and at a lower rate by less.
        """
        n_rows = division.n_training
        if SOLVERS[self.solver].full_batch:
            batch_size = n_rows
        elif isinstance(self.batch_size, str):
            batch_size = min(self._largest_batch, max(16, n_rows // 25))
        else:
            batch_size = min(int(self.batch_size), n_rows)
        rate = self.learning_rate_init
        settings = Settings(
            batch_size=batch_size,
            max_epochs=max_epochs,
            learning_rate=(
                self._default_learning_rate(network) if isinstance(rate, str) else float(rate)
            ),
            shuffle=self.shuffle and not SOLVERS[self.solver].full_batch,
            constant_learning_rate=constant_learning_rate,
            patience=self.n_iter_no_change if division.held_out is not None else None,
            tol=self.tol,
            loss_unit=self._loss_unit(network),
        )
        shrinkage = self.weight_decay
        if not SOLVERS[self.solver].full_batch:
            # The weights shrink by this in all: by the sum of the learning rates of all steps,
            # about half the highest one on average.
            n_epochs = self.max_iter if constant_learning_rate else max(1, max_epochs)
            n_steps = n_epochs * len(batch_sizes(division, settings))
            mean_rate = first_rate or settings.learning_rate
            mean_rate *= 1.0 if constant_learning_rate else 0.5
            # In so few steps that one would turn the weights round, each may only set them to 0.
            shrinkage = min(shrinkage / (mean_rate * n_steps), 1.0 / settings.learning_rate)
        # Forward, into the input and into the weights: a product and a sum each.
        return settings, shrinkage, 6.0 * network.n_products() * batch_size

    def _train(
        self,
        run: Run,
        objective: Objective,
        data: Tensor,
        division: Division,
        judge: Judge | None = None,
        hooks: EpochHooks | None = None,
        *,
        must_beat_start: bool = False,
    ) -> History:
        """Train, and warn of an end before time."""
        with training_numerics(
            operations=run.operations,
            precision=self.precision,
            device=run.parameters.values.device,
        ):
            history = train(
                run.parameters,
                run.solver,
                objective,
                data,
                division,
                run.settings,
                generator=run.generator,
                judge=judge,
                hooks=hooks,
                must_beat_start=must_beat_start,
            )
        kept = f"epoch {history.best_epoch}" if history.best_epoch else "the start"
        if history.stopped_by == "interrupt":
            warn(
                f"Training was interrupted by the user; the state of {kept} is kept.",
                ConvergenceWarning,
            )
        if history.stopped_by == "divergence":
            warn(
                f"Training diverged in epoch {history.n_epochs}; the state of {kept} is kept. "
                + self._remedy(run.settings.learning_rate),
                ConvergenceWarning,
            )
        return history

    def _remedy(self, learning_rate: float) -> str:
        remedy = f"Lower learning_rate_init (now {learning_rate:g})"
        if SOLVERS[self.solver].full_batch:
            remedy = "Use another solver"
        decay = f"weight_decay (now {self.weight_decay:g})"
        if self._has_penalty():
            return f"{remedy}, or {decay} or the penalty's weight if these are large."
        return f"{remedy}, or {decay} if that is large."

"""Training of a network with the parameters that all estimators share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from torch import Tensor

from skae.core.autograd import Autograd
from skae.core.backprop import Backpropagation
from skae.core.criterion import Criterion, Reconstruction
from skae.core.csr_rows import CSRRows
from skae.core.history import History
from skae.core.loop import (
    Corruption,
    LossAndGradient,
    Settings,
    TrainingCallbacks,
    batch_sizes,
    train,
)
from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork, Network
from skae.core.numerics import threads_for, training_numerics
from skae.core.optimizers import OPTIMIZERS, FlatParameters, Optimizer
from skae.fitting.selection import ValidationLoss
from skae.fitting.split import Split
from skae.utils.csr import Array
from skae.utils.interrupts import is_among_other_fits
from skae.utils.validation import StrOptions, fraction, integer, real
from skae.utils.warnings import warn

# How often a fit goes on at a tenth of the learning rate after it diverged.
_MAX_RESTARTS = 2

TRAINING_CONSTRAINTS: dict[str, Any] = {
    "weight_decay": [real(0)],
    "solver": [StrOptions(set(OPTIMIZERS))],
    # Below 1e-30, the weight decay per step would overflow.
    "learning_rate_init": [real(1e-30), StrOptions({"auto"})],
    "batch_size": [integer(1), StrOptions({"auto"})],
    "max_iter": [integer(1), StrOptions({"auto"})],
    "tol": [real(0)],
    "early_stopping": ["boolean"],
    "validation_fraction": [fraction()],
    "n_iter_no_change": [integer(1)],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


@dataclass
class TrainState:
    """State from which training can continue, with the moments of the optimizer.

    Attributes
    ----------
    network : Network
    parameters : FlatParameters
    optimizer : Optimizer
    settings : Settings
    generator : torch.Generator
        Source of the order of the rows. Noise and dropout are drawn from the network's generator.
    initial_rate : float
        Learning rate at the start.
    """

    network: Network
    parameters: FlatParameters
    optimizer: Optimizer
    settings: Settings
    generator: torch.Generator
    initial_rate: float

    def continues_with(self, optimizer: type[Optimizer], device: torch.device) -> bool:
        """Return whether the moments belong to this optimizer and device."""
        # Compare the devices of tensors, because "cuda" may be "cuda:0".
        wanted = torch.empty(0, device=device).device
        return type(self.optimizer) is optimizer and self.parameters.values.device == wanted


class Trainer:
    """Mixin that trains networks with the parameters of the estimator."""

    solver: str
    learning_rate_init: float | str
    batch_size: int | str
    max_iter: int | str
    tol: float
    n_iter_no_change: int
    early_stopping: bool
    shuffle: bool
    weight_decay: float
    precision: str
    random_state: Any
    # Of autoencoders alone.
    n_components: int | float | None
    _allows_images: ClassVar[bool]
    _network: Callable[[int, int], Architecture]

    # Epochs of a cycle of the learning rate if `max_iter` is "auto", and of all cycles together.
    _cycle: ClassVar[int] = 50
    _max_epochs: ClassVar[int] = 150
    # Share by which a cycle must lower the validation loss for another to follow.
    _least_gain: ClassVar[float] = 0.02
    # Largest batch if `batch_size` is "auto".
    _max_batch_size: ClassVar[int] = 512

    def _threads_for(self, rows: Array) -> AbstractContextManager[None]:
        """Choose the threads of all parts of a fit but its training steps, which set their own."""
        # A convolution uses each weight at every pixel, so the number of its weights says little.
        n_rows = 10**9 if self._allows_images else rows.shape[0]
        architecture = self._network(rows.shape[1], int(self.n_components or 0) or rows.shape[1])
        # The other parts are sized like a training step, whose batch is a 25th of the rows.
        return threads_for(6 * architecture.n_weights() * n_rows // 25)

    def _n_epochs(self) -> tuple[int, int]:
        """Return the maximum numbers of epochs of pretraining and of training."""
        if not isinstance(self.max_iter, str):
            return 0, self.max_iter
        # Cycles need a learning rate to restart, and held-out rows to judge them.
        has_cycles = self.early_stopping and not OPTIMIZERS[self.solver].full_batch
        return 0, self._max_epochs if has_cycles else self._cycle

    def _new_generator(self) -> torch.Generator:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return torch.Generator().manual_seed(seed)

    def _init_training(
        self,
        network: Network,
        split: Split,
        generator: torch.Generator,
        device: torch.device,
        max_epochs: int,
        reference_loss: float | None = None,
        n_epochs_before: int = 0,
        *,
        constant_learning_rate: bool = False,
    ) -> TrainState:
        """Move the network to its device, flatten its parameters and create an optimizer."""
        network.float().to(device)  # skip connections outside training are float64
        # Noise and dropout are drawn on the device; the order of the rows on the CPU.
        network.set_generator(torch.Generator(device).manual_seed(generator.initial_seed()))
        parameters = FlatParameters(p for p in network.parameters() if p.requires_grad)
        settings, weight_decay = self._resolve_schedule(
            network,
            split,
            max_epochs,
            reference_loss,
            n_epochs_before,
            constant_learning_rate=constant_learning_rate,
        )
        optimizer = OPTIMIZERS[self.solver](parameters, weight_decay, len(split.training))
        rate = settings.learning_rate
        return TrainState(network, parameters, optimizer, settings, generator, rate)

    def _resolve_schedule(
        self,
        network: Network,
        split: Split,
        max_epochs: int,
        reference_loss: float | None,
        n_epochs_before: int = 0,
        *,
        constant_learning_rate: bool = False,
        initial_rate: float | None = None,
    ) -> tuple[Settings, float]:
        """Return the settings for this number of rows, and the optimizer's weight decay.

        Over a fit, a weight without gradient shrinks by a factor of about ``exp(-weight_decay)``.
        The optimizer's decay is therefore the parameter `weight_decay` divided by the sum of the
        learning rates in the first cycle; later cycles have no decay. `partial_fit` has a constant
        rate, which may change between calls: there, the sum is that of `max_iter` epochs (50 if
        "auto") at the `initial_rate`. A warm start counts the epochs before it: with the whole
        decay in each fit, the weights would soon learn no more than they lose.
        """
        n_rows = max(map(len, split.training))
        full_batch = OPTIMIZERS[self.solver].full_batch
        if full_batch:
            batch_size = n_rows
        elif isinstance(self.batch_size, str):
            batch_size = min(self._max_batch_size, max(16, n_rows // 25))
        else:
            batch_size = min(int(self.batch_size), n_rows)
        rate = self.learning_rate_init
        if isinstance(rate, str):
            rate = network.default_learning_rate(self.solver)
        is_auto = isinstance(self.max_iter, str)
        # Other numbers are those of pretraining or of an override of `_n_epochs`.
        has_cycles = is_auto and max_epochs == self._max_epochs and split.held_out is not None
        cycle = self._cycle if has_cycles else max_epochs
        settings = Settings(
            batch_size=batch_size,
            max_epochs=max_epochs,
            cycle=cycle,
            least_gain=self._least_gain,
            learning_rate=float(rate),
            shuffle=self.shuffle and not full_batch,
            constant_learning_rate=constant_learning_rate,
            patience=None if split.held_out is None else self.n_iter_no_change,
            tol=float(self.tol),  # a NumPy scalar would warn of its overflow
            reference_loss=reference_loss,
            # A line search chooses its own steps.
            max_restarts=0 if full_batch or constant_learning_rate else _MAX_RESTARTS,
        )
        if full_batch:
            return settings, float(self.weight_decay)
        # The mean of a learning rate with warm-up and cosine decay is about half the highest one.
        n_epochs = max(1, cycle)
        if constant_learning_rate:
            n_epochs = self._cycle if is_auto else int(self.max_iter)
        n_epochs += n_epochs_before
        n_steps = n_epochs * len(batch_sizes(n_rows, batch_size))
        mean_rate = initial_rate or settings.learning_rate
        mean_rate *= 1.0 if constant_learning_rate else 0.5
        # With very few steps, a single one might shrink the weights past 0.
        weight_decay = float(self.weight_decay) / (mean_rate * n_steps)
        weight_decay = min(weight_decay, 1.0 / settings.learning_rate)
        return settings, weight_decay

    def _train(
        self,
        state: TrainState,
        loss_and_gradient: LossAndGradient,
        data: Tensor,
        split: Split,
        corruption: Corruption | None = None,
        validate: ValidationLoss | None = None,
        callbacks: TrainingCallbacks | None = None,
        *,
        has_penalty: bool = False,
    ) -> History:
        """Train, and warn if training was interrupted or diverged.

        Raises KeyboardInterrupt if an interrupt should stop the caller, too.
        """
        network = state.network
        corrupt = None if corruption is None else partial(_corrupted, network, corruption)
        with training_numerics(
            # A multiply and an add in each of forward pass, input gradients and weight gradients.
            operations=6.0 * network.multiply_adds() * state.settings.batch_size,
            precision=self.precision,
            device=state.parameters.values.device,
        ):
            history = train(
                state.parameters,
                state.optimizer,
                loss_and_gradient,
                data,
                split.training,
                state.settings,
                generator=state.generator,
                corrupt=corrupt,
                validate=validate,
                callbacks=callbacks,
            )
        if history.stopped_by == "interrupt" and is_among_other_fits():
            raise KeyboardInterrupt
        if history.restart_rate or history.stopped_by in ("interrupt", "divergence"):
            self._warn_of_failure(history, state.settings.learning_rate, has_penalty=has_penalty)
        return history

    def _warn_of_failure(
        self, history: History, learning_rate: float, *, has_penalty: bool
    ) -> None:
        kept = f"epoch {history.best_epoch}" if history.best_epoch else "the start"
        if history.stopped_by == "interrupt":
            warn(
                f"Training was interrupted by the user; the best state so far is that of {kept}.",
                ConvergenceWarning,
            )
            return
        if history.stopped_by != "divergence":
            warn(
                f"Training diverged at learning_rate_init={learning_rate:g} and went on from its "
                f"best state at {history.restart_rate:g}. Pass that as learning_rate_init.",
                ConvergenceWarning,
            )
            return
        remedy = f"Lower learning_rate_init (now {learning_rate:g})"
        if OPTIMIZERS[self.solver].full_batch:
            remedy = "Use another solver"
        decay = f"weight_decay (now {self.weight_decay:g})"
        if has_penalty:
            remedy += f", or {decay} or the penalty's weight if these are large."
        else:
            remedy += f", or {decay} if that is large."
        warn(
            f"Training diverged in epoch {len(history.losses)}; the best state is that of {kept}. "
            f"{remedy}",
            ConvergenceWarning,
        )


def loss_and_gradient_of(
    criterion: Criterion, parameters: FlatParameters, dropout: float, data: Tensor
) -> LossAndGradient:
    """Return hand-written backpropagation if it supports the criterion, otherwise autograd."""
    network = criterion.model.network
    n_models = len(network.encoder.layers[-1].bias)
    # It supports a plain reconstruction loss through dense layers.
    is_plain = type(criterion) is Reconstruction and criterion.is_reconstruction_alone
    # If X has at least 1000 columns and at most 5 % nonzero values, autograd has faster products.
    is_plain &= not (isinstance(data, CSRRows) and data.is_mostly_default)
    if is_plain and type(network) is AutoencoderNetwork and not dropout:
        return Backpropagation(criterion.model, n_models)
    return Autograd(parameters, criterion.terms, n_models)


def _corrupted(network: Network, corruption: Corruption, batch: Tensor) -> Tensor:
    assert network.generator is not None
    # A copy: the corruption may work in place, and the batch is the target.
    return corruption(network.impute(batch).clone(), network.generator)

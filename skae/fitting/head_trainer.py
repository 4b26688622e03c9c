"""Training of a head on an encoder: first the head alone, then both."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skae.core.autograd import Autograd
from skae.core.csr_rows import append_columns
from skae.core.head import EncoderWithHead, HeadCriterion, build_head
from skae.core.history import History
from skae.core.loop import TrainingCallbacks
from skae.core.model import Model
from skae.fitting.selection import ValidationLoss
from skae.fitting.split import Split
from skae.fitting.trainer import Trainer
from skae.utils.validation import widths


class HeadTrainer(Trainer):
    """Mixin that trains heads with the parameters of the estimator."""

    max_iter: int
    freeze: bool | int
    hidden_layer_sizes: Sequence[int]
    activation: str

    _loss_name: ClassVar[str]
    _perfect_score: ClassVar[float] = 1.0  # the score at a loss of 0
    # Whether the gradient of the loss with respect to the head's output is bounded.
    _has_bounded_slope: ClassVar[bool] = True

    @staticmethod
    @abstractmethod
    def _losses(output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row."""

    def _n_frozen(self, n_layers: int) -> int:
        if isinstance(self.freeze, bool | np.bool_):
            return n_layers if self.freeze else 0
        if self.freeze > n_layers:
            raise ValueError(
                f"freeze={self.freeze!r} layers, but the encoder has {n_layers}. Lower it, or use "
                "freeze=True to train the head alone."
            )
        return int(self.freeze)

    def _new_network(
        self, model: Model, codes: Tensor, n_outputs: int, generator: torch.Generator
    ) -> EncoderWithHead:
        """Return a copy of the encoder with a new head."""
        head_sizes = widths("hidden_layer_sizes", self.hidden_layer_sizes)
        return EncoderWithHead(
            model.network.with_model_axis(),
            build_head([codes.shape[1], *head_sizes, n_outputs], self.activation, generator),
            codes,
            has_bounded_gradient=self._has_bounded_slope and not head_sizes,
        )

    def _train_phases(
        self,
        network: EncoderWithHead,
        phases: list[tuple[int, Tensor]],
        known: Tensor,
        split: Split,
        generator: torch.Generator,
        callbacks: TrainingCallbacks,
    ) -> dict[str, Any]:
        """Train in phases; return the fitted attributes of the training.

        A phase is the number of frozen layers and the inputs of the other layers; `known` are the
        targets and weights of the labelled rows.
        """
        losses: list[float] = []
        validation: list[float] = []
        best = 0
        for n_frozen, inputs in phases:
            network.train()
            network.freeze(n_frozen)
            history = self._train_phase(network, inputs, known, split, generator, callbacks)
            best = len(losses) + history.best_epoch if history.best_epoch else best
            losses += history.losses
            validation += history.validation[1:] if validation else history.validation
            if history.was_cancelled:
                break
        return {
            "n_iter_": len(losses),
            "best_iter_": best,
            "loss_curve_": losses,
            "validation_scores_": [self._perfect_score - loss for loss in validation] or None,
        }

    def _train_phase(
        self,
        network: EncoderWithHead,
        inputs: Tensor,
        known: Tensor,
        split: Split,
        generator: torch.Generator,
        callbacks: TrainingCallbacks,
    ) -> History:
        """Train the layers that are not frozen."""
        data = append_columns(inputs.to(known.device), known)
        criterion = HeadCriterion(
            network, self._loss_name, self._losses, inputs.shape[1], self._perfect_score
        )
        validate = None
        if split.held_out is not None:
            criterion.mean_weight = known[split.held_out.to(known.device), -1].mean()
            validate = ValidationLoss(criterion, network, data, split)
        state = self._init_training(network, split, generator, data.device, self.max_iter)
        evaluate = Autograd(state.parameters, criterion.terms)
        return self._train(state, evaluate, data, split, validate=validate, callbacks=callbacks)

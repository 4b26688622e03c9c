"""Criteria that training minimises: a reconstruction loss plus penalties.

A criterion returns named terms for a training step, and the loss of each row for validation.
`Reconstruction` computes both with `forward`, so the validation loss contains every term of the
training loss exactly once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Flag
from typing import Any, Self

import torch
from torch import Tensor

from skae.core.autograd import Terms
from skae.core.model import Model


class CodeSymmetry(Flag):
    """Changes of the code that leave the value of an objective unchanged."""

    NONE = 0
    ROTATION = 1
    SCALE = 2  # of each unit separately
    TRIANGULAR = 6  # each unit may be scaled, and multiples of units before it be added
    LINEAR = 7  # any invertible matrix


@dataclass(frozen=True)
class ForwardPass:
    """The tensors of one forward pass, in training units unless stated otherwise.

    During training, each tensor has shape ``(models, rows, columns)``.

    Attributes
    ----------
    inputs : Tensor
        Input of the encoder: the rows, corrupted if the method has a corruption, with missing
        entries at the mean.
    target : Tensor
        The clean rows, with which the output is compared.
    code : Tensor
    output : Tensor
        Output of the decoder: in training units or, if the loss has a link, on the link scale.
    generator : torch.Generator or None
        Source of randomness for penalties: the network's generator in training, one with a fixed
        seed in validation.
    """

    inputs: Tensor
    target: Tensor
    code: Tensor
    output: Tensor
    generator: torch.Generator | None


@dataclass(frozen=True)
class Penalty:
    """A term added to the reconstruction loss.

    Attributes
    ----------
    name : str
        Key in `history_`.
    weight : float
    function : callable
        ``(model, forward_pass) -> Tensor``: one value per model, usually the mean over rows of a
        tensor of shape ``(models, rows)``. In validation, the value of a chunk of rows is added to
        the loss of each of its rows.
    symmetry : CodeSymmetry
        Changes of the code that leave this penalty unchanged.
    """

    name: str
    weight: float
    function: Callable[[Model, ForwardPass], Tensor]
    symmetry: CodeSymmetry = CodeSymmetry.NONE

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(
                f"The penalty {self.name!r} has the weight {self.weight}. Pass a finite number."
            )

    def term(self, model: Model, batch: ForwardPass) -> Tensor:
        """Return the weighted penalty, one value per model."""
        value = self.function(model, batch)
        shape = batch.code.shape[:-2]
        if not isinstance(value, Tensor) or value.shape != shape:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"The penalty {self.name!r} must return a tensor of shape {tuple(shape)}, one "
                f"value per model, but it returned {got}. Reduce over columns and rows, for "
                "example by sum(-1).mean(-1)."
            )
        return self.weight * value


class Criterion:
    """Objective that training minimises and validation compares.

    Attributes
    ----------
    model : Model
    perfect_score : float
        Score at a loss of 0. Every score is this value minus the loss.
    reference_loss : float or None
        Loss that relative gains refer to. None if a perfect reconstruction has loss 0: gains are
        then relative to the loss that they are compared with.
    has_prefixes : bool
        Whether the losses of a row are those of the first columns of the code, and of all. The
        network replaces PCA if their sum improves and the mean of each is lower.
    is_reconstruction_alone : bool
        Whether the objective is the reconstruction loss of all columns alone.
    refines_codes : bool
        Whether codes may be refined, since the objective is made of reconstruction losses alone.
    tolerance : float
        Losses whose mean is below this need not improve on PCA, which may be exact.
    """

    perfect_score: float = 1.0
    reference_loss: float | None = None
    has_prefixes: bool = False
    is_reconstruction_alone: bool = False
    refines_codes: bool = False
    tolerance: float = 0.0

    model: Model

    def terms(self, inputs: Tensor, target: Tensor) -> Terms:
        """Return the named terms of a training step; their sum is minimised."""
        raise NotImplementedError

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Return what `row_losses` needs from each row, with rows on the last axis.

        All random numbers are drawn from `generator`, which is the same in each epoch.
        """
        raise NotImplementedError

    def row_losses(self, measured: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of each row, given the measurements of all held-out rows.

        A first axis, in front of that of the models, may hold several losses of each row: the
        network replaces PCA only if all of them improve.

        Parameters
        ----------
        measured : Tensor
            What `measure` returned.
        mask : Tensor of bool, of shape (..., rows)
            False for a row that must not influence the others.
        """
        return measured

    def with_penalty(self, penalty: Penalty) -> Criterion:
        """Return this criterion with one more penalty; a penalty of weight 0 changes nothing."""
        if penalty.weight == 0:
            return self
        raise TypeError(
            f"{type(self).__name__} is not a reconstruction loss plus penalties, so no penalty can "
            "be added to it. Derive from an autoencoder whose criterion is Reconstruction."
        )

    def start_loss(self, rows: Tensor, r2: float) -> float:
        """Return the loss before training, given the explained share of the variance."""
        return 1.0 - r2

    def finish(
        self,
        rows: Tensor,
        *,
        held_out: tuple[Tensor, Tensor] | None = None,
        is_trained: bool = True,
        is_part: bool = False,
    ) -> dict[str, Any]:
        """Return network attributes that are not trained by gradient descent.

        Parameters
        ----------
        rows : Tensor
            All training rows.
        held_out : (measured, mask) or None
            Arguments of `row_losses` for the held-out rows, if there are any.
        is_trained : bool
            False if the network is still the initial one.
        is_part : bool
            Whether `rows` are only a part of the data, as in `partial_fit`.
        """
        return {}

    @property
    def symmetry(self) -> CodeSymmetry:
        """Changes of the code that leave the objective unchanged."""
        return CodeSymmetry.NONE

    def losses_of_codes(self, model: Model, codes: Tensor, target: Tensor) -> Tensor:
        """Return what `measure` does, of given codes, if `refines_codes`.

        Parameters
        ----------
        model : Model
            One of the models on the model axis.
        codes, target : Tensor
        """
        raise NotImplementedError


class Reconstruction(Criterion):
    """The reconstruction loss plus penalties.

    Parameters
    ----------
    model : Model
    penalties : sequence of Penalty
    """

    def __init__(self, model: Model, penalties: Sequence[Penalty] = ()) -> None:
        self.model = model
        self.penalties = list(penalties)
        self.refines_codes = not self.penalties
        self.is_reconstruction_alone = self.refines_codes and not self.has_prefixes
        names = ["reconstruction", *(penalty.name for penalty in penalties)]
        if len(set(names)) < len(names):
            raise ValueError(
                f"The terms of an objective need different names, but they are {names}. Rename a "
                "penalty; 'reconstruction' is the loss itself."
            )

    def with_penalty(self, penalty: Penalty) -> Self:
        if penalty.weight == 0:
            return self
        criterion = copy.copy(self)
        Reconstruction.__init__(criterion, self.model, [*self.penalties, penalty])
        return criterion

    def encode(self, inputs: Tensor) -> Tensor:
        """Return the code that the objective is computed from."""
        return self.model.network.encode(inputs)

    def forward(
        self, inputs: Tensor, target: Tensor, generator: torch.Generator | None
    ) -> ForwardPass:
        """Pass a batch through the network."""
        inputs = self.model.network.impute(inputs)
        code = self.encode(inputs)
        return ForwardPass(inputs, target, code, self.model.network.decode(code), generator)

    def terms(self, inputs: Tensor, target: Tensor) -> Terms:
        batch = self.forward(inputs, target, self.model.network.generator)
        terms = {"reconstruction": self.model.reconstruction(batch.output, target)}
        for penalty in self.penalties:
            terms[penalty.name] = penalty.term(self.model, batch)
        return terms

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        batch = self.forward(inputs, target, generator)
        losses = self.model.row_losses(batch.output, target)
        for penalty in self.penalties:
            losses = losses + penalty.term(self.model, batch)[..., None]
        return losses

    @property
    def symmetry(self) -> CodeSymmetry:
        network = self.model.network
        symmetry = CodeSymmetry.NONE
        if network.code_activation == "identity":
            symmetry = CodeSymmetry.LINEAR
        elif network.code_activation == "relu":
            symmetry = CodeSymmetry.SCALE
        for penalty in self.penalties:
            symmetry &= penalty.symmetry
        return symmetry

    def losses_of_codes(self, model: Model, codes: Tensor, target: Tensor) -> Tensor:
        return model.row_losses(model.network.decode(codes), target)

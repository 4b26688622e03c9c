"""The objective of an ordered code: reconstruction from the first columns and from all."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor

from skae.core.autograd import Terms
from skae.core.criterion import CodeSymmetry, ForwardPass, Reconstruction
from skae.core.model import Model
from skae.core.networks.ordered import OrderedNetwork

# Weight of each size, relative to that of the size before it: without it, the first columns, which
# serve all sizes, are far from the best code of a few. The whole code weighs as much as one column.
_FALL = 0.85
# A batch trains every second of the smaller sizes, by turns at random: on digits, the errors are
# those of training all sizes with every batch, in half of the time.
_TURNS = 2
# Keeps the slope of the root finite where PCA, and so the start, is exact.
_LEAST_LOSS = 1e-8


@cache
def _weights(n_sizes: int) -> tuple[float, ...]:
    """Return the weights of the sizes, which sum to 1."""
    weights = [*(_FALL**number for number in range(n_sizes - 1)), 1.0]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


class NestedReconstruction(Reconstruction):
    """Weighted mean over sizes of the root of the loss, relative to that of PCA of that size.

    With the loss itself, large sizes, whose loss may be a hundredth of PCA's, would hardly count.
    The sizes are those of the network's decoders. A decoder of several sizes is trained half of the
    time on its largest one, and otherwise on one of the others, drawn for each batch.
    """

    # One of many sizes may improve by less than its standard error.
    has_prefixes = True

    def _losses(
        self, model: Model, batch: ForwardPass, numbers: Iterable[int], *, draws: bool
    ) -> list[Tensor]:
        """Return the relative losses of rows, of the decoders of these numbers and of the whole."""
        network = model.network
        assert isinstance(network, OrderedNetwork)
        sizes, losses = network.sizes, []
        for number in numbers:
            n_columns, least = sizes[number], sizes[number - 1] + 1 if number else 1
            if draws and least < n_columns and self._draw(2):
                n_columns = least + self._draw(n_columns - least)
            output = network.decode(batch.code[..., :n_columns])
            losses.append(model.row_losses(output, batch.target) / network.pca_losses[..., number])
        whole = model.row_losses(batch.output, batch.target) / network.pca_losses[..., -1]
        return [*losses, whole]

    def _of_sizes(self, model: Model, batch: ForwardPass) -> Tensor:
        """Return the relative loss of each size on a first axis."""
        n_sizes = len(model.network.decoders)
        return torch.stack(self._losses(model, batch, range(n_sizes - 1), draws=False))

    def _draw(self, n: int) -> int:
        generator = self.model.network.generator
        device = None if generator is None else generator.device
        return int(torch.randint(n, (), generator=generator, device=device))

    def terms(self, inputs: Tensor, target: Tensor) -> Terms:
        batch = self.forward(inputs, target, self.model.network.generator)
        n_smaller = len(self.model.network.decoders) - 1
        n_turns = min(_TURNS, n_smaller)
        numbers = range(self._draw(n_turns), n_smaller, n_turns) if n_turns else ()
        losses = self._losses(self.model, batch, numbers, draws=True)
        *prefixes, whole = ((loss.mean(-1) + _LEAST_LOSS).sqrt() for loss in losses)
        weights = _weights(n_smaller + 1)
        terms = {"reconstruction": whole * weights[-1]}
        if prefixes:
            drawn = zip(numbers, prefixes, strict=True)
            terms["prefixes"] = n_turns * torch.stack([weights[i] * p for i, p in drawn]).sum(0)
        for penalty in self.penalties:
            terms[penalty.name] = penalty.term(self.model, batch)
        return terms

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Return the relative loss of each size on a first axis, then the penalties of each row."""
        batch = self.forward(inputs, target, generator)
        losses = self._of_sizes(self.model, batch)
        penalties = torch.zeros_like(losses[:1])
        for penalty in self.penalties:
            penalties = penalties + penalty.term(self.model, batch)[..., None]
        return torch.cat([losses, penalties])

    def row_losses(self, measured: Tensor, mask: Tensor) -> Tensor:
        """Return the part of each row in the root of each size's loss, and in the penalties.

        It is linear in the loss of the row, and its mean over the rows is the root. The mean over
        the sizes, too, is the objective.
        """
        losses, penalties = measured[:-1], measured[-1:]
        roots = (losses[:, mask].mean(-1) + _LEAST_LOSS).sqrt()
        roots = roots.reshape(-1, *[1] * mask.ndim)
        weights = roots.new_tensor(_weights(len(roots))).reshape(roots.shape) * len(roots)
        return (roots + losses / roots) * (0.5 * weights) + penalties

    def losses_of_codes(self, model: Model, codes: Tensor, target: Tensor) -> Tensor:
        batch = ForwardPass(target, target, codes, model.network.decode(codes), None)
        losses = self._of_sizes(model, batch)
        return torch.cat([losses, torch.zeros_like(losses[:1])])

    @property
    def symmetry(self) -> CodeSymmetry:
        return super().symmetry & CodeSymmetry.TRIANGULAR

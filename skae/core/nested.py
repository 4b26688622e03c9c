"""The objective of an ordered code: reconstruction from the first columns and from all."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from skae.core.autograd import Terms
from skae.core.criterion import CodeSymmetry, ForwardPass, Reconstruction
from skae.core.model import Model
from skae.core.networks.ordered import OrderedNetwork

# Weight of the whole code, relative to that of each smaller size.
_WHOLE = 2.0
# A batch trains every second of the smaller sizes, by turns at random: on digits, the errors are
# those of training all sizes with every batch, in half of the time.
_TURNS = 2


class NestedReconstruction(Reconstruction):
    """Mean over sizes of the loss of the first columns, relative to that of PCA of that size.

    The sizes are those of the network's decoders. A decoder of several sizes is trained half of the
    time on its largest one, and otherwise on one of the others, drawn for each batch.
    """

    # One of many sizes may improve by less than its standard error.
    has_prefixes = True

    def _losses(
        self, model: Model, batch: ForwardPass, numbers: Iterable[int], *, draws: bool
    ) -> list[Tensor]:
        """Return the weighted losses of rows, of the decoders of these numbers and of the whole."""
        network = model.network
        assert isinstance(network, OrderedNetwork)
        sizes, losses = network.sizes, []
        scales = 1.0 / (network.pca_losses * (len(sizes) - 1 + _WHOLE))
        for number in numbers:
            n_columns, least = sizes[number], sizes[number - 1] + 1 if number else 1
            if draws and least < n_columns and self._draw(2):
                n_columns = least + self._draw(n_columns - least)
            output = network.decode(batch.code[..., :n_columns])
            losses.append(model.row_losses(output, batch.target) * scales[..., number])
        whole = model.row_losses(batch.output, batch.target) * scales[..., -1] * _WHOLE
        return [*losses, whole]

    def _of_sizes(self, model: Model, batch: ForwardPass) -> Tensor:
        """Return the loss of each size on a first axis, whose mean is the objective."""
        n_sizes = len(model.network.decoders)
        return torch.stack(self._losses(model, batch, range(n_sizes - 1), draws=False)) * n_sizes

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
        *prefixes, whole = (loss.mean(-1) for loss in losses)
        terms = {"reconstruction": whole}
        if prefixes:
            terms["prefixes"] = n_turns * torch.stack(prefixes).sum(0)
        for penalty in self.penalties:
            terms[penalty.name] = penalty.term(self.model, batch)
        return terms

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        batch = self.forward(inputs, target, generator)
        losses = self._of_sizes(self.model, batch)
        for penalty in self.penalties:
            losses = losses + penalty.term(self.model, batch)[..., None]
        return losses

    def losses_of_codes(self, model: Model, codes: Tensor, target: Tensor) -> Tensor:
        output = model.network.decode(codes)
        return self._of_sizes(model, ForwardPass(target, target, codes, output, None))

    @property
    def symmetry(self) -> CodeSymmetry:
        return super().symmetry & CodeSymmetry.TRIANGULAR

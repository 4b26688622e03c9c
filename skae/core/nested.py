"""The objective of an ordered code: reconstruction from the first columns and from all."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skae.core.autograd import Terms
from skae.core.criterion import CodeSymmetry, ForwardPass, Reconstruction
from skae.core.networks.ordered import OrderedNetwork

# Weight of the whole code, relative to that of each smaller size.
_WHOLE = 2.0


class NestedReconstruction(Reconstruction):
    """Mean over sizes of the loss of the first columns, relative to that of PCA of that size.

    The sizes are those of the network's decoders. A decoder of several sizes is trained half of the
    time on its largest one, and otherwise on one of the others, drawn for each batch.
    """

    def _losses(self, batch: ForwardPass, *, draws: bool) -> Iterator[Tensor]:
        """Yield the weighted loss of each row for each size, the whole code last."""
        network = self.model.network
        assert isinstance(network, OrderedNetwork)
        sizes = network.sizes
        scales = 1.0 / (network.pca_losses * (len(sizes) - 1 + _WHOLE))
        for number, size in enumerate(sizes[:-1]):
            n_columns, least = size, sizes[number - 1] + 1 if number else 1
            if draws and least < size and self._draw(2):
                n_columns = least + self._draw(size - least)
            output = network.decode(batch.code[..., :n_columns])
            yield self.model.row_losses(output, batch.target) * scales[..., number]
        yield self.model.row_losses(batch.output, batch.target) * scales[..., -1] * _WHOLE

    def _draw(self, n: int) -> int:
        generator = self.model.network.generator
        device = None if generator is None else generator.device
        return int(torch.randint(n, (), generator=generator, device=device))

    def terms(self, inputs: Tensor, target: Tensor) -> Terms:
        batch = self.forward(inputs, target, self.model.network.generator)
        *prefixes, whole = (losses.mean(-1) for losses in self._losses(batch, draws=True))
        terms = {"reconstruction": whole}
        if prefixes:
            terms["prefixes"] = torch.stack(prefixes).sum(0)
        for penalty in self.penalties:
            terms[penalty.name] = penalty.term(self.model, batch)
        return terms

    def measure(self, inputs: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of each size on a first axis, whose mean is the objective."""
        batch = self.forward(inputs, target, generator)
        losses = torch.stack(list(self._losses(batch, draws=False)))
        losses = losses * len(losses)
        for penalty in self.penalties:
            losses = losses + penalty.term(self.model, batch)[..., None]
        return losses

    @property
    def symmetry(self) -> CodeSymmetry:
        return super().symmetry & CodeSymmetry.TRIANGULAR

    @property
    def is_reconstruction_alone(self) -> bool:
        return False

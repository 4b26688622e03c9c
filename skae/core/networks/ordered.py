"""The network whose first columns are codes of their own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork
from skae.core.networks.dense import MLP, Dense, WeightInit

# Smallest share of the variance that a loss is divided by.
_LEAST_SHARE = 1e-3
# Weight of the whole code in refinement, relative to that of each smaller size. It is larger than
# in training: for a few columns, `truncated` refines another code.
_WHOLE_REFINED = 32.0


def prefix_sizes(n_components: int) -> list[int]:
    """Return the numbers of columns that have a decoder of their own, without `n_components`.

    They are the rounded powers of the square root of 2, and ``n_components - 1``. Another number of
    columns is decoded by the decoder of the next size.
    """
    powers = (round(2 ** (power / 2)) for power in range(2 * n_components.bit_length()))
    sizes = {size for size in powers if size < n_components} | {n_components - 1}
    return sorted(sizes - {0})


class OrderedNetwork(AutoencoderNetwork):
    """An autoencoder with a decoder for each of several numbers of leading columns of the code.

    One decoder for all numbers is worse at each: its units would have to serve codes that lack
    columns and codes that have them.

    Attributes
    ----------
    sizes : list of int
        Number of columns that each of `decoders` takes: `prefix_sizes`, and the whole code.
    pca_losses : Tensor of shape (n_models, 1, n_sizes), of shape (n_sizes,) without a model axis
        Share of the variance that PCA of each size leaves unexplained; 1 without a start at PCA.
    """

    pca_losses: Tensor

    def __init__(self, encoder: MLP, decoder: MLP, prefix_decoders: list[MLP]) -> None:
        super().__init__(encoder, decoder, "identity")
        self.prefix_decoders = nn.ModuleList(prefix_decoders)
        self.mlps, self.decoders = [encoder, decoder, *prefix_decoders], [*prefix_decoders, decoder]
        code = encoder.layers[-1].bias
        self.sizes = [*prefix_sizes(code.shape[-1]), code.shape[-1]]
        self.register_buffer("pca_losses", code.new_ones(len(code), 1, len(self.sizes)))
        are_dense = (type(layer) is Dense for part in self.decoders for layer in part.layers)
        self.has_dense_decoder = all(are_dense)

    def multiply_adds(self) -> int:
        """Return those of one decoder: they run in turn, so more would not pay a second thread."""
        of_others = sum(p.numel() for part in self.decoders[:-1] for p in part.parameters())
        return super().multiply_adds() - of_others

    def decode(self, code: Tensor) -> Tensor:
        """Return the output for the code, or for its leading columns."""
        number = bisect_left(self.sizes, code.shape[-1])
        n_missing = self.sizes[number] - code.shape[-1]
        return self.decoders[number](pad(code, (0, n_missing)) if n_missing else code)

    @property
    def prefix_weights(self) -> list[tuple[int, float]]:  # type: ignore[override]
        losses = self.pca_losses.flatten().tolist()
        sizes = zip(self.sizes[:-1], losses[:-1], strict=True)
        return [(size, losses[-1] / (_WHOLE_REFINED * loss)) for size, loss in sizes]

    def distances_to(
        self, target: Tensor
    ) -> Callable[[Tensor, Tensor | slice], tuple[Tensor, Tensor]]:
        """Return the loss that refinement lowers, and its gradient; see `MLP.distances_to`.

        It is the sum over sizes of the loss of the first columns, relative to that of PCA, divided
        by the weight of the whole code.
        """
        of_whole = self.decoder.distances_to(target)
        of_prefixes = [
            (size, weight, decoder.distances_to(target))
            for (size, weight), decoder in zip(self.prefix_weights, self.decoders, strict=False)
        ]

        def distances(code: Tensor, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
            losses, gradient = of_whole(code, rows)
            for size, weight, of_prefix in of_prefixes:
                own_losses, own_gradient = of_prefix(code[:, :size], rows)
                losses = losses.add_(own_losses, alpha=weight)
                gradient[:, :size].add_(own_gradient, alpha=weight)
            return losses, gradient

        return distances

    def init_from_pca(
        self,
        encode: Tensor,
        decode: Tensor,
        offset: Tensor | None,
        standard_deviations: Tensor,
        noise_variances: Tensor,
    ) -> None:
        super().init_from_pca(encode, decode, offset, standard_deviations, noise_variances)
        # In training units, the mean square of an entry is 1.
        explained = standard_deviations.square().cumsum(-1) / decode.shape[-1]
        losses = (1.0 - explained).clamp(_LEAST_SHARE, 1.0)
        last = [size - 1 for size in self.sizes]
        self.pca_losses = losses[:, None, last].to(self.pca_losses)
        for prefix_decoder, size in zip(self.decoders[:-1], self.sizes, strict=False):
            prefix_decoder.set_skip(decode[:, :size], offset)
            # As in `set_skips_to_pca`.
            prefix_decoder.scale = float(losses[-1, size - 1].sqrt())

    @torch.no_grad()
    def truncated(self, n_components: int) -> OrderedNetwork:
        """Return the network of the first columns of the code; this one has no model axis."""
        encoder, decoders = self.copy().encoder, []
        last = encoder.layers[-1]
        last.weight = nn.Parameter(last.weight[:, :n_components].clone())
        last.bias = nn.Parameter(last.bias[:n_components].clone())
        skip, bias = encoder.exact_skip
        if skip is not None:
            encoder.set_skip(skip[:, :n_components].clone(), bias)
        for size in [*prefix_sizes(n_components), n_components]:
            decoder = self.copy().decoders[bisect_left(self.sizes, size)]
            first = decoder.layers[0]
            first.weight = nn.Parameter(first.weight[:size].clone())
            skip, bias = decoder.exact_skip
            if skip is not None:
                decoder.set_skip(skip[:size].clone(), bias)
            decoders.append(decoder)
        network = OrderedNetwork(encoder, decoders[-1], decoders[:-1])
        numbers = [bisect_left(self.sizes, size) for size in network.sizes]
        network.pca_losses = self.pca_losses[numbers]
        network.architecture = replace(self.architecture, n_components=n_components)
        network.max_width = network.architecture.max_width()
        network.imputes_missing = self.imputes_missing
        return network.eval()


@dataclass(frozen=True)
class OrderedArchitecture(Architecture):
    """Architecture of an `OrderedNetwork`."""

    def n_weights(self) -> int:
        inner = [*self.hidden_layer_sizes[::-1], self.n_features]
        widths = [[size, *inner] for size in prefix_sizes(self.n_components)]
        return super().n_weights() + sum(a * b for sizes in widths for a, b in pairwise(sizes))

    def skip_shapes(self) -> dict[str, tuple[int, int]]:
        shapes = {
            f"prefix_decoders.{number}.": (size, self.n_features)
            for number, size in enumerate(prefix_sizes(self.n_components))
        }
        return super().skip_shapes() | shapes

    def join(self, encoder: MLP, decoder: MLP, init: WeightInit) -> OrderedNetwork:
        inner = [*self.hidden_layer_sizes[::-1], self.n_features]
        prefix_decoders = [
            MLP(init.layers([size, *inner], self.activation), self.activation, self.dropout)
            for size in prefix_sizes(self.n_components)
        ]
        return OrderedNetwork(encoder, decoder, prefix_decoders)

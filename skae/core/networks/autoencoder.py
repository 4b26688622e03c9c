"""The autoencoder network: encoder, decoder and the code activation between them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from skae.core.activations import ACTIVATIONS
from skae.core.networks.dense import MLP, Dense, WeightInit
from skae.core.optimizers import DEFAULT_LEARNING_RATES

# Buffers that have a model axis during training.
_MODEL_AXIS_BUFFERS = frozenset({"thresholds", "noise_variance", "pca_losses"})


def keep_largest(code: Tensor, n_active: int) -> Tensor:
    """Set all but the `n_active` largest entries of each row to 0."""
    values, units = code.topk(n_active, dim=-1, sorted=False)
    return torch.zeros_like(code).scatter(-1, units, values)


class Network(nn.Module):
    """Base class of networks, with what training needs to know of them.

    Attributes
    ----------
    mlps : list of MLP
        All parts that may have a skip connection.
    max_width : int
        Size of the largest layer output for one row.
    cost : int
        Result of `multiply_adds`, set by `NetworkInUnits.network_in`; otherwise 0.
    generator : torch.Generator or None
        Source of noise and dropout.
    """

    mlps: list[MLP]
    max_width: int
    cost: int = 0
    generator: torch.Generator | None = None

    @torch.no_grad()
    def select_model(self, model: int) -> Self:
        """Return a copy of one model, without the model axis."""
        return self._copy(lambda weight: weight[model], lambda bias: bias[model, 0])

    @torch.no_grad()
    def copy(self) -> Self:
        """Return a copy of all models, with parameters of their own."""
        return self._copy(lambda weight: weight, lambda bias: bias)

    @torch.no_grad()
    def with_model_axis(self) -> Self:
        """Return a copy with a model axis of length 1, for training."""
        return self._copy(lambda weight: weight[None], lambda bias: bias[None, None])

    def _copy(
        self, of_weight: Callable[[Tensor], Tensor], of_bias: Callable[[Tensor], Tensor]
    ) -> Self:
        memo: dict[int, object] = {id(self.generator): None}
        # A tied weight is listed once, and the memo keeps it a single tensor.
        for name, p in self.named_parameters():
            change = of_weight if name.endswith("weight") else of_bias
            memo[id(p)] = nn.Parameter(change(p.detach()).clone(), p.requires_grad)
        for name, buffer in self.named_buffers():
            if name.rpartition(".")[2] in _MODEL_AXIS_BUFFERS:
                memo[id(buffer)] = of_bias(buffer).clone()
        network = copy.deepcopy(self, memo)
        for mlp in network.mlps:
            weight, bias = mlp.exact_skip
            weight = None if weight is None else of_weight(weight)
            bias = None if bias is None or not of_bias(bias).any() else of_bias(bias)
            mlp.set_skip(weight, bias, mlp.layers[0].weight.dtype)
        return network

    def multiply_adds(self) -> int:
        """Return the approximate number of multiply-adds of the trained parameters per row."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def default_learning_rate(self, solver: str) -> float:
        """Return the learning rate for ``learning_rate_init="auto"``."""
        rate = DEFAULT_LEARNING_RATES[solver]
        # With the logarithm of counts as input, steps are smaller. A line search finds its own.
        takes_logarithm = self.mlps[0].input_map is not None and solver != "lbfgs"
        return rate / 3.0 if takes_logarithm else rate

    def impute(self, x: Tensor) -> Tensor:
        """Return x with missing entries replaced by the mean; x itself if none may be missing."""
        return x

    def set_generator(self, generator: torch.Generator | None) -> None:
        """Draw noise and dropout from this generator instead of torch's global one."""
        self.generator = generator
        for mlp in self.mlps:
            mlp.generator = generator


class AutoencoderNetwork(Network):
    """Encoder and decoder, with the code activation between them.

    The network takes X centred by its mean and divided by a single number. The output is in these
    units, too, or on the link scale if the loss has a link.

    Attributes
    ----------
    decoders : list of MLP
        All decoders; one of fewer inputs takes the first columns of the code.
    n_active : int or None
        Number of the largest code units to keep; the others are set to 0. None keeps all.
    is_code_linear : bool
        Whether the code layer has no activation and keeps all its units.
    code_scales_with_data : bool
        Whether the code is proportional to the data, so that it can have the units of X.
    has_dense_decoder : bool
        Whether decoding is an `MLP` of `Dense` layers and nothing else.
    prefix_weights : sequence of (int, float)
        Numbers of leading columns of the code whose reconstructions refinement lowers, too, and the
        weights of their losses relative to that of all columns.
    imputes_missing : bool
        Whether to replace NaN by the mean of its feature, which is 0 here.
    architecture : Architecture
        Architecture that the network was built from.
    """

    architecture: Architecture
    prefix_weights: Sequence[tuple[int, float]] = ()
    # Of a network with several decoders alone; see `MLP.distances_to`.
    distances_to: Callable[[Tensor], Callable[[Tensor, Tensor | slice], tuple[Tensor, Tensor]]]

    def __init__(
        self, encoder: MLP, decoder: MLP, code_activation: str, n_active: int | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.code_activation = code_activation
        self.n_active = n_active
        self.mlps, self.decoders = [encoder, decoder], [decoder]
        self.is_code_linear = code_activation == "identity" and n_active is None
        self.code_scales_with_data = code_activation in ("identity", "relu")
        is_mlp = type(self).decode is AutoencoderNetwork.decode and type(decoder) is MLP
        self.has_dense_decoder = is_mlp and all(type(layer) is Dense for layer in decoder.layers)
        self.imputes_missing = False

    def encode(self, x: Tensor) -> Tensor:
        code = self.units(x)
        return code if self.n_active is None else keep_largest(code, self.n_active)

    def units(self, x: Tensor) -> Tensor:
        """Return the activations of the code layer, before the largest are selected."""
        return ACTIVATIONS[self.code_activation].function(self.encoder(self.impute(x)))

    def impute(self, x: Tensor) -> Tensor:
        return x.nan_to_num(nan=0.0) if self.imputes_missing else x

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def init_from_pca(
        self,
        encode: Tensor,
        decode: Tensor,
        offset: Tensor | None,
        standard_deviations: Tensor,
        noise_variances: Tensor,
    ) -> None:
        """Set both skip connections to PCA, one per model. All tensors are float64.

        Parameters
        ----------
        encode : Tensor of shape (n_models, n_features, n_components)
        decode : Tensor of shape (n_models, n_components, n_features)
        offset : Tensor of shape (n_models, 1, n_features), or None
            The decoder's bias.
        standard_deviations : Tensor of shape (n_models, n_components)
            Standard deviations of the principal components.
        noise_variances : Tensor of shape (n_models, 1)
            Mean variance of the other directions. A network without a density ignores this and
            `standard_deviations`.
        """
        self.encoder.set_skip(encode, None)
        self.decoder.set_skip(decode, offset)

    @torch.no_grad()
    def map_code(self, forward: Tensor, inverse: Tensor, mean: Tensor) -> None:
        """Replace the code by ``(code - mean) forward`` without changing any reconstruction.

        All arguments and the network are float64. If there are several decoders, `forward` is upper
        triangular: the first columns of the code then depend on its first columns alone.
        """
        for decoder in self.decoders:
            first = decoder.layers[0]
            n_columns = first.weight.shape[-1 if first.transposed else -2]
            shift, mapped = mean[:n_columns], inverse[:n_columns, :n_columns]
            if first.transposed:  # the same tensor as in `last`, and `forward` is orthogonal
                first.bias.add_(shift @ first.weight.T)
            else:
                first.bias.add_(shift @ first.weight)
                first.weight.copy_(mapped @ first.weight)
            if decoder.skip is not None:
                bias = shift @ decoder.skip
                bias = bias if decoder.skip_bias is None else decoder.skip_bias + bias
                decoder.set_skip(mapped @ decoder.skip, bias if bias.any() else None)
        last = self.encoder.layers[-1]
        last.weight.copy_(last.weight @ forward)
        last.bias.copy_((last.bias - mean) @ forward)
        if self.encoder.skip is not None:
            assert self.encoder.skip_bias is None
            self.encoder.set_skip(self.encoder.skip @ forward, None)

    def copy_buffers_from(self, selected: AutoencoderNetwork) -> None:
        """Copy the thresholds or the noise variance, which `describe` set on `selected`."""
        for name, buffer in selected.named_buffers():
            if name in _MODEL_AXIS_BUFFERS:
                setattr(self, name, buffer[None, None].to(getattr(self, name)))

    def restore_skips(self) -> None:
        """Undo the rounding of the skip connections to the training precision."""
        for mlp in self.mlps:
            mlp.set_skip(*mlp.exact_skip)


@dataclass(frozen=True)
class Architecture:
    """Specification of a network, independent of the values of the data.

    Subclasses for other kinds of networks override `mlps` or `join`, and also `sizes`, `n_weights`
    and `max_width` where these differ.
    """

    n_features: int
    n_components: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str = "gelu"
    code_activation: str = "identity"
    tied_weights: bool = False
    dropout: float = 0.0
    n_active: int | None = None

    @property
    def sizes(self) -> list[int]:
        """Widths of the encoder's dense layers, from its input to the code."""
        return [self.n_features, *self.hidden_layer_sizes, self.n_components]

    def n_weights(self) -> int:
        """Return the number of weights of encoder and decoder, excluding biases."""
        n_weights = sum(n_in * n_out for n_in, n_out in pairwise(self.sizes))
        return n_weights if self.tied_weights else 2 * n_weights

    def max_width(self) -> int:
        """Return the size of the largest layer output for one row."""
        return max(self.sizes)

    def skip_shapes(self) -> dict[str, tuple[int, int]]:
        """Return the shapes of the skip connections, by the beginning of their names."""
        shape = self.n_features, self.n_components
        return {"encoder.": shape, "decoder.": shape[::-1]}

    def mlps(self, init: WeightInit) -> tuple[MLP, MLP]:
        """Build the encoder and the decoder."""
        encoder_layers = init.layers(self.sizes, self.activation)
        if self.tied_weights:
            decoder_layers = [
                Dense(layer.weight, transposed=True) for layer in encoder_layers[::-1]
            ]
        else:
            decoder_layers = init.layers(self.sizes[::-1], self.activation)
        return (
            MLP(encoder_layers, self.activation, self.dropout),
            MLP(decoder_layers, self.activation, self.dropout),
        )

    def join(self, encoder: MLP, decoder: MLP, init: WeightInit) -> AutoencoderNetwork:
        """Build the network from its encoder and decoder."""
        return AutoencoderNetwork(encoder, decoder, self.code_activation, self.n_active)


def build_network(
    architecture: Architecture,
    *,
    generator: torch.Generator | None,
    n_models: int = 1,
    zero_output: bool = False,
) -> AutoencoderNetwork:
    """Build a network with initial weights.

    Parameters
    ----------
    architecture : Architecture
    generator : torch.Generator or None
        Source of the weights; None leaves them at 0, to be filled.
    n_models : int
        Length of the model axis; all models start from the same weights.
    zero_output : bool
        Whether both MLPs output 0 at first, so that the skip connections alone determine the start.
    """
    init = WeightInit(generator, n_models, zero_output)
    encoder, decoder = architecture.mlps(init)
    network = architecture.join(encoder, decoder, init)
    network.architecture, network.max_width = architecture, architecture.max_width()
    if zero_output and architecture.tied_weights and architecture.hidden_layer_sizes:
        _cancel_constant(network.decoder)
    return network


@torch.no_grad()
def _cancel_constant(decoder: MLP) -> None:
    """Make the output of a tied decoder 0 at the start.

    Its first layer is the encoder's last one, which is 0, but its last layer is not 0. An
    activation that is not 0 at 0 (logistic) passes on a constant, which the bias subtracts.
    """
    first, last = decoder.layers[0], decoder.layers[-1]
    code = first.weight.new_zeros(len(first.weight), 1, first.weight.shape[-1])
    last.bias.sub_(decoder.eval()(code))
    decoder.train()

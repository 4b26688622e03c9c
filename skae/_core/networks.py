"""Encoder and decoder: multilayer perceptrons, each with an optional linear path beside it.

Every module also trains several models of one shape at once: with a leading model axis, weights
are ``(models, in, out)``, biases ``(models, 1, out)`` and batches ``(models, rows, columns)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def identity(x: Tensor) -> Tensor:
    """Return x itself: the activation of a linear layer."""
    return x


def keep_largest(code: Tensor, n_active: int) -> Tensor:
    """Set all but the `n_active` largest entries of each row to 0."""
    values, units = code.topk(n_active, dim=-1, sorted=False)
    return torch.zeros_like(code).scatter(-1, units, values)


Corruption = Callable[[Tensor, torch.Generator], Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": identity,
    "relu": torch.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
}


class Dense(nn.Module):
    """``x W + b``, or ``x W^T + b`` where `transposed` (a tied decoder layer).

    W is stored ``(in, out)``, as scikit-learn's `coefs_` are: without the transpose of
    `nn.Linear`, a small training step is a fifth faster.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, weight: Tensor, bias: Tensor, *, transposed: bool = False) -> None:
        super().__init__()
        self.weight = weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.transposed = transposed

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.mT if self.transposed else self.weight
        if weight.ndim == 2:
            return torch.addmm(self.bias, x, weight)
        return torch.baddbmm(self.bias, x, weight)


class Perceptron(nn.Module):
    """``scale * mlp(x) + x S + offset``: one half of an autoencoder.

    Parameters
    ----------
    layers : sequence of Dense
    activation : str
        Between the layers; the last layer has none.
    dropout : float
        Probability with which a hidden unit is set to 0 while training.
    """

    shortcut: Tensor | None
    offset: Tensor | None
    layers: Sequence[Dense]

    def __init__(self, layers: Sequence[Dense], activation: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)  # type: ignore[assignment]
        self.activation = activation
        self.dropout = dropout
        self.generator: torch.Generator | None = None
        self.scale = 1.0
        # Fixed, not trained: weight decay then pulls the network towards PCA and not towards 0,
        # and the start stays PCA to the last bit. A trained linear path reached the same errors.
        self.register_buffer("shortcut", None)
        self.register_buffer("offset", None)
        self.exact_linear_path: tuple[Tensor | None, Tensor | None] = (None, None)

    def set_linear_path(
        self,
        shortcut: Tensor | None,
        offset: Tensor | None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Lay ``x shortcut + offset`` beside the layers; both float64, on any device.

        Until `restore_linear_paths`, they may be used in another `dtype`: not every device has
        float64.
        """
        self.exact_linear_path = (shortcut, offset)
        device = next(self.parameters()).device
        self.shortcut, self.offset = (
            None if part is None else part.to(device=device, dtype=dtype)
            for part in self.exact_linear_path
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(x), x)

    def all_layers(self) -> list[nn.Module]:
        """Return whatever has weights, from the input on."""
        return list(self.layers)

    @property
    def is_linear(self) -> bool:
        """Whether the output is a linear function of the input."""
        return len(self.layers) == 1

    @torch.no_grad()
    def ignore(self, inputs: Tensor) -> None:
        """Give no weight to these inputs, a mask."""
        self.layers[0].weight[..., inputs, :] = 0.0

    def heed(self, inputs: Tensor) -> None:
        """Ignore these inputs no longer, a mask. A weight of 0 learns without being told."""

    def ignores(self) -> Tensor:
        """Return which inputs have no weight, a mask."""
        ignored = ~self.layers[0].weight.any(-1)
        return ignored if self.shortcut is None else ignored & ~self.shortcut.any(-1)

    @torch.no_grad()
    def silence(self) -> None:
        """Make the layers' output the same for every input."""
        if not self.layers[-1].transposed:  # tied weights are the encoder's too
            self.layers[-1].weight.zero_()

    def hidden(self, x: Tensor) -> Tensor:
        """Return the activations of the last hidden layer; x itself where there is none."""
        activation = ACTIVATIONS[self.activation]
        y = x
        for layer in self.layers[:-1]:
            y = self.dropped(activation(layer(y)))
        return y

    def dropped(self, y: Tensor) -> Tensor:
        """Set some units to 0 in training, and enlarge the others to make up for them."""
        if not self.dropout or not self.training:
            return y
        kept = torch.empty_like(y).bernoulli_(1 - self.dropout, generator=self.generator)
        return y * kept.div_(1 - self.dropout)

    def output(self, hidden: Tensor, x: Tensor) -> Tensor:
        """Return the output from the last hidden layer and the input."""
        return self.add_linear_path(self.layers[-1](hidden), x)

    def add_linear_path(self, y: Tensor, x: Tensor) -> Tensor:
        """Return ``scale * y + x S + offset``, y being what the layers make of x."""
        if y.dtype is torch.bfloat16:
            # Only the layers are of reduced precision: the start stays PCA.
            with torch.autocast(y.device.type, enabled=False):
                return self.add_linear_path(y.float(), x.float())
        if self.shortcut is not None:
            if x.ndim == 2:
                y = torch.addmm(y, x, self.shortcut, beta=self.scale)
            else:
                y = torch.add(x @ self.shortcut, y, alpha=self.scale)
        return y if self.offset is None else y + self.offset


class Network(nn.Module):
    """What a training needs of a network."""

    def n_products(self) -> int:
        """Return about how many multiplications a row takes on its way through what is trained."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def widest(self) -> int:
        """Return the most numbers that a layer makes of a row."""
        raise NotImplementedError

    def set_generator(self, generator: torch.Generator | None) -> None:
        """Draw noise and dropout from this generator, so that torch's own is left alone."""
        raise NotImplementedError


class AutoencoderNetwork(Network):
    """Encoder and decoder, with the activation of the code between them.

    Training runs on X centred by its mean and divided by one scalar; the code and the output are
    in those units. `skae._base` turns both into the units of X.

    Attributes
    ----------
    n_active : int or None
        Keep this many of the largest code units and set the others to 0; None keeps all.
    fills_missing : bool
        Take NaN for the mean of its feature, which is 0 here.
    corruption : callable or None
        ``(x, generator) -> x``: what training does to the input, and not to the target.
    architecture : Architecture
        What `build_network` made it of.
    """

    architecture: Architecture

    def __init__(
        self,
        encoder: Perceptron,
        decoder: Perceptron,
        code_activation: str,
        n_active: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.code_activation = code_activation
        self.n_active = n_active
        self.fills_missing = False
        self.corruption: Corruption | None = None
        self.generator: torch.Generator | None = None

    def widest(self) -> int:
        return self.architecture.widest()

    @property
    def code_scales_with_data(self) -> bool:
        """Whether the code grows as the data does, so that it can be in the units of X."""
        return self.code_activation in ("identity", "relu")

    @property
    def perceptrons(self) -> list[Perceptron]:
        """All parts that may have a linear path."""
        return [self.encoder, self.decoder]

    def encode(self, x: Tensor) -> Tensor:
        code = self.units(x)
        return code if self.n_active is None else keep_largest(code, self.n_active)

    def units(self, x: Tensor) -> Tensor:
        """Return the activations of the code layer, before the largest are picked."""
        return ACTIVATIONS[self.code_activation](self.encoder(self.filled(x)))

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(self.seen(x)))

    def filled(self, x: Tensor) -> Tensor:
        """Return x without its missing entries."""
        return x.nan_to_num(nan=0.0) if self.fills_missing else x

    def seen(self, x: Tensor) -> Tensor:
        """Return what the encoder sees of x: in training, something corrupted."""
        x = self.filled(x)
        if self.corruption is None or not self.training:
            return x
        assert self.generator is not None
        return self.corruption(x, self.generator)

    def restore_linear_paths(self) -> None:
        """Undo the rounding of the linear paths to the precision of the training."""
        for perceptron in self.perceptrons:
            perceptron.set_linear_path(*perceptron.exact_linear_path)

    def set_generator(self, generator: torch.Generator | None) -> None:
        self.generator = generator
        for perceptron in self.perceptrons:
            perceptron.generator = generator


class VariationalNetwork(AutoencoderNetwork):
    """An encoder that gives a normal distribution of codes, of which the code is the mean.

    Attributes
    ----------
    spread : Perceptron
        Last hidden layer of the encoder to the log-variances of the code.
    noise_variance : Tensor of shape (1,) or (n_models, 1), or None
        Of a normal likelihood, in training units: that of the held-out rows where there are any,
        else of all rows, once training is over.
    """

    noise_variance: Tensor | None

    def __init__(self, encoder: Perceptron, decoder: Perceptron, spread: Perceptron) -> None:
        super().__init__(encoder, decoder, "identity")
        self.spread = spread
        self.register_buffer("noise_variance", None)

    @property
    def code_scales_with_data(self) -> bool:
        """The prior is the code's unit."""
        return False

    @property
    def perceptrons(self) -> list[Perceptron]:
        return [*super().perceptrons, self.spread]

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the code of each row."""
        hidden = self.encoder.hidden(x)
        return self.encoder.output(hidden, x), self.spread(hidden)


@dataclass(frozen=True)
class Architecture:
    """All that fixes the shape of a network, apart from the data.

    A network of another kind is a subclass that overrides `halves` or `join`, and `sizes`,
    `n_weights` and `widest` where they differ.
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
        """Widths of the encoder's dense layers, from their input to the code."""
        return [self.n_features, *self.hidden_layer_sizes, self.n_components]

    def n_weights(self) -> int:
        """Return the number of weights of encoder and decoder, biases left out."""
        n_weights = sum(n_in * n_out for n_in, n_out in pairwise(self.sizes))
        return n_weights if self.tied_weights else 2 * n_weights

    def widest(self) -> int:
        """Return the most numbers that a layer makes of a row."""
        return max(self.sizes)

    def halves(self, weights: Weights) -> tuple[Perceptron, Perceptron]:
        """Make encoder and decoder."""
        encoder_layers = weights.chain(self.sizes, self.activation)
        if self.tied_weights:
            decoder_layers = [
                Dense(layer.weight, weights.bias(n_out), transposed=True)
                for layer, n_out in zip(encoder_layers[::-1], self.sizes[-2::-1], strict=True)
            ]
        else:
            decoder_layers = weights.chain(self.sizes[::-1], self.activation)
        return (
            Perceptron(encoder_layers, self.activation, self.dropout),
            Perceptron(decoder_layers, self.activation, self.dropout),
        )

    def join(
        self, encoder: Perceptron, decoder: Perceptron, weights: Weights
    ) -> AutoencoderNetwork:
        """Make a network of the two."""
        return AutoencoderNetwork(encoder, decoder, self.code_activation, self.n_active)


@dataclass(frozen=True)
class VariationalArchitecture(Architecture):
    """Of a `VariationalNetwork`."""

    def join(
        self, encoder: Perceptron, decoder: Perceptron, weights: Weights
    ) -> VariationalNetwork:
        n_in, n_out = self.sizes[-2:]
        spread = weights.dense(n_in, n_out)
        with torch.no_grad():
            spread.weight.zero_()  # every row starts with the same variances
        return VariationalNetwork(encoder, decoder, Perceptron([spread], "identity"))


@dataclass(frozen=True)
class Weights:
    """Draws fresh weights.

    Attributes
    ----------
    generator : torch.Generator
        Models of one network start alike.
    n_models : int or None
        Length of the leading model axis; None for no such axis.
    start_at_zero : bool
        Make the last layer of a chain 0.
    """

    generator: torch.Generator
    n_models: int | None = None
    start_at_zero: bool = False

    def bias(self, n_out: int) -> Tensor:
        """Return the zeros that biases start at."""
        shape = (n_out,) if self.n_models is None else (self.n_models, 1, n_out)
        return torch.zeros(shape, dtype=torch.float32)

    def dense(self, n_in: int, n_out: int, activation: str = "identity") -> Dense:
        """Make a layer that, with the activation after it, keeps the variance of a signal."""
        # He et al. (2015) where half of the signal is cut off, LeCun et al. (1998) elsewhere.
        gain = 2.0 if activation in ("relu", "gelu", "silu") else 1.0
        weight = torch.empty(n_in, n_out, dtype=torch.float32)
        return self._dense(weight.normal_(0.0, math.sqrt(gain / n_in), generator=self.generator))

    def chain(self, sizes: Sequence[int], activation: str) -> list[Dense]:
        """Make layers from size to size, with the activation after all but the last."""
        *inner, last = pairwise(sizes)
        layers = [self.dense(n_in, n_out, activation) for n_in, n_out in inner]
        if self.start_at_zero:
            return [*layers, self._dense(torch.zeros(last, dtype=torch.float32))]
        return [*layers, self.dense(*last)]

    def _dense(self, weight: Tensor) -> Dense:
        batch = () if self.n_models is None else (self.n_models,)
        return Dense(weight.expand(*batch, *weight.shape).clone(), self.bias(weight.shape[1]))


def build_network(
    architecture: Architecture,
    *,
    generator: torch.Generator,
    n_models: int | None = None,
    start_at_zero: bool = False,
) -> AutoencoderNetwork:
    """Make a network with fresh weights.

    Parameters
    ----------
    architecture : Architecture
    generator : torch.Generator
        Source of the weights. Models of one network start alike.
    n_models : int or None
        Length of the leading model axis; None for no such axis.
    start_at_zero : bool
        Make both perceptrons 0 everywhere, so that a linear path beside them decides the start.
    """
    weights = Weights(generator, n_models, start_at_zero)
    encoder, decoder = architecture.halves(weights)
    network = architecture.join(encoder, decoder, weights)
    network.architecture = architecture
    if start_at_zero and architecture.tied_weights and architecture.hidden_layer_sizes:
        _cancel_at_zero(network.decoder)
    return network


@torch.no_grad()
def _cancel_at_zero(decoder: Perceptron) -> None:
    """Make a tied decoder 0 at the start.

    Its first layer is the encoder's last and 0 already, but its last layer is not: with an
    activation that is not 0 at 0 (logistic), a constant comes through, and the bias takes it off.
    """
    first, last = decoder.layers[0], decoder.layers[-1]
    shape = (*first.weight.shape[:-2], 1, first.weight.shape[-1])
    code = first.weight.new_zeros(shape)
    last.bias.sub_(decoder.eval()(code).reshape(last.bias.shape))
    decoder.train()


@torch.no_grad()
def select_model(network: AutoencoderNetwork, model: int) -> AutoencoderNetwork:
    """Drop the model axis in place, keeping one model; weights get memory of their own."""
    kept: dict[nn.Parameter, nn.Parameter] = {}
    for module in network.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            if old not in kept:
                value = old[model] if old.ndim > 2 else old
                value = value[0] if name != "weight" and value.ndim == 2 else value
                kept[old] = nn.Parameter(value.detach().clone())
            setattr(module, name, kept[old])
    for perceptron in network.perceptrons:
        shortcut, offset = perceptron.exact_linear_path
        if shortcut is not None and shortcut.ndim == 3:
            shortcut = shortcut[model]
        if offset is not None and offset.ndim == 3:
            offset = offset[model, 0] if offset[model].any() else None
        perceptron.set_linear_path(shortcut, offset, network.encoder.layers[0].weight.dtype)
    return network

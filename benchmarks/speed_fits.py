"""The fits that `benchmarks.speed` times: skae, other libraries and loops by hand.

A fit is called with a problem, its rows and a number of epochs. All fits of a problem train the
same network with squared error, Adam and no weight decay. The networks have relu in the hidden
layers. scikit-learn's `MLPRegressor` cannot have a linear code, so its code has a relu too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from skae import Autoencoder, ContractiveAutoencoder, ConvolutionalAutoencoder
from skae.base import BaseAutoencoder

LEARNING_RATE = 1e-3
STEPS_PER_EPOCH = 20
SIDE = 28  # of the images
CHANNELS = tuple(ConvolutionalAutoencoder().channels)


@dataclass(frozen=True)
class Problem:
    """A network and its data.

    Attributes
    ----------
    kind : str
        A key of `METHODS`: the size of a dense network, or another kind of network.
    widths : tuple of int
        Widths of the encoder's dense layers and of the rows; the decoder mirrors them.
    batch_size : int
    n_steps : int
        Difference in steps between a long and a short fit.
    one_thread : bool
    """

    kind: str
    widths: tuple[int, ...]
    batch_size: int
    n_steps: int
    one_thread: bool = False

    @property
    def all_widths(self) -> tuple[int, ...]:
        return (*self.widths, *self.widths[-2::-1])

    @property
    def network(self) -> str:
        """Name of the network in the table."""
        if self.kind == "convolutional":
            return f"{SIDE}x{SIDE}-{'-'.join(map(str, CHANNELS))}-{self.widths[-1]} convolutional"
        name = "-".join(map(str, self.widths))
        return f"{name} contractive" if self.kind == "contractive" else name

    def data(self) -> np.ndarray:
        """Return noisy rows near a plane. The time of a step does not depend on the values."""
        rng = np.random.default_rng(0)
        shape = self.batch_size * STEPS_PER_EPOCH, self.widths[-1]
        X = rng.normal(size=shape) @ rng.normal(size=(shape[1], self.widths[0]))
        return (X + 0.1 * rng.normal(size=X.shape)).astype(np.float32)


Fit = Callable[[Problem, np.ndarray, int], Any]


def fit_skae(
    problem: Problem,
    X: np.ndarray,
    epochs: int,
    estimator: type[BaseAutoencoder] = Autoencoder,
    **parameters: Any,
) -> BaseAutoencoder:
    return estimator(
        problem.widths[-1],
        hidden_layer_sizes=problem.widths[1:-1],
        activation="relu",
        shortcut=None,
        early_stopping=False,
        weight_decay=0.0,
        learning_rate_init=LEARNING_RATE,
        batch_size=problem.batch_size,
        max_iter=epochs,
        device="cpu",
        random_state=0,
        **parameters,
    ).fit(X)


fit_convolutional = partial(
    fit_skae, estimator=ConvolutionalAutoencoder, image_shape=(SIDE, SIDE), channels=CHANNELS
)


def build_layers(problem: Problem) -> nn.Sequential:
    """Build the mirrored perceptron: relu in the hidden layers, linear code and output."""
    layers: list[nn.Module] = []
    widths = problem.all_widths
    code = len(widths) // 2 - 1
    for i, (before, after) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(before, after))
        if i not in (code, len(widths) - 2):
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def build_convolutions(problem: Problem, *, transposed: bool = False) -> nn.Sequential:
    """Build the convolutional network from torch's modules.

    A resize with a 3 x 3 convolution is a transposed convolution with a restricted 4 x 4 kernel. If
    `transposed`, these kernels are free: a network with more parameters, but fewer operations.
    """
    code, channels = problem.widths[-1], (1, *CHANNELS)
    side = SIDE // 2 ** len(CHANNELS)
    smallest = (channels[-1], side, side)
    layers: list[nn.Module] = [nn.Unflatten(1, (1, SIDE, SIDE))]
    for pair in pairwise(channels):
        layers += [nn.Conv2d(*pair, 3, stride=2, padding=1), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(math.prod(smallest), code)]
    layers += [nn.Linear(code, math.prod(smallest)), nn.Unflatten(1, smallest)]
    for pair in pairwise(channels[::-1]):
        layers.append(nn.ReLU())
        if transposed:
            layers.append(nn.ConvTranspose2d(*pair, 4, stride=2, padding=1))
        else:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(*pair, 3, padding=1)]
    return nn.Sequential(*layers, nn.Flatten())


def fit_skorch(problem: Problem, X: np.ndarray, epochs: int) -> None:
    from skorch import NeuralNetRegressor  # the report does not need it

    NeuralNetRegressor(
        build_layers(problem),
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        optimizer__weight_decay=0.0,
        lr=LEARNING_RATE,
        batch_size=problem.batch_size,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks="disable",
        verbose=0,
    ).fit(X, X)


def fit_scikit_learn(problem: Problem, X: np.ndarray, epochs: int) -> None:
    MLPRegressor(
        hidden_layer_sizes=problem.all_widths[1:-1],
        activation="relu",
        solver="adam",
        alpha=0.0,
        learning_rate_init=LEARNING_RATE,
        batch_size=problem.batch_size,
        max_iter=epochs,
        early_stopping=False,
        tol=0.0,
        n_iter_no_change=np.inf,
        random_state=0,
    ).fit(X, X)


def descend(network: nn.Module, batches: Callable[[], Iterable[Tensor]], epochs: int) -> None:
    """Train a network with torch's optimizer; `batches` is called once an epoch."""
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True
    )
    for _ in range(epochs):
        for batch in batches():
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(batch), batch)
            loss.backward()
            optimizer.step()


def shuffled(data: Tensor, batch_size: int) -> Iterable[Tensor]:
    """Yield the rows in random order, in batches."""
    return (data[rows] for rows in torch.randperm(len(data)).split(batch_size))


def fit_loader_loop(problem: Problem, X: np.ndarray, epochs: int) -> None:
    data = TensorDataset(torch.from_numpy(X))
    loader = DataLoader(data, batch_size=problem.batch_size, shuffle=True)
    descend(build_layers(problem), lambda: (batch for (batch,) in loader), epochs)


def fit_plain_loop(
    problem: Problem,
    X: np.ndarray,
    epochs: int,
    build: Callable[[Problem], nn.Module] = build_layers,
) -> None:
    batches = partial(shuffled, torch.from_numpy(X), problem.batch_size)
    descend(build(problem), batches, epochs)


class HandWritten:
    """A lower bound on the time: preallocated buffers, derivatives by hand, one optimiser call.

    It computes the gradient of the loss, but not the loss.
    """

    def __init__(self, problem: Problem) -> None:
        widths, rows = problem.all_widths, problem.batch_size
        layers = build_layers(problem)
        parameters = list(layers.parameters())
        self.values = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradients = torch.zeros_like(self.values)
        sizes = [p.numel() for p in parameters]
        views, gradient_views = (
            [part.view(p.shape) for part, p in zip(flat.split(sizes), parameters, strict=True)]
            for flat in (self.values, self.gradients)
        )
        self.transposed = [weight.t() for weight in views[::2]]
        self.weights, self.biases = views[::2], views[1::2]
        self.weight_gradients, self.bias_gradients = gradient_views[::2], gradient_views[1::2]
        self.outputs = [torch.empty(rows, width) for width in widths[1:]]
        self.deltas = [torch.empty(rows, width) for width in widths[1:]]
        self.deltas_transposed = [delta.t() for delta in self.deltas]
        code, last = len(widths) // 2 - 1, len(widths) - 2
        self.has_relu = [layer not in (code, last) for layer in range(last + 1)]
        self.factor = 2.0 / (rows * widths[-1])
        self.means = torch.zeros_like(self.values)
        self.squares = torch.zeros_like(self.values)
        self.step_number = torch.zeros(())

    def differentiate(self, batch: Tensor) -> None:
        """Write the gradient of the mean squared error into `gradients`."""
        before = batch
        for i, output in enumerate(self.outputs):
            torch.addmm(self.biases[i], before, self.transposed[i], out=output)
            if self.has_relu[i]:
                output.relu_()
            before = output
        torch.sub(before, batch, out=self.deltas[-1]).mul_(self.factor)
        for i in range(len(self.outputs) - 1, -1, -1):
            delta = self.deltas[i]
            if self.has_relu[i]:
                torch.ops.aten.threshold_backward.grad_input(
                    delta, self.outputs[i], 0, grad_input=delta
                )
            below = self.outputs[i - 1] if i else batch
            torch.mm(self.deltas_transposed[i], below, out=self.weight_gradients[i])
            torch.sum(delta, 0, out=self.bias_gradients[i])
            if i:
                torch.mm(delta, self.weights[i], out=self.deltas[i - 1])

    def step(self, batch: Tensor) -> None:
        """Compute the gradient and update the parameters."""
        self.differentiate(batch)
        self.step_number.add_(1)
        torch._fused_adamw_(
            [self.values],
            [self.gradients],
            [self.means],
            [self.squares],
            [],
            [self.step_number],
            lr=LEARNING_RATE,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


def fit_hand_written(problem: Problem, X: np.ndarray, epochs: int) -> None:
    network = HandWritten(problem)
    data = torch.from_numpy(X)
    with torch.inference_mode():
        for _ in range(epochs):
            for batch in data[torch.randperm(len(data))].split(problem.batch_size):
                network.step(batch)


def check_hand_written(problem: Problem, X: np.ndarray) -> None:
    """Check the hand-written gradient against autograd."""
    network = HandWritten(problem)
    batch = torch.from_numpy(X[: problem.batch_size])
    network.differentiate(batch)
    layers = build_layers(problem)
    nn.utils.vector_to_parameters(network.values, layers.parameters())
    nn.functional.mse_loss(layers(batch), batch).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in layers.parameters()])
    torch.testing.assert_close(network.gradients, expected, rtol=1e-3, atol=1e-5)


def check_convolutions(problem: Problem, X: np.ndarray) -> None:
    """Check that the plain network has skae's parameters, and with the same values its output."""
    batch = X[: problem.batch_size]
    fitted = fit_convolutional(problem, batch, 1)._model.network_in(torch.float32)
    encoder, decoder = fitted.encoder, fitted.decoder
    stages = [*encoder.convolutions, *encoder.layers, *decoder.layers, *decoder.convolutions]
    plain = build_convolutions(problem)
    own = [module for module in plain if isinstance(module, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for module, stage in zip(own, stages, strict=True):
            assert sum(p.numel() for p in module.parameters()) == sum(
                p.numel() for p in stage.parameters()
            )
            is_convolution = isinstance(module, nn.Conv2d)
            module.weight.copy_(stage.kernels() if is_convolution else stage.weight.T)
            module.bias.copy_(stage.bias)
        rows = torch.from_numpy(batch)
        torch.testing.assert_close(plain(rows), fitted(rows), rtol=1e-3, atol=1e-4)


CHECKS: dict[str, Callable[[Problem, np.ndarray], None]] = {
    "small": check_hand_written,
    "middle": check_hand_written,
    "large": check_hand_written,
    "convolutional": check_convolutions,
}
DENSE: dict[str, Fit] = {
    "skae": fit_skae,
    "skorch": fit_skorch,
    "MLPRegressor": fit_scikit_learn,
    "DataLoader loop": fit_loader_loop,
    "plain loop": fit_plain_loop,
    "hand-written": fit_hand_written,
}
# By kind of problem. The times of all methods are relative to the first, "skae".
METHODS: dict[str, dict[str, Fit]] = {
    "small": DENSE,
    "middle": DENSE,
    "large": {
        "skae": fit_skae,
        "skae bfloat16": partial(fit_skae, precision="bfloat16"),
        **DENSE,
    },
    "convolutional": {
        "skae": fit_convolutional,
        "plain loop": partial(fit_plain_loop, build=build_convolutions),
        "transposed loop": partial(
            fit_plain_loop, build=partial(build_convolutions, transposed=True)
        ),
    },
    "contractive": {
        "skae": partial(fit_skae, estimator=ContractiveAutoencoder),
        "without penalty": partial(fit_skae, tied_weights=True),
    },
}

"""How long is a training step? The same network and batches through five implementations.

Every method trains the mirrored network with relu, squared error, Adam and no weight decay, in
float32. A method's step is the time of a long fit less that of a short one, over the difference in
steps, so set-up does not count (it stands beside). Methods take turns, round after round, and
ratios come from the medians of paired rounds: a busy machine slows all of them alike.

scikit-learn's `MLPRegressor` alone has a relu on the code too; it has no other choice.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from skorch import NeuralNetRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import record
from skae import Autoencoder
from skae._core.numerics import bfloat16_units

LEARNING_RATE = 1e-3
STEPS_AN_EPOCH = 20


@dataclass(frozen=True)
class Problem:
    """A network and its data.

    Attributes
    ----------
    size : str
    widths : tuple of int
        Of the encoder, input and code included; the decoder mirrors them.
    batch_size : int
    n_steps : int
        Steps by which a long fit exceeds a short one.
    one_thread : bool
    """

    size: str
    widths: tuple[int, ...]
    batch_size: int
    n_steps: int
    one_thread: bool

    @property
    def all_widths(self) -> tuple[int, ...]:
        return (*self.widths, *self.widths[-2::-1])

    def data(self) -> np.ndarray:
        """Rows near a plane, with noise; any other numbers would take as long."""
        rng = np.random.default_rng(0)
        shape = self.batch_size * STEPS_AN_EPOCH, self.widths[-1]
        X = rng.normal(size=shape) @ rng.normal(size=(shape[1], self.widths[0]))
        return (X + 0.1 * rng.normal(size=X.shape)).astype(np.float32)


PROBLEMS = (
    Problem("small", (13, 32, 4), 64, 1000, one_thread=True),
    Problem("small", (13, 32, 4), 256, 1000, one_thread=True),
    Problem("middle", (64, 256, 128, 8), 64, 300, one_thread=True),
    Problem("middle", (64, 256, 128, 8), 256, 200, one_thread=True),
    Problem("large", (784, 512, 256, 32), 64, 80, one_thread=False),
    Problem("large", (784, 512, 256, 32), 256, 60, one_thread=False),
)


def build_layers(widths: Sequence[int]) -> nn.Sequential:
    """Build the mirrored perceptron, relu between layers, code and output linear."""
    layers: list[nn.Module] = []
    code = len(widths) // 2 - 1
    for i, (before, after) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(before, after))
        if i not in (code, len(widths) - 2):
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def fit_skae(problem: Problem, X: np.ndarray, epochs: int, precision: str = "float32") -> None:
    Autoencoder(
        problem.widths[-1],
        hidden_layer_sizes=problem.widths[1:-1],
        activation="relu",
        shortcut=None,
        early_stopping=False,
        weight_decay=0.0,
        learning_rate_init=LEARNING_RATE,
        batch_size=problem.batch_size,
        max_iter=epochs,
        precision=precision,
        device="cpu",
        random_state=0,
    ).fit(X)


def fit_skae_bfloat16(problem: Problem, X: np.ndarray, epochs: int) -> None:
    fit_skae(problem, X, epochs, "bfloat16")


def fit_skorch(problem: Problem, X: np.ndarray, epochs: int) -> None:
    NeuralNetRegressor(
        build_layers(problem.all_widths),
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


def fit_loader_loop(problem: Problem, X: np.ndarray, epochs: int) -> None:
    network = build_layers(problem.all_widths)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True
    )
    loader = DataLoader(
        TensorDataset(torch.from_numpy(X)), batch_size=problem.batch_size, shuffle=True
    )
    for _ in range(epochs):
        for (batch,) in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(batch), batch)
            loss.backward()
            optimizer.step()


class HandWritten:
    """The floor: every buffer laid out beforehand, derivatives by hand, one optimiser call.

    It does not even compute the loss, only its gradient.
    """

    def __init__(self, problem: Problem) -> None:
        widths, rows = problem.all_widths, problem.batch_size
        layers = build_layers(widths)
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
        """Leave the gradient of the mean squared error in `gradients`."""
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
        """Differentiate and update."""
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
    floor = HandWritten(problem)
    data = torch.from_numpy(X)
    with torch.inference_mode():
        for _ in range(epochs):
            for batch in data[torch.randperm(len(data))].split(problem.batch_size):
                floor.step(batch)


def check_hand_written(problem: Problem, X: np.ndarray) -> None:
    """Compare the hand-written gradient with autograd's: a wrong floor is no floor."""
    floor = HandWritten(problem)
    batch = torch.from_numpy(X[: problem.batch_size])
    floor.differentiate(batch)
    layers = build_layers(problem.all_widths)
    nn.utils.vector_to_parameters(floor.values, layers.parameters())
    nn.functional.mse_loss(layers(batch), batch).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in layers.parameters()])
    torch.testing.assert_close(floor.gradients, expected, rtol=1e-3, atol=1e-5)


METHODS: dict[str, Callable[[Problem, np.ndarray, int], None]] = {
    "skae": fit_skae,
    "skae bfloat16": fit_skae_bfloat16,
    "skorch": fit_skorch,
    "MLPRegressor": fit_scikit_learn,
    "DataLoader loop": fit_loader_loop,
    "hand-written": fit_hand_written,
}
# How many times as long as ours a step must take at least, by size.
AT_LEAST = {
    "skorch": {"small": 5.0, "middle": 2.5, "large": 1.7},
    "MLPRegressor": {"small": 1.0, "middle": 1.0, "large": 1.0},
    "hand-written": {"small": 1 / 2.3, "large": 1 / 1.25},
}


def seconds_of(
    fit: Callable[[Problem, np.ndarray, int], None], problem: Problem, X: np.ndarray, epochs: int
) -> float:
    start = time.perf_counter()
    fit(problem, X, epochs)
    return time.perf_counter() - start


def measure(problem: Problem, n_rounds: int) -> list[dict[str, Any]]:
    """Let all methods take turns on a problem.

    Returns
    -------
    rows : list of dict
        One a method, times in microseconds a step.
    """
    X = problem.data()
    check_hand_written(problem, X)
    methods = {
        name: fit
        for name, fit in METHODS.items()
        if problem.size == "large" or name != "skae bfloat16"
    }
    more_epochs = max(1, problem.n_steps // STEPS_AN_EPOCH)
    steps: dict[str, list[float]] = {name: [] for name in methods}
    short_fits: dict[str, list[float]] = {name: [] for name in methods}
    for fit in methods.values():  # allocators and code paths warm up
        fit(problem, X, 1)
    for _ in range(n_rounds):
        for name, fit in methods.items():
            short = seconds_of(fit, problem, X, 1)
            long = seconds_of(fit, problem, X, 1 + more_epochs)
            steps[name].append(1e6 * (long - short) / (more_epochs * STEPS_AN_EPOCH))
            short_fits[name].append(1e3 * short)
    rows = []
    for name in methods:
        median = statistics.median(steps[name])
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(steps[name], steps["skae"], strict=True)
        )
        aim = AT_LEAST.get(name, {}).get(problem.size)
        set_up = statistics.median(short_fits[name]) - 1e-3 * STEPS_AN_EPOCH * median
        rows.append(
            {
                "network": "-".join(map(str, problem.widths)),
                "batch": problem.batch_size,
                "method": name,
                "us a step": median,
                "minimum": min(steps[name]),
                "over skae": ratio,
                "aim": None if aim is None else f">= {aim:.2f}",
                "met": None if aim is None else ratio >= aim,
                "set-up ms": max(0.0, set_up),
                "size": problem.size,
                "rounds": steps[name],
            }
        )
    return rows


@contextlib.contextmanager
def threads(n_threads: int):
    """Limit torch and BLAS, and put torch's number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield
    finally:
        torch.set_num_threads(before)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=["small", "middle", "large"])
    parser.add_argument("--quick", action="store_true", help="2 rounds of a tenth of the steps")
    parser.add_argument("--name", default="speed", help="name of the result's file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # MLPRegressor would rather go on
    torch.manual_seed(0)

    n_rounds = 2 if arguments.quick else arguments.rounds
    all_threads = torch.get_num_threads()
    load_at_start = os.getloadavg()[0]
    if load_at_start > 0.5:
        # Threads of a large step wait for each other at every product, so a busy core shows.
        print(f"Load average {load_at_start:.1f}: wait for a quiet machine, or distrust this.")
    rows: list[dict[str, Any]] = []
    columns = ["method", "us a step", "minimum", "over skae", "aim", "met", "set-up ms"]
    start = time.perf_counter()
    for problem in PROBLEMS:
        if problem.size not in arguments.sizes:
            continue
        if arguments.quick:
            problem = replace(problem, n_steps=problem.n_steps // 10)
        n_threads = 1 if problem.one_thread else all_threads
        with threads(n_threads):
            measured = measure(problem, n_rounds)
        rows += [{**row, "threads": n_threads} for row in measured]
        print(f"{measured[0]['network']}, batch {problem.batch_size}, {n_threads} thread(s)")
        print(record.table(measured, columns), end="\n\n", flush=True)

    units = bfloat16_units()
    print(f"bfloat16 units in this CPU: {', '.join(units) or 'none'}.")
    missed = [
        f"{row['method']} at {row['network']}, batch {row['batch']}: "
        f"{row['over skae']:.2f}, aim {row['aim']}"
        for row in rows
        if row["met"] is False
    ]
    summary = {
        "aims_missed": missed,
        "over_skae": {
            f"{row['network']} batch {row['batch']} {row['method']}": row["over skae"]
            for row in rows
        },
        "bfloat16_units": units,
        "total_seconds": time.perf_counter() - start,
    }
    path = record.write(
        arguments.name,
        rows,
        summary,
        seeds=[0],
        settings={
            "rounds": n_rounds,
            "quick": arguments.quick,
            "learning_rate": LEARNING_RATE,
            "steps_an_epoch": STEPS_AN_EPOCH,
            # Whoever reads the figures wants to know whether the machine was busy.
            "load_average_at_start": load_at_start,
        },
    )
    print("Aims missed: " + ("; ".join(missed) if missed else "none") + ".")
    print(f"{summary['total_seconds']:.0f} s in all. Written to {path.name}.")


if __name__ == "__main__":
    main()

"""Time of a training step: skae, other libraries and hand-written loops on the same network.

Every method trains the mirrored network with relu, squared error, Adam and no weight decay, in
float32. The time of a step is the difference between a long and a short fit, divided by the
difference in steps, so that the set-up does not count; it is reported separately. The methods run
in turn, round after round. Ratios are medians over rounds of the ratio within a round, so that a
busy machine slows all methods equally.

scikit-learn's `MLPRegressor` cannot have a linear code, so its code has a relu too.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.record import bfloat16_units
from benchmarks.runner import Benchmark, Case, Options, Run
from benchmarks.tables import Content, Table
from benchmarks.timing import timed
from skae import Autoencoder

LEARNING_RATE = 1e-3
STEPS_PER_EPOCH = 20
START = time.perf_counter()


@dataclass(frozen=True)
class Problem:
    """A network and its data.

    Attributes
    ----------
    size : str
    widths : tuple of int
        Widths of the encoder, from the input to the code; the decoder mirrors them.
    batch_size : int
    n_steps : int
        Difference in steps between a long and a short fit.
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
        """Return noisy rows near a plane. The time of a step does not depend on the values."""
        rng = np.random.default_rng(0)
        shape = self.batch_size * STEPS_PER_EPOCH, self.widths[-1]
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
    """Build the mirrored perceptron: relu in the hidden layers, linear code and output."""
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
    from skorch import NeuralNetRegressor  # the report does not need it

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
    """A lower bound on the time: preallocated buffers, derivatives by hand, one optimiser call.

    It computes the gradient of the loss, but not the loss.
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
    layers = build_layers(problem.all_widths)
    nn.utils.vector_to_parameters(network.values, layers.parameters())
    nn.functional.mse_loss(layers(batch), batch).backward()
    expected = torch.cat([p.grad.reshape(-1) for p in layers.parameters()])
    torch.testing.assert_close(network.gradients, expected, rtol=1e-3, atol=1e-5)


METHODS: dict[str, Callable[[Problem, np.ndarray, int], None]] = {
    "skae": fit_skae,
    "skae bfloat16": fit_skae_bfloat16,
    "skorch": fit_skorch,
    "MLPRegressor": fit_scikit_learn,
    "DataLoader loop": fit_loader_loop,
    "hand-written": fit_hand_written,
}
# Aims: the least time of a step relative to skae, by size of the network.
AT_LEAST = {
    "skorch": {"small": 5.0, "middle": 2.5, "large": 1.7},
    "MLPRegressor": {"small": 1.0, "middle": 1.0, "large": 1.0},
    "hand-written": {"small": 1 / 2.3, "large": 1 / 1.25},
}


@contextlib.contextmanager
def threads(n_threads: int):
    """Limit the number of threads of torch and BLAS."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield
    finally:
        torch.set_num_threads(before)


def cases(options: Options) -> Iterator[Case]:
    """Yield the problems of the selected sizes."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # MLPRegressor stops after max_iter
    torch.manual_seed(options.seed)
    if (load := settings(options)["load_average_at_start"]) > 0.5:
        print(f"The load average is {load:.1f}: timings need an otherwise idle machine.")
    for problem in PROBLEMS:
        if problem.size in options.sizes:
            quick = replace(problem, n_steps=problem.n_steps // 10)
            yield {"problem": quick if options.quick else problem}


def measure(options: Options, problem: Problem) -> list[dict[str, Any]]:
    """Time all methods in turn; return a row per method, with microseconds per step."""
    n_threads = 1 if problem.one_thread else torch.get_num_threads()
    with threads(n_threads):
        steps, set_up = step_times(problem, _n_rounds(options))
    rows = []
    for name, times in steps.items():
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(times, steps["skae"], strict=True)
        )
        aim = AT_LEAST.get(name, {}).get(problem.size)
        rows.append(
            {
                "network": "-".join(map(str, problem.widths)),
                "batch": problem.batch_size,
                "method": name,
                "us a step": statistics.median(times),
                "minimum": min(times),
                "over skae": ratio,
                "aim": None if aim is None else f">= {aim:.2f}",
                "met": None if aim is None else ratio >= aim,
                "set-up ms": set_up[name],
                "size": problem.size,
                "rounds": times,
                "threads": n_threads,
            }
        )
    return rows


def step_times(problem: Problem, n_rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return each method's microseconds per step, by round, and its milliseconds of set-up."""
    X = problem.data()
    check_hand_written(problem, X)
    methods = {
        name: fit
        for name, fit in METHODS.items()
        if problem.size == "large" or name != "skae bfloat16"
    }
    more_epochs = max(1, problem.n_steps // STEPS_PER_EPOCH)
    steps: dict[str, list[float]] = {name: [] for name in methods}
    short_fits: dict[str, list[float]] = {name: [] for name in methods}
    for fit in methods.values():  # warm up
        fit(problem, X, 1)
    for _ in range(n_rounds):
        for name, fit in methods.items():
            short = timed(fit, problem, X, 1)[1]
            long = timed(fit, problem, X, 1 + more_epochs)[1]
            steps[name].append(1e6 * (long - short) / (more_epochs * STEPS_PER_EPOCH))
            short_fits[name].append(1e3 * short)
    set_up = {}
    for name in methods:
        training = 1e-3 * STEPS_PER_EPOCH * statistics.median(steps[name])
        set_up[name] = max(0.0, statistics.median(short_fits[name]) - training)
    return steps, set_up


def _n_rounds(options: Options) -> int:
    return 2 if options.quick else options.rounds


def summarise(rows: Sequence[dict[str, Any]], options: Options) -> dict[str, Any]:
    """List the aims that are not met, and all ratios."""
    return {
        "aims_missed": [
            f"{row['method']} at {row['network']}, batch {row['batch']}: "
            f"{row['over skae']:.2f}, aim {row['aim']}"
            for row in rows
            if row["met"] is False
        ],
        "over_skae": {
            f"{row['network']} batch {row['batch']} {row['method']}": row["over skae"]
            for row in rows
        },
        "bfloat16_units": bfloat16_units(),
        "total_seconds": time.perf_counter() - START,
    }


@cache
def _load_average() -> float:
    return os.getloadavg()[0]


def settings(options: Options) -> dict[str, Any]:
    return {
        "rounds": _n_rounds(options),
        "quick": options.quick,
        "learning_rate": LEARNING_RATE,
        "steps_an_epoch": STEPS_PER_EPOCH,
        "load_average_at_start": _load_average(),
    }


def caption(content: Content) -> str:
    units = ", ".join(content["summary"]["bfloat16_units"]) or "none"
    return (
        "The same network, batch size and optimiser. The methods run in turn; times are medians of "
        f'{content["settings"]["rounds"]} rounds. "Over skae" is the time of a method divided by '
        "that of skae, the median of the ratios within a round: above 1, skae is faster. The "
        "hand-written step is a lower bound on the time. bfloat16 matrix units of this CPU: "
        f"{units}."
    )


BENCHMARK = Benchmark(
    module="speed",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=settings,
    section=[
        caption,
        Table(
            "network | batch | threads | method | µs a step = us a step | "
            "over skae = over skae:.2f | aim | met"
        ),
    ],
    runs=[
        Run("speed", "Time of a training step", quick="--quick"),
        Run("speed_second_cpu", "Time of a training step, second CPU", in_suite=False),
    ],
    options={"--rounds": 5, "--sizes": ("small", "middle", "large"), "--quick": False},
)

if __name__ == "__main__":
    BENCHMARK.main()

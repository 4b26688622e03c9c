"""Time of a training step: skae, other libraries and hand-written loops on the same network.

The time of a step is the difference between a long and a short fit, divided by the difference in
steps. What the short fit takes beyond its steps is fixed: it does not grow with the epochs. The
methods run in turn, round after round. Ratios are medians over rounds of the ratio within a round,
so that a busy machine slows all methods equally. `benchmarks.speed_fits` has the methods.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks.record import bfloat16_units
from benchmarks.runner import Benchmark, Case, Options, Run
from benchmarks.speed_fits import CHECKS, LEARNING_RATE, METHODS, STEPS_PER_EPOCH, Problem
from benchmarks.tables import Content, Table
from benchmarks.timing import timed

START = time.perf_counter()
PROBLEMS = (
    Problem("small", (13, 32, 4), 64, 1000, one_thread=True),
    Problem("small", (13, 32, 4), 256, 1000, one_thread=True),
    Problem("middle", (64, 256, 128, 8), 64, 300, one_thread=True),
    Problem("middle", (64, 256, 128, 8), 256, 200, one_thread=True),
    Problem("large", (784, 512, 256, 32), 64, 300),
    Problem("large", (784, 512, 256, 32), 256, 140),
    Problem("convolutional", (784, 32), 64, 140),
    Problem("convolutional", (784, 32), 128, 80),
    Problem("contractive", (784, 512, 256, 32), 64, 200),
    Problem("contractive", (784, 512, 256, 32), 256, 100),
)
# Aims: the least time of a step relative to skae, by kind of problem.
AT_LEAST = {
    "skorch": {"small": 5.0, "middle": 2.5, "large": 1.7},
    "MLPRegressor": {"small": 1.0, "middle": 1.0, "large": 1.0},
    "hand-written": {"small": 1 / 2.3, "large": 1 / 1.25},
    "plain loop": {"convolutional": 1 / 1.2},
    "transposed loop": {"convolutional": 1 / 1.2},
    "without penalty": {"contractive": 1 / 3},
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
    """Yield the problems of the selected kinds."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # MLPRegressor stops after max_iter
    torch.manual_seed(options.seed)
    if (load := settings(options)["load_average_at_start"]) > 0.5:
        print(f"The load average is {load:.1f}: timings need an otherwise idle machine.")
    for problem in PROBLEMS:
        if problem.kind in options.kinds:
            quick = replace(problem, n_steps=problem.n_steps // 10)
            yield {"problem": quick if options.quick else problem}


def measure(options: Options, problem: Problem) -> list[dict[str, Any]]:
    """Time all methods in turn; return a row per method, with microseconds per step."""
    n_threads = 1 if problem.one_thread else torch.get_num_threads()
    with threads(n_threads):
        steps, fixed = step_times(problem, _n_rounds(options))
    rows = []
    for name, times in steps.items():
        ratio = statistics.median(
            theirs / ours for theirs, ours in zip(times, steps["skae"], strict=True)
        )
        aim = AT_LEAST.get(name, {}).get(problem.kind)
        rows.append(
            {
                "network": problem.network,
                "batch": problem.batch_size,
                "method": name,
                "us a step": statistics.median(times),
                "minimum": min(times),
                "over skae": ratio,
                "aim": None if aim is None else f">= {aim:.2f}",
                "met": None if aim is None else ratio >= aim,
                "set-up ms": fixed[name],
                "kind": problem.kind,
                "rounds": times,
                "threads": n_threads,
            }
        )
    return rows


def step_times(problem: Problem, n_rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return each method's microseconds per step, by round, and its fixed milliseconds."""
    X = problem.data()
    if problem.kind in CHECKS:
        CHECKS[problem.kind](problem, X)
    methods = METHODS[problem.kind]
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
    fixed = {}
    for name in methods:
        training = 1e-3 * STEPS_PER_EPOCH * statistics.median(steps[name])
        fixed[name] = max(0.0, statistics.median(short_fits[name]) - training)
    return steps, fixed


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
    transposed = ""
    if any(row["method"] == "transposed loop" for row in content["rows"]):
        transposed = (
            " The plain loop resizes images and then applies 3 x 3 kernels, as skae's network is "
            "defined; the transposed loop has free transposed convolutions, a slightly larger "
            "network with fewer operations."
        )
    return (
        "The same network, batch size and optimiser. The methods run in turn; times are medians of "
        f'{content["settings"]["rounds"]} rounds. "Over skae" is the time of a method divided by '
        'that of skae, the median of the ratios within a round: above 1, skae is faster. "Fixed s" '
        "is what a fit on 20 batches takes beyond its steps, whatever the number of epochs: in "
        "skae the checks, the initial weights, the canonical code, its Jacobians and the scores; "
        "the others little more than build their network. The hand-written step is a lower bound "
        f"on the time. bfloat16 matrix units of this CPU: {units}.{transposed}"
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
            [
                "network | batch | threads | method | µs a step = us a step | "
                "over skae = over skae:.2f | aim | met",
                ("fixed s", lambda row: row["set-up ms"] / 1e3),
            ]
        ),
    ],
    runs=[
        Run("speed", "Time of a training step", quick="--quick"),
        Run("speed_second_cpu", "Time of a training step, second CPU", in_suite=False),
    ],
    options={"--rounds": 5, "--kinds": tuple(METHODS), "--quick": False},
)

if __name__ == "__main__":
    BENCHMARK.main()

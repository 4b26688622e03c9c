"""Time of fits and transforms beside busy processes, compared with the time alone.

Threads of OpenMP wait for one another at each barrier. If another process keeps a core busy, each
wait may take milliseconds, so small computations run on one thread. Each part is timed alone and
then beside processes that count without end, which the benchmark starts. With as many of them as
cores, a computation on one thread takes up to twice as long.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from benchmarks.runner import Benchmark, Case, Options, Run
from benchmarks.tables import Row, Table
from benchmarks.timing import timed
from skae import Autoencoder

AIM = 2.5  # times the time alone
N_COMPONENTS = 10
BUSY = "while True: pass"


@contextmanager
def busy_processes(n: int) -> Iterator[None]:
    """Keep `n` cores busy."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        if n:
            time.sleep(1)  # until they have started
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@cache
def fitted(max_iter: int, seed: int) -> tuple[Autoencoder, PCA]:
    """Return an autoencoder and PCA, fitted to digits."""
    X = load_digits().data
    autoencoder = Autoencoder(N_COMPONENTS, max_iter=max_iter, random_state=seed).fit(X)
    return autoencoder, PCA(N_COMPONENTS).fit(X)


def calls(options: Options, part: str, rows: int) -> Callable[[], Any]:
    """Return the function to time."""
    X = load_digits().data[:rows]
    if part == "fit":
        settings = {"max_iter": options.max_iter, "random_state": options.seed}
        return lambda: Autoencoder(N_COMPONENTS, **settings).fit(X)
    autoencoder, pca = fitted(options.max_iter, options.seed)
    model = pca if part == "PCA" else autoencoder
    return lambda: model.transform(X)


def cases(options: Options) -> Iterator[Case]:
    """Yield the fit, the transforms, and PCA's transform of one row for comparison."""
    n_rows = len(load_digits().data)
    yield {"part": "fit", "rows": n_rows}
    for rows in options.rows:
        yield {"part": "transform", "rows": min(rows, n_rows)}
    yield {"part": "PCA", "rows": 1}


def measure(options: Options, part: str, rows: int) -> Row:
    """Time a call alone and beside busy processes."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    call = calls(options, part, rows)
    call()  # the first call casts the network
    repeats = options.fits if part == "fit" else options.repeats
    seconds = {}
    for name, n_busy in (("alone", 0), ("beside", options.busy)):
        with busy_processes(n_busy):
            seconds[name] = [timed(call)[1] for _ in range(repeats)]
    medians = {name: 1e3 * float(np.median(found)) for name, found in seconds.items()}
    worst = 1e3 * max(seconds["beside"])
    return {**medians, "worst": worst, "ratio": medians["beside"] / medians["alone"]}


def summarise(rows: Sequence[Row], options: Options) -> dict[str, Any]:
    """Return the largest ratio of the autoencoder."""
    return {"largest": max(row["ratio"] for row in rows if row["part"] != "PCA")}


BENCHMARK = Benchmark(
    module="busy",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=lambda options: {"busy": options.busy, "max_iter": options.max_iter},
    section=[
        "Milliseconds of a call on digits with `Autoencoder(10)`, alone and beside "
        "{settings[busy]} processes that count without end: medians, and the longest call. Aim: "
        f"at most {AIM} times the time alone.",
        Table(
            [
                "call = part | rows | alone = alone:.2f | beside busy processes = beside:.2f | "
                "longest = worst:.2f | ratio = ratio:.2f",
                ("met", lambda row: row["ratio"] <= AIM),
            ]
        ),
    ],
    runs=[
        Run(
            "busy",
            "Beside busy processes",
            quick="--rows 10 --fits 1 --repeats 3 --max-iter 2",
        )
    ],
    options={"--busy": 2, "--fits": 3, "--repeats": 30, "--max-iter": 50},
    rows=(1, 10, 100, 1797),
)

if __name__ == "__main__":
    BENCHMARK.main()

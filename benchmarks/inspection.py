"""Seconds and peak memory of the functions of skae.inspection on MNIST.

One autoencoder with the default network is fitted for a few epochs: more change no time here. Each
function is called on 1,000 rows and on 10,000, first to load what is loaded once. The memory is the
peak of the resident set during the call, above that before it. Linux only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import load
from benchmarks.memory import peak_above
from benchmarks.runner import Benchmark, Case, Options, Run
from benchmarks.tables import Row, Table
from benchmarks.timing import timed
from skae import Autoencoder
from skae.inspection import (
    activations,
    code_sensitivities,
    code_statistics,
    feature_contribution,
    latent_traversal,
    max_activating_samples,
    maximize_activation,
    weight_images,
)

N_COMPONENTS = 32
# What is called with X, and what is called without.
CALLS: dict[str, Callable[[Any, NDArray], Any]] = {
    "transform": lambda fitted, X: fitted.transform(X),
    "reconstruct": lambda fitted, X: fitted.reconstruct(X),
    "activations (layer 0)": lambda fitted, X: activations(fitted, X, layer=0),
    "max_activating_samples": lambda fitted, X: max_activating_samples(fitted, X, unit=0, layer=0),
    "code_statistics": code_statistics,
    "code_sensitivities": code_sensitivities,
    "feature_contribution": feature_contribution,
}
CALLS_WITHOUT_X: dict[str, Callable[[Any], Any]] = {
    "weight_images": lambda fitted: weight_images(fitted, (28, 28)),
    "maximize_activation (layer 0)": lambda fitted: maximize_activation(
        fitted, 0, layer=0, bounds=(0, 1), random_state=0
    ),
    "maximize_activation (code)": lambda fitted: maximize_activation(
        fitted, 0, bounds=(0, 1), random_state=0
    ),
    "latent_traversal": lambda fitted: latent_traversal(fitted, 0, np.linspace(-3, 3, 7)),
}


@cache
def rows_of_mnist(data_dir: str | None) -> NDArray:
    return load("mnist", data_dir)[0]


@cache
def fitted_autoencoder(data_dir: str | None, max_iter: int, seed: int) -> Autoencoder:
    """Return the autoencoder, fitted to 10,000 rows."""
    X = rows_of_mnist(data_dir)[:10_000]
    return Autoencoder(N_COMPONENTS, max_iter=max_iter, random_state=seed).fit(X)


def cases(options: Options) -> Iterator[Case]:
    for call in CALLS_WITHOUT_X:
        yield {"call": call, "rows": 0}
    for call in CALLS:
        for rows in options.rows:
            yield {"call": call, "rows": rows}


def measure(options: Options, call: str, rows: int) -> Row:
    """Time a call and measure its memory."""
    fitted = fitted_autoencoder(options.data_dir, options.max_iter, options.seed)
    if rows:
        X = rows_of_mnist(options.data_dir)[:rows]
        CALLS[call](fitted, X[:10])
        function: Callable[[], Any] = lambda: CALLS[call](fitted, X)  # noqa: E731
    else:
        function = lambda: CALLS_WITHOUT_X[call](fitted)  # noqa: E731
        function()
    seconds = min(timed(function)[1] for _ in range(options.repeats))
    return {"seconds": seconds, "mib": peak_above(function) / 2**20}


BENCHMARK = Benchmark(
    module="inspection",
    description=__doc__,
    cases=cases,
    measure=measure,
    settings=lambda options: {"n_components": N_COMPONENTS, "repeats": options.repeats},
    section=[
        "Seconds (the least of {settings[repeats]}) and peak memory of a call on rows of MNIST in "
        "float32, for `Autoencoder({settings[n_components]})`. 10,000 rows take 30 MiB.",
        Table("call | rows | seconds = seconds:.2f | peak, MiB = mib:.0f"),
    ],
    runs=[
        Run("inspection", "Looking inside: seconds and memory", quick="--rows 200 --repeats 1"),
    ],
    options={"--max-iter": 10, "--repeats": 3},
    rows=(1000, 10_000),
)

if __name__ == "__main__":
    BENCHMARK.main()

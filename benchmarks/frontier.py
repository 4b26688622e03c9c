"""Error and seconds of `max_iter="auto"`, between those of fixed numbers of epochs.

Data, code sizes and errors are those of `benchmarks.pca`. Seconds are of CPU time on one thread.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from statistics import geometric_mean
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.datasets import is_available
from benchmarks.pca import prepare, ratio_to_pca
from benchmarks.runner import Benchmark, Case, Options, Run, threads_of_jobs
from benchmarks.tables import Content, Row, Table
from skae import Autoencoder

# Sets on which longer training gains or loses much; the code has a quarter as many columns.
CODE_SIZES = {
    "digits": 16,
    "pendigits": 4,
    "satimage": 9,
    "segmentation": 4,
    "spambase": 14,
    "texture": 10,
    "letter": 4,
    "mfeat_factors": 54,
}
LENGTHS: tuple[int | str, ...] = (10, 25, 50, 100, 200, "auto")


def cases(options: Options) -> Iterator[Case]:
    """Yield each data set with each length."""
    for name in options.sets:
        if is_available(name, options.data_dir):
            for length in LENGTHS:
                yield {"set": name, "k": CODE_SIZES[name], "max_iter": length}


def measure(options: Options, **case: Any) -> Row:
    """Fit with each seed; return mean error relative to PCA, epochs and seconds."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    ratios, seconds, epochs = [], [], []
    with threads_of_jobs(options):
        for seed in options.seeds:
            train, test = prepare(options, case["set"], seed)
            autoencoder = Autoencoder(case["k"], max_iter=case["max_iter"], random_state=seed)
            start = time.process_time()
            autoencoder.fit(train)
            seconds.append(time.process_time() - start)
            ratios.append(ratio_to_pca(autoencoder, train, test))
            epochs.append(autoencoder.n_iter_)
    means = {"ratio": ratios, "seconds": seconds, "epochs": epochs}
    return {name: float(np.mean(values)) for name, values in means.items()}


def summarise(rows: Sequence[Row], options: Options) -> list[dict[str, Any]]:
    """Return the geometric mean of the errors, and the seconds, of each length over all sets."""
    summary = []
    for length in LENGTHS:
        own = [row for row in rows if row["max_iter"] == length]
        ratio = geometric_mean(row["ratio"] for row in own)
        seconds = float(np.sum([row["seconds"] for row in own]))
        summary.append({"max_iter": length, "ratio": ratio, "seconds": seconds})
    return summary


def over_all_sets(content: Content) -> Table:
    """Return error and seconds of each length."""
    return Table("max_iter = max_iter | error = ratio:.3f | seconds:.1f", content["summary"])


def by_set(content: Content) -> Table:
    """Return error and seconds, with a row for each set and a column for each length."""
    rows = []
    for name in dict.fromkeys(row["set"] for row in content["rows"]):
        own = {row["max_iter"]: row for row in content["rows"] if row["set"] == name}
        cells = {str(n): f"{row['ratio']:.3f}, {row['seconds']:.1f} s" for n, row in own.items()}
        rows.append({"set": name, "epochs": own["auto"]["epochs"], **cells})
    columns = " | ".join(f"{length} = {length}" for length in LENGTHS)
    return Table(f"data = set | {columns} | epochs of auto = epochs:.0f", rows)


BENCHMARK = Benchmark(
    module="frontier",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=lambda options: {"max_rows": options.max_rows},
    section=[
        'Test error relative to PCA, and CPU seconds of the fit, for lengths of training. "auto" '
        "is the default. Over all sets, the geometric mean and the seconds:",
        over_all_sets,
        "For each set:",
        by_set,
    ],
    runs=[
        Run(
            "frontier",
            "Length of training",
            "--jobs 2",
            quick="--sets digits --seeds 0 --max-rows 300",
        )
    ],
    options={"--sets": tuple(CODE_SIZES), "--max-rows": 3000, "--training-rows": int},
    seeds=(0, 1),
    parallel=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

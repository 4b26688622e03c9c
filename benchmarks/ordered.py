"""An ordered code against a separate fit for each number of columns, and against PCA.

`OrderedAutoencoder` is fitted once. Its first k columns are decoded, and `truncated(k)` encodes the
rows for k columns alone. `Autoencoder(k)` is fitted for each k. Data as in `benchmarks.pca`.
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
from benchmarks.pca import pca_error, prepare
from benchmarks.runner import Benchmark, Case, Options, Run, threads_of_jobs
from benchmarks.tables import Row, Table
from skae import Autoencoder, OrderedAutoencoder

CODE_SIZES = {
    "digits": 16,
    "pendigits": 8,
    "satimage": 16,
    "segmentation": 8,
    "spambase": 16,
    "texture": 16,
    "letter": 8,
    "mfeat_factors": 32,
}
SHARES = ("quarter", "half", "whole")
# The two ways to use fewer columns.
WAYS = ("truncated", "prefix")


def cases(options: Options) -> Iterator[Case]:
    """Yield each data set."""
    for name in options.sets:
        if is_available(name, options.data_dir):
            yield {"set": name, "width": CODE_SIZES[name]}


def measure(options: Options, **case: Any) -> Row:
    """Return errors at each size relative to PCA, and the CPU seconds of the fits."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    width = case["width"]
    sizes = [2**power for power in range(width.bit_length())]
    with threads_of_jobs(options):
        (seed,) = options.seeds
        train, test = prepare(options, case["set"], seed)
        start = time.process_time()
        ordered = OrderedAutoencoder(width, random_state=seed).fit(train)
        ordered_seconds = time.process_time() - start
        code, own_seconds = ordered.transform(test), 0.0
        ratios: dict[str, list[float]] = {name: [] for name in ("own", *WAYS)}
        for size in sizes:
            start = time.process_time()
            own = Autoencoder(size, random_state=seed).fit(train)
            own_seconds += time.process_time() - start
            reconstructions = {
                "own": own.reconstruct(test),
                "truncated": ordered.truncated(size).reconstruct(test),
                "prefix": ordered.inverse_transform(code[:, :size]),
            }
            of_pca = pca_error(train, test, size)
            for name, rows in reconstructions.items():
                ratios[name].append(float(np.square(test - rows).sum()) / of_pca)
    every = [
        float(np.square(test - ordered.inverse_transform(code[:, :k])).sum())
        / pca_error(train, test, k)
        for k in range(1, width + 1)
    ]
    row: dict[str, Any] = {
        "selected": ordered.selected_,
        "worst": max(every),
        "seconds": ordered_seconds,
        "own seconds": own_seconds,
    }
    for share, back in zip(SHARES, (3, 2, 1), strict=True):
        row |= {f"{name} {share}": found[-back] for name, found in ratios.items()}
    for name, found in ratios.items():
        row[name] = " ".join(f"{ratio:.3f}" for ratio in found)
    row["sizes"] = " ".join(map(str, sizes))
    return row


def summarise(rows: Sequence[Row], options: Options) -> list[dict[str, Any]]:
    """Return geometric means over the sets, of errors and of ratios to a separate fit."""
    return [
        {
            "columns": share,
            **{
                name: geometric_mean(row[f"{name} {share}"] for row in rows)
                for name in ("own", *WAYS)
            },
            **{
                f"{name} over own": geometric_mean(
                    row[f"{name} {share}"] / row[f"own {share}"] for row in rows
                )
                for name in WAYS
            },
        }
        for share in SHARES
    ]


BENCHMARK = Benchmark(
    module="ordered",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=lambda options: {"max_rows": options.max_rows},
    section=[
        "Squared error of held-out rows, divided by that of PCA with as many components: of an "
        "`Autoencoder` fitted for each number of columns, and of one `OrderedAutoencoder`, by "
        "`truncated(k)` and by the first k columns of its code. Aims: at a quarter of the columns "
        "at most 15 % above a separate fit, with all at most 3 %, and nowhere above PCA. Geometric "
        "means over the sets:",
        lambda content: Table(
            "columns | separate fit = own:.3f | truncated:.3f | first columns = prefix:.3f | "
            "truncated / separate fit = truncated over own:.3f | "
            "first columns / separate fit = prefix over own:.3f",
            content["summary"],
        ),
        "For each set, at 1, 2, 4, ... columns. The worst ratio is that of the first columns, over "
        "all numbers of columns; seconds are those of the CPU, of one ordered fit and of the "
        "separate fits together:",
        Table(
            "data = set | columns = width | selected | separate fit = own | truncated | "
            "first columns = prefix | worst:.3f | s = seconds:.0f | "
            "separate fits, s = own seconds:.0f"
        ),
    ],
    runs=[
        Run(
            "ordered",
            "Ordered codes",
            "--jobs 2",
            quick="--sets digits --max-rows 200",
        ),
        Run(
            "ordered_seed1",
            "Ordered codes, another seed",
            "--jobs 2 --seeds 1",
            quick="--sets digits --max-rows 200",
        ),
    ],
    options={
        "--sets": tuple(CODE_SIZES),
        "--max-rows": 3000,
        "--training-rows": int,
    },
    seeds=(0,),
    parallel=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

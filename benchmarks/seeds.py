"""Do seeds agree? Fits of the same rows that differ in `random_state` alone.

A case is a data set with a number of training rows and a code size, split once. Seeds disagree if
some of them return PCA, and another less than half of PCA's error on the test rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from benchmarks.datasets import SCIKIT_LEARN_SETS, TABULAR_SETS, is_available, load
from benchmarks.hard_rows import CASES
from benchmarks.pca import ratio_to_pca
from benchmarks.runner import Benchmark, Case, Options, Run, threads_of_jobs
from benchmarks.selection import data_of
from benchmarks.tables import Content, Row, Table
from skae import Autoencoder

SPLIT_SEED = 50  # other than those of the fits and of `benchmarks.selection`
HALF = 0.5


def cases(options: Options) -> Iterator[Case]:
    """Yield the data sets and the laws, at each number of rows."""
    for name, rows in product(options.sets, options.rows):
        if not is_available(name, options.data_dir):
            continue
        X = load(name, options.data_dir)[0]
        if rows > max(0.7 * len(X), min(options.rows)):
            continue
        for k in dict.fromkeys((max(1, X.shape[1] // 4), max(1, X.shape[1] // 2))):
            yield {"kind": "set", "name": name, "rows": rows, "k": k}
    for name, rows in product(options.laws, options.rows):
        yield {"kind": "law", "name": name, "rows": rows, "k": 2}


def measure(options: Options, **case: Any) -> Row:
    """Fit the same rows with each seed."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    train, test = data_of(options, {**case, "seed": SPLIT_SEED})
    ratios, n_pca = [], 0
    with threads_of_jobs(options):
        for seed in options.seeds:
            autoencoder = Autoencoder(case["k"], random_state=seed).fit(train)
            ratios.append(ratio_to_pca(autoencoder, train, test))
            n_pca += autoencoder.selected_ == "pca"
    return {
        "pca": n_pca,
        "lowest": min(ratios),
        "highest": max(ratios),
        "disagree": n_pca > 0 and min(ratios) < HALF,
    }


def summarise(rows: Sequence[Row], options: Options) -> dict[str, Any]:
    """Count the cases in which seeds disagree."""
    mixed = [row for row in rows if 0 < row["pca"] < len(options.seeds)]
    return {
        "cases": len(rows),
        "disagree": sum(row["disagree"] for row in rows),
        "mixed": len(mixed),
        "lowest_of_mixed": min((row["lowest"] for row in mixed), default=1.0),
    }


def mixed(content: Content) -> Table:
    """Return the cases in which some seeds keep PCA and others do not."""
    n_seeds = len(content["settings"]["seeds"])
    rows = [row for row in content["rows"] if 0 < row["pca"] < n_seeds]
    return Table(
        "rows of = name | rows | k | seeds that keep PCA = pca | lowest ratio = lowest:.3f | "
        "highest ratio = highest:.3f",
        rows,
    )


BENCHMARK = Benchmark(
    module="seeds",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=lambda options: {"max_rows": options.max_rows},
    section=[
        "Fits of the same rows with ten seeds (`random_state`), in {summary[cases]} cases: the "
        "sets and laws of [the decision](selection.md), split once. In {summary[disagree]} cases, "
        "some seeds return PCA and another less than half of its error on test rows. In "
        "{summary[mixed]}, some return PCA and others do not:",
        mixed,
    ],
    runs=[
        Run(
            "seeds",
            "Seeds of the same rows",
            "--rows 200 --jobs 2",
            quick="--sets iris wine --laws curve --rows 60 --seeds 0 1",
        )
    ],
    options={
        "--sets": (*SCIKIT_LEARN_SETS, *TABULAR_SETS),
        "--laws": tuple(CASES),
        "--max-rows": 3000,
    },
    seeds=range(10),
    rows=(200, 2100),
    parallel=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

"""Before t-SNE: maps from the raw features, from PCA and from autoencoders of the same size.

As one draws maps, the rows that are drawn are among those that the reducer is fitted to. Seconds
count the reducer's fit in.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.manifold import TSNE

from benchmarks import crossing, record
from benchmarks.datasets import load
from benchmarks.maps import scores
from benchmarks.methods import BEFORE_TSNE, REDUCERS

SETS = ("digits", "pbmc3k", "usps", "mnist", "fashion_mnist", "newsgroups")
SMALL = ("digits", "pbmc3k")
METHODS = {
    **{name: found.estimator for name, found in REDUCERS.items() if name != "KernelPCA"},
    "recipe": BEFORE_TSNE,
}
SIZES = (8, 16, 32, 50)
QUICK = {"sets": ("digits",), "sizes": (8, 32), "methods": ("PCA", "Autoencoder", "recipe")}


@cache
def rows(name: str, most: int, directory: str | None) -> tuple[NDArray, NDArray]:
    """Return at most so many rows, drawn at random, with their labels."""
    X, y = load(name, directory)
    chosen = np.random.default_rng(0).permutation(len(X))[:most]
    return X[chosen], y[chosen]


def measure(
    most_fitted: int, most_drawn: int, directory: str | None, **case: Any
) -> dict[str, float]:
    """Draw one map and measure it against the raw rows."""
    X, y = rows(case["set"], most_fitted, directory)
    drawn, y = X[:most_drawn], y[:most_drawn]
    seed = case["seed"]
    start = time.perf_counter()
    code = drawn
    if case["method"] != "raw":
        reducer = clone(METHODS[case["method"]])
        reducer.set_params(n_components=case["k"], random_state=seed).fit(X)
        code = reducer.transform(drawn)
    reduced = time.perf_counter()
    points = TSNE(init="pca", random_state=seed).fit_transform(np.ascontiguousarray(code))
    return {
        "fit_seconds": reduced - start,
        "tsne_seconds": time.perf_counter() - reduced,
        **scores(drawn, points, y, seed),
    }


def main() -> None:
    """Run from the command line."""
    full = bool(os.environ.get("FULL"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=SETS if full else QUICK["sets"])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES if full else QUICK["sizes"])
    parser.add_argument("--methods", nargs="+", default=METHODS if full else QUICK["methods"])
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5) if full else [0])
    parser.add_argument("--fitted", type=int, default=10_000, help="most rows to fit")
    parser.add_argument("--drawn", type=int, default=3000, help="most rows to draw")
    parser.add_argument("--again", action="store_true", help="take known rows again")
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="tsne")
    arguments = parser.parse_args()
    # The first seed of every set comes first; further ones are for the small sets.
    cases = [
        {"set": name, "method": method, "k": k, "seed": seed}
        for seed in arguments.seeds
        for name in arguments.sets
        if seed == arguments.seeds[0] or name in SMALL
        for method, k in [("raw", None), *product(arguments.methods, arguments.sizes)]
    ]

    def measure_case(**case: Any) -> dict[str, float]:
        return measure(arguments.fitted, arguments.drawn, arguments.data_dir, **case)

    settings = {"most_fitted": arguments.fitted, "most_drawn": arguments.drawn}
    found = crossing.run(
        arguments.name, cases, measure_case, settings=settings, again=arguments.again
    )
    shown = ["set", "method", "k", "seed", "knn_accuracy", "kmeans_nmi", "trustworthiness_12"]
    print(record.table(found, [*shown, "fit_seconds", "tsne_seconds"]))


if __name__ == "__main__":
    main()

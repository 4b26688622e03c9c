"""Before t-SNE: maps from the raw features, from PCA and from autoencoders of the same size.

Reducers are fitted to the training part of a set and the held-out rows are drawn; a small set is
fitted and drawn whole. Seconds count the reducer's fit in.
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
from sklearn.manifold import TSNE

from benchmarks import crossing, record
from benchmarks.datasets import load
from benchmarks.maps import scores
from benchmarks.methods import REDUCERS, reducer

# Rows of the training part; 0 for a set that is fitted and drawn whole.
SETS = {
    "digits": 0,
    "pbmc3k": 0,
    "usps": 7291,
    "mnist": 60_000,
    "fashion_mnist": 60_000,
    "newsgroups": 11_314,
}
SMALL = ("digits", "pbmc3k")
SIZES = (8, 16, 32, 50)
QUICK = {
    "sets": ("digits", "pbmc3k"),
    "sizes": (8, 32),
    "methods": ("PCA", "Autoencoder"),
    "seeds": (0,),
}


@cache
def rows(name: str, most: int, directory: str | None) -> tuple[NDArray, NDArray, NDArray]:
    """Return rows to fit, rows to draw and their labels."""
    X, y = load(name, directory)
    n_training = SETS[name]
    if not n_training:
        return X, X[:most], y[:most]
    drawn = slice(n_training, n_training + most)
    return X[:n_training], X[drawn], y[drawn]


def measure(
    most_fitted: int, most_drawn: int, directory: str | None, **case: Any
) -> dict[str, float]:
    """Draw one map and measure it against the raw rows."""
    X, drawn, y = rows(case["set"], most_drawn, directory)
    method, seed = case["method"], case["seed"]
    start = time.perf_counter()
    code = drawn
    if method != "raw":
        code = reducer(method, case["k"], seed).fit(X[:most_fitted]).transform(drawn)
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
    parser.add_argument("--sets", nargs="+", default=list(SETS if full else QUICK["sets"]))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES if full else QUICK["sizes"])
    parser.add_argument(
        "--methods",
        nargs="+",
        default=[m for m in REDUCERS if m != "KernelPCA"] if full else QUICK["methods"],
    )
    parser.add_argument("--seeds", nargs="+", type=int, help="of the small sets; others take one")
    parser.add_argument("--rows", type=int, default=20_000, help="most rows to fit")
    parser.add_argument("--drawn", type=int, default=3000, help="most rows to draw")
    parser.add_argument("--again", action="store_true", help="take known rows again")
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="tsne" if full else "tsne_quick")
    arguments = parser.parse_args()
    seeds = arguments.seeds or (range(5) if full else QUICK["seeds"])
    cases = [
        {"set": name, "method": method, "k": k, "seed": seed}
        for name in arguments.sets
        for seed in (seeds if name in SMALL else list(seeds)[:1])
        for method, k in [("raw", None), *product(arguments.methods, arguments.sizes)]
    ]

    def measure_case(**case: Any) -> dict[str, float]:
        return measure(arguments.rows, arguments.drawn, arguments.data_dir, **case)

    settings = {"most_fitted": arguments.rows, "most_drawn": arguments.drawn}
    found = crossing.run(
        arguments.name, cases, measure_case, settings=settings, again=arguments.again
    )
    shown = ["set", "method", "k", "seed", "knn_accuracy", "kmeans_nmi", "trustworthiness_12"]
    print(record.table(found, [*shown, "fit_seconds", "tsne_seconds"]))


if __name__ == "__main__":
    main()

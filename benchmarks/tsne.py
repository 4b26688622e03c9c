"""Before t-SNE: maps from the raw features, from PCA and from autoencoders of the same size.

As one draws maps, the rows that are drawn are among those that the reducer is fitted to. Seconds
count the reducer's fit in. A seed is another draw of the rows (of a small set, another order),
another start of the networks and another clustering of the map.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

from benchmarks import crossing, record
from benchmarks.datasets import DATASETS, some_rows
from benchmarks.maps import scores
from benchmarks.methods import REDUCERS, reducer

SETS = ("digits", "pbmc3k", "usps", "mnist", "fashion_mnist", "newsgroups")
SMALL = ("digits", "pbmc3k")
IMAGES = ("usps", "mnist", "fashion_mnist")
METHODS = tuple(name for name in REDUCERS if name != "KernelPCA")
SIZES = (8, 16, 32, 50)
QUICK = ("digits",), (8, 32), ("PCA", "Autoencoder")
COUNTS = ("pbmc3k", "newsgroups")
MOST_FITTED, MOST_DRAWN = 10_000, 3000


def measure(
    most_fitted: int, most_drawn: int, directory: str | None, **case: Any
) -> dict[str, float]:
    """Draw one map and measure it against the raw rows."""
    seed = case["seed"]
    X, y = some_rows(case["set"], most_fitted, directory, seed)
    drawn, y = X[:most_drawn], y[:most_drawn]
    start = time.perf_counter()
    code = drawn
    if case["method"] != "raw":
        code = reducer(case["method"], case["k"], seed).fit(X).transform(drawn)
    if not np.ptp(code, axis=0).any():
        # scikit-learn's TSNE divides by its variance, and crashes.
        raise ValueError("The code is the same for every row.")
    reduced = time.perf_counter()
    points = TSNE(init="pca", random_state=seed).fit_transform(np.ascontiguousarray(code))
    return {
        "fit_seconds": reduced - start,
        "tsne_seconds": time.perf_counter() - reduced,
        **scores(drawn, points, y, seed),
    }


def recipe(name: str) -> str:
    """Return the method that docs/before_tsne.md recommends for a set."""
    return "half masked" if name in COUNTS else "Autoencoder"


def has_further_seeds(name: str, method: str) -> bool:
    """Whether one seed is not enough: for small sets, and where the recipe is near PCA."""
    return name in SMALL or (name in IMAGES and method in ("raw", "PCA", recipe(name)))


def main() -> None:
    """Run from the command line."""
    full = crossing.FULL
    parser = crossing.parser(__doc__, "tsne")
    sets, sizes, methods = (SETS, SIZES, METHODS) if full else QUICK
    parser.add_argument("--sets", nargs="+", choices=DATASETS, default=sets, metavar="SET")
    parser.add_argument("--sizes", nargs="+", type=crossing.count, default=sizes)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=methods)
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5) if full else [0])
    parser.add_argument(
        "--fitted", type=crossing.count, default=MOST_FITTED, help="most rows to fit"
    )
    parser.add_argument(
        "--drawn", type=crossing.count, default=MOST_DRAWN, help="most rows to draw"
    )
    arguments = parser.parse_args()
    # The first seed of every set comes first.
    cases = [
        {"set": name, "method": method, "k": k, "seed": seed}
        for seed in arguments.seeds
        for name in arguments.sets
        for method, k in [("raw", None), *product(arguments.methods, arguments.sizes)]
        if seed == arguments.seeds[0] or has_further_seeds(name, method)
    ]
    measured = partial(measure, arguments.fitted, arguments.drawn, arguments.data_dir)
    settings = {"most_fitted": arguments.fitted, "most_drawn": arguments.drawn}
    found = crossing.run(arguments.name, cases, measured, settings=settings, again=arguments.again)
    shown = ["set", "method", "k", "seed", "knn_accuracy", "kmeans_nmi", "trustworthiness_12"]
    print(record.table(found, [*shown, "fit_seconds", "tsne_seconds"]))


if __name__ == "__main__":
    main()

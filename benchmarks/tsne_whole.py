"""A map of a whole set with openTSNE, and new rows placed on it.

60,000 images are fitted and drawn; 10,000 that neither the reducer nor the map has seen are then
placed. Their labels are voted by the neighbours they get on the map.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from openTSNE import TSNE
from sklearn.neighbors import KNeighborsClassifier

from benchmarks import crossing, record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from benchmarks.methods import REDUCERS, reducer


def measure(
    most: int, n_jobs: int, n_iter: int, directory: str | None, **case: Any
) -> dict[str, float]:
    """Draw the training part, place the test part."""
    X, y = load(case["set"], directory)
    train = np.arange(min(most, MNIST_TRAINING_ROWS))
    test = np.arange(MNIST_TRAINING_ROWS, len(X))[: max(1, most // 6)]
    start = time.perf_counter()
    code, new = X[train], X[test]
    if case["method"] != "raw":
        fitted = reducer(case["method"], case["k"], case["seed"]).fit(code)
        code, new = fitted.transform(code), fitted.transform(new)
    reduced = time.perf_counter()
    drawn = TSNE(n_jobs=n_jobs, n_iter=n_iter, random_state=case["seed"]).fit(np.asarray(code))
    mapped = time.perf_counter()
    placed = drawn.transform(np.asarray(new))
    done = time.perf_counter()
    classifier = KNeighborsClassifier().fit(np.asarray(drawn), y[train])
    return {
        "n_drawn": len(train),
        "n_placed": len(test),
        "fit_seconds": reduced - start,
        "tsne_seconds": mapped - reduced,
        "placing_seconds": done - mapped,
        # Without X, no point is its own neighbour.
        "knn_accuracy": float((classifier.predict(None) == y[train]).mean()),
        "placed_knn_accuracy": float(classifier.score(np.asarray(placed), y[test])),
    }


def main() -> None:
    """Run from the command line."""
    parser = crossing.parser(__doc__, "tsne_whole")
    sets = ("mnist", "fashion_mnist")
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    methods = ("PCA", "Autoencoder")
    parser.add_argument("--methods", nargs="+", choices=REDUCERS, default=methods)
    parser.add_argument("--sizes", nargs="+", type=crossing.count, default=[32])
    most = MNIST_TRAINING_ROWS
    parser.add_argument("--most", type=crossing.count, default=most, help="most rows to draw")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=500, help="after early exaggeration")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    ways = [(method, k) for method in arguments.methods for k in arguments.sizes]
    cases = [
        {"set": name, "method": method, "k": k, "seed": arguments.seed}
        for name in arguments.sets
        for method, k in [("raw", None), *ways]
    ]
    measured = partial(
        measure, arguments.most, arguments.jobs, arguments.iterations, arguments.data_dir
    )
    settings = {"most": arguments.most, "jobs": arguments.jobs, "iterations": arguments.iterations}
    found = crossing.run(arguments.name, cases, measured, settings=settings, again=arguments.again)
    shown = ["set", "method", "k", "knn_accuracy", "placed_knn_accuracy"]
    seconds = ["fit_seconds", "tsne_seconds", "placing_seconds"]
    print(record.table(found, [*shown, *seconds]))


if __name__ == "__main__":
    main()

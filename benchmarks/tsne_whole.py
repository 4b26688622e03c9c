"""openTSNE maps of whole training sets, and the embedding of test rows into them.

The maps have 60,000 images; 10,000 test images, unseen by the reducer and by t-SNE, are then added.
Both are scored by a k-NN classifier on the map.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from benchmarks.methods import REDUCERS, make_reducer
from benchmarks.runner import Benchmark, Case, Options, Run, several
from benchmarks.tables import Table

SETS = ("mnist", "fashion_mnist")


def cases(options: Options) -> Iterator[Case]:
    """Yield the cases."""
    for name in options.sets:
        for method, k in [("raw", None), *product(options.methods, options.sizes)]:
            yield {"set": name, "method": method, "k": k, "seed": options.seed}


def measure(options: Options, **case: Any) -> dict[str, float]:
    """Map the training rows, and embed the test rows."""
    from openTSNE import TSNE  # the report does not need it

    X, y = load(case["set"], options.data_dir)
    train = np.arange(min(options.most, MNIST_TRAINING_ROWS))
    test = np.arange(MNIST_TRAINING_ROWS, len(X))[: max(1, options.most // 6)]
    start = time.perf_counter()
    code, test_code = X[train], X[test]
    if case["method"] != "raw":
        reducer = make_reducer(case["method"], case["k"], case["seed"]).fit(code)
        code, test_code = reducer.transform(code), reducer.transform(test_code)
    reduced = time.perf_counter()
    tsne = TSNE(n_jobs=options.jobs, n_iter=options.iterations, random_state=case["seed"])
    points = tsne.fit(np.asarray(code))
    mapped = time.perf_counter()
    test_points = points.transform(np.asarray(test_code))
    embedded = time.perf_counter()
    classifier = KNeighborsClassifier().fit(np.asarray(points), y[train])
    return {
        "n_drawn": len(train),
        "n_placed": len(test),
        "fit_seconds": reduced - start,
        "tsne_seconds": mapped - reduced,
        "placing_seconds": embedded - mapped,
        # predict(None) leaves each point out of its own neighbours.
        "knn_accuracy": float((classifier.predict(None) == y[train]).mean()),
        "placed_knn_accuracy": float(classifier.score(np.asarray(test_points), y[test])),
    }


BENCHMARK = Benchmark(
    module="tsne_whole",
    description=__doc__,
    cases=cases,
    measure=measure,
    settings=lambda options: {
        "most": options.most,
        "jobs": options.jobs,
        "iterations": options.iterations,
    },
    section=[
        "openTSNE, {settings[iterations]} iterations after the early exaggeration, number of "
        "threads: {settings[jobs]}.",
        Table(
            "set | = method | k | rows drawn = n_drawn | rows placed = n_placed | "
            "k-NN accuracy of the map = knn_accuracy | "
            "of rows placed on it = placed_knn_accuracy | fit, s = fit_seconds | "
            "t-SNE, s = tsne_seconds | placing, s = placing_seconds | = error"
        ),
    ],
    runs=[
        Run(
            "tsne_whole",
            "t-SNE of whole training sets, and of test rows",
            "--jobs 1",
            quick="--sets mnist --most 3000",
        )
    ],
    options={
        "--sets": several(SETS),
        "--methods": several(REDUCERS, ("PCA", "Autoencoder")),
        "--sizes": (32,),
        "--most": MNIST_TRAINING_ROWS,
        "--jobs": 2,
        "--iterations": 500,
    },
    resumes=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

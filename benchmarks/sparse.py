"""Sparse autoencoders: zeros against reconstruction, activation rates, and top-k codes of MNIST.

Sparsity and error are of held-out rows. "over dense" is the error relative to the same network with
`alpha=0`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.datasets import MNIST_TRAINING_ROWS, load, load_mnist
from benchmarks.runner import Benchmark, Options, Run, selected_parts, several
from benchmarks.tables import Row, Table
from benchmarks.timing import timed
from skae import SparseAutoencoder

ALPHAS = [0, 0.003, 0.01, 0.03, 0.1]
_DEEP = {"hidden_layer_sizes": (256, 128)}
_WIDE = {"n_components": 1000, "max_iter": 15}
# Data set, number of training rows and parameters.
NETWORKS: list[tuple[str, int, dict[str, Any]]] = [
    ("digits", 1300, {"n_components": 300}),
    ("digits", 1300, {"n_components": 300, **_DEEP}),
    ("mnist", 20_000, _WIDE),
    ("mnist", 20_000, {**_WIDE, **_DEEP}),
]
RATES = [0.02, 0.05, 0.1]
TOP_K = {"n_components": 1000, "penalty": "topk", "n_active": 25, "batch_size": 256}
PUBLISHED = {"pixels": 7.2, "top-25 code": 1.35}


def split(name: str, n_training: int, data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return training and test rows of digits or MNIST."""
    if name == "mnist":
        (train, _), (test, _) = load_mnist(n_training, data_dir)
        return train, test
    X = load(name, data_dir)[0]
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:n_training]], X[order[n_training:]]


def l1_penalty(options: Options) -> Iterator[Row]:
    """Vary the strength of the l1 penalty."""
    for name, n_training, parameters in NETWORKS:
        train, test = split(name, n_training, options.data_dir)
        dense_error = None
        for alpha in ALPHAS:
            model = SparseAutoencoder(alpha=alpha, random_state=options.seed, **parameters)
            _, seconds = timed(model.fit, train)
            error = 1 - model.score(test)
            dense_error = error if alpha == 0 else dense_error
            yield {
                "part": "l1",
                "set": name,
                "hidden": str(parameters.get("hidden_layer_sizes", ())),
                "units": parameters["n_components"],
                "alpha": alpha,
                "zeros": float((model.transform(test) == 0).mean()),
                "error": error,
                "over_dense": error / dense_error,
                "seconds": seconds,
            }


def activation_rates(options: Options) -> Iterator[Row]:
    """Vary the target of the Kullback-Leibler penalty."""
    train, test = split("digits", 1300, options.data_dir)
    for rate in RATES:
        model = SparseAutoencoder(
            100, penalty="kl", sparsity=rate, alpha=0.5, random_state=options.seed
        ).fit(train)
        activity = model.transform(test).mean(axis=0)
        yield {
            "part": "kl",
            "set": "digits",
            "rate": rate,
            "mean_activity": float(activity.mean()),
            "least_active": float(activity.min()),
            "most_active": float(activity.max()),
            "error": 1 - model.score(test),
        }


def logistic_error(X: Any, y: np.ndarray, test: Any, y_test: np.ndarray) -> float:
    """Return the test error of logistic regression, in percent."""
    classifier = LogisticRegression(C=0.1, max_iter=200).fit(X, y)
    return 100 * (1 - classifier.score(test, y_test))


def top_k(options: Options) -> Iterator[Row]:
    """Fit a top-25 code of MNIST, and logistic regression on the code and on the pixels."""
    (train, y_train), (test, y_test) = load_mnist(options.rows, options.data_dir)
    model = SparseAutoencoder(
        max_iter=options.epochs, random_state=options.seed, sparse_output=True, **TOP_K
    )
    _, seconds = timed(model.fit, train)
    code, test_code = model.transform(train), model.transform(test)
    non_zeros = np.diff(test_code.indptr)
    yield {
        "part": "topk",
        "set": "mnist",
        "epochs": model.n_iter_,
        "seconds": seconds,
        "error": 1 - model.score(test),
        "fewest_non_zeros": int(non_zeros.min()),
        "most_non_zeros": int(non_zeros.max()),
        "dead_percent": 100 * len(model.dead_units_) / model.n_components_,
    }
    scale = float(np.sqrt(code.power(2).mean()))
    for name, features, test_features in (
        ("pixels", train, test),
        ("top-25 code", code / scale, test_code / scale),
    ):
        error, seconds = timed(logistic_error, features, y_train, test_features, y_test)
        yield {
            "part": "topk, logistic regression",
            "features": name,
            "test_error": error,
            "published": PUBLISHED[name],
            "seconds": seconds,
        }


PARTS = {"l1": l1_penalty, "kl": activation_rates, "topk": top_k}
SECTION = [
    Table(
        "set | hidden layers = hidden | units | alpha | share of zeros = zeros | "
        "error (1 - R2) = error | over_dense | seconds",
        part="l1",
        caption='The l1 penalty, on held-out rows. "over dense" is the error relative to the same '
        "network with `alpha=0`. Aim: at least 80 % zeros at a ratio of at most 1.5.",
    ),
    Table(
        "target = rate | mean_activity | least active unit = least_active | "
        "most active unit = most_active | error (1 - R2) = error",
        part="kl",
        caption="The Kullback-Leibler penalty, 100 logistic units, held-out rows of digits. Aim: "
        "mean activity within 20 % of the target.",
    ),
    Table(
        "epochs | error (1 - R2) = error | fewest non-zeros = fewest_non_zeros | "
        "most non-zeros = most_non_zeros | dead units, % = dead_percent | seconds",
        part="topk",
        caption="Top-k: 25 of 1000 units, MNIST. Aims: exactly 25 non-zeros, under 5 % dead units.",
    ),
    Table(
        "features | test error, % = test_error | published | seconds",
        part="topk, logistic regression",
        caption="Logistic regression on that code and on the pixels (published: Makhzani & Frey "
        "2014).",
    ),
]

BENCHMARK = Benchmark(
    module="sparse",
    description=__doc__,
    cases=selected_parts,
    measure=lambda options, part: PARTS[part](options),
    settings=lambda options: {"top_k": TOP_K},
    section=SECTION,
    runs=[Run("sparse", "Sparse autoencoders", quick="--parts kl topk --rows 5000 --epochs 3")],
    options={"--parts": several(PARTS), "--epochs": 20},
    rows=MNIST_TRAINING_ROWS,
)

if __name__ == "__main__":
    BENCHMARK.main()

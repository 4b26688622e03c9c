"""Sparse autoencoders: zeros against reconstruction, target rates, and top-k on MNIST.

Sparsity and error are of held-out rows; "over dense" is the error over that of the same network
with `alpha=0`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks import record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from skae import SparseAutoencoder

# Set, training rows, parameters shared by the grid, alphas.
_ALPHAS = [0, 0.003, 0.01, 0.03, 0.1]
_DEEP = (256, 128)
GRIDS: list[tuple[str, int, dict[str, Any], list[float]]] = [
    ("digits", 1300, {"n_components": 300}, _ALPHAS),
    ("digits", 1300, {"n_components": 300, "hidden_layer_sizes": _DEEP}, _ALPHAS),
    ("mnist", 20_000, {"n_components": 1000, "max_iter": 15}, _ALPHAS),
    (
        "mnist",
        20_000,
        {"n_components": 1000, "hidden_layer_sizes": _DEEP, "max_iter": 15},
        _ALPHAS,
    ),
]
RATES = [0.02, 0.05, 0.1]
TOP_K = {"n_components": 1000, "penalty": "topk", "n_active": 25, "batch_size": 256}
PUBLISHED = {"pixels": 7.2, "top-25 code": 1.35}


def divide(name: str, n_training: int, directory: str | None) -> tuple[np.ndarray, np.ndarray]:
    X = load(name, directory)[0]
    if name == "mnist":
        return X[:n_training], X[MNIST_TRAINING_ROWS:]
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:n_training]], X[order[n_training:]]


def trade_off(seed: int, directory: str | None) -> list[dict[str, Any]]:
    """Sweep alpha under "l1"."""
    rows = []
    for name, n_training, parameters, alphas in GRIDS:
        train, test = divide(name, n_training, directory)
        dense = None
        for alpha in alphas:
            start = time.perf_counter()
            model = SparseAutoencoder(alpha=alpha, random_state=seed, **parameters).fit(train)
            seconds = time.perf_counter() - start
            error = 1 - model.score(test)
            dense = error if alpha == 0 else dense
            rows.append(
                {
                    "part": "l1",
                    "set": name,
                    "hidden": str(parameters.get("hidden_layer_sizes", ())),
                    "units": parameters["n_components"],
                    "alpha": alpha,
                    "zeros": float((model.transform(test) == 0).mean()),
                    "error": error,
                    "over_dense": error / dense,
                    "seconds": seconds,
                }
            )
            print(rows[-1], flush=True)
    return rows


def target_rates(seed: int, directory: str | None) -> list[dict[str, Any]]:
    """Ask for mean activations under "kl"."""
    train, test = divide("digits", 1300, directory)
    rows = []
    for rate in RATES:
        model = SparseAutoencoder(
            100, penalty="kl", sparsity=rate, alpha=0.5, random_state=seed
        ).fit(train)
        activity = model.transform(test).mean(axis=0)
        rows.append(
            {
                "part": "kl",
                "set": "digits",
                "rate": rate,
                "mean_activity": float(activity.mean()),
                "least_active": float(activity.min()),
                "most_active": float(activity.max()),
                "error": 1 - model.score(test),
            }
        )
        print(rows[-1], flush=True)
    return rows


def top_k(seed: int, epochs: int, n_training: int, directory: str | None) -> list[dict[str, Any]]:
    """Top-25 of 1000 units on MNIST, and logistic regression on the code."""
    X, y = load("mnist", directory)
    train, y_train = X[:n_training], y[:n_training]
    test, y_test = X[MNIST_TRAINING_ROWS:], y[MNIST_TRAINING_ROWS:]
    start = time.perf_counter()
    model = SparseAutoencoder(max_iter=epochs, random_state=seed, sparse_output=True, **TOP_K)
    model.fit(train)
    seconds = time.perf_counter() - start
    code, code_test = model.transform(train), model.transform(test)
    non_zeros = np.diff(code_test.indptr)
    row = {
        "part": "topk",
        "set": "mnist",
        "epochs": model.n_iter_,
        "seconds": seconds,
        "error": 1 - model.score(test),
        "fewest_non_zeros": int(non_zeros.min()),
        "most_non_zeros": int(non_zeros.max()),
        "dead_percent": 100 * len(model.dead_units_) / model.n_components_,
    }
    print(row, flush=True)
    rows = [row]
    scale = float(np.sqrt(code.power(2).mean()))
    for name, features, features_test in (
        ("pixels", train, test),
        ("top-25 code", code / scale, code_test / scale),
    ):
        start = time.perf_counter()
        classifier = LogisticRegression(C=0.1, max_iter=200).fit(features, y_train)
        wrong = 100 * (1 - classifier.score(features_test, y_test))
        rows.append(
            {
                "part": "topk, logistic regression",
                "features": name,
                "test_error": wrong,
                "published": PUBLISHED[name],
                "seconds": time.perf_counter() - start,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["l1", "kl", "topk"])
    parser.add_argument("--epochs", type=int, default=20, help="of top-k")
    parser.add_argument("--rows", type=int, default=MNIST_TRAINING_ROWS, help="of top-k")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="sparse")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if "l1" in arguments.parts:
        rows += trade_off(arguments.seed, arguments.data_dir)
    if "kl" in arguments.parts:
        rows += target_rates(arguments.seed, arguments.data_dir)
    if "topk" in arguments.parts:
        rows += top_k(arguments.seed, arguments.epochs, arguments.rows, arguments.data_dir)
    print(record.tables(rows))
    path = record.write(arguments.name, rows, {}, seeds=[arguments.seed], settings={"top_k": TOP_K})
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()

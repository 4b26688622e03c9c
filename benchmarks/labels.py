"""Few labels, many rows: does pre-training an encoder without labels pay? On MNIST.

The same network, from an autoencoder of all rows and from random weights, is fine-tuned on 100 to
60000 labels. Beside it: the pre-trained encoder frozen under a linear head, logistic regression on
pixels and on PCA, and self-training on PCA. The autoencoder is fitted once; seeds draw the labels,
and everything that is done with them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier

from benchmarks import record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from skae import Autoencoder, AutoencoderClassifier, DenoisingAutoencoder
from skae._base import BaseAutoencoder

NETWORK: dict[str, Any] = {
    "n_components": 500,
    "hidden_layer_sizes": (500, 500),
    "activation": "relu",
    "code_activation": "relu",
    "shortcut": None,
    "weight_decay": 0.0,
    "early_stopping": False,
    "random_state": 0,
}
PCA_COMPONENTS = 50
NOISE_LEVEL = 0.5
_FULL = MNIST_TRAINING_ROWS
_EPOCHS_WITH_ALL = 15
_SEEDS_WITH_ALL = 1


def random_weights(X: NDArray[np.float32]) -> BaseAutoencoder:
    """Return the network before any training: its steps are too short to move a weight."""
    return Autoencoder(**NETWORK, learning_rate_init=1e-30, max_iter=1).fit(X)


def draw_labels(y: NDArray[np.int64], n_labels: int, seed: int) -> NDArray[np.int64]:
    """Row numbers, the same number of each digit."""
    if n_labels >= len(y):
        return np.arange(len(y))
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(y == digit), n_labels // 10, replace=False)
            for digit in range(10)
        ]
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 300, 1000, _FULL])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, default=12, help="of the autoencoder")
    parser.add_argument("--rows", type=int, default=MNIST_TRAINING_ROWS)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="labels")
    arguments = parser.parse_args()

    X, y = load("mnist", arguments.data_dir)
    test_X, test_y = X[MNIST_TRAINING_ROWS:], y[MNIST_TRAINING_ROWS:]
    X, y = X[: arguments.rows], y[: arguments.rows]
    start = time.perf_counter()
    pretrained = DenoisingAutoencoder(
        **NETWORK, noise_level=NOISE_LEVEL, max_iter=arguments.epochs
    ).fit(X)
    pretraining_seconds = time.perf_counter() - start
    print(f"Autoencoder: {pretraining_seconds:.0f} s.", flush=True)
    untrained = random_weights(X)
    pca = PCA(PCA_COMPONENTS, random_state=0).fit(X)
    codes, test_codes = pca.transform(X), pca.transform(test_X)

    def on_encoder(encoder: BaseAutoencoder, **settings: Any) -> Callable[..., float]:
        def error(rows: NDArray[np.int64], seed: int) -> float:
            epochs = {"max_iter": _EPOCHS_WITH_ALL} if len(rows) == len(X) else {}
            classifier = AutoencoderClassifier(
                encoder, prefit=True, random_state=seed, **(epochs | settings)
            )
            return 1.0 - classifier.fit(X[rows], y[rows]).score(test_X, test_y)

        return error

    def logistic_pixels(rows: NDArray[np.int64], seed: int) -> float:
        model = LogisticRegression(C=0.1, max_iter=200)
        return 1.0 - model.fit(X[rows], y[rows]).score(test_X, test_y)

    def logistic_pca(rows: NDArray[np.int64], seed: int) -> float:
        model = LogisticRegression(C=0.1, max_iter=500)
        return 1.0 - model.fit(codes[rows], y[rows]).score(test_codes, test_y)

    def self_training(rows: NDArray[np.int64], seed: int) -> float:
        labels = np.full(len(y), -1)
        labels[rows] = y[rows]
        base = LogisticRegression(C=0.1, max_iter=200)
        model = SelfTrainingClassifier(base, threshold=0.9, max_iter=5)
        return 1.0 - model.fit(codes, labels).score(test_codes, test_y)

    methods: dict[str, Callable[..., float]] = {
        "pre-trained, fine-tuned": on_encoder(pretrained),
        "pre-trained, frozen": on_encoder(pretrained, freeze=True),
        "random weights": on_encoder(untrained),
        "random weights, longer steps": on_encoder(untrained, learning_rate_init=0.003),
        "logistic regression, pixels": logistic_pixels,
        "logistic regression, PCA": logistic_pca,
        "self-training, PCA": self_training,
    }
    rows = []
    for n_labels in arguments.labels:
        seeds = arguments.seeds[: _SEEDS_WITH_ALL if n_labels >= len(X) else None]
        for name, error in methods.items():
            if n_labels >= len(X) and name == "self-training, PCA":
                continue  # nothing is unlabelled
            start = time.perf_counter()
            errors = [100 * error(draw_labels(y, n_labels, seed), seed) for seed in seeds]
            rows.append(
                {
                    "labels": n_labels,
                    "method": name,
                    "error": float(np.mean(errors)),
                    "deviation": float(np.std(errors)),
                    "seconds": (time.perf_counter() - start) / len(seeds),
                    "each_seed": errors,
                }
            )
            print(rows[-1], flush=True)
    print(record.table(rows, ["labels", "method", "error", "deviation", "seconds"]))

    def fewer_errors(n_labels: int) -> float:
        errors = {row["method"]: row["error"] for row in rows if row["labels"] == n_labels}
        with_labels_alone = min(errors[name] for name in methods if name.startswith("random"))
        return 1.0 - min(errors[n] for n in methods if n.startswith("pre-")) / with_labels_alone

    summary = {str(n): fewer_errors(n) for n in arguments.labels}
    print(f"Share of errors that pre-training saves: {summary}")
    path = record.write(
        arguments.name,
        rows,
        {"share_of_errors_saved": summary},
        seeds=arguments.seeds,
        settings={
            **NETWORK,
            "training_rows": len(X),
            "noise_level": NOISE_LEVEL,
            "autoencoder_epochs": arguments.epochs,
            "autoencoder_seconds": pretraining_seconds,
            "pca_components": PCA_COMPONENTS,
            "seeds_with_all_labels": _SEEDS_WITH_ALL,
            "epochs_with_all_labels": _EPOCHS_WITH_ALL,
        },
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()

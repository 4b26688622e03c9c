"""Convolutions against dense layers: equal parameters, equal seconds, codes of 32 numbers.

The error is the squared error summed over pixels in [0, 1], a mean over test images.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

from benchmarks import record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from skae import Autoencoder, ConvolutionalAutoencoder

N_COMPONENTS = 32
SETS = ("mnist", "fashion_mnist")
_CALIBRATION_SECONDS = 15.0
METHODS: dict[str, Any] = {
    "ConvolutionalAutoencoder": ConvolutionalAutoencoder(N_COMPONENTS, image_shape=(28, 28)),
    "ConvolutionalAutoencoder, classical": ConvolutionalAutoencoder(
        N_COMPONENTS, image_shape=(28, 28), shortcut=None
    ),
    "Autoencoder, as many parameters": Autoencoder(N_COMPONENTS, hidden_layer_sizes=(136, 72)),
    "Autoencoder": Autoencoder(N_COMPONENTS),
}


def fit_for(model: Any, X: Any, seconds: float) -> tuple[Any, float]:
    """Fit for as many epochs as take about so long."""
    times: dict[int, float] = {}
    epochs = 1
    while len(times) < 2:  # the first fit also warms up
        start = time.perf_counter()
        clone(model).set_params(max_iter=epochs).fit(X)
        times[epochs] = time.perf_counter() - start
        epochs += max(1, round(_CALIBRATION_SECONDS / times[epochs]))
    (few, few_seconds), (more, more_seconds) = times.items()
    an_epoch = (more_seconds - few_seconds) / (more - few)
    epochs = max(1, few + round((seconds - few_seconds) / an_epoch))
    start = time.perf_counter()
    fitted = clone(model).set_params(max_iter=epochs, n_iter_no_change=epochs).fit(X)
    return fitted, time.perf_counter() - start


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seconds", type=float, default=120.0, help="a fit")
    parser.add_argument("--rows", type=int, default=MNIST_TRAINING_ROWS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="conv")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in arguments.sets:
        X, y = load(name, arguments.data_dir)
        test, test_y = X[MNIST_TRAINING_ROWS:], y[MNIST_TRAINING_ROWS:]
        X, y = X[: arguments.rows], y[: arguments.rows]
        for method in arguments.methods:
            model = clone(METHODS[method]).set_params(random_state=arguments.seed)
            fitted, seconds = fit_for(model, X, arguments.seconds)
            neighbors = KNeighborsClassifier(5).fit(fitted.transform(X), y)
            start = time.perf_counter()
            code = fitted.transform(test)
            transform_seconds = time.perf_counter() - start
            rows.append(
                {
                    "part": name,
                    "method": method,
                    "parameters": sum(p.numel() for p in fitted._model.network.parameters()),
                    "epochs": fitted.n_iter_,
                    "seconds": seconds,
                    "error": float(fitted.reconstruction_error(test).mean()),
                    "knn_accuracy": neighbors.score(code, test_y),
                    "transform_rows_a_second": len(test) / transform_seconds,
                }
            )
            print(rows[-1], flush=True)
    print(record.tables(rows))
    path = record.write(
        arguments.name,
        rows,
        {},
        seeds=[arguments.seed],
        settings={
            "n_components": N_COMPONENTS,
            "seconds": arguments.seconds,
            "training_rows": arguments.rows,
        },
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()

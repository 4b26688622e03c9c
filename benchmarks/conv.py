"""Convolutional and dense autoencoders on images: codes of 32 numbers, equal training time.

The error is the squared error summed over pixels in [0, 1], averaged over the test images.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from benchmarks.runner import Benchmark, Options, Run, several
from benchmarks.tables import Content, Row, Table
from benchmarks.timing import timed
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
    """Fit for about the given number of seconds; return the model and the seconds."""
    times: dict[int, float] = {}
    epochs = 1
    while len(times) < 2:  # the first fit is also a warm-up
        _, times[epochs] = timed(clone(model).set_params(max_iter=epochs).fit, X)
        epochs += max(1, round(_CALIBRATION_SECONDS / times[epochs]))
    (few, few_seconds), (more, more_seconds) = times.items()
    an_epoch = (more_seconds - few_seconds) / (more - few)
    epochs = max(1, few + round((seconds - few_seconds) / an_epoch))
    return timed(clone(model).set_params(max_iter=epochs, n_iter_no_change=epochs).fit, X)


def measure(options: Options, part: str, method: str) -> Row:
    """Fit a method to the data set, and evaluate it on the test images."""
    X, y = load(part, options.data_dir)
    test, test_y = X[MNIST_TRAINING_ROWS:], y[MNIST_TRAINING_ROWS:]
    X, y = X[: options.rows], y[: options.rows]
    model = clone(METHODS[method]).set_params(random_state=options.seed)
    fitted, seconds = fit_for(model, X, options.seconds)
    classifier = KNeighborsClassifier(5).fit(fitted.transform(X), y)
    code, transform_seconds = timed(fitted.transform, test)
    return {
        "parameters": sum(p.numel() for p in fitted._model.network.parameters()),
        "epochs": fitted.n_iter_,
        "seconds": seconds,
        "error": float(fitted.reconstruction_error(test).mean()),
        "knn_accuracy": classifier.score(code, test_y),
        "transform_rows_a_second": len(test) / transform_seconds,
    }


COLUMNS = (
    "= method | parameters | epochs | seconds | test error = error | "
    "k-NN accuracy = knn_accuracy | "
    "`transform`, rows a second = transform_rows_a_second"
)


def by_set(content: Content) -> list[Table]:
    """Return a table per data set."""
    names = dict.fromkeys(row["part"] for row in content["rows"])
    return [Table(COLUMNS, part=name, caption=f"## {name}") for name in names]


BENCHMARK = Benchmark(
    module="conv",
    description=__doc__,
    cases=lambda options: [
        {"part": name, "method": method} for name, method in product(options.sets, options.methods)
    ],
    measure=measure,
    settings=lambda options: {
        "n_components": N_COMPONENTS,
        "seconds": options.seconds,
        "training_rows": options.rows,
    },
    section=[
        "{settings[training_rows]} training images, codes of {settings[n_components]} numbers, "
        "about {settings[seconds]:.0f} seconds per fit. The error is the squared error summed over "
        "pixels in [0, 1]; the accuracy is of 5 nearest neighbours on the code.",
        by_set,
    ],
    runs=[
        Run(
            "conv",
            "Convolutional autoencoders",
            "--seconds 90",
            quick="--rows 5000 --sets mnist --seconds 10",
        ),
        Run(
            "conv_dense",
            "Convolutional autoencoders, dense network in equal time",
            '--methods "Autoencoder, as many parameters" --seconds 85',
        ),
    ],
    options={"--sets": SETS, "--methods": several(METHODS), "--seconds": 120.0},
    rows=MNIST_TRAINING_ROWS,
)

if __name__ == "__main__":
    BENCHMARK.main()

"""Classification with few labels on MNIST: fine-tuning of a pre-trained encoder.

The same network is fine-tuned on 100 to 60,000 labels, from an autoencoder of all rows and from
random weights. The baselines are the frozen pre-trained encoder with a linear head, logistic
regression on pixels and on PCA's code, and self-training on PCA's code. The autoencoder is fitted
once; the seeds determine the labelled rows and the fits to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier

from benchmarks.datasets import MNIST_TRAINING_ROWS, load_mnist
from benchmarks.runner import Benchmark, Case, Options, Run
from benchmarks.tables import Content, Row, Table
from benchmarks.timing import timed
from skae import Autoencoder, AutoencoderClassifier, DenoisingAutoencoder

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
_EPOCHS_WITH_ALL = 15
_SEEDS_WITH_ALL = 1
Labels = NDArray[np.int64]


class Setup:
    """Data and unsupervised fits, which all cases share."""

    def __init__(self, n_rows: int, epochs: int, data_dir: str | None) -> None:
        (self.X, self.y), (self.test_X, self.test_y) = load_mnist(n_rows, data_dir)
        denoising = DenoisingAutoencoder(**NETWORK, noise_level=NOISE_LEVEL, max_iter=epochs)
        self.pretrained, self.pretraining_seconds = timed(denoising.fit, self.X)
        # This learning rate leaves the weights as they are initialised.
        self.untrained = Autoencoder(**NETWORK, learning_rate_init=1e-30, max_iter=1).fit(self.X)
        pca = PCA(PCA_COMPONENTS, random_state=0).fit(self.X)
        self.codes, self.test_codes = pca.transform(self.X), pca.transform(self.test_X)


_setup = cache(Setup)


def setup(options: Options) -> Setup:
    """Return the data and fits; they are computed once."""
    return _setup(options.rows, options.epochs, options.data_dir)


def draw_labels(y: Labels, n_labels: int, seed: int) -> Labels:
    """Draw the indices of the labelled rows, stratified by class."""
    if n_labels >= len(y):
        return np.arange(len(y))
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(y == digit), n_labels // 10, replace=False)
            for digit in range(10)
        ]
    )


# A method returns the test error with the labels of these rows.
Method = Callable[[Setup, Labels, int], float]


def encoder_classifier(encoder: str, **parameters: Any) -> Method:
    """Return a method that trains a classifier on one of the encoders."""

    def error(data: Setup, rows: Labels, seed: int) -> float:
        epochs = {"max_iter": _EPOCHS_WITH_ALL} if len(rows) == len(data.X) else {}
        classifier = AutoencoderClassifier(
            getattr(data, encoder), prefit=True, random_state=seed, **(epochs | parameters)
        ).fit(data.X[rows], data.y[rows])
        return 1.0 - classifier.score(data.test_X, data.test_y)

    return error


def logistic_pixels(data: Setup, rows: Labels, seed: int) -> float:
    model = LogisticRegression(C=0.1, max_iter=200)
    return 1.0 - model.fit(data.X[rows], data.y[rows]).score(data.test_X, data.test_y)


def logistic_pca(data: Setup, rows: Labels, seed: int) -> float:
    model = LogisticRegression(C=0.1, max_iter=500)
    return 1.0 - model.fit(data.codes[rows], data.y[rows]).score(data.test_codes, data.test_y)


def self_training(data: Setup, rows: Labels, seed: int) -> float:
    labels = np.full(len(data.y), -1)
    labels[rows] = data.y[rows]
    base = LogisticRegression(C=0.1, max_iter=200)
    model = SelfTrainingClassifier(base, threshold=0.9, max_iter=5)
    return 1.0 - model.fit(data.codes, labels).score(data.test_codes, data.test_y)


METHODS: dict[str, Method] = {
    "pre-trained, fine-tuned": encoder_classifier("pretrained"),
    "pre-trained, frozen": encoder_classifier("pretrained", freeze=True),
    "random weights": encoder_classifier("untrained"),
    "random weights, longer steps": encoder_classifier("untrained", learning_rate_init=0.003),
    "logistic regression, pixels": logistic_pixels,
    "logistic regression, PCA": logistic_pca,
    "self-training, PCA": self_training,
}


def cases(options: Options) -> Iterator[Case]:
    """Yield all methods for each number of labels."""
    for n_labels, method in product(options.labels, METHODS):
        # Self-training needs unlabelled rows.
        if n_labels < options.rows or method != "self-training, PCA":
            yield {"labels": n_labels, "method": method}


def measure(options: Options, labels: int, method: str) -> Row:
    """Return mean and standard deviation of the test error over draws of the labels."""
    data = setup(options)
    seeds = options.seeds[: _SEEDS_WITH_ALL if labels >= len(data.X) else None]
    start = time.perf_counter()
    errors = [
        100 * METHODS[method](data, draw_labels(data.y, labels, seed), seed) for seed in seeds
    ]
    return {
        "error": float(np.mean(errors)),
        "deviation": float(np.std(errors)),
        "seconds": (time.perf_counter() - start) / len(seeds),
        "each_seed": errors,
    }


def summarise(rows: list[Row], options: Options) -> dict[str, Any]:
    """Return the relative reduction of the error by pre-training, for each number of labels."""

    def best(n_labels: int, prefix: str) -> float:
        return min(
            row["error"]
            for row in rows
            if row["labels"] == n_labels and row["method"].startswith(prefix)
        )

    saved = {str(n): 1.0 - best(n, "pre-") / best(n, "random") for n in options.labels}
    return {"share_of_errors_saved": saved}


def settings(options: Options) -> dict[str, Any]:
    return {
        **NETWORK,
        "training_rows": options.rows,
        "noise_level": NOISE_LEVEL,
        "autoencoder_epochs": options.epochs,
        "autoencoder_seconds": setup(options).pretraining_seconds,
        "pca_components": PCA_COMPONENTS,
        "seeds_with_all_labels": _SEEDS_WITH_ALL,
        "epochs_with_all_labels": _EPOCHS_WITH_ALL,
    }


def caption(content: Content) -> str:
    settings = content["settings"]
    saved = ", ".join(
        f"{n_labels} labels {100 * share:.0f} %"
        for n_labels, share in content["summary"]["share_of_errors_saved"].items()
    )
    return (
        f"MNIST, {settings['training_rows']} training rows, of which all but the labelled ones are "
        "used without labels. Test error in percent, mean and standard deviation over "
        f"{len(settings['seeds'])} draws of the labels ({settings['seeds_with_all_labels']} with "
        "all labels). The encoder is 784-500-500-500, pre-trained as a denoising autoencoder for "
        f"{settings['autoencoder_epochs']} epochs ({settings['autoencoder_seconds']:.0f} s), then "
        f"fine-tuned for 100 epochs ({settings['epochs_with_all_labels']} with all labels). "
        "Reduction of the error, from the better method with random weights to the better "
        f"pre-trained one: {saved}."
    )


def errors(content: Content) -> Table:
    """Return the test errors, a row per method and a column per number of labels."""
    by_method: dict[str, dict[str, str]] = {}
    for row in content["rows"]:
        cells = by_method.setdefault(row["method"], {"labels": row["method"]})
        cells[str(row["labels"])] = f"{row['error']:.2f} ± {row['deviation']:.2f}"
    counts = dict.fromkeys(str(row["labels"]) for row in content["rows"])
    return Table(["labels", *counts], list(by_method.values()))


BENCHMARK = Benchmark(
    module="labels",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=settings,
    section=[caption, errors],
    runs=[
        Run(
            "labels",
            "Classification with few labels",
            quick="--rows 5000 --labels 100 --seeds 0 --epochs 2",
        )
    ],
    options={"--labels": (100, 300, 1000, MNIST_TRAINING_ROWS), "--epochs": 12},
    seeds=range(5),
    rows=MNIST_TRAINING_ROWS,
)

if __name__ == "__main__":
    BENCHMARK.main()

"""CPU seconds of a fit of each estimator to digits, relative to those of `Autoencoder`.

All run on one thread, in turn, with a seed of their own in each round.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import skae
from benchmarks.runner import Benchmark, Options, Run
from benchmarks.tables import Row, Table

N_COMPONENTS = 16  # of the estimators whose default is 2
SHARE_MISSING = 0.3  # for the imputer
LABEL_EVERY = 18  # rows of which one has a label: a hundred in all

Make = Callable[[], Any]
ESTIMATORS: dict[str, Make] = {
    "PCA": partial(PCA, N_COMPONENTS),
    "Autoencoder": partial(skae.Autoencoder, N_COMPONENTS),
    "OrderedAutoencoder": partial(skae.OrderedAutoencoder, N_COMPONENTS),
    "SparseAutoencoder": skae.SparseAutoencoder,
    "DenoisingAutoencoder": partial(skae.DenoisingAutoencoder, N_COMPONENTS),
    "ContractiveAutoencoder": partial(skae.ContractiveAutoencoder, N_COMPONENTS),
    "StackedAutoencoder": partial(skae.StackedAutoencoder, N_COMPONENTS),
    "ConvolutionalAutoencoder": partial(
        skae.ConvolutionalAutoencoder, N_COMPONENTS, image_shape=(8, 8)
    ),
    "HashingAutoencoder": skae.HashingAutoencoder,
    "PredictiveSparseDecomposition": skae.PredictiveSparseDecomposition,
    "VariationalAutoencoder": partial(skae.VariationalAutoencoder, N_COMPONENTS),
    "AutoencoderClassifier": lambda: skae.AutoencoderClassifier(skae.Autoencoder(N_COMPONENTS)),
    "AutoencoderRegressor": lambda: skae.AutoencoderRegressor(skae.Autoencoder(N_COMPONENTS)),
    "AutoencoderImputer": lambda: skae.AutoencoderImputer(skae.DenoisingAutoencoder(N_COMPONENTS)),
}


def data_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return digits as the estimator takes them: with few labels, or with missing entries."""
    X, y = load_digits(return_X_y=True)
    unlabelled = np.nan if name == "AutoencoderRegressor" else -1
    y_few = np.where(np.arange(len(y)) % LABEL_EVERY == 0, y, unlabelled)
    if name == "AutoencoderImputer":
        X = np.where(np.random.default_rng(0).random(X.shape) < SHARE_MISSING, np.nan, X)
    return X, y_few


def cpu_seconds(name: str, seed: int) -> tuple[float, float, int | None]:
    """Return the CPU seconds of a fit and of `transform` (or `predict`), and the epochs."""
    X, y = data_of(name)
    estimator = ESTIMATORS[name]().set_params(random_state=seed)
    start = time.process_time()
    estimator.fit(X, y)
    fitted = time.process_time()
    (estimator.predict if hasattr(estimator, "predict") else estimator.transform)(X)
    done = time.process_time()
    autoencoder = getattr(estimator, "autoencoder_", estimator)
    return fitted - start, done - fitted, getattr(autoencoder, "n_iter_", None)


def measure(options: Options) -> Iterator[Row]:
    """Fit all estimators in turn, in several rounds; yield medians."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", UserWarning)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        cpu_seconds("PCA", 0)  # the first call of each library takes longer
        rounds = [[cpu_seconds(name, seed) for name in ESTIMATORS] for seed in options.seeds]
    reference = list(ESTIMATORS).index("Autoencoder")
    for i, name in enumerate(ESTIMATORS):
        own = [done[i] for done in rounds]
        over = [done[i][0] / done[reference][0] for done in rounds]
        yield {
            "estimator": name,
            "fit": float(np.median([fit for fit, _, _ in own])),
            "ratio": float(np.median(over)),
            "transform": float(np.median([encode for _, encode, _ in own])),
            "epochs": None if own[0][2] is None else float(np.median([n for *_, n in own])),
        }


BENCHMARK = Benchmark(
    module="methods_cost",
    description=__doc__,
    cases=lambda options: [{}],
    measure=measure,
    section=[
        "CPU seconds on one thread of a fit to the 1797 digits, and of `transform` (or `predict`) "
        "of the same rows: medians over seeds. All parameters have their defaults, but codes have "
        f"{N_COMPONENTS} numbers where the default is 2. The classifier and the regressor have a "
        "hundred labels, and the imputer fills 30 % of the entries. Ratio: seconds of the fit "
        "divided by those of `Autoencoder` with the same seed, the median.",
        Table("estimator | ratio | fit, s = fit | transform, s = transform | epochs"),
    ],
    runs=[Run("methods_cost", "Time of a fit of each estimator", quick="--seeds 0")],
    seeds=(0, 1, 2),
)

if __name__ == "__main__":
    BENCHMARK.main()

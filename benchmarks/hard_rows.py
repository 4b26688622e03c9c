"""Reconstruction error relative to PCA on duplicated rows, outliers and heavy-tailed data.

A network that memorises rows reconstructs their duplicates well, and where a few rows dominate the
error, the validation loss depends on few rows. Each case draws training rows and 2,000 test rows
from a distribution, and fits PCA and `Autoencoder(2)` with default parameters. "curve" is the
control: it has structure and none of these difficulties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.pca import WORSE, pca_error
from benchmarks.runner import Benchmark, Options, Run
from benchmarks.tables import Table
from skae import Autoencoder

N_TEST = 2000
# Called with a generator, the number of rows and a mixing matrix.
Distribution = Callable[[np.random.Generator, int, np.ndarray], np.ndarray]
Resampling = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def noise(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw isotropic Gaussian noise."""
    return rng.normal(size=(n, mixing.shape[1]))


def curve(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw from a curved surface with Gaussian noise."""
    latent = np.tile(rng.normal(size=(n, 2)), 2)
    return 3 * np.tanh(latent @ mixing) + 0.3 * noise(rng, n, mixing)


def contaminated(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw rows, of which 2 % are multiplied by 20."""
    X = np.tanh(rng.normal(size=(n, len(mixing))) @ mixing) + 0.1 * noise(rng, n, mixing)
    X[rng.random(n) < 0.02] *= 20
    return X


def heavy_curve(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw a curved surface over Student's t variables with two degrees of freedom."""
    latent = rng.standard_t(2, (n, 2))
    return np.c_[latent, latent[:, :1] ** 2, np.sin(3 * latent), np.abs(latent)]


def heavy_mixture(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw linear mixtures of four Student's t variables with 1.5 degrees of freedom."""
    return rng.standard_t(1.5, (n, len(mixing))) @ mixing + 0.3 * noise(rng, n, mixing)


def log_normal(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw linear mixtures of four log-normal variables."""
    return np.exp(1.5 * rng.normal(size=(n, len(mixing)))) @ mixing


def unchanged(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Return the rows unchanged."""
    return X


def three_times(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Repeat the first third of the rows three times each."""
    return np.repeat(X[: len(X) // 3], 3, axis=0)


def bootstrap(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Draw the same number of rows with replacement."""
    return X[rng.integers(len(X), size=len(X))]


def with_float32(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Concatenate the first half of the rows with its conversion to float32."""
    half = X[: len(X) // 2]
    return np.r_[half, half.astype(np.float32)]


CASES: dict[str, tuple[Distribution, Resampling]] = {
    "curve": (curve, unchanged),
    "noise, each row three times": (noise, three_times),
    "noise, a bootstrap sample": (noise, bootstrap),
    "noise, joined to its float32": (noise, with_float32),
    "curve, each row three times": (curve, three_times),
    "contaminated": (contaminated, unchanged),
    "heavy-tailed curve": (heavy_curve, unchanged),
    "heavy-tailed mixture": (heavy_mixture, unchanged),
    "log-normal": (log_normal, unchanged),
}


def draw(name: str, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the training and test rows of a case."""
    distribution, resample = CASES[name]
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(4, 20))
    train = resample(rng, distribution(rng, rows, mixing))
    return train, distribution(rng, N_TEST, mixing)


def measure(options: Options, **case: Any) -> dict[str, Any]:
    """Compare the test error with PCA's, for each seed."""
    ratios, kept_pca = [], 0
    with threadpool_limits(1):
        for seed in options.seeds:
            train, test = draw(case["set"], case["rows"], seed)
            autoencoder = Autoencoder(2, random_state=seed).fit(train)
            error = float(autoencoder.reconstruction_error(test).sum())
            ratios.append(error / pca_error(train, test, 2))
            kept_pca += autoencoder.selected_ == "pca"
    return {
        "ratios": ratios,
        "median": float(np.median(ratios)),
        "worst": max(ratios),
        "worse_than_pca": sum(ratio > WORSE for ratio in ratios),
        "kept_pca": int(kept_pca),
    }


def summarise(rows: Sequence[dict[str, Any]], options: Options) -> dict[str, Any]:
    """Count the cases that differ from PCA, and those that are worse."""
    return {
        "cases": len(rows) * len(options.seeds),
        "left_pca": sum(len(row["ratios"]) - row["kept_pca"] for row in rows),
        "worse_than_pca": sum(row["worse_than_pca"] for row in rows),
        "worst": max(row["worst"] for row in rows),
    }


BENCHMARK = Benchmark(
    module="hard_rows",
    description=__doc__,
    cases=lambda options: [{"set": name, "rows": n} for name, n in product(CASES, options.rows)],
    measure=measure,
    summarise=summarise,
    section=[
        "Duplicated rows, outliers and heavy tails: squared reconstruction error of 2,000 test "
        "rows, divided by that of PCA, with two components and default parameters. Of "
        "{summary[cases]} cases, {summary[left_pca]} kept the trained network instead of PCA. "
        "Cases worse than PCA by more than 0.5 %: {summary[worse_than_pca]}; worst ratio: "
        "{summary[worst]:.2f}.",
        Table(
            [
                "rows drawn from = set | rows | median ratio = median:.3f | "
                "worst ratio = worst:.3f",
                ("worse than PCA", lambda row: f"{row['worse_than_pca']} of {len(row['ratios'])}"),
                ("PCA kept", lambda row: f"{row['kept_pca']} of {len(row['ratios'])}"),
            ]
        ),
    ],
    runs=[
        Run(
            "hard_rows",
            "Reconstruction error relative to PCA, duplicates and heavy tails",
            quick="--rows 200 --seeds 0 1",
        )
    ],
    seeds=range(10),
    rows=(60, 200, 700, 1500),
)

if __name__ == "__main__":
    BENCHMARK.main()

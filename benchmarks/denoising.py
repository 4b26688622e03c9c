"""Denoising autoencoders: noise removal, imputation and the score function of a density."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import load
from benchmarks.runner import Benchmark, Options, Run, selected_parts, several
from benchmarks.tables import Row, Table
from skae import Autoencoder, DenoisingAutoencoder

LEVELS = {
    "gaussian": [1.0, 2.0, 4.0, 8.0],
    "masking": [0.1, 0.25, 0.5],
    "salt_and_pepper": [0.05, 0.1, 0.25],
}
# Data sets, and parameters of the denoising autoencoder.
IMPUTATION: dict[str, dict[str, Any]] = {
    "digits": {"n_components": 15, "hidden_layer_sizes": (128, 64), "max_iter": 25},
    "clean2": {"n_components": 32, "max_iter": 200},
    "mfeat_pixel": {"n_components": 32},
    "mfeat_factors": {"n_components": 32},
}
MISSING = 0.3
MAX_ROWS = 3000


def corrupt(X: np.ndarray, noise: str, level: float, rng: np.random.Generator) -> np.ndarray:
    """Add noise of one of the kinds of `DenoisingAutoencoder`."""
    if noise == "gaussian":
        return X + rng.normal(scale=level, size=X.shape)
    hit = rng.random(X.shape) < level
    if noise == "masking":
        return np.where(hit, X.mean(axis=0), X)
    return np.where(hit, np.where(rng.random(X.shape) < 0.5, X.min(axis=0), X.max(axis=0)), X)


def cleaning_errors(X: np.ndarray, noise: str, level: float, seed: int) -> dict[str, float]:
    """Return the squared error on corrupted test rows, relative to their variance."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    train, test = X[order[:1300]], X[order[1300:]]
    noisy = corrupt(test, noise, level, rng)
    models = {
        "denoising": DenoisingAutoencoder(32, noise=noise, noise_level=level, random_state=seed),
        "plain": Autoencoder(32, random_state=seed),
        "pca": PCA(32),
    }
    outputs = {
        name: model.inverse_transform(model.fit(train).transform(noisy))
        for name, model in models.items()
    }
    total = np.square(test - train.mean(axis=0)).sum()
    return {
        name: np.square(output - test).sum() / total
        for name, output in {**outputs, "as_it_is": noisy}.items()
    }


def cleaning(options: Options) -> Iterator[Row]:
    """Remove noise from digits; means over seeds."""
    X = load("digits", options.data_dir)[0]
    for noise, levels in LEVELS.items():
        for level in levels:
            errors = [cleaning_errors(X, noise, level, seed) for seed in options.seeds]
            means = {name: np.mean([error[name] for error in errors]) for name in errors[0]}
            yield {"part": "cleaning", "noise": noise, "level": level, **means}


def imputation(options: Options) -> Iterator[Row]:
    """Impute missing entries of test rows; root mean squared error of standardised features."""
    seed = options.seeds[0]
    for name, parameters in IMPUTATION.items():
        X = load(name, options.data_dir)[0]
        rng = np.random.default_rng(seed)
        X = X[rng.permutation(len(X))[:MAX_ROWS]]
        X = X[:, X.std(axis=0) > 0]
        n_training = int(0.7 * len(X))
        is_missing = rng.random(X.shape) < MISSING
        scaler = StandardScaler().fit(np.where(is_missing, np.nan, X)[:n_training])
        X = scaler.transform(X)
        with_nan = np.where(is_missing, np.nan, X)
        train, test, truth = with_nan[:n_training], with_nan[n_training:], X[n_training:]
        missing = np.isnan(test)
        imputers = {
            "simple": SimpleImputer(),
            "iterative": IterativeImputer(random_state=seed),
            "denoising": DenoisingAutoencoder(noise_level=0.1, random_state=seed, **parameters),
        }
        row: dict[str, Any] = {"part": "imputation", "set": name, "features": X.shape[1]}
        for method, imputer in imputers.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # after the default 10 rounds
                imputer.fit(train)
                filled = imputer.impute(test) if method == "denoising" else imputer.transform(test)
            row[f"{method}_seconds"] = time.perf_counter() - start
            row[method] = float(np.sqrt(np.square(filled - truth)[missing].mean()))
        yield row


def mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean cosine similarity of corresponding rows."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).mean())


def one_gaussian(rng: np.random.Generator, seed: int) -> float:
    """Compare the score function of a Gaussian distribution with the estimate."""
    factors = rng.normal(size=(5, 5))
    covariance = factors @ factors.T / 5 + 0.1 * np.eye(5)
    mean = 3 * rng.normal(size=5)
    train, test = (rng.multivariate_normal(mean, covariance, size=n) for n in (4000, 1000))
    model = DenoisingAutoencoder(16, noise="gaussian", noise_level=0.3, random_state=seed)
    exact = (mean - test) @ np.linalg.inv(covariance)
    return mean_cosine(model.fit(train).score_function(test), exact)


def two_gaussians(rng: np.random.Generator, seed: int) -> float:
    """Compare the score function of a mixture of two Gaussians with the estimate."""
    centres = np.array([[2.0, 0.0], [-2.0, 1.0]])
    X = centres[rng.integers(2, size=5000)] + rng.normal(scale=0.5, size=(5000, 2))
    train, test = X[:4000], X[4000:]
    model = DenoisingAutoencoder(8, noise="gaussian", noise_level=0.4, random_state=seed)
    steps = centres - test[:, None]
    weights = np.exp(-np.square(steps).sum(-1) / (2 * 0.5**2))
    weights /= weights.sum(axis=1, keepdims=True)
    exact = (weights[:, :, None] * steps).sum(axis=1) / 0.5**2
    return mean_cosine(model.fit(train).score_function(test), exact)


def score_function(options: Options) -> Iterator[Row]:
    """Compare estimated and exact score functions, a row per seed."""
    for seed in options.seeds:
        rng = np.random.default_rng(seed)
        yield {
            "part": "score function",
            "seed": seed,
            "one_gaussian": one_gaussian(rng, seed),
            "two_gaussians": two_gaussians(rng, seed),
        }


PARTS = {"cleaning": cleaning, "score": score_function, "imputation": imputation}
BENCHMARK = Benchmark(
    module="denoising",
    description=__doc__,
    cases=selected_parts,
    measure=lambda options, part: PARTS[part](options),
    section=[
        Table(
            "noise | level | `DenoisingAutoencoder` = denoising | `Autoencoder` = plain | "
            "PCA = pca | as it is = as_it_is",
            part="cleaning",
            caption="Noise removal from held-out digits with codes of 32 numbers: squared error "
            "relative to the variance, mean over seeds. `DenoisingAutoencoder` is trained with the "
            "noise of the test rows.",
        ),
        Table(
            "set | features | `impute` = denoising | `IterativeImputer` = iterative | "
            "`SimpleImputer` = simple | seconds = denoising_seconds | "
            "`IterativeImputer`, seconds = iterative_seconds",
            part="imputation",
            caption="Imputation with 30 % of the entries missing in training and test rows: root "
            "mean squared error of the missing entries of test rows, with standardised features, "
            "and seconds of fit and imputation (torch threads: {environment[torch_threads]}). Aim: "
            "an error near or below that of `IterativeImputer`, in less time.",
        ),
        Table(
            "seed | one Gaussian = one_gaussian | two Gaussians = two_gaussians",
            part="score function",
            caption="Mean cosine similarity of `score_function` and the exact gradient of log p "
            "on test rows. Aim: above 0.95.",
        ),
    ],
    runs=[Run("denoising", "Denoising and imputation", quick="--parts score --seeds 0")],
    options={"--parts": several(PARTS)},
    seeds=(0, 1, 2),
)

if __name__ == "__main__":
    BENCHMARK.main()

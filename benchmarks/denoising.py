"""Denoising autoencoders: cleaning digits, filling holes, estimating the score of a density."""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from benchmarks import record
from benchmarks.datasets import load
from skae import Autoencoder, DenoisingAutoencoder

LEVELS = {
    "gaussian": [1.0, 2.0, 4.0, 8.0],
    "masking": [0.1, 0.25, 0.5],
    "salt_and_pepper": [0.05, 0.1, 0.25],
}
# Set, parameters of the imputer.
IMPUTATION: dict[str, dict[str, Any]] = {
    "digits": {"n_components": 15, "hidden_layer_sizes": (128, 64), "max_iter": 25},
    "clean2": {"n_components": 32, "max_iter": 200},
    "mfeat_pixel": {"n_components": 32},
    "mfeat_factors": {"n_components": 32},
}
MISSING = 0.3
MOST_ROWS = 3000


def corrupt(X: np.ndarray, noise: str, level: float, rng: np.random.Generator) -> np.ndarray:
    if noise == "gaussian":
        return X + rng.normal(scale=level, size=X.shape)
    hit = rng.random(X.shape) < level
    if noise == "masking":
        return np.where(hit, X.mean(axis=0), X)
    return np.where(hit, np.where(rng.random(X.shape) < 0.5, X.min(axis=0), X.max(axis=0)), X)


def cleaning(seeds: list[int], directory: str | None) -> list[dict[str, Any]]:
    """Error on corrupted held-out digits, relative to their variance."""
    X = load("digits", directory)[0]
    rows = []
    for noise, levels in LEVELS.items():
        for level in levels:
            errors = []
            for seed in seeds:
                rng = np.random.default_rng(seed)
                order = rng.permutation(len(X))
                train, test = X[order[:1300]], X[order[1300:]]
                noisy = corrupt(test, noise, level, rng)
                models = [
                    DenoisingAutoencoder(32, noise=noise, noise_level=level, random_state=seed),
                    Autoencoder(32, random_state=seed),
                    PCA(32),
                ]
                total = np.square(test - train.mean(axis=0)).sum()
                errors.append(
                    [
                        np.square(m.inverse_transform(m.transform(noisy)) - test).sum() / total
                        for m in (model.fit(train) for model in models)
                    ]
                    + [np.square(noisy - test).sum() / total]
                )
            names = ["denoising", "plain", "pca", "as_it_is"]
            means = dict(zip(names, np.mean(errors, axis=0), strict=True))
            rows.append({"part": "cleaning", "noise": noise, "level": level, **means})
            print(rows[-1], flush=True)
    return rows


def imputation(seed: int, directory: str | None) -> list[dict[str, Any]]:
    """Root mean squared error on missing entries of fresh rows, features standardised."""
    rows = []
    for name, parameters in IMPUTATION.items():
        X = load(name, directory)[0]
        rng = np.random.default_rng(seed)
        X = X[rng.permutation(len(X))[:MOST_ROWS]]
        X = X[:, X.std(axis=0) > 0]
        n_training = int(0.7 * len(X))
        is_missing = rng.random(X.shape) < MISSING
        scaler = StandardScaler().fit(np.where(is_missing, np.nan, X)[:n_training])
        X = scaler.transform(X)
        holes = np.where(is_missing, np.nan, X)
        train, test, truth = holes[:n_training], holes[n_training:], X[n_training:]
        missing = np.isnan(test)
        methods = {
            "simple": SimpleImputer(),
            "iterative": IterativeImputer(random_state=seed),
            "denoising": DenoisingAutoencoder(noise_level=0.1, random_state=seed, **parameters),
        }
        row: dict[str, Any] = {"part": "imputation", "set": name, "features": X.shape[1]}
        for method, imputer in methods.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # after 10 rounds, the default
                imputer.fit(train)
                filled = imputer.impute(test) if method == "denoising" else imputer.transform(test)
            row[f"{method}_seconds"] = time.perf_counter() - start
            row[method] = float(np.sqrt(np.square(filled - truth)[missing].mean()))
        rows.append(row)
        print(row, flush=True)
    return rows


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / lengths).mean())


def score_function(seeds: list[int]) -> list[dict[str, Any]]:
    """Compare the estimate of grad log p with the exact one, on fresh rows."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        factors = rng.normal(size=(5, 5))
        covariance = factors @ factors.T / 5 + 0.1 * np.eye(5)
        mean = 3 * rng.normal(size=5)
        train, fresh = (rng.multivariate_normal(mean, covariance, size=n) for n in (4000, 1000))
        model = DenoisingAutoencoder(16, noise="gaussian", noise_level=0.3, random_state=seed)
        exact = (mean - fresh) @ np.linalg.inv(covariance)
        one = cosine(model.fit(train).score_function(fresh), exact)

        centres = np.array([[2.0, 0.0], [-2.0, 1.0]])
        X = centres[rng.integers(2, size=5000)] + rng.normal(scale=0.5, size=(5000, 2))
        train, fresh = X[:4000], X[4000:]
        model = DenoisingAutoencoder(8, noise="gaussian", noise_level=0.4, random_state=seed)
        steps = centres - fresh[:, None]
        weights = np.exp(-np.square(steps).sum(-1) / (2 * 0.5**2))
        weights /= weights.sum(axis=1, keepdims=True)
        exact = (weights[:, :, None] * steps).sum(axis=1) / 0.5**2
        two = cosine(model.fit(train).score_function(fresh), exact)
        rows.append(
            {"part": "score function", "seed": seed, "one_gaussian": one, "two_gaussians": two}
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["cleaning", "score", "imputation"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="denoising")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if "cleaning" in arguments.parts:
        rows += cleaning(arguments.seeds, arguments.data_dir)
    if "score" in arguments.parts:
        rows += score_function(arguments.seeds)
    if "imputation" in arguments.parts:
        rows += imputation(arguments.seeds[0], arguments.data_dir)
    print(record.tables(rows))
    path = record.write(arguments.name, rows, {}, seeds=arguments.seeds)
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()

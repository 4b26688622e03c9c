"""Counts: the Poisson loss against PCA, non-negative matrix factorisation and the true means.

Simulated counts follow a log-linear Poisson model, in some sets with row totals spread over
decades. Real ones are single cells (pbmc3k) and word counts (newsgroups). The figure is the mean
Poisson deviance of an entry on held-out rows.
"""

from __future__ import annotations

import warnings
from functools import cache
from time import process_time

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy
from sklearn.decomposition import NMF, PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from benchmarks.datasets import data_directory, load_newsgroups, load_pbmc3k_counts
from benchmarks.runner import Benchmark, Options, Run, several
from benchmarks.tables import Row, Table
from skae import Autoencoder

Counts = NDArray[np.float64]

N_FEATURES, N_ROWS, N_TEST = 60, 600, 1000
# Deviation of the log rates, mean log rate, decades of the row totals, and rank of the log rates.
SIMULATED = {
    "log-linear 0.3": (0.3, 1.0, 0.0, 3),
    "log-linear 0.5": (0.5, 3.0, 0.0, 3),
    "log-linear 0.7": (0.7, 1.0, 0.0, 3),
    "totals 10 to 10^4": (0.5, 1.0, 3.0, 4),
    "totals 10^3 to 10^6": (0.5, 1.0, 3.0, 4),
    "the same, log-linear 1": (1.0, 1.0, 3.0, 4),
}
_LOWEST_TOTAL = {"totals 10 to 10^4": 1.0}
REAL = {"pbmc3k": 10, "newsgroups": 20}
_N_COLUMNS = 1000  # of the real sets: the most frequent genes or words
_MAX_ROWS = 4500
_SMALLEST_RATE = 1e-3


@cache
def simulated(name: str, seed: int) -> tuple[Counts, Counts, Counts]:
    """Return training and test counts, and the rates of the latter."""
    amplitude, level, decades, _ = SIMULATED[name]
    rng = np.random.default_rng(seed)
    loadings, offsets = rng.normal(size=(3, N_FEATURES)), rng.normal(level, 1, N_FEATURES)
    rates = np.exp(amplitude * rng.normal(size=(N_ROWS + N_TEST, 3)) @ loadings + offsets)
    if decades:
        low = _LOWEST_TOTAL.get(name, 3.0)
        totals = 10 ** rng.uniform(low, low + decades, (len(rates), 1))
        rates *= totals / rates.sum(axis=1, keepdims=True)
    counts = rng.poisson(rates).astype(np.float64)
    return counts[:N_ROWS], counts[N_ROWS:], rates[N_ROWS:]


@cache
def real(name: str, seed: int, data_dir: str | None) -> list[Counts]:
    """Return training and test counts of the most frequent genes or words."""
    if name == "pbmc3k":
        X = load_pbmc3k_counts(data_directory(data_dir))[0]
    else:
        X = load_newsgroups(_N_COLUMNS, data_dir)[0].astype(np.float64)
    X = X[:, np.sort(np.argsort(-np.asarray(X.sum(axis=0)).ravel())[:_N_COLUMNS])].toarray()
    X = X[X.sum(axis=1) > 0]
    X = X[np.random.default_rng(seed).permutation(len(X))[:_MAX_ROWS]]
    return train_test_split(X, test_size=1 / 3, random_state=seed)


def deviance(X: Counts, rates: Counts) -> float:
    """Return the mean Poisson deviance of an entry."""
    rates = np.maximum(rates, 1e-9)
    return float(2 * np.mean(xlogy(X, X) - xlogy(X, rates) - X + rates))


def pca(X: Counts, X_new: Counts, k: int) -> Counts:
    """Reconstruct by PCA, clipped at a small rate."""
    model = PCA(k).fit(X)
    return np.maximum(model.inverse_transform(model.transform(X_new)), _SMALLEST_RATE)


def nmf(X: Counts, X_new: Counts, k: int, seed: int) -> Counts:
    """Reconstruct by the rank-k Poisson model with non-negative factors."""
    parameters = {"beta_loss": "kullback-leibler", "solver": "mu", "max_iter": 300}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NMF(k, init="nndsvda", random_state=seed, **parameters).fit(X)
        return model.transform(X_new) @ model.components_


def measure(options: Options, part: str, seed: int) -> Row:
    """Measure the deviance of each method's reconstruction of held-out rows."""
    rates = None
    if part in SIMULATED:
        X, X_new, rates = simulated(part, seed)
        k = SIMULATED[part][3]
    else:
        X, X_new = real(part, seed, options.data_dir)
        k = REAL[part]
    start = process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = Autoencoder(k, loss="poisson", random_state=seed).fit(X)
    reconstruction = model.reconstruct(X_new)
    seconds = process_time() - start
    of_logs = pca(np.log1p(X), np.log1p(X_new), k)
    return {
        "components": k,
        "largest": float(X.max()),
        "pca": deviance(X_new, pca(X, X_new, k)),
        "pca_of_logs": deviance(X_new, np.maximum(np.expm1(of_logs), _SMALLEST_RATE)),
        "nmf": deviance(X_new, nmf(X, X_new, k, seed)),
        "autoencoder": deviance(X_new, reconstruction),
        "true_rates": None if rates is None else deviance(X_new, rates),
        "best_epoch": model.best_iter_,
        "warnings": len(caught),
        "seconds": seconds,
    }


def summarise(rows: list[Row], options: Options) -> dict[str, float]:
    """Return the largest ratio of the autoencoder's deviance to those of the others."""
    return {
        f"largest_ratio_to_{other}": max(
            (row["autoencoder"] / row[other] for row in rows if row[other]), default=0.0
        )
        for other in ("pca", "nmf", "true_rates")
    }


BENCHMARK = Benchmark(
    module="counts",
    description=__doc__,
    cases=lambda options: [
        {"part": part, "seed": seed} for part in options.sets for seed in options.seeds
    ],
    measure=measure,
    summarise=summarise,
    settings=lambda options: {"columns": _N_COLUMNS, "max_rows": _MAX_ROWS},
    section=[
        "Mean Poisson deviance of an entry on held-out rows; lower is better. NMF minimises the "
        "same deviance (Kullback-Leibler). A deviance below that of the true rates is no error, "
        "since the codes of new rows adapt to their noise, too. Seconds are those of the "
        "autoencoder, fit and new rows, on one thread.",
        Table(
            "set = part | seed | k = components | largest count = largest | PCA = pca:.3f | "
            "PCA of logs = pca_of_logs:.3f | NMF = nmf:.3f | Autoencoder = autoencoder:.3f | "
            "true rates = true_rates | best epoch = best_epoch | seconds"
        ),
    ],
    runs=[
        Run(
            "counts",
            "Counts",
            quick="--sets 'log-linear 0.5' --seeds 0",
        )
    ],
    options={"--sets": several([*SIMULATED, *REAL])},
    seeds=range(3),
    resumes=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

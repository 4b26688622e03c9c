"""Is the autoencoder ever worse than PCA? Held-out error over PCA's, over many data sets.

Each case is a set, a code size and a seed: at most 3,000 rows, standardised by the training part,
70 % to train, 30 % to measure; all parameters at their defaults. Beside the default, which starts
at PCA, stands the plain network (``shortcut=None``).
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks import record
from benchmarks.datasets import (
    MNIST_TRAINING_ROWS,
    SCIKIT_LEARN_SETS,
    TABULAR_SETS,
    is_here,
    load,
)
from skae import Autoencoder

METHODS: dict[str, dict[str, Any]] = {"anchored": {}, "plain": {"shortcut": None}}
WORSE = 1.005  # more than 0.5 % above PCA's error counts as worse
MEDIAN_AIM = 0.45


def prepare(
    name: str,
    seed: int,
    max_rows: int,
    data_dir: str | None,
    training_rows: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows, split and standardise them; of those to train, keep the first `training_rows`."""
    X = load(name, data_dir)[0]
    if len(X) > max_rows:
        X = X[np.random.default_rng(seed).choice(len(X), max_rows, replace=False)]
    train, test = train_test_split(X, test_size=0.3, random_state=seed)
    train = train[:training_rows]
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def error_ratio(error: float, pca_error: float, total: float) -> float:
    """Error over PCA's; where PCA leaves nothing, 1 if we leave nothing either.

    Parameters
    ----------
    error, pca_error : float
        Summed squared reconstruction errors.
    total : float
        The same sum for the mean as the reconstruction.
    """
    if pca_error <= 1e-12 * total:
        return 1.0 if error <= 1e-9 * total else float("inf")
    return error / pca_error


def pca_error(train: np.ndarray, test: np.ndarray, n_components: int) -> float:
    """Sum the squared errors of PCA's reconstruction of the test rows."""
    pca = PCA(min(n_components, *train.shape), svd_solver="full").fit(train)
    return float(np.square(test - pca.inverse_transform(pca.transform(test))).sum())


def run_case(
    name: str,
    divisor: int,
    seeds: Sequence[int],
    max_rows: int,
    training_rows: int | None,
    data_dir: str | None,
    one_thread: bool,
) -> dict[str, Any]:
    """Measure one set at one code size, for all seeds and methods."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # the ratio tells what came of it
    if one_thread:
        torch.set_num_threads(1)
    with threadpool_limits(1 if one_thread else None):
        ratios: dict[str, list[float]] = {method: [] for method in METHODS}
        seconds: dict[str, list[float]] = {method: [] for method in METHODS}
        kept_pca = 0
        for seed in seeds:
            train, test = prepare(name, seed, max_rows, data_dir, training_rows)
            k = max(1, train.shape[1] // divisor)
            of_pca = pca_error(train, test, k)
            total = np.square(test - train.mean(axis=0)).sum()
            for method, parameters in METHODS.items():
                start = time.perf_counter()
                autoencoder = Autoencoder(k, random_state=seed, **parameters).fit(train)
                seconds[method].append(time.perf_counter() - start)
                error = autoencoder.reconstruction_error(test).sum()
                ratios[method].append(error_ratio(float(error), of_pca, float(total)))
                kept_pca += method == "anchored" and autoencoder.best_iter_ == 0
    return {
        "set": name,
        "k": k,
        "features": train.shape[1],
        "rows": len(train),
        "anchored": ratios["anchored"],
        "anchored_mean": statistics.fmean(ratios["anchored"]),
        "plain": ratios["plain"],
        "plain_mean": statistics.fmean(ratios["plain"]),
        "seeds_that_kept_pca": int(kept_pca),
        "seconds": seconds["anchored"],
        "plain_seconds": seconds["plain"],
    }


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Summarise all cases, for each method."""
    summary: dict[str, Any] = {"sets": len({row["set"] for row in rows})}
    for method in METHODS:
        ratios = [ratio for row in rows for ratio in row[method]]
        key = "seconds" if method == "anchored" else "plain_seconds"
        seconds = [value for row in rows for value in row[key]]
        summary[method] = {
            "cases": len(ratios),
            "cases_worse_than_pca": sum(ratio > WORSE for ratio in ratios),
            "median_ratio": statistics.median(ratios),
            "worst_ratio": max(ratios),
            "fit_seconds_median": statistics.median(seconds),
            "fit_seconds_max": max(seconds),
        }
    summary["aims_met"] = {
        "no_case_worse": summary["anchored"]["cases_worse_than_pca"] == 0,
        f"median_at_most_{MEDIAN_AIM}": summary["anchored"]["median_ratio"] <= MEDIAN_AIM,
    }
    return summary


def time_default_fit(name: str, data_dir: str | None) -> dict[str, float]:
    """Seconds of a default fit with 32 components, and of its codes, on all training rows."""
    X = load(name, data_dir)[0]
    if name == "mnist":
        X = X[:MNIST_TRAINING_ROWS]
    Autoencoder(1, max_iter=1).fit(X[:100])  # a process's first fit sets torch up
    autoencoder, seconds = Autoencoder(32, random_state=0), {}
    for part, call in {
        "fit": autoencoder.fit,
        "transform": autoencoder.transform,
        "encoder alone": lambda X: autoencoder.set_params(transform_max_iter=0).transform(X),
    }.items():
        start = time.perf_counter()
        call(X)
        seconds[part] = time.perf_counter() - start
    return seconds


def cases(names: Sequence[str], data_dir: str | None) -> Iterator[tuple[str, int]]:
    """Yield each set with the divisors that give different code sizes, d // 4 and d // 2."""
    for name in names:
        n_features = load(name, data_dir)[0].shape[1]
        yield name, 4
        if max(1, n_features // 2) > max(1, n_features // 4):
            yield name, 2


def _line(row: dict[str, Any]) -> str:
    seeds = " ".join(f"{ratio:.3f}" for ratio in row["anchored"])
    return (
        f"{row['set']:14s} k={row['k']:<4d} rows={row['rows']:<5d} "
        f"{row['anchored_mean']:.3f} ({seeds})  plain {row['plain_mean']:.3f}  "
        f"{statistics.fmean(row['seconds']):6.2f} s"
        + ("  WORSE THAN PCA" if max(row["anchored"]) > WORSE else "")
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=[*SCIKIT_LEARN_SETS, *TABULAR_SETS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--max-rows", type=int, default=3000)
    parser.add_argument("--training-rows", type=int, help="no more than these of the 70 %%")
    parser.add_argument("--mnist", action="store_true", help="also time a fit on 60,000 images")
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="pca", help="name of the result's file")
    arguments = parser.parse_args()

    names = [name for name in arguments.sets if is_here(name, arguments.data_dir)]
    if absent := sorted(set(arguments.sets) - set(names)):
        print(f"Not here, left out: {', '.join(absent)}.")
    if not names:
        parser.error("none of the sets is here; see --data-dir")
    settings = {
        "jobs": arguments.jobs,
        "seconds_taken_with": f"{arguments.jobs} process(es) at once"
        + (", one thread each" if arguments.jobs > 1 else ""),
        "max_rows": arguments.max_rows,
        "training_rows": arguments.training_rows,
        "sets_left_out": absent,
    }
    print("Held-out squared error over PCA's: mean (each seed), then the plain network's.")
    rows: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    results = Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(
        delayed(run_case)(
            name,
            divisor,
            arguments.seeds,
            arguments.max_rows,
            arguments.training_rows,
            arguments.data_dir,
            arguments.jobs > 1,
        )
        for name, divisor in list(cases(names, arguments.data_dir))
    )
    for row in results:
        rows.append(row)
        print(_line(row), flush=True)
        rows.sort(key=lambda row: (arguments.sets.index(row["set"]), row["k"]))
        summary = summarise(rows)
        record.write(arguments.name, rows, summary, seeds=arguments.seeds, settings=settings)

    timed = ["digits", *(["mnist"] if arguments.mnist else [])]
    summary["default_fit_seconds_k32"] = {}
    for name in timed:
        seconds = time_default_fit(name, arguments.data_dir)
        summary["default_fit_seconds_k32"][name] = seconds
        shown = ", ".join(f"{part} {value:.2f} s" for part, value in seconds.items())
        print(f"Default fit, {name}, all training rows, k=32: {shown}")
    path = record.write(arguments.name, rows, summary, seeds=arguments.seeds, settings=settings)
    print()
    print(record.table([{"method": method, **summary[method]} for method in METHODS]))
    for aim, met in summary["aims_met"].items():
        print(f"{aim.replace('_', ' ')}: {'met' if met else 'NOT MET'}")
    print(f"Seconds were taken with {settings['seconds_taken_with']}. Written to {path.name}.")


if __name__ == "__main__":
    main()

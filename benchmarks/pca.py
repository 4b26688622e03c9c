"""Reconstruction error relative to PCA, on many data sets.

A case is a data set and a code size; it is measured for each seed. The data are at most 3,000 rows,
split 70 % / 30 % into training and test rows and standardised by the training rows. `Autoencoder`
has its default parameters. "plain" is the same network without the PCA skip connection
(``shortcut=None``).
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import (
    MNIST_TRAINING_ROWS,
    SCIKIT_LEARN_SETS,
    TABULAR_SETS,
    is_available,
    load,
)
from benchmarks.runner import Benchmark, Case, Options, Run, threads_of_jobs
from benchmarks.tables import Content, Table
from benchmarks.timing import timed
from skae import Autoencoder

METHODS: dict[str, dict[str, Any]] = {"anchored": {}, "plain": {"shortcut": None}}
WORSE = 1.005  # a ratio above this counts as worse than PCA
MEDIAN_AIM = 0.45


def prepare(options: Options, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and test rows, standardised by the training rows."""
    X = load(name, options.data_dir)[0]
    if len(X) > options.max_rows:
        X = X[np.random.default_rng(seed).choice(len(X), options.max_rows, replace=False)]
    train, test = train_test_split(X, test_size=0.3, random_state=seed)
    train = train[: options.training_rows]
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def error_ratio(error: float, pca_error: float, total: float) -> float:
    """Return the error divided by PCA's; 1 if both are zero.

    Parameters
    ----------
    error, pca_error : float
        Summed squared reconstruction errors.
    total : float
        Summed squared deviations from the training mean.
    """
    if pca_error <= 1e-12 * total:
        return 1.0 if error <= 1e-9 * total else float("inf")
    return error / pca_error


def pca_error(train: np.ndarray, test: np.ndarray, n_components: int) -> float:
    """Return the summed squared reconstruction error of PCA on the test rows."""
    pca = PCA(min(n_components, *train.shape), svd_solver="full").fit(train)
    return float(np.square(test - pca.inverse_transform(pca.transform(test))).sum())


def ratio_to_pca(autoencoder: Autoencoder, train: np.ndarray, test: np.ndarray) -> float:
    """Return the error on test rows, divided by that of PCA with as many components."""
    error = float(autoencoder.reconstruction_error(test).sum())
    baseline = pca_error(train, test, autoencoder.n_components)
    return error_ratio(error, baseline, float(np.square(test - train.mean(axis=0)).sum()))


def cases(options: Options) -> Iterator[Case]:
    """Yield each data set with a quarter and half of its number of features as the code size."""
    names = [name for name in options.sets if is_available(name, options.data_dir)]
    if not names:
        raise SystemExit("None of the data sets is available; see --data-dir.")
    for name in names:
        n_features = load(name, options.data_dir)[0].shape[1]
        for k in dict.fromkeys((max(1, n_features // 4), max(1, n_features // 2))):
            yield {"set": name, "k": k}


def measure(options: Options, **case: Any) -> dict[str, Any]:
    """Fit both methods with each seed, and compare their test error with PCA's."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    ratios: dict[str, list[float]] = {method: [] for method in METHODS}
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    kept_pca = 0
    with threads_of_jobs(options):
        for seed in options.seeds:
            train, test = prepare(options, case["set"], seed)
            for method, parameters in METHODS.items():
                autoencoder = Autoencoder(case["k"], random_state=seed, **parameters)
                seconds[method].append(timed(autoencoder.fit, train)[1])
                ratios[method].append(ratio_to_pca(autoencoder, train, test))
                kept_pca += method == "anchored" and autoencoder.selected_ == "pca"
    return {
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


def default_fit_seconds(name: str, data_dir: str | None) -> dict[str, float]:
    """Time a default fit with 32 components, and its transform, on all training rows."""
    X = load(name, data_dir)[0]
    if name == "mnist":
        X = X[:MNIST_TRAINING_ROWS]
    Autoencoder(1, max_iter=1).fit(X[:100])  # the first fit of a process initialises torch
    autoencoder = Autoencoder(32, random_state=0)
    seconds = {"fit": timed(autoencoder.fit, X)[1], "transform": timed(autoencoder.transform, X)[1]}
    autoencoder.set_params(transform_max_iter=0)
    return {**seconds, "encoder alone": timed(autoencoder.transform, X)[1]}


def summarise(rows: Sequence[dict[str, Any]], options: Options) -> dict[str, Any]:
    """Summarise all cases per method, and time default fits."""
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
    names = ["digits", "mnist"] if options.mnist else ["digits"]
    seconds_by_set = {name: default_fit_seconds(name, options.data_dir) for name in names}
    return {**summary, "default_fit_seconds_k32": seconds_by_set}


def settings(options: Options) -> dict[str, Any]:
    threads = ", one thread each" if options.jobs > 1 else ""
    left_out = {name for name in options.sets if not is_available(name, options.data_dir)}
    return {
        "jobs": options.jobs,
        "seconds_taken_with": f"{options.jobs} process(es) at once{threads}",
        "max_rows": options.max_rows,
        "training_rows": options.training_rows,
        "sets_left_out": sorted(left_out),
    }


def caption(content: Content) -> str:
    """Describe the protocol and the aims."""
    settings = content["settings"]
    limit = settings["training_rows"]
    return (
        "Squared reconstruction error of held-out rows, divided by that of PCA with the same code "
        "size. All parameters have their defaults. Each data set is limited to "
        f"{settings['max_rows']} rows and standardised; 70 % of its rows are for training"
        + (f", of which at most {limit} are used. " if limit else ". ")
        + "A case is a data set, a code size and a seed. Aims: no case worse than PCA, median "
        f"ratio at most {MEDIAN_AIM}. Number of processes: {settings['jobs']}."
    )


def figure(content: Content) -> str | list[str]:
    """Return the figure, which shows the run with all training rows only."""
    if content["settings"]["training_rows"]:
        return []
    return (
        "![Error relative to PCA against the seconds of a fit](../images/error_against_seconds.png)"
    )


def totals(content: Content) -> Table:
    """Return the summary, one column per method."""
    fields = {
        "cases": "cases",
        "cases_worse_than_pca": "worse than PCA by more than 0.5 %",
        "median_ratio": "median ratio",
        "worst_ratio": "worst ratio",
        "fit_seconds_median": "seconds a fit, median",
        "fit_seconds_max": "seconds a fit, maximum",
    }
    summary = content["summary"]
    rows = [
        {"field": text, **{method: summary[method][key] for method in METHODS}}
        for key, text in fields.items()
    ]
    return Table("= field | `Autoencoder` = anchored | `Autoencoder(shortcut=None)` = plain", rows)


RATIOS = Table(
    [
        "set | features | training rows = rows | k | ratio = anchored_mean:.3f",
        ("each seed", lambda row: " ".join(f"{ratio:.3f}" for ratio in row["anchored"])),
        "plain = plain_mean:.3f",
        ("seconds", lambda row: sum(row["seconds"]) / len(row["seconds"])),
    ]
)

BENCHMARK = Benchmark(
    module="pca",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=settings,
    section=[caption, figure, totals, RATIOS],
    runs=[
        Run(
            "pca",
            "Reconstruction error relative to PCA",
            "--jobs 2",
            quick="--sets iris wine digits segmentation spambase --seeds 0",
        ),
        Run(
            "pca_60",
            "Reconstruction error relative to PCA, 60 training rows",
            "--training-rows 60 --jobs 2",
        ),
        Run(
            "pca_200",
            "Reconstruction error relative to PCA, 200 training rows",
            "--training-rows 200 --jobs 2",
        ),
    ],
    options={
        "--sets": (*SCIKIT_LEARN_SETS, *TABULAR_SETS),
        "--max-rows": 3000,
        "--training-rows": int,
        "--mnist": False,
    },
    seeds=(0, 1, 2),
    parallel=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

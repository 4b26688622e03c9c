"""Does the promise hold on rows made to break it? Copies, a few large rows, heavy tails.

A network that learns rows by heart is good at copies of them, and where few rows carry most of the
error, few of them judge. Each case draws training rows and 2,000 fresh ones from a law and fits PCA
and `Autoencoder(2)`, all else at its defaults, to the former. "curve" has nothing hard about it: it
shows what a sound structure still gains.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import record
from benchmarks.pca import WORSE, pca_error
from skae import Autoencoder

FRESH = 2000
Law = Callable[[np.random.Generator, int, np.ndarray], np.ndarray]


def noise(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw what no code could compress."""
    return rng.normal(size=(n, mixing.shape[1]))


def curve(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw a bent sheet with some noise."""
    hidden = np.tile(rng.normal(size=(n, 2)), 2)
    return 3 * np.tanh(hidden @ mixing) + 0.3 * noise(rng, n, mixing)


def contaminated(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw rows of which one in fifty is twenty times larger."""
    X = np.tanh(rng.normal(size=(n, len(mixing))) @ mixing) + 0.1 * noise(rng, n, mixing)
    X[rng.random(n) < 0.02] *= 20
    return X


def heavy_curve(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw a curve over a variable without a variance: Student's t, 2 degrees of freedom."""
    hidden = rng.standard_t(2, (n, 2))
    return np.c_[hidden, hidden[:, :1] ** 2, np.sin(3 * hidden), np.abs(hidden)]


def heavy_mixture(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw mixtures of four variables without a variance."""
    return rng.standard_t(1.5, (n, len(mixing))) @ mixing + 0.3 * noise(rng, n, mixing)


def log_normal(rng: np.random.Generator, n: int, mixing: np.ndarray) -> np.ndarray:
    """Draw mixtures of four log-normal variables."""
    return np.exp(1.5 * rng.normal(size=(n, len(mixing)))) @ mixing


def as_drawn(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Leave the rows as they are."""
    return X


def three_times(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Repeat a third of the rows three times each."""
    return np.repeat(X[: len(X) // 3], 3, axis=0)


def bootstrap(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Draw as many rows with replacement."""
    return X[rng.integers(len(X), size=len(X))]


def saved_and_joined(rng: np.random.Generator, X: np.ndarray) -> np.ndarray:
    """Join half of the rows to what float32 makes of them."""
    half = X[: len(X) // 2]
    return np.r_[half, half.astype(np.float32)]


CASES: dict[str, tuple[Law, Callable[[np.random.Generator, np.ndarray], np.ndarray]]] = {
    "curve": (curve, as_drawn),
    "noise, each row three times": (noise, three_times),
    "noise, a bootstrap sample": (noise, bootstrap),
    "noise, joined to its float32": (noise, saved_and_joined),
    "curve, each row three times": (curve, three_times),
    "contaminated": (contaminated, as_drawn),
    "heavy-tailed curve": (heavy_curve, as_drawn),
    "heavy-tailed mixture": (heavy_mixture, as_drawn),
    "log-normal": (log_normal, as_drawn),
}


def run_case(name: str, n_rows: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Measure one law at one number of rows."""
    law, sample = CASES[name]
    ratios, kept_pca = [], 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        mixing = rng.normal(size=(4, 20))
        train, fresh = sample(rng, law(rng, n_rows, mixing)), law(rng, FRESH, mixing)
        autoencoder = Autoencoder(2, random_state=seed).fit(train)
        error = float(autoencoder.reconstruction_error(fresh).sum())
        ratios.append(error / pca_error(train, fresh, 2))
        kept_pca += autoencoder.best_iter_ == 0
    return {
        "set": name,
        "rows": n_rows,
        "ratios": ratios,
        "median": float(np.median(ratios)),
        "worst": max(ratios),
        "worse_than_pca": sum(ratio > WORSE for ratio in ratios),
        "kept_pca": int(kept_pca),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=[60, 200, 700, 1500])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    arguments = parser.parse_args()
    rows = []
    with threadpool_limits(1):
        for name in CASES:
            for n_rows in arguments.rows:
                rows.append(run_case(name, n_rows, arguments.seeds))
                print(
                    "{set:28s} rows={rows:<5d} median {median:.3f}  worst {worst:.3f}  "
                    "worse {worse_than_pca}  kept PCA {kept_pca}".format(**rows[-1]),
                    flush=True,
                )
    summary = {
        "cases": len(rows) * len(arguments.seeds),
        "left_pca": sum(len(row["ratios"]) - row["kept_pca"] for row in rows),
        "worse_than_pca": sum(row["worse_than_pca"] for row in rows),
        "worst": max(row["worst"] for row in rows),
    }
    path = record.write("hard_rows", rows, summary, seeds=arguments.seeds)
    print(
        "{cases} cases: {left_pca} left PCA, {worse_than_pca} are worse than PCA by more than "
        "0.5 %, the worst has {worst:.2f} times its error.".format(**summary)
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()

"""Choosing the strength of a penalty: four scores over `alpha`, on digits.

One `GridSearchCV` scores each held-out fold by plain reconstruction and by the scorers of
`skae.metrics`. Writes docs/images/strength.png.
"""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from sklearn.model_selection import GridSearchCV, KFold

from benchmarks import record
from benchmarks.datasets import load
from skae import SparseAutoencoder
from skae.metrics import denoising_score, hidden_entries_score, trustworthiness_score

PICTURE = record.PICTURES / "strength.png"
ALPHAS = [0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]


def plain_score(estimator: SparseAutoencoder, X: np.ndarray, y: object = None) -> float:
    """Share of variance explained."""
    return estimator.score(X)


SCORERS = {
    "reconstruction": plain_score,
    "hidden entries": hidden_entries_score,
    "denoising": partial(denoising_score, noise="gaussian", noise_level=4.0),
    "trustworthiness": partial(trustworthiness_score, n_neighbors=12),
}


def draw(rows: list[dict[str, object]], n_units: int) -> None:
    """Draw one curve a score, its best alpha marked."""
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    axes = figure.subplots(1, len(SCORERS))
    positions = np.arange(len(ALPHAS))
    for axis, name in zip(axes, SCORERS, strict=True):
        means = np.array([row[name] for row in rows])
        spread = np.array([row[f"{name}_spread"] for row in rows])
        axis.fill_between(positions, means - spread, means + spread, alpha=0.2, linewidth=0)
        axis.plot(positions, means, marker="o", markersize=4)
        best = int(means.argmax())
        axis.plot(best, means[best], marker="o", markersize=11, fillstyle="none", color="C3")
        axis.set_title(f"{name}: best alpha {ALPHAS[best]:g}", fontsize=10)
        axis.set_xticks(positions, [f"{alpha:g}" for alpha in ALPHAS], fontsize=8)
        axis.set_xlabel("alpha")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("held-out score")
    figure.suptitle(f"SparseAutoencoder({n_units}) on digits: which score chooses which penalty")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="strength")
    arguments = parser.parse_args()
    X = load("digits", arguments.data_dir)[0]
    search = GridSearchCV(
        SparseAutoencoder(arguments.units, random_state=arguments.seed),
        {"alpha": ALPHAS},
        scoring=SCORERS,
        refit=False,
        cv=KFold(3, shuffle=True, random_state=arguments.seed),
    ).fit(X)
    rows = [
        {
            "alpha": alpha,
            **{name: float(search.cv_results_[f"mean_test_{name}"][i]) for name in SCORERS},
            **{
                f"{name}_spread": float(search.cv_results_[f"std_test_{name}"][i])
                for name in SCORERS
            },
        }
        for i, alpha in enumerate(ALPHAS)
    ]
    print(record.table(rows, ["alpha", *SCORERS]))
    best = {name: ALPHAS[int(np.argmax([row[name] for row in rows]))] for name in SCORERS}
    print(f"Best alpha: {best}")
    draw(rows, arguments.units)
    path = record.write(
        arguments.name,
        rows,
        {"best": best},
        seeds=[arguments.seed],
        settings={"n_components": arguments.units, "noise": "gaussian", "noise_level": 4.0},
    )
    print(f"Written to {path.name} and {PICTURE.name}.")


if __name__ == "__main__":
    main()

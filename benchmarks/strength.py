"""Selection of the penalty strength by four scores: `SparseAutoencoder` on digits.

`GridSearchCV` scores the held-out rows of each fold by reconstruction and by the scorers of
`skae.metrics`. Writes docs/images/strength.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.model_selection import GridSearchCV, KFold

from benchmarks.datasets import load
from benchmarks.drawing import save
from benchmarks.runner import Benchmark, Options, Run
from benchmarks.tables import Content, Row, Table
from skae import SparseAutoencoder
from skae.metrics import denoising_score, masked_imputation_score, trustworthiness_score

ALPHAS = [0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]


def reconstruction_score(estimator: SparseAutoencoder, X: np.ndarray, y: object = None) -> float:
    """Return the share of variance explained."""
    return estimator.score(X)


SCORERS = {
    "reconstruction": reconstruction_score,
    "masked imputation": masked_imputation_score,
    "denoising": partial(denoising_score, noise="gaussian", noise_level=4.0),
    "trustworthiness": partial(trustworthiness_score, n_neighbors=12),
}


def draw(rows: Sequence[Row], n_units: int) -> Figure:
    """Draw a panel per score, with the best alpha marked."""
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
    figure.suptitle(f"SparseAutoencoder({n_units}) on digits: four scores against alpha")
    return figure


def measure(options: Options) -> list[Row]:
    """Return mean and standard deviation of the scores over the folds, a row per alpha."""
    X = load("digits", options.data_dir)[0]
    results = (
        GridSearchCV(
            SparseAutoencoder(options.units, random_state=options.seed),
            {"alpha": ALPHAS},
            scoring=SCORERS,
            refit=False,
            cv=KFold(3, shuffle=True, random_state=options.seed),
        )
        .fit(X)
        .cv_results_
    )
    rows = [
        {
            "alpha": alpha,
            **{name: float(results[f"mean_test_{name}"][i]) for name in SCORERS},
            **{f"{name}_spread": float(results[f"std_test_{name}"][i]) for name in SCORERS},
        }
        for i, alpha in enumerate(ALPHAS)
    ]
    save(draw(rows, options.units), "strength")
    return rows


def summarise(rows: Sequence[Row], options: Options) -> dict[str, Any]:
    """Return the best alpha of each score."""
    best = {name: ALPHAS[int(np.argmax([row[name] for row in rows]))] for name in SCORERS}
    return {"best": best}


def caption(content: Content) -> str:
    """Describe the search and name the best values."""
    best = ", ".join(f"{name} {alpha:g}" for name, alpha in content["summary"]["best"].items())
    return (
        f"`GridSearchCV` over `alpha` of `SparseAutoencoder({content['settings']['n_components']})`"
        " on digits, with three folds and the scores of `skae.metrics`. Best alpha: "
        f"{best}."
    )


BENCHMARK = Benchmark(
    module="strength",
    description=__doc__,
    cases=lambda options: [{}],
    measure=measure,
    summarise=summarise,
    settings=lambda options: {
        "n_components": options.units,
        "noise": "gaussian",
        "noise_level": 4.0,
    },
    section=[
        caption,
        lambda content: Table(
            ["alpha", *(f"{name} = {name}:.4f" for name in content["summary"]["best"])]
        ),
        "![Four scores against alpha](../images/strength.png)",
    ],
    runs=[Run("strength", "Selection of the penalty strength", quick="--units 50")],
    options={"--units": 200},
)

if __name__ == "__main__":
    BENCHMARK.main()

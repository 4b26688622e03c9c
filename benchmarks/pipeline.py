"""In PCA's place: a scaler, a reducer and an estimator, searched inside nested cross-validation.

The score is accuracy, or normalised mutual information for k-means, on rows that neither the fit
nor the search has seen. A search takes the size of the code and the strength of the regularisation;
k-means, which must not see labels, has no search: the smaller size, and default strength.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import crossing, record
from benchmarks.datasets import TABULAR_SETS, load
from benchmarks.methods import REDUCERS, reducer

IMAGES = ("digits", "usps", "mnist", "fashion_mnist")
ESTIMATORS: dict[str, Any] = {
    "logistic regression": LogisticRegression(max_iter=500),
    "k-NN": KNeighborsClassifier(),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=50),
    "k-means": KMeans(n_init=4),
}
QUICK = {
    "sets": ("digits", "segmentation", "satimage", "waveform_40"),
    "methods": ("PCA", "Autoencoder"),
    "estimators": ("logistic regression", "k-NN"),
}
# A difference in score below this is a tie.
TIE = 0.005


@cache
def rows(name: str, most: int, directory: str | None) -> tuple[NDArray, NDArray]:
    """Return at most so many rows, drawn at random."""
    X, y = load(name, directory)
    chosen = np.random.default_rng(0).permutation(len(X))[:most]
    return X[chosen], y[chosen]


def sizes(n_features: int) -> list[int]:
    """Return the code sizes to search."""
    return sorted({max(1, min(32, n_features // 4)), max(1, min(64, n_features // 2))})


def fitted_pipeline(X: NDArray, y: NDArray, estimator: str, method: str, seed: int) -> Pipeline:
    """Search size and strength on these rows, and fit the best."""
    ks = sizes(X.shape[1])
    made = reducer(method, ks[0], seed)
    steps = [("scale", StandardScaler()), ("reduce", made)]
    grid = {"reduce__n_components": ks}
    grid |= {f"reduce__{name}": values for name, values in REDUCERS[method].grid.items()}
    model = clone(ESTIMATORS[estimator])
    if "random_state" in model.get_params():
        model.set_params(random_state=seed)
    if estimator != "k-means":
        return GridSearchCV(Pipeline([*steps, ("estimate", model)]), grid, cv=3).fit(X, y)
    model.set_params(n_clusters=len(np.unique(y)))
    return Pipeline([*steps, ("estimate", model)]).fit(X)


def measure(
    most: int, n_folds: int, directory: str | None, **case: Any
) -> dict[str, float | list[float]]:
    """Score one reducer under one estimator on one set."""
    X, y = rows(case["set"], most, directory)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=case["seed"])
    scores, start = [], time.perf_counter()
    for train, test in folds.split(X, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fitted_pipeline(
                X[train], y[train], case["estimator"], case["method"], case["seed"]
            )
        found = model.predict(X[test])
        if case["estimator"] == "k-means":
            scores.append(normalized_mutual_info_score(y[test], found))
        else:
            scores.append(float((found == y[test]).mean()))
    seconds = time.perf_counter() - start
    return {"score": float(np.mean(scores)), "folds": scores, "seconds": seconds}


def against_pca(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count wins, ties and losses over the sets, with Wilcoxon's signed-rank test."""
    scores = {
        (row["set"], row["estimator"], row["method"]): row["score"]
        for row in found
        if "score" in row
    }
    summary = []
    estimators = list(dict.fromkeys(row["estimator"] for row in found))
    methods = [m for m in dict.fromkeys(row["method"] for row in found) if m != "PCA"]
    for estimator, method in product(estimators, methods):
        gains = np.array(
            [
                score - scores[name, estimator, "PCA"]
                for (name, e, m), score in scores.items()
                if (e, m) == (estimator, method) and (name, estimator, "PCA") in scores
            ]
        )
        if not len(gains):
            continue
        p_value = wilcoxon(gains).pvalue if np.any(gains) else 1.0
        summary.append(
            {
                "estimator": estimator,
                "method": method,
                "win": int((gains > TIE).sum()),
                "tie": int((np.abs(gains) <= TIE).sum()),
                "loss": int((gains < -TIE).sum()),
                "median_gain": float(np.median(gains)),
                "p_value": float(p_value),
            }
        )
    return summary


def main() -> None:
    """Run from the command line."""
    full = bool(os.environ.get("FULL"))
    parser = argparse.ArgumentParser(description=__doc__)
    everything = [*TABULAR_SETS, *IMAGES]
    parser.add_argument("--sets", nargs="+", default=everything if full else QUICK["sets"])
    parser.add_argument(
        "--methods", nargs="+", default=list(REDUCERS if full else QUICK["methods"])
    )
    parser.add_argument(
        "--estimators", nargs="+", default=list(ESTIMATORS if full else QUICK["estimators"])
    )
    parser.add_argument("--rows", type=int, default=2000 if full else 600, help="most of a set")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="take known rows again")
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="pipeline" if full else "pipeline_quick")
    arguments = parser.parse_args()
    cases = [
        {"set": name, "estimator": estimator, "method": method, "seed": arguments.seed}
        for name, estimator, method in product(
            arguments.sets, arguments.estimators, arguments.methods
        )
    ]

    def measure_case(**case: Any) -> dict[str, float | list[float]]:
        return measure(arguments.rows, arguments.folds, arguments.data_dir, **case)

    settings = {"most_rows": arguments.rows, "folds": arguments.folds, "tie": TIE}
    found = crossing.run(
        arguments.name,
        cases,
        measure_case,
        settings=settings,
        summarise=against_pca,
        again=arguments.again,
    )
    print(record.table(found, ["set", "estimator", "method", "score", "seconds"]))
    print(record.table(against_pca(found)))


if __name__ == "__main__":
    main()

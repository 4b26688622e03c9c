"""In PCA's place: a scaler, a reducer and an estimator, searched inside nested cross-validation.

The score is accuracy, or normalised mutual information for k-means, on rows that neither the fit
nor the search has seen. A search takes the size of the code and the strength of the regularisation;
k-means, which must not see labels, has no search: the smaller size, and default strength. With
`--unscaled` there is no scaler: for features that share a unit, such as pixels.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control, wilcoxon
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import crossing
from benchmarks.datasets import DATASETS, TABULAR_SETS, some_rows
from benchmarks.methods import REDUCERS, reducer

SETS = (*TABULAR_SETS, "digits", "usps", "mnist", "fashion_mnist")
METHODS = tuple(name for name in REDUCERS if name != "half masked")
ESTIMATORS: dict[str, Any] = {
    "logistic regression": LogisticRegression(max_iter=500),
    "k-NN": KNeighborsClassifier(),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=50),
    "k-means": KMeans(n_init=4),
}
QUICK = {"sets": ("digits", "segmentation", "satimage"), "methods": ("PCA", "Autoencoder")}
FOLDS, INNER_FOLDS = 3, 2
# A difference in score below this is a tie.
TIE = 0.005


def sizes(n_features: int) -> list[int]:
    """Return the code sizes to search."""
    return sorted({max(1, min(32, n_features // 4)), max(1, min(64, n_features // 2))})


def grid(method: str, n_features: int) -> dict[str, Any]:
    """Return what to search: each size at each strength, the default one included."""
    reducer, searched = REDUCERS[method].estimator, REDUCERS[method].grid
    strengths = {
        f"reduce__{name}": [getattr(reducer, name), *values] for name, values in searched.items()
    }
    return {"reduce__n_components": sizes(n_features), **strengths}


def measure(most: int, scaled: bool, directory: str | None, **case: Any) -> dict[str, Any]:
    """Score one reducer under each estimator on one set."""
    X, y = some_rows(case["set"], most, directory)
    method, seed = case["method"], case["seed"]
    scaler = StandardScaler() if scaled else "passthrough"
    reduce = reducer(method, sizes(X.shape[1])[0], seed)
    searched = grid(method, X.shape[1])
    start = time.perf_counter()
    # A reducer sees no labels, so all estimators share its fits, by way of the memory.
    with TemporaryDirectory() as memory:
        steps = [("scale", scaler), ("reduce", reduce), ("estimate", "passthrough")]
        pipeline = Pipeline(steps, memory=memory)
        found = {
            name: _score(pipeline.set_params(estimate=estimator), searched, X, y, seed)
            for name, estimator in ESTIMATORS.items()
        }
    return {
        "estimators": found,
        "seconds": time.perf_counter() - start,
        "searched": len(ParameterGrid(searched)),
    }


def _score(
    pipeline: Pipeline, searched: dict[str, Any], X: NDArray, y: NDArray, seed: int
) -> dict[str, Any]:
    predicted = np.empty_like(y)
    information = []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(X, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _fitted(pipeline, searched, X[train], y[train], seed)
        predicted[test] = model.predict(X[test])
        information.append(normalized_mutual_info_score(y[test], predicted[test]))
    if isinstance(pipeline["estimate"], KMeans):
        return {"score": float(np.mean(information))}
    right = predicted == y
    # A bit a row: two methods are compared row by row.
    return {"score": float(right.mean()), "right": np.packbits(right).tobytes().hex()}


def _fitted(
    pipeline: Pipeline, searched: dict[str, Any], X: NDArray, y: NDArray, seed: int
) -> Pipeline | GridSearchCV:
    """Search size and strength on these rows, and fit the best."""
    seeded = clone(pipeline)
    if "random_state" in seeded["estimate"].get_params():
        seeded.set_params(estimate__random_state=seed)
    if isinstance(seeded["estimate"], KMeans):
        return seeded.set_params(estimate__n_clusters=len(np.unique(y))).fit(X)
    folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    return GridSearchCV(seeded, searched, cv=folds).fit(X, y)


def mcnemar(right: str, other: str) -> float:
    """Return the p value of McNemar's exact test on rows that one of two alone has right."""
    a, b = (
        np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8)).astype(bool)
        for bits in (right, other)
    )
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def against_pca(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count wins, ties and losses over the sets, with Wilcoxon's signed-rank test.

    A set is won or lost *surely* where McNemar's test says so, false discoveries over the sets
    held below 5 % (Benjamini and Hochberg). Mutual information has no such test.
    """
    cells = {
        (row["set"], estimator, row["method"]): cell
        for row in found
        for estimator, cell in row.get("estimators", {}).items()
    }
    methods = [m for m in dict.fromkeys(row["method"] for row in found) if m != "PCA"]
    sets = dict.fromkeys(row["set"] for row in found)
    summary = []
    for estimator, method in product(ESTIMATORS, methods):
        pairs = {
            name: (cells[name, estimator, method], cells[name, estimator, "PCA"])
            for name in sets
            if (name, estimator, method) in cells and (name, estimator, "PCA") in cells
        }
        if not pairs:
            continue
        gains = np.array([one["score"] - pca["score"] for one, pca in pairs.values()])
        surely: dict[str, Any] = {"won_surely": None, "lost_surely": None}
        if estimator != "k-means":
            p_values = [mcnemar(one["right"], pca["right"]) for one, pca in pairs.values()]
            sure = false_discovery_control(p_values) < 0.05
            names = np.array(list(pairs))
            surely = {
                "won_surely": names[sure & (gains > 0)].tolist(),
                "lost_surely": names[sure & (gains < 0)].tolist(),
            }
        summary.append(
            {
                "estimator": estimator,
                "method": method,
                "sets": len(gains),
                "win": int((gains > TIE).sum()),
                "tie": int((np.abs(gains) <= TIE).sum()),
                "loss": int((gains < -TIE).sum()),
                "mean_gain": float(gains.mean()),
                "p_value": float(wilcoxon(gains).pvalue) if np.any(gains) else 1.0,
                **surely,
            }
        )
    return summary


def main() -> None:
    """Run from the command line."""
    parser = crossing.parser(__doc__, "pipeline")
    sets = SETS if crossing.FULL else QUICK["sets"]
    parser.add_argument("--sets", nargs="+", choices=DATASETS, default=sets, metavar="SET")
    methods = METHODS if crossing.FULL else QUICK["methods"]
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=methods)
    parser.add_argument("--rows", type=crossing.count, default=1600, help="most of a set")
    parser.add_argument("--unscaled", action="store_true", help="leave out the scaler")
    arguments = parser.parse_args()
    cases = [
        {"set": name, "method": method, "seed": 0}
        for method, name in product(arguments.methods, arguments.sets)
    ]
    settings = {
        "most_rows": arguments.rows,
        "scaled": not arguments.unscaled,
        "folds": FOLDS,
        "inner_folds": INNER_FOLDS,
        "tie": TIE,
    }
    crossing.run(
        arguments.name,
        cases,
        partial(measure, arguments.rows, not arguments.unscaled, arguments.data_dir),
        settings=settings,
        summarise=against_pca,
        again=arguments.again,
    )


if __name__ == "__main__":
    main()

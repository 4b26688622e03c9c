"""Classifiers and k-means on the codes of PCA and autoencoders, by nested cross-validation.

The pipeline is a scaler, a reducer and an estimator. The score is the accuracy on the outer test
folds; for k-means it is the normalised mutual information with the labels. The inner folds select
the code size and the strength of the regularisation. k-means sees no labels, so it takes the
smaller size and the default strength without a search. ``--unscaled`` leaves the scaler out, for
features with a common unit such as pixels.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
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

from benchmarks.datasets import DATASETS, TABULAR_SETS, subsample
from benchmarks.methods import REDUCERS, declared_order, make_reducer
from benchmarks.runner import Benchmark, Case, Options, Run, several
from benchmarks.tables import Content, Row, Table

SETS = (*TABULAR_SETS, "digits", "usps", "mnist", "fashion_mnist")
METHODS = tuple(name for name in REDUCERS if name != "half masked")
ESTIMATORS: dict[str, Any] = {
    "logistic regression": LogisticRegression(max_iter=500),
    "k-NN": KNeighborsClassifier(),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=50),
    "k-means": KMeans(n_init=4),
}
FOLDS, INNER_FOLDS = 3, 2
# Scores that differ by at most this are a tie.
TIE = 0.005


def sizes(n_features: int) -> list[int]:
    """Return the code sizes of the search."""
    return sorted({max(1, min(32, n_features // 4)), max(1, min(64, n_features // 2))})


def grid(method: str, n_features: int) -> dict[str, Any]:
    """Return the search grid: code sizes, and strengths including the default."""
    reducer, searched = REDUCERS[method].estimator, REDUCERS[method].grid
    strengths = {
        f"reduce__{name}": [getattr(reducer, name), *values] for name, values in searched.items()
    }
    return {"reduce__n_components": sizes(n_features), **strengths}


def cases(options: Options) -> Iterator[Case]:
    """Yield the data sets of each method."""
    for method, name in product(options.methods, options.sets):
        yield {"set": name, "method": method, "seed": 0}


def measure(options: Options, **case: Any) -> dict[str, Any]:
    """Score all estimators with one reducer on one data set."""
    X, y = subsample(case["set"], options.rows, options.data_dir)
    method, seed = case["method"], case["seed"]
    scaler = "passthrough" if options.unscaled else StandardScaler()
    reducer = make_reducer(method, sizes(X.shape[1])[0], seed)
    searched = grid(method, X.shape[1])
    start = time.perf_counter()
    # The reducer ignores labels, so the cache shares its fits among the estimators.
    with TemporaryDirectory() as cache:
        steps = [("scale", scaler), ("reduce", reducer), ("estimate", "passthrough")]
        pipeline = Pipeline(steps, memory=cache)
        scores = {
            name: _score(pipeline.set_params(estimate=estimator), searched, X, y, seed)
            for name, estimator in ESTIMATORS.items()
        }
    return {
        "estimators": scores,
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
    correct = predicted == y
    # One bit per row, for McNemar's test between two methods.
    return {"score": float(correct.mean()), "right": np.packbits(correct).tobytes().hex()}


def _fitted(
    pipeline: Pipeline, searched: dict[str, Any], X: NDArray, y: NDArray, seed: int
) -> Pipeline | GridSearchCV:
    """Select size and strength by cross-validation, and refit."""
    seeded = clone(pipeline)
    if "random_state" in seeded["estimate"].get_params():
        seeded.set_params(estimate__random_state=seed)
    if isinstance(seeded["estimate"], KMeans):
        return seeded.set_params(estimate__n_clusters=len(np.unique(y))).fit(X)
    folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    return GridSearchCV(seeded, searched, cv=folds).fit(X, y)


def mcnemar(correct: str, other: str) -> float:
    """Return the p value of McNemar's exact test, from the packed bits of correct predictions."""
    a, b = (
        np.unpackbits(np.frombuffer(bytes.fromhex(bits), np.uint8)).astype(bool)
        for bits in (correct, other)
    )
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def against_pca(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count wins, ties and losses over the data sets, with Wilcoxon's signed-rank test.

    The wins and losses that are significant by McNemar's test are listed, with a false discovery
    rate of 5 % over the data sets (Benjamini and Hochberg). The test does not apply to k-means.
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
        gains = np.array([cell["score"] - pca["score"] for cell, pca in pairs.values()])
        significant: dict[str, Any] = {"won_surely": None, "lost_surely": None}
        if estimator != "k-means":
            p_values = [mcnemar(cell["right"], pca["right"]) for cell, pca in pairs.values()]
            is_significant = false_discovery_control(p_values) < 0.05
            names = np.array(list(pairs))
            significant = {
                "won_surely": names[is_significant & (gains > 0)].tolist(),
                "lost_surely": names[is_significant & (gains < 0)].tolist(),
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
                **significant,
            }
        )
    return summary


def caption(content: Content) -> str:
    settings = content["settings"]
    return (
        f"{'`StandardScaler`' if settings['scaled'] else 'No scaler'}, reducer and estimator; at "
        f"most {settings['most_rows']} rows a data set. Nested cross-validation: "
        f"{settings['folds']} outer folds, and {settings['inner_folds']} inner folds that select "
        "the code size and the strength of the regularisation. The score is the accuracy; for "
        "k-means, the normalised mutual information."
    )


def comparison(content: Content) -> Table:
    """Return the comparison with PCA, by estimator and method."""

    def names(found: list[str] | None) -> str:
        return "no test" if found is None else ", ".join(found) or "none"

    rows = declared_order(content["summary"])
    estimators = _estimators(content)
    return Table(
        [
            "estimator | method | sets | win | tie | loss | mean_gain | p_value",
            ("surely won", lambda row: names(row["won_surely"])),
            ("surely lost", lambda row: names(row["lost_surely"])),
        ],
        sorted(rows, key=lambda row: estimators.index(row["estimator"])),
    )


def _estimators(content: Content) -> list[str]:
    rows = declared_order(content["rows"])
    return list(dict.fromkeys(name for row in rows for name in row.get("estimators", {})))


def _by_set(content: Content, value: Callable[[Row], Any], missing: Any = None) -> Table:
    """Return a table of one value, with a row per data set and a column per method."""
    rows = declared_order(content["rows"])
    methods = dict.fromkeys(row["method"] for row in rows)
    by_set: dict[str, dict[str, Any]] = {}
    for row in rows:
        cells = by_set.setdefault(
            row["set"], {"set": row["set"], **dict.fromkeys(methods, missing)}
        )
        cells[row["method"]] = value(row)
    return Table(["set", *(f"{method} = {method}" for method in methods)], list(by_set.values()))


def scores(content: Content) -> Iterator[str | Table]:
    """Yield a table of scores per estimator."""
    for estimator in _estimators(content):

        def score(row: Row, estimator: str = estimator) -> str:
            return row.get("error") or f"{row['estimators'][estimator]['score']:.3f}"

        yield f"## {estimator}"
        yield _by_set(content, score, missing="not run")


def seconds(content: Content) -> tuple[str, Table]:
    """Return the seconds of the searches."""
    searched: dict[str, int] = {}
    for row in declared_order(content["rows"]):
        method = row["method"]
        searched[method] = max(searched.get(method, 0), row.get("searched", 0))
    counts = ", ".join(f"{n} of {method}" for method, n in searched.items())
    text = (
        "Seconds of all searches on a data set; the estimators share the fits of the reducer. "
        f"Number of parameter settings: {counts}."
    )
    return text, _by_set(content, lambda row: row.get("seconds"))


QUICK = "--sets digits segmentation satimage --methods PCA Autoencoder"
PIXELS = "--unscaled --sets digits usps mnist fashion_mnist --methods PCA Autoencoder"
BENCHMARK = Benchmark(
    module="pipeline",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=lambda rows, options: against_pca(rows),
    settings=lambda options: {
        "most_rows": options.rows,
        "scaled": not options.unscaled,
        "folds": FOLDS,
        "inner_folds": INNER_FOLDS,
        "tie": TIE,
    },
    section=[
        caption,
        comparison,
        "Scores within {settings[tie]} are a tie. The p value is of Wilcoxon's signed-rank test "
        "over the data sets. A data set is surely won or lost if McNemar's test on its rows is "
        "significant, at a false discovery rate of 5 % over the data sets.",
        scores,
        "## Seconds",
        seconds,
    ],
    runs=[
        Run("pipeline", "Before classifiers and k-means", quick=QUICK),
        Run("pipeline_pixels", "Before classifiers and k-means, pixels without a scaler", PIXELS),
    ],
    options={"--sets": several(DATASETS, SETS), "--methods": several(METHODS), "--unscaled": False},
    rows=1600,
    resumes=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

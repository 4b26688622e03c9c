"""Scores of two-dimensional maps, against the rows and labels that they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.manifold import trustworthiness
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

# Means over seeds, by data set, method and code size.
Means = dict[tuple[str, str, int | None], dict[str, Any]]
N_NEIGHBORS = (12, 50)
_N_VOTES = 5


def _neighbors(X: NDArray, n_neighbors: int) -> NDArray[np.int64]:
    return NearestNeighbors(n_neighbors=n_neighbors).fit(X).kneighbors(return_distance=False)


def preservation(X: NDArray, points: NDArray, n_neighbors: int) -> float:
    """Return the share of nearest neighbours in X that are nearest neighbours on the map."""
    before, after = _neighbors(X, n_neighbors), _neighbors(points, n_neighbors)
    kept = [len(np.intersect1d(a, b)) for a, b in zip(before, after, strict=True)]
    return float(np.mean(kept) / n_neighbors)


def knn_accuracy(points: NDArray, y: NDArray) -> float:
    """Return the leave-one-out accuracy of a 5-nearest-neighbour vote on the map."""
    neighbors = _neighbors(points, _N_VOTES)
    votes = np.stack([(y[neighbors] == label).sum(axis=1) for label in np.unique(y)], axis=1)
    return float((np.unique(y)[votes.argmax(axis=1)] == y).mean())


def map_scores(X: NDArray, points: NDArray, y: NDArray, seed: int) -> dict[str, float]:
    """Return the scores of a map of the rows X with labels y."""
    scores = {}
    for n in N_NEIGHBORS:
        scores[f"trustworthiness_{n}"] = trustworthiness(X, points, n_neighbors=n)
        # Continuity is trustworthiness with the map and the rows exchanged.
        scores[f"continuity_{n}"] = trustworthiness(points, X, n_neighbors=n)
        scores[f"preservation_{n}"] = preservation(X, points, n)
    clusters = KMeans(len(np.unique(y)), n_init=4, random_state=seed).fit_predict(points)
    return {
        **scores,
        "knn_accuracy": knn_accuracy(points, y),
        "kmeans_nmi": normalized_mutual_info_score(y, clusters),
    }


def means_over_seeds(rows: Iterable[Mapping[str, Any]]) -> Means:
    """Average over seeds. "seeds" is their number, "error" the joined messages of failed rows."""
    groups: dict[tuple[str, str, int | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["method"], row["k"]), []).append(row)
    means: Means = {}
    for case, group in groups.items():
        errors = [row["error"] for row in group if "error" in row]
        fields = [name for name, value in group[0].items() if isinstance(value, float)]
        averages = {} if errors else {name: fmean(row[name] for row in group) for name in fields}
        means[case] = {"seeds": len(group), "error": " ".join(errors), **averages}
    return means


def without_errors(means: Means) -> Means:
    """Return the means of the cases that did not fail."""
    return {case: row for case, row in means.items() if not row["error"]}

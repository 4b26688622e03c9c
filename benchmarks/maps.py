"""What a two-dimensional map keeps of the rows it is drawn from."""

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

# By set, method and size of the code.
Means = dict[tuple[str, str, int | None], dict[str, Any]]
NEIGHBOURS = (12, 50)
_VOTERS = 5


def _neighbours(X: NDArray, n_neighbors: int) -> NDArray[np.int64]:
    return NearestNeighbors(n_neighbors=n_neighbors).fit(X).kneighbors(return_distance=False)


def preservation(X: NDArray, points: NDArray, n_neighbors: int) -> float:
    """Share of each row's nearest neighbours that are its nearest on the map too."""
    raw, drawn = _neighbours(X, n_neighbors), _neighbours(points, n_neighbors)
    kept = [len(np.intersect1d(a, b)) for a, b in zip(raw, drawn, strict=True)]
    return float(np.mean(kept) / n_neighbors)


def vote_accuracy(points: NDArray, y: NDArray) -> float:
    """Share of rows whose label is that of most of their five neighbours on the map."""
    neighbours = _neighbours(points, _VOTERS)
    votes = np.stack([(y[neighbours] == label).sum(axis=1) for label in np.unique(y)], axis=1)
    return float((np.unique(y)[votes.argmax(axis=1)] == y).mean())


def scores(X: NDArray, points: NDArray, y: NDArray, seed: int) -> dict[str, float]:
    """Measure a map against the raw rows and their labels."""
    found = {}
    for n in NEIGHBOURS:
        found[f"trustworthiness_{n}"] = trustworthiness(X, points, n_neighbors=n)
        # What is near in X and torn apart on the map: the same measure, the other way round.
        found[f"continuity_{n}"] = trustworthiness(points, X, n_neighbors=n)
        found[f"preservation_{n}"] = preservation(X, points, n)
    clusters = KMeans(len(np.unique(y)), n_init=4, random_state=seed).fit_predict(points)
    return {
        **found,
        "knn_accuracy": vote_accuracy(points, y),
        "kmeans_nmi": normalized_mutual_info_score(y, clusters),
    }


def means_over_seeds(rows: Iterable[Mapping[str, Any]]) -> Means:
    """Average rows that differ in their seed only, and count them; "error" is "" or what failed."""
    groups: dict[tuple[str, str, int | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["method"], row["k"]), []).append(row)
    means: Means = {}
    for case, group in groups.items():
        errors = [row["error"] for row in group if "error" in row]
        fields = [name for name, value in group[0].items() if isinstance(value, float)]
        taken = {} if errors else {name: fmean(row[name] for row in group) for name in fields}
        means[case] = {"seeds": len(group), "error": " ".join(errors), **taken}
    return means

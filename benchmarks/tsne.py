"""t-SNE maps of the raw features, of PCA's code and of autoencoders' codes of the same size.

As in practice, the mapped rows are among those that the reducer is fitted to. A seed sets the
subsample of the rows (for a small data set, their order), the initial weights of the networks and
the clustering of the map.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from sklearn.manifold import TSNE

from benchmarks.datasets import DATASETS, subsample
from benchmarks.maps import Means, map_scores, means_over_seeds, without_errors
from benchmarks.methods import REDUCERS, declared_order, make_reducer
from benchmarks.runner import Benchmark, Case, Options, Run, several
from benchmarks.tables import Content, Table

SETS = ("digits", "pbmc3k", "usps", "mnist", "fashion_mnist", "newsgroups")
SMALL = ("digits", "pbmc3k")
IMAGES = ("usps", "mnist", "fashion_mnist")
COUNTS = ("pbmc3k", "newsgroups")
METHODS = tuple(name for name in REDUCERS if name != "KernelPCA")
SIZES = (8, 16, 32, 50)
MAX_FITTED, MAX_MAPPED = 10_000, 3000
TRUST_TOLERANCE = 0.002


def recommended(name: str) -> str:
    """Return the method that docs/before_tsne.md recommends for a data set."""
    return "half masked" if name in COUNTS else "Autoencoder"


def needs_all_seeds(name: str, method: str) -> bool:
    """Whether to use all seeds: for small data sets, and where the recipe is close to PCA."""
    return name in SMALL or (name in IMAGES and method in ("raw", "PCA", recommended(name)))


def cases(options: Options) -> Iterator[Case]:
    """Yield the cases, the first seed of every data set first."""
    for seed, name in product(options.seeds, options.sets):
        for method, k in [("raw", None), *product(options.methods, options.sizes)]:
            if seed == options.seeds[0] or needs_all_seeds(name, method):
                yield {"set": name, "method": method, "k": k, "seed": seed}


def measure(options: Options, **case: Any) -> dict[str, float]:
    """Compute a map and compare it with the raw rows."""
    seed = case["seed"]
    X, y = subsample(case["set"], options.fitted, options.data_dir, seed)
    mapped, y = X[: options.drawn], y[: options.drawn]
    start = time.perf_counter()
    code = mapped
    if case["method"] != "raw":
        code = make_reducer(case["method"], case["k"], seed).fit(X).transform(mapped)
    if not np.ptp(code, axis=0).any():
        # scikit-learn's TSNE divides by the variance and fails.
        raise ValueError("All rows have the same code.")
    reduced = time.perf_counter()
    points = TSNE(init="pca", random_state=seed).fit_transform(np.ascontiguousarray(code))
    return {
        "fit_seconds": reduced - start,
        "tsne_seconds": time.perf_counter() - reduced,
        **map_scores(mapped, points, y, seed),
    }


class Comparison:
    """The recommended method against PCA, for each data set and code size with both."""

    def __init__(self, means: Means) -> None:
        measured = without_errors(means)
        self.means = means
        self.names = list(dict.fromkeys(name for name, _, _ in means))
        self.sizes = sorted({k for _, method, k in means if method == "PCA" and k})
        self.pairs = {
            (name, k): (measured[name, "PCA", k], measured[name, recommended(name), k])
            for name, k in product(self.names, self.sizes)
            if {(name, "PCA", k), (name, recommended(name), k)} <= measured.keys()
        }

    def gains(self, field: str, name: str | None = None, k: int | None = None) -> list[float]:
        """Return the differences between the recommended method and PCA."""
        return [
            ours[field] - pca[field]
            for (pair_name, pair_k), (pca, ours) in self.pairs.items()
            if name in (None, pair_name) and k in (None, pair_k)
        ]

    def table(self) -> Table:
        rows = [
            {
                "set": name,
                "seeds": self.means[name, "raw", None]["seeds"],
                "raw": self.means[name, "raw", None].get("knn_accuracy"),
                **{str(k): self._accuracies(name, k) for k in self.sizes},
                "least": "".join(
                    f"{gain:+.4f}" for gain in sorted(self.gains("trustworthiness_12", name))[:1]
                ),
            }
            for name in self.names
        ]
        sizes = [f"{k}: PCA / recipe = {k}" for k in self.sizes]
        return Table(
            ["set | seeds | raw", *sizes, "trustworthiness, least difference = least"], rows
        )

    def _accuracies(self, name: str, k: int) -> str:
        return " / ".join(f"{row['knn_accuracy']:.3f}" for row in self.pairs.get((name, k), ()))

    def wins(self, margin: float) -> str:
        """Count the data sets with a higher accuracy than PCA's, at each code size."""
        gains = {k: self.gains("knn_accuracy", k=k) for k in self.sizes}
        return ", ".join(
            f"{sum(gain > margin for gain in found)} of {len(found)} at {k}"
            for k, found in gains.items()
        )

    def less_trustworthy(self, n_neighbors: int) -> str:
        """List the maps with a lower trustworthiness than PCA's."""
        found = [
            f"{name} at {k} ({gain:+.4f})"
            for name, k in self.pairs
            for gain in self.gains(f"trustworthiness_{n_neighbors}", name, k)
            if gain < -TRUST_TOLERANCE
        ]
        return ", ".join(found) or "none"

    def summary(self) -> str:
        pairs = self.pairs
        level = [
            pairs[name, 8][1]["knn_accuracy"] >= pairs[name, 32][0]["knn_accuracy"]
            for name in self.names
            if {(name, 8), (name, 32)} <= pairs.keys()
        ]
        return (
            f"Data sets with a higher accuracy by the recipe than by PCA: {self.wins(0)}; higher "
            f"by more than 0.005: {self.wins(0.005)}. The recipe with 8 components is at least as "
            f"accurate as PCA with 32 on {sum(level)} of {len(level)}. Trustworthiness below "
            f"PCA's by more than 0.002, with 12 neighbours: {self.less_trustworthy(12)}; with 50 "
            f"neighbours: {self.less_trustworthy(50)}."
        )


def _means(content: Content) -> Means:
    return means_over_seeds(declared_order(content["rows"]))


def comparison(content: Content) -> Iterable[str | Table]:
    """Compare the recommended method with PCA."""
    found = Comparison(_means(content))
    return found.table(), found.summary()


def cost(content: Content) -> Table:
    """Return the seconds per data set: of each method's fit, over its sizes, and of t-SNE."""
    measured = without_errors(_means(content))
    methods = [m for m in dict.fromkeys(method for _, method, _ in _means(content)) if m != "raw"]

    def mean(field: str, name: str, among: Sequence[str]) -> float | None:
        found = [row[field] for (one, m, _), row in measured.items() if one == name and m in among]
        return fmean(found) if found else None

    rows = [
        {
            "set": name,
            **{method: mean("fit_seconds", name, [method]) for method in methods},
            "tsne_raw": mean("tsne_seconds", name, ["raw"]),
            "tsne_codes": mean("tsne_seconds", name, methods),
        }
        for name in dict.fromkeys(name for name, _, _ in _means(content))
    ]
    columns = ["set", *(f"{method}, fit = {method}" for method in methods)]
    return Table([*columns, "t-SNE, raw rows = tsne_raw | t-SNE, codes = tsne_codes"], rows)


MAP_COLUMNS = (
    "= method | k | seeds | k-NN accuracy = knn_accuracy | "
    "k-means NMI = kmeans_nmi | trustworthiness, 12 = trustworthiness_12 | "
    "trustworthiness, 50 = trustworthiness_50 | continuity, 12 = continuity_12 | "
    "continuity, 50 = continuity_50 | neighbours kept, 12 = preservation_12 | "
    "neighbours kept, 50 = preservation_50 | fit, s = fit_seconds | "
    "t-SNE, s = tsne_seconds | = error"
)


def all_maps(content: Content) -> Iterator[str | Table]:
    """Yield one table per data set."""
    means = _means(content)
    for name in dict.fromkeys(name for name, _, _ in means):
        yield f"## {name}"
        yield Table(
            MAP_COLUMNS,
            [
                {"method": method, "k": k, **row}
                for (one, method, k), row in means.items()
                if one == name
            ],
        )


def readme_table(content: Content) -> Table:
    """Return accuracy and seconds with raw features, PCA and the recommended method."""
    means = means_over_seeds(content["rows"])
    measured = without_errors(means)
    names = list(dict.fromkeys(name for name, _, _ in means))
    methods = {
        "raw features": ("raw", None),
        "PCA, 8 numbers": ("PCA", 8),
        "autoencoder, 8": (None, 8),
        "PCA, 32": ("PCA", 32),
        "autoencoder, 32": (None, 32),
    }
    rows = []
    for label, (method, k) in methods.items():
        cases = {name: (name, method or recommended(name), k) for name in names}
        found = {name: measured[case] for name, case in cases.items() if case in measured}
        row = {"label": label, **{name: f"{found[name]['knn_accuracy']:.3f}" for name in found}}
        for field in ("fit_seconds", "tsne_seconds"):
            row[field] = f"{fmean(mean[field] for mean in found.values()):.1f}"
        rows.append(row)
    columns = ["t-SNE from = label", *(f"{name} = {name}" for name in names)]
    return Table([*columns, "fit, s = fit_seconds | t-SNE, s = tsne_seconds"], rows)


BENCHMARK = Benchmark(
    module="tsne",
    description=__doc__,
    cases=cases,
    measure=measure,
    settings=lambda options: {"most_fitted": options.fitted, "most_drawn": options.drawn},
    section=[
        "The reducer is fitted to at most {settings[most_fitted]} rows, and at most "
        "{settings[most_drawn]} of them are mapped. Scores are means over seeds. Each seed draws "
        "other rows, so compare only methods with the same number of seeds. Trustworthiness, "
        "continuity and the share of neighbours kept are relative to the raw rows.",
        "k-NN accuracy of the map, PCA / recipe. The recipe is `Autoencoder(k)`, and for words and "
        "counts `DenoisingAutoencoder(k, noise_level=0.5)`, named "
        '"half masked" here: see [Before t-SNE](../before_tsne.md).',
        comparison,
        "![t-SNE maps of MNIST](../images/maps.png)",
        "![Accuracy of the maps against the size of the code](../images/accuracy_against_size.png)",
        "## Cost",
        "Seconds, means over code sizes and seeds.",
        cost,
        all_maps,
    ],
    runs=[
        Run(
            "tsne",
            "Before t-SNE",
            quick="--sets digits --sizes 8 32 --methods PCA Autoencoder --seeds 0",
        )
    ],
    options={
        "--sets": several(DATASETS, SETS),
        "--sizes": SIZES,
        "--methods": several(METHODS),
        "--fitted": MAX_FITTED,
        "--drawn": MAX_MAPPED,
    },
    seeds=range(5),
    resumes=True,
)

if __name__ == "__main__":
    BENCHMARK.main()

"""Figures: t-SNE maps, accuracy against code size, error against seconds, views into a network.

The maps and the views are computed. The other figures are drawn from the result files of
`benchmarks.tsne` and `benchmarks.pca`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE

from benchmarks import record
from benchmarks.datasets import subsample
from benchmarks.drawing import COLOURS, FRAME, INK, MUTED, align, draw_map, save
from benchmarks.maps import knn_accuracy, means_over_seeds, without_errors
from benchmarks.methods import make_reducer
from benchmarks.runner import Benchmark, Options, Run, several
from benchmarks.tables import Content
from benchmarks.tsne import MAX_FITTED, MAX_MAPPED
from skae import Autoencoder
from skae.inspection import (
    ComponentsDisplay,
    FeatureDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
)

PANELS = (("raw", None), ("PCA", 8), ("PCA", 32), ("Autoencoder", 8))
LINES = {"PCA": MUTED, "Autoencoder": COLOURS[0], "half masked": COLOURS[2]}


def _style(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FRAME)
    axis.tick_params(colors=MUTED, labelsize=9)


def maps(options: Options) -> Figure:
    """Draw t-SNE maps of a data set from the raw rows, from PCA and from an autoencoder."""
    X, y = subsample(options.set, MAX_FITTED, options.data_dir)
    mapped, y = X[: options.drawn], y[: options.drawn]
    figure = Figure(figsize=(4.5 * len(PANELS), 5), facecolor="white")
    axes = figure.subplots(1, len(PANELS))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.86, wspace=0.03)
    reference = None
    for axis, (method, k) in zip(axes, PANELS, strict=True):
        code, title = mapped, f"Raw ({X.shape[1]})"
        if k:
            reducer = make_reducer(method, k, 0).fit(X)
            code, title = reducer.transform(mapped), f"{type(reducer).__name__} ({k})"
        points = TSNE(init="pca", random_state=0).fit_transform(code)
        accuracy = knn_accuracy(points, y)
        points = points if reference is None else align(points, reference)
        reference = points if reference is None else reference
        draw_map(axis, points, y, title, f"k-NN accuracy of the map {accuracy:.1%}")
    return figure


def accuracy_against_size(content: Content) -> Figure:
    """Draw the k-NN accuracy of the maps against the code size, one panel per data set."""
    rows = without_errors(means_over_seeds(content["rows"]))
    # Each seed draws other rows, so compare means over the same number of seeds only.
    means = {
        (name, method, k): row["knn_accuracy"]
        for (name, method, k), row in rows.items()
        if row["seeds"] == rows[name, "raw", None]["seeds"]
    }
    names = list(dict.fromkeys(name for name, _, _ in means))
    ticks = sorted({k for _, _, k in means if k})
    figure = Figure(figsize=(12, 3.2 * -(-len(names) // 3)), facecolor="white", layout="tight")
    axes = np.ravel(figure.subplots(-(-len(names) // 3), 3, squeeze=False))
    for axis, name in zip(axes, names, strict=False):
        axis.axhline(
            means[name, "raw", None], color=INK, linewidth=1, linestyle=":", label="raw features"
        )
        for method, colour in LINES.items():
            sizes = [k for k in ticks if (name, method, k) in means]
            if not sizes:
                continue
            accuracies = [means[name, method, k] for k in sizes]
            axis.plot(
                sizes, accuracies, "o-", color=colour, label=method, linewidth=2, markersize=5
            )
        axis.set_title(name, size=12, weight="bold", color=INK, loc="left")
        axis.set_xlabel("code size", color=MUTED)
        axis.set_ylabel("k-NN accuracy of the map", color=MUTED)
        axis.set_xticks(ticks)
        _style(axis)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    axes[0].legend(frameon=False, fontsize=9, labelcolor=INK)
    return figure


def error_against_seconds(content: Content) -> Figure:
    """Draw the held-out error relative to PCA against the seconds of a fit, a point per case."""
    figure = Figure(figsize=(9, 5.2), facecolor="white", layout="tight")
    axis = figure.subplots()
    for ratio, seconds, label, colour in (
        ("plain_mean", "plain_seconds", "without the skip connection", COLOURS[1]),
        ("anchored_mean", "seconds", "Autoencoder", COLOURS[0]),
    ):
        points = [(fmean(row[seconds]), row[ratio]) for row in content["rows"]]
        axis.scatter(*zip(*points, strict=True), s=34, color=colour, alpha=0.8, label=label)
    axis.axhline(1, color=INK, linewidth=1)
    axis.text(0.99, 1.02, "PCA", color=INK, ha="right", transform=axis.get_yaxis_transform())
    axis.set(xscale="log", yscale="log")
    style = {"xytext": (5, 3), "textcoords": "offset points", "size": 7.5, "color": MUTED}
    named: list[Any] = []
    for row in content["rows"]:  # label the largest gains, where the labels do not overlap
        point = fmean(row["seconds"]), row["anchored_mean"]
        place = axis.transData.transform(point)
        has_room = all((abs(place - other) > (90, 12)).any() for other in named)
        if row["anchored_mean"] < 0.6 and row["k"] >= row["features"] // 2 and has_room:
            axis.annotate(row["set"], point, **style)
            named.append(place)
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(LogLocator(subs=(1, 2, 5)))
        one.set_major_formatter("{x:g}")
        one.set_minor_formatter(NullFormatter())
    axis.set_xlabel("seconds of a fit", color=MUTED)
    axis.set_ylabel("held-out error relative to PCA", color=MUTED)
    axis.legend(frameon=False, labelcolor=INK, loc="upper left")
    _style(axis)
    return figure


@cache
def _digits() -> tuple[Autoencoder, NDArray, NDArray]:
    X, y = load_digits(return_X_y=True)
    return Autoencoder(8, random_state=0).fit(X), X, y


def features(options: Options) -> Figure:
    """Draw what units of the first layer see: weights, samples and optimized inputs."""
    X, _ = subsample("mnist", MAX_FITTED, options.data_dir)
    autoencoder = Autoencoder(32, max_iter=30, random_state=0).fit(X)
    return FeatureDisplay.from_estimator(autoencoder, X, image_shape=(28, 28)).figure_


def losses(options: Options) -> Figure:
    """Draw the learning curve of a fit to digits."""
    return LossCurveDisplay.from_estimator(_digits()[0]).figure_


def latent(options: Options) -> Figure:
    """Draw the first two components of digits."""
    return LatentSpaceDisplay.from_estimator(*_digits()).figure_


def components(options: Options) -> Figure:
    """Draw the components of digits."""
    autoencoder, X, _ = _digits()
    return ComponentsDisplay.from_estimator(autoencoder, X, image_shape=(8, 8)).figure_


def odd_rows(options: Options) -> Figure:
    """Draw the digits that are reconstructed worst."""
    autoencoder, X, _ = _digits()
    odd = X[np.argsort(autoencoder.score_samples(X))[:8]]
    return ReconstructionDisplay.from_estimator(autoencoder, odd, image_shape=(8, 8)).figure_


def _content(name: str) -> Content:
    content = record.read(name)
    if content is None:
        raise SystemExit(f"{name}.json does not exist: run `python -m benchmarks.{name}` first.")
    return content


# File name and drawing function, by the value of --only.
FIGURES: dict[str, tuple[str, Callable[[Options], Figure]]] = {
    "maps": ("maps", maps),
    "size": ("accuracy_against_size", lambda options: accuracy_against_size(_content("tsne"))),
    "seconds": ("error_against_seconds", lambda options: error_against_seconds(_content("pca"))),
    "features": ("inside_features", features),
    "losses": ("inside_losses", losses),
    "latent": ("inside_latent_space", latent),
    "components": ("inside_components", components),
    "odd_rows": ("inside_odd_rows", odd_rows),
}


class Figures(Benchmark):
    """Figures of other results; they have no result file."""

    def main(self, arguments: Sequence[str] | None = None) -> Content:
        """Run from the command line."""
        options = self.parser().parse_args(arguments)
        for part in options.only:
            file, draw = FIGURES[part]
            save(draw(options), file)
        return {}


BENCHMARK = Figures(
    module="figures",
    description=__doc__,
    cases=lambda options: [],
    measure=lambda options: {},
    runs=[Run("figures", quick="--set digits")],
    options={"--only": several(FIGURES), "--set": "mnist", "--drawn": MAX_MAPPED},
)

if __name__ == "__main__":
    BENCHMARK.main()

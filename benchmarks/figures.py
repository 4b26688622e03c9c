"""The pictures of docs/results.md: maps side by side, accuracy against k, error against seconds.

The last two are drawn from the files that `benchmarks.tsne` and `benchmarks.pca` left; the maps
are computed.
"""

from __future__ import annotations

import argparse
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from sklearn.manifold import TSNE

from benchmarks import record
from benchmarks.datasets import some_rows
from benchmarks.drawing import COLOURS, FRAME, INK, MUTED, align, draw_map
from benchmarks.maps import means_over_seeds, vote_accuracy
from benchmarks.methods import reducer
from benchmarks.record import PICTURES
from benchmarks.tsne import MOST_DRAWN, MOST_FITTED

PANELS = (("raw", None), ("PCA", 8), ("PCA", 32), ("Autoencoder", 8))
LINES = {"PCA": MUTED, "Autoencoder": COLOURS[0], "half masked": COLOURS[2]}


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FRAME)
    axis.tick_params(colors=MUTED, labelsize=9)


def maps(name: str, most_drawn: int, directory: str | None) -> Figure:
    """Draw t-SNE maps of one set from the raw rows, PCA and an autoencoder, side by side."""
    X, y = some_rows(name, MOST_FITTED, directory)
    drawn, y = X[:most_drawn], y[:most_drawn]
    figure = Figure(figsize=(4.5 * len(PANELS), 5), facecolor="white")
    axes = figure.subplots(1, len(PANELS))
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.86, wspace=0.03)
    reference = None
    for axis, (method, k) in zip(axes, PANELS, strict=True):
        code, title = drawn, f"Raw ({X.shape[1]})"
        if k:
            fitted = reducer(method, k, 0).fit(X)
            code, title = fitted.transform(drawn), f"{type(fitted).__name__} ({k})"
        points = TSNE(init="pca", random_state=0).fit_transform(code)
        accuracy = vote_accuracy(points, y)
        points = points if reference is None else align(points, reference)
        reference = points if reference is None else reference
        draw_map(axis, points, y, title, f"k-NN accuracy of the map {accuracy:.1%}")
    return figure


def accuracy_against_size(content: dict[str, Any]) -> Figure:
    """Draw the k-NN accuracy of maps against the size of the code, a panel a set."""
    rows = {
        case: row for case, row in means_over_seeds(content["rows"]).items() if not row["error"]
    }
    # A seed draws other rows, so only means over as many seeds compare.
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
        axis.set_xlabel("numbers a row", color=MUTED)
        axis.set_ylabel("k-NN accuracy of the map", color=MUTED)
        axis.set_xticks(ticks)
        _plain(axis)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    axes[0].legend(frameon=False, fontsize=9, labelcolor=INK)
    return figure


def error_against_seconds(content: dict[str, Any]) -> Figure:
    """Draw held-out error over PCA's against the seconds of a default fit, a point a case."""
    figure = Figure(figsize=(9, 5.2), facecolor="white", layout="tight")
    axis = figure.subplots()
    for ratio, seconds, label, colour in (
        ("plain_mean", "plain_seconds", "a plain network", COLOURS[1]),
        ("anchored_mean", "seconds", "Autoencoder", COLOURS[0]),
    ):
        points = [(fmean(row[seconds]), row[ratio]) for row in content["rows"]]
        axis.scatter(*zip(*points, strict=True), s=34, color=colour, alpha=0.8, label=label)
    axis.axhline(1, color=INK, linewidth=1)
    axis.text(0.99, 1.02, "PCA", color=INK, ha="right", transform=axis.get_yaxis_transform())
    axis.set(xscale="log", yscale="log")
    style = {"xytext": (5, 3), "textcoords": "offset points", "size": 7.5, "color": MUTED}
    named: list[Any] = []
    for row in content["rows"]:  # where there is something to see, and room for one name a set
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
    axis.set_ylabel("held-out error over PCA's", color=MUTED)
    axis.legend(frameon=False, labelcolor=INK, loc="upper left")
    _plain(axis)
    return figure


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("maps", "size", "seconds")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--set", default="mnist", help="whose maps are drawn")
    parser.add_argument("--drawn", type=int, default=MOST_DRAWN)
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()

    def content(name: str) -> dict[str, Any]:
        found = record.read(name)
        if found is None:
            raise SystemExit(f"No result of {name}: run `python -m benchmarks.{name}` first.")
        return found

    pictures = {
        "maps": lambda: maps(arguments.set, arguments.drawn, arguments.data_dir),
        "size": lambda: accuracy_against_size(content("tsne")),
        "seconds": lambda: error_against_seconds(content("pca")),
    }
    files = {"maps": "maps", "size": "accuracy_against_size", "seconds": "error_against_seconds"}
    for name in arguments.only:
        path = PICTURES / f"{files[name]}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures[name]().savefig(path, dpi=110)
        print(f"Picture saved to {path}.")


if __name__ == "__main__":
    main()

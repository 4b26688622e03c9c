"""t-SNE of handwritten digits: from the raw pixels, from PCA and from an autoencoder.

PCA and the autoencoder have the same number of components and are fitted to the training rows. The
demo prints a table and saves a figure of the maps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.datasets import MNIST_TRAINING_ROWS, PROJECT_ROOT, load
from benchmarks.drawing import INK, align, draw_map
from benchmarks.tables import plain_text
from benchmarks.timing import timed
from skae import Autoencoder

N_NEIGHBORS = 5
LEGEND = (
    "error: held-out squared error a row; explained: its share of variance; k-NN: accuracy "
    f"with {N_NEIGHBORS} neighbours;\ntrust: trustworthiness of the map with respect to the "
    "pixels."
)


@dataclass(frozen=True)
class Digits:
    """A split data set of digits.

    Attributes
    ----------
    train, test, mapped : ndarray of int
        Indices of the training rows, the held-out rows and the rows of the maps.
    """

    title: str
    X: NDArray[np.floating]
    y: NDArray[np.integer]
    train: NDArray[np.integer]
    test: NDArray[np.integer]
    mapped: NDArray[np.integer]
    n_components: int
    note: str

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """Which of the mapped rows are held out."""
        return np.isin(self.mapped, self.test)


def load_digits(options: argparse.Namespace) -> Digits:
    X, y = load("digits", options.data_dir)
    rows = np.arange(len(X))
    train, test = train_test_split(rows, test_size=500, stratify=y, random_state=options.seed)
    note = f"The maps show all {len(X):,} rows; all scores are of the {len(test)} held-out rows."
    return Digits("scikit-learn's digits", X, y, train, test, rows, 8, note)


def load_mnist(options: argparse.Namespace) -> Digits:
    X, y = load("mnist", options.data_dir)
    train = np.arange(min(options.train_rows, MNIST_TRAINING_ROWS))
    test = np.random.default_rng(options.seed).choice(10_000, options.test_rows, replace=False)
    test += MNIST_TRAINING_ROWS
    note = f"The maps show {len(test):,} held-out rows, to limit the time of t-SNE."
    return Digits("MNIST", X, y, train, test, test, 16, note)


LOADERS = {"digits": load_digits, "mnist": load_mnist}


def code_accuracy(train: NDArray, y_train: NDArray, test: NDArray, y_test: NDArray) -> float:
    """Return the test accuracy of a k-NN classifier on the code."""
    classifier = KNeighborsClassifier(N_NEIGHBORS).fit(train, y_train)
    return float(classifier.score(test, y_test))


def map_accuracy(points: NDArray, y: NDArray, held_out: NDArray[np.bool_]) -> float:
    """Return the leave-one-out accuracy of k-NN on the map, for the held-out rows."""
    classifier = KNeighborsClassifier(N_NEIGHBORS).fit(points, y)
    # predict(None) leaves each point out of its own neighbours.
    return float(np.mean(classifier.predict(None)[held_out] == y[held_out]))


def make_autoencoder(n_components: int, seed: int) -> Autoencoder:
    """Return the autoencoder, with a progress bar if rich is installed."""
    autoencoder = Autoencoder(n_components, random_state=seed)
    try:
        from sklearn.callback import ProgressBar

        autoencoder.set_callbacks(ProgressBar())
    except ImportError:
        print("No progress bar: rich is not installed.")
    return autoencoder


def measure(digits: Digits, seed: int) -> tuple[list[dict[str, Any]], dict[str, NDArray]]:
    """Fit, map and score each method.

    Returns
    -------
    rows : list of dict
        The scores, one row per method.
    maps : dict of ndarray of shape (n_mapped, 2)
    """
    X, y, k = digits.X, digits.y, digits.n_components
    train, test, mapped, held_out = digits.train, digits.test, digits.mapped, digits.held_out
    methods = {
        f"Raw pixels ({X.shape[1]})": None,
        f"PCA ({k})": PCA(k, random_state=seed),
        f"Autoencoder ({k})": make_autoencoder(k, seed),
    }
    variance = np.square(X[test] - X[train].mean(axis=0)).sum(axis=1).mean()
    rows, maps = [], {}
    for name, method in methods.items():
        row: dict[str, Any] = {"t-SNE from": name, "error": None, "explained": None}
        codes, fit_seconds = X, 0.0
        if method is not None:
            _, fit_seconds = timed(method.fit, X[train])
            codes = method.transform(X)
            reconstruction = method.inverse_transform(codes[test])
            error = float(np.square(X[test] - reconstruction).sum(axis=1).mean())
            row.update(error=error, explained=1.0 - error / variance)
        row["code k-NN"] = code_accuracy(codes[train], y[train], codes[test], y[test])
        tsne = TSNE(init="pca", perplexity=30, random_state=seed)
        points, map_seconds = timed(tsne.fit_transform, codes[mapped])
        row["map trust"] = float(
            trustworthiness(X[mapped][held_out], points[held_out], n_neighbors=N_NEIGHBORS)
        )
        row["map k-NN"] = map_accuracy(points, y[mapped], held_out)
        row["fit s"] = fit_seconds
        row["t-SNE s"] = map_seconds
        maps[name] = align(points, next(iter(maps.values()))) if maps else points
        rows.append(row)
    return rows, maps


def draw(digits: Digits, rows: Sequence[Mapping[str, Any]], maps: Mapping[str, NDArray]) -> Figure:
    """Draw the maps side by side."""
    y = digits.y[digits.mapped]
    figure = Figure(figsize=(13.5, 5.3), facecolor="white")
    axes = figure.subplots(1, len(maps))
    figure.subplots_adjust(left=0.012, right=0.988, bottom=0.02, top=0.8, wspace=0.03)
    title = f"{digits.title}: t-SNE from the pixels, from PCA and from an autoencoder"
    figure.text(0.012, 0.955, title, size=15, weight="bold", color=INK, va="center")
    for axis, row, points in zip(axes, rows, maps.values(), strict=True):
        caption = f"{N_NEIGHBORS}-NN accuracy of the map {row['map k-NN']:.1%}"
        if row["explained"] is not None:
            caption += f"   ·   variance kept {row['explained']:.1%}"
        draw_map(axis, points, y, row["t-SNE from"], caption)
    return figure


def conclusion(rows: Sequence[Mapping[str, Any]], k: int) -> str:
    """Summarise the table in one sentence."""
    raw, pca, autoencoder = rows
    return (
        f"With {k} components, the held-out error of the autoencoder is "
        f"{autoencoder['error'] / pca['error']:.2f} times that of PCA, and the {N_NEIGHBORS}-NN "
        f"accuracy of its t-SNE map is {autoencoder['map k-NN']:.1%} (PCA: {pca['map k-NN']:.1%}, "
        f"all pixels: {raw['map k-NN']:.1%})."
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=sorted(LOADERS), default="digits")
    parser.add_argument("--output", type=Path, help="default: build/demo/demo_<data>.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-rows", type=int, default=30_000, help="for MNIST")
    parser.add_argument("--test-rows", type=int, default=4_000, help="for MNIST")
    parser.add_argument("--data-dir")
    options = parser.parse_args()

    start = time.perf_counter()
    digits = LOADERS[options.data](options)
    print(
        f"{digits.title}: {len(digits.train):,} training rows, {len(digits.test):,} held-out rows, "
        f"{digits.X.shape[1]} pixels, {digits.n_components} components.\n{digits.note}"
    )
    rows, maps = measure(digits, options.seed)
    print(f"\n{plain_text(list(rows[0]), [list(row.values()) for row in rows])}\n{LEGEND}\n")
    output = options.output or PROJECT_ROOT / "build" / "demo" / f"demo_{options.data}.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    draw(digits, rows, maps).savefig(output, dpi=130)
    print(f"Figure saved to {output}; {time.perf_counter() - start:.0f} s in total.")
    print(conclusion(rows, digits.n_components))


if __name__ == "__main__":
    main()

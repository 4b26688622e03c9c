"""Fewer numbers before t-SNE: raw pixels, PCA and the autoencoder on handwritten digits.

Codes of the same size are fitted to the training part; t-SNE then draws a map from the pixels and
from each code. Prints one table and saves one picture.
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
from benchmarks.record import table
from skae import Autoencoder

N_NEIGHBORS = 5


@dataclass(frozen=True)
class Digits:
    """A digit set, split.

    Attributes
    ----------
    mapped : ndarray of int
        Rows of X that t-SNE draws.
    judged : ndarray of bool
        Which of those are held out: only they are measured.
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
    def judged(self) -> NDArray[np.bool_]:
        return np.isin(self.mapped, self.test)


def load_digits(arguments: argparse.Namespace) -> Digits:
    X, y = load("digits", arguments.data_dir)
    rows = np.arange(len(X))
    train, test = train_test_split(rows, test_size=500, stratify=y, random_state=arguments.seed)
    note = (
        f"t-SNE draws all {len(X):,} rows, for a map with enough points to read; "
        f"every figure is for the {len(test)} held-out rows."
    )
    return Digits("scikit-learn's digits", X, y, train, test, rows, 8, note)


def load_mnist(arguments: argparse.Namespace) -> Digits:
    X, y = load("mnist", arguments.data_dir)
    train = np.arange(min(arguments.train_rows, MNIST_TRAINING_ROWS))
    test = np.random.default_rng(arguments.seed).choice(10_000, arguments.test_rows, replace=False)
    test += MNIST_TRAINING_ROWS
    note = f"t-SNE draws {len(test):,} held-out rows, as many as it does in reasonable time."
    return Digits("MNIST", X, y, train, test, test, 16, note)


LOADERS = {"digits": load_digits, "mnist": load_mnist}


def neighbour_accuracy(train: NDArray, y_train: NDArray, test: NDArray, y_test: NDArray) -> float:
    """Accuracy of a k-NN classifier fitted to the training part."""
    classifier = KNeighborsClassifier(N_NEIGHBORS).fit(train, y_train)
    return float(classifier.score(test, y_test))


def map_accuracy(points: NDArray, y: NDArray, judged: NDArray[np.bool_]) -> float:
    """k-NN accuracy of the judged points, each among all others of the map."""
    classifier = KNeighborsClassifier(N_NEIGHBORS).fit(points, y)
    # Without X, no point is its own neighbour.
    return float(np.mean(classifier.predict(None)[judged] == y[judged]))


def tsne(code: NDArray, seed: int) -> NDArray:
    return TSNE(init="pca", perplexity=30, random_state=seed).fit_transform(code)


def new_autoencoder(n_components: int, seed: int) -> Autoencoder:
    """Build the autoencoder, with a progress bar where rich is installed."""
    autoencoder = Autoencoder(n_components, random_state=seed)
    try:
        from sklearn.callback import ProgressBar

        autoencoder.set_callbacks(ProgressBar())
    except ImportError:
        print("No progress bar: install rich to see one.")
    return autoencoder


def measure(digits: Digits, seed: int) -> tuple[list[dict[str, Any]], dict[str, NDArray]]:
    """Encode, map and measure.

    Returns
    -------
    rows : list of dict
        One a representation.
    maps : dict of ndarray of shape (n_mapped, 2)
    """
    X, y, k = digits.X, digits.y, digits.n_components
    train, test, mapped, judged = digits.train, digits.test, digits.mapped, digits.judged
    methods = {
        f"Raw pixels ({X.shape[1]})": None,
        f"PCA ({k})": PCA(k, random_state=seed),
        f"Autoencoder ({k})": new_autoencoder(k, seed),
    }
    variance = np.square(X[test] - X[train].mean(axis=0)).sum(axis=1).mean()
    rows, maps = [], {}
    for name, method in methods.items():
        row: dict[str, Any] = {"t-SNE from": name, "error": None, "explained": None}
        codes, fit_seconds = X, 0.0
        if method is not None:
            start = time.perf_counter()
            method.fit(X[train])
            fit_seconds = time.perf_counter() - start
            codes = method.transform(X)
            reconstruction = method.inverse_transform(codes[test])
            error = float(np.square(X[test] - reconstruction).sum(axis=1).mean())
            row.update(error=error, explained=1.0 - error / variance)
        row["code k-NN"] = neighbour_accuracy(codes[train], y[train], codes[test], y[test])
        start = time.perf_counter()
        points = tsne(codes[mapped], seed)
        map_seconds = time.perf_counter() - start
        row["map trust"] = float(
            trustworthiness(X[mapped][judged], points[judged], n_neighbors=N_NEIGHBORS)
        )
        row["map k-NN"] = map_accuracy(points, y[mapped], judged)
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
    figure.text(
        0.012,
        0.955,
        f"{digits.title}: t-SNE from the pixels, from PCA and from an autoencoder",
        size=15,
        weight="bold",
        color=INK,
        va="center",
    )
    for axis, row, points in zip(axes, rows, maps.values(), strict=True):
        caption = f"{N_NEIGHBORS}-NN accuracy of the map {row['map k-NN']:.1%}"
        if row["explained"] is not None:
            caption += f"   ·   variance kept {row['explained']:.1%}"
        draw_map(axis, points, y, row["t-SNE from"], caption)
    return figure


def conclusion(rows: Sequence[Mapping[str, Any]], k: int) -> str:
    """Say in one sentence what the table shows."""
    raw, pca, autoencoder = rows
    return (
        f"With {k} numbers a digit the autoencoder leaves "
        f"{autoencoder['error'] / pca['error']:.2f} times PCA's held-out error, and "
        f"{N_NEIGHBORS} neighbours in its t-SNE map name the digit {autoencoder['map k-NN']:.1%} "
        f"of the time (from PCA {pca['map k-NN']:.1%}, from all pixels {raw['map k-NN']:.1%})."
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=sorted(LOADERS), default="digits")
    parser.add_argument("--output", type=Path, help="default: docs/images/demo_<data>.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-rows", type=int, default=30_000, help="for MNIST")
    parser.add_argument("--test-rows", type=int, default=4_000, help="for MNIST")
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()

    start = time.perf_counter()
    digits = LOADERS[arguments.data](arguments)
    print(
        f"{digits.title}: {len(digits.train):,} rows to train, {len(digits.test):,} held out, "
        f"{digits.X.shape[1]} pixels to {digits.n_components} numbers.\n{digits.note}"
    )
    rows, maps = measure(digits, arguments.seed)
    print(f"\n{table(rows)}")
    print(
        "error: held-out squared error a row; explained: its share of variance; k-NN: accuracy "
        f"with {N_NEIGHBORS} neighbours;\ntrust: share of map neighbours that are neighbours in "
        "the pixels, as scikit-learn weighs it.\n"
    )
    output = arguments.output or PROJECT_ROOT / "docs" / "images" / f"demo_{arguments.data}.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    draw(digits, rows, maps).savefig(output, dpi=130)
    print(f"Picture saved to {output}; {time.perf_counter() - start:.0f} s in all.")
    print(conclusion(rows, digits.n_components))


if __name__ == "__main__":
    main()

"""Figures: two-dimensional maps side by side, and the style of all figures."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes

from benchmarks.record import PICTURES
from skae.inspection.displays.labels import label_position

# One colour per class, of similar lightness.
COLOURS = (
    "#4269d0",
    "#efb118",
    "#ff725c",
    "#6cc5b0",
    "#3ca951",
    "#d45fb0",
    "#a463f2",
    "#5fa8e8",
    "#9c6b4e",
    "#8a8f99",
)
INK, MUTED, FRAME = "#22252b", "#6a707c", "#d9dce2"


def save(figure: Figure, name: str) -> None:
    """Save a figure of the results pages."""
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"Figure saved to {path}.")


def align(points: NDArray, reference: NDArray) -> NDArray:
    """Rotate or reflect a map onto another one; t-SNE determines neither."""
    points = points - points.mean(axis=0)
    rotation, _ = orthogonal_procrustes(points, reference - reference.mean(axis=0))
    return points @ rotation


def draw_map(axis: Axes, points: NDArray, y: NDArray, title: str, caption: str) -> None:
    """Draw a map with at most ten classes, encoded as 0, 1, ..., and label each class once."""
    order = np.random.default_rng(0).permutation(len(y))  # so that no class covers the others
    size = 13 if len(y) < 2500 else 6
    colours = np.array(COLOURS)[y[order]]
    axis.scatter(*points[order].T, s=size, c=colours, alpha=0.8, linewidths=0)
    for label in np.unique(y):
        axis.text(
            *label_position(points[y == label]),
            str(label),
            size=16,
            weight="bold",
            color=INK,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=3.5, foreground="white")],
        )
    axis.set_title(title, size=13, weight="bold", color=INK, loc="left", pad=22)
    axis.text(0, 1.025, caption, transform=axis.transAxes, size=10.5, color=MUTED)
    axis.set(xticks=[], yticks=[])
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.04)
    axis.spines[:].set_color(FRAME)

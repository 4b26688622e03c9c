"""Drawing two-dimensional maps, so that one can compare them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes
from sklearn.metrics import pairwise_distances

# One hue a class, of like weight, so that no class shouts.
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


def align(points: NDArray, reference: NDArray) -> NDArray:
    """Turn or mirror a map onto another: t-SNE leaves both open, and eyes compare places."""
    points = points - points.mean(axis=0)
    rotation, _ = orthogonal_procrustes(points, reference - reference.mean(axis=0))
    return points @ rotation


def middle(points: NDArray) -> NDArray:
    """Return the middle of the densest half of the points: a median may fall between clusters."""
    distances = pairwise_distances(points)
    half = len(points) // 2
    densest = np.argmin(np.partition(distances, half, axis=1)[:, half])
    return points[np.argsort(distances[densest])[: half + 1]].mean(axis=0)


def draw_map(axis: Axes, points: NDArray, y: NDArray, title: str, caption: str) -> None:
    """Draw a map of at most ten classes, numbered from 0, each named once."""
    order = np.random.default_rng(0).permutation(len(y))  # no class lies on top of all others
    size = 13 if len(y) < 2500 else 6
    colours = np.array(COLOURS)[y[order]]
    axis.scatter(*points[order].T, s=size, c=colours, alpha=0.8, linewidths=0)
    for label in np.unique(y):
        axis.text(
            *middle(points[y == label]),
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

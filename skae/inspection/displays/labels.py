"""Labels of rows: what is a class, which classes have a colour, and where their names stand."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from skae.inspection.displays.style import COLOURS, FRAME, INK

OTHERS = FRAME  # rows without a colour of their own
# Most points of a class whose distances are computed.
_MOST_POINTS = 500


def typed(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels of dtype object as numbers or booleans, if that is what they are."""
    if labels.dtype.kind != "O":
        return labels
    numbers = np.array(labels.tolist())
    return numbers if numbers.dtype.kind in "biuf" else labels


def is_categorical(y: NDArray[Any]) -> bool:
    """Return whether y holds classes: no numbers, or a few whole ones."""
    if y.dtype.kind not in "iuf":
        return True
    return len(np.unique(y)) <= len(COLOURS) and bool((y == np.round(y)).all())


def groups_of(y: NDArray[Any]) -> tuple[list[str], NDArray[np.intp], str | None]:
    """Return the names of the classes, the class of each row, and the name of all others.

    Of more classes than colours, the most frequent have a colour each. The class of the others is
    -1; otherwise, their name is None.
    """
    y = y.astype(str) if y.dtype.kind == "O" else y
    classes, groups, counts = np.unique(y, return_inverse=True, return_counts=True)
    names = [f"{name:g}" if y.dtype.kind in "iuf" else str(name) for name in classes]
    if len(names) <= len(COLOURS):
        return names, groups, None
    shown = np.sort(np.argsort(-counts, kind="stable")[: len(COLOURS) - 1])
    numbers = np.full(len(names), -1)
    numbers[shown] = np.arange(len(shown))
    others = f"{len(names) - len(shown)} others"
    return [names[number] for number in shown], numbers[groups], others


def name_classes(
    ax: Any, points: NDArray[Any], names: list[str], group: NDArray[np.intp], others: str | None
) -> tuple[list[Any], Any]:
    """Write the name of each class at its points, or in a legend where names would overlap.

    Returns the texts and None, or no texts and the legend.

    Parameters
    ----------
    ax : matplotlib Axes
    points : ndarray of shape (n_samples, 2)
    names : list of str
    group : ndarray of shape (n_samples,)
        Class of each point, as the number of its name; -1 for those of `others`.
    others : str or None
        Name of the points without a class.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    labels: list[Any] = []
    if others is None:
        for number, name in enumerate(names):
            place = _label_position(points[group == number])
            text = ax.text(*place, name, size=13, weight="bold", color=INK)
            text.set(ha="center", va="center")
            text.set_path_effects([withStroke(linewidth=3.5, foreground="white")])
            labels.append(text)
        ax.figure.canvas.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in labels]
        inside = ax.get_window_extent()
        if not any(one.overlaps(other) for one, other in combinations(boxes, 2)) and all(
            inside.contains(*corner) for box in boxes for corner in box.corners()
        ):
            return labels, None
    for text in labels:
        text.remove()
    entries = list(zip(COLOURS, names, strict=False))
    if others is not None:
        entries.append((OTHERS, others))
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=6, color=colour, label=name)
        for colour, name in entries
    ]
    # Beside the map, where it covers no row.
    legend = ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    return [], legend


def _label_position(points: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of the densest half of the points: a median may fall between clusters."""
    if len(points) > _MOST_POINTS:
        points = points[np.random.default_rng(0).choice(len(points), _MOST_POINTS, replace=False)]
    distances = pairwise_distances(points)
    half = len(points) // 2
    densest = np.argmin(np.partition(distances, half, axis=1)[:, half])
    return points[np.argsort(distances[densest])[: half + 1]].mean(axis=0)

"""Labels of rows: what is a class, which classes have a colour, and where their names stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances
from sklearn.utils import column_or_1d

from skae.inspection.displays.layout import has_layout
from skae.inspection.displays.style import COLOURS, FRAME, INK
from skae.utils.validation import is_missing

OTHERS = FRAME  # rows without a colour of their own
# Most points of a class whose distances are computed.
_MOST_POINTS = 500
# A legend beside the map leaves at least this share of its width.
_NARROWEST = 0.6


@dataclass(frozen=True)
class Labels:
    """Labels or values of rows.

    Attributes
    ----------
    known : ndarray of bool of shape (n_samples,)
    values : ndarray of shape (n_known,)
        Those that are known; dates as matplotlib's numbers of days.
    categories : list or None
        All classes in order, of a pandas Categorical.
    are_dates : bool
    """

    known: NDArray[np.bool_]
    values: NDArray[Any]
    categories: list[Any] | None = None
    are_dates: bool = False

    @property
    def are_classes(self) -> bool:
        """Whether the values are classes: no numbers or dates, or a few whole numbers."""
        if self.categories is not None or self.values.dtype.kind not in "iuf":
            return True
        if self.are_dates:
            return False
        n_values = len(np.unique(self.values))
        return n_values <= len(COLOURS) and bool((self.values == np.round(self.values)).all())


def read_labels(y: Any) -> Labels:
    """Return the labels in a column."""
    from matplotlib.dates import date2num

    categories = getattr(getattr(y, "dtype", None), "categories", None)
    column = column_or_1d(y)
    known = ~(np.isnat(column) if column.dtype.kind in "mM" else is_missing(column))
    if column.dtype.kind == "O":  # a missing date differs from itself
        known &= [not isinstance(value, date) or value == value for value in column]
    values = column[known]
    if categories is not None:
        return Labels(known, values, list(categories))
    if values.dtype.kind == "O":
        if len(values) and all(isinstance(value, date) for value in values):
            return Labels(known, np.asarray(date2num(list(values))), are_dates=True)
        numbers = np.array(values.tolist())
        return Labels(known, numbers if numbers.dtype.kind in "biuf" else values)
    if values.dtype.kind == "M":
        return Labels(known, np.asarray(date2num(values)), are_dates=True)
    return Labels(known, values)


def check_length(y: Any, n_rows: int, name: str) -> None:
    """Raise a ValueError if there is not a label for each row."""
    shape = np.shape(y)
    if y is not None and shape[:1] != (n_rows,):
        found = f"{shape[0]} entries" if shape else f"the value {y!r}"
        raise ValueError(f"y has {found}, but {name} has {n_rows} rows.")


def groups_of(labels: Labels) -> tuple[list[str], NDArray[np.intp], str | None]:
    """Return the names of the classes, the class of each known row, and the name of all others.

    Classes are sorted, unless they are categories, which have an order. Of more classes than
    colours, the most frequent have a colour each. The class of the others is -1; otherwise, their
    name is None.
    """
    y, is_number = labels.values, labels.values.dtype.kind in "iuf"
    if labels.categories is not None:
        order = {category: number for number, category in enumerate(labels.categories)}
        numbers = np.array([order[value] for value in y], dtype=np.intp)
        present, groups, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        classes: Any = [labels.categories[number] for number in present]
    else:
        y = y.astype(str) if y.dtype.kind == "O" else y
        classes, groups, counts = np.unique(y, return_inverse=True, return_counts=True)
    names = [f"{name:g}" if is_number else str(name) for name in classes]
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

    The legend stands beside the map, or on it if the figure has no room beside it.

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
            place = label_position(points[group == number])
            text = ax.text(*place, name, size=13, weight="bold", color=INK)
            text.set(ha="center", va="center")
            text.set_path_effects([withStroke(linewidth=3.5, foreground="white")])
            labels.append(text)
        ax.apply_aspect()
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
    if has_layout(ax):  # Beside the map, where it covers no row.
        width = ax.get_window_extent().width
        beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "frameon": False}
        legend = ax.legend(handles=handles, **beside)
        ax.figure.canvas.figure.draw_without_rendering()
        if ax.get_window_extent().width > _NARROWEST * width:
            return [], legend
    return [], ax.legend(handles=handles, loc="best", framealpha=0.8)


def label_position(points: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of the densest half of the points: a median may fall between clusters."""
    if len(points) > _MOST_POINTS:
        points = points[np.random.default_rng(0).choice(len(points), _MOST_POINTS, replace=False)]
    distances = pairwise_distances(points)
    half = len(points) // 2
    densest = np.argmin(np.partition(distances, half, axis=1)[:, half])
    return points[np.argsort(distances[densest])[: half + 1]].mean(axis=0)

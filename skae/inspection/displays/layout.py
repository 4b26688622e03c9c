"""Where displays draw: in a figure of their own, or in the place of axes that they are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Labels leave some room in a new figure: in less, fonts shrink from this share of its size on.
_WITH_ROOM = 0.8
# Labels between axes take up to this share of the room.
_MOST_LABELS = 0.7
_PAD = 0.04  # between a label and its neighbour, in inches


def new_axis(ax: Any, size: tuple[float, float]) -> Any:
    """Return `ax`, or the axes of a new figure of this size in inches if it is None."""
    if ax is not None:
        _check_axes(ax)
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def new_grid(
    ax: Any, shape: tuple[int, int], size: tuple[float, float], **options: Any
) -> NDArray[Any]:
    """Return axes in a grid: in place of `ax`, or in a new figure of this size in inches.

    `options` are those of `GridSpec`, such as `width_ratios`.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        figure = plt.figure(figsize=size, layout="constrained")
        grid = figure.add_gridspec(*shape, **options)
    else:
        _check_axes(ax)
        figure, place = ax.figure, ax.get_subplotspec()
        if place is None:
            raise ValueError(
                "ax has no place in a grid, which could be split: it was made by add_axes or "
                "inset_axes. Pass axes of plt.subplots or Figure.add_subplot."
            )
        grid = place.subgridspec(*shape, **options)
        ax.set_axis_off()
    axes = np.empty(shape, dtype=object)
    for corner in np.ndindex(shape):
        one: Any = figure.add_subplot(grid[corner])
        if ax is not None:
            one.tick_params(labelsize=plt.rcParams["font.size"])
        axes[corner] = one
    return axes


@contextmanager
def fonts_for(ax: Any, size: tuple[float, float], smallest: float = 0.5) -> Iterator[float]:
    """Make fonts smaller where the place of `ax` is smaller than `size`, that of a new figure.

    Yields the share of their usual size, which is at least `smallest`.
    """
    import matplotlib.pyplot as plt

    share = 1.0
    if ax is not None:
        _check_axes(ax)
        room = ax.get_window_extent().size / ax.figure.dpi
        share = float(np.clip(np.min(room / size) / _WITH_ROOM, smallest, 1.0))
    with plt.rc_context({"font.size": share * plt.rcParams["font.size"]}):
        yield share


def has_layout(ax: Any) -> bool:
    """Return whether the figure makes room for labels by itself."""
    return ax.figure.get_layout_engine() is not None


def make_room(ax: Any, axes: Iterable[Any]) -> None:
    """Move axes of `new_grid` apart, so that their labels stay in the place of `ax`.

    This is for figures without a layout engine. Nothing else in the figure moves.
    """
    if ax is None or has_layout(ax):
        return
    axes = list(axes)
    ax.figure.canvas.figure.draw_without_rendering()
    grid = axes[0].get_gridspec()
    places = [(s.colspan.start, s.rowspan.start) for s in (a.get_subplotspec() for a in axes)]
    room = ax.get_window_extent().size / ax.figure.dpi
    sizes = []
    for axis, n_places in enumerate((grid.ncols, grid.nrows)):
        before, after = np.zeros(n_places), np.zeros(n_places)
        for one, place in zip(axes, places, strict=True):
            low, high = _overhang(one, axis)
            first, last = (low, high) if axis == 0 else (high, low)  # rows count from the top
            before[place[axis]] = max(before[place[axis]], first)
            after[place[axis]] = max(after[place[axis]], last)
        ratios = np.array((grid.get_height_ratios if axis else grid.get_width_ratios)())
        sizes.append(_in_place(before, ratios, after, float(room[axis])))
    widths, heights = sizes
    grid = ax.get_subplotspec().subgridspec(
        len(heights), len(widths), width_ratios=widths, height_ratios=heights, wspace=0, hspace=0
    )
    for one, (column, row) in zip(axes, places, strict=True):
        one.set_subplotspec(grid[2 * row + 1, 2 * column + 1])


def _in_place(
    before: NDArray[Any], ratios: NDArray[Any], after: NDArray[Any], room: float
) -> NDArray[np.float64]:
    """Return the sizes of margin, axes, gap, axes, ..., margin in inches, which fill the room."""
    sizes = np.zeros(2 * len(ratios) + 1)
    sizes[:-1:2] += before
    sizes[2::2] += after
    sizes[2:-1:2] += _PAD
    sizes *= min(1.0, _MOST_LABELS * room / sizes.sum())
    sizes[1::2] = (room - sizes.sum()) * ratios / ratios.sum()
    return sizes


def _overhang(ax: Any, axis: int) -> tuple[float, float]:
    """Return how far labels stand out of axes, in inches: below and above, or left and right."""
    inside, outside = ax.get_window_extent(), ax.get_tightbbox(for_layout_only=True)
    if outside is None:
        return 0.0, 0.0
    low, high = inside.min[axis] - outside.min[axis], outside.max[axis] - inside.max[axis]
    return max(low / ax.figure.dpi, 0.0), max(high / ax.figure.dpi, 0.0)


def _check_axes(ax: Any) -> None:
    """Raise a TypeError unless `ax` is a single matplotlib Axes of two dimensions."""
    from matplotlib.axes import Axes

    if isinstance(ax, Axes) and ax.name not in ("3d", "polar"):
        return
    kind = type(ax).__name__
    if isinstance(ax, np.ndarray | list | tuple):
        kind = f"{kind} of {len(ax)}"
    elif isinstance(ax, Axes):
        kind = f"{kind} with the projection {ax.name!r}"
    raise TypeError(
        "ax must be None or a single plain matplotlib Axes, such as that of plt.subplots(), but "
        f"its type is {kind}. Of several, pass one, such as axes[0]; of a figure, one of its axes."
    )

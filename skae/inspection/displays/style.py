"""The look of all displays. matplotlib is an extra and imported where it is used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Okabe & Ito (2008): told apart with every common form of colour blindness. Yellow comes last,
# since it is faint on white.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
    "#999999",
    "#882255",
    "#F0E442",
)
NETWORK, PCA = COLOURS[0], COLOURS[1]
INK, MUTED, FRAME = "#22252b", "#6a707c", "#d9dce2"
IMAGES, VALUES, SIGNED = "gray", "viridis", "RdBu_r"


def check_plot_support(caller: str) -> None:
    """Raise an ImportError that names the extra if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib. Install it with pip install 'skae[plot]'."
        ) from error


def new_axis(ax: Any, size: tuple[float, float]) -> Any:
    """Return `ax`, or the axes of a new figure of this size in inches if it is None."""
    if ax is not None:
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
        figure = ax.figure
        grid = ax.get_subplotspec().subgridspec(*shape, **options)
        ax.set_axis_off()
    axes = np.empty(shape, dtype=object)
    for place in np.ndindex(shape):
        axes[place] = figure.add_subplot(grid[place])
    return axes


def tidy(ax: Any) -> None:
    """Draw the frame of a chart lightly, without its top and right sides."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=INK)


def show_image(ax: Any, image: NDArray[Any], **options: Any) -> Any:
    """Draw an image of shape (height, width) or (channels, height, width), without ticks."""
    if image.ndim == 3:
        image = image[0] if image.shape[0] == 1 else np.moveaxis(image, 0, -1)
    drawn = ax.imshow(image, interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color(FRAME)
    return drawn

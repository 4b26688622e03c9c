"""The look of all displays. matplotlib is an extra and imported where it is used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skae.utils.images import resolve_image_shape

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
    # Anchored where the layout takes the labels on the left to be.
    ax.set(xticks=[], yticks=[], anchor="W")
    ax.spines[:].set_color(FRAME)
    return drawn


def scaled(colours: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Return colour images with [low, high] as [0, 1]: matplotlib ignores the limits of colours."""
    return ((colours - low) / ((high - low) or 1.0)).clip(0.0, 1.0)


def show_scaled(ax: Any, image: NDArray[Any], low: float, high: float) -> Any:
    """Draw an image of shape (channels, height, width) whose values are in [low, high]."""
    image = scaled(image, low, high) if len(image) > 1 else image
    return show_image(ax, image, cmap=IMAGES, vmin=low, vmax=high)


def cell_height(shape: tuple[int, int, int], extra: float) -> float:
    """Return the height of an image 0.95 inches wide, within limits, with its labels."""
    return min(max(0.95 * shape[1] / shape[2], 0.35), 1.9) + extra


def label_row(ax: Any, label: str) -> None:
    """Name a row of images, to the left of its first axes."""
    ax.set_ylabel(label, rotation=0, ha="right", va="center", color=INK)


def image_shape_of(
    autoencoder: Any, image_shape: Any, n_features: int
) -> tuple[int, int, int] | None:
    """Return (channels, height, width) of the rows as images, or None if they are a table.

    `image_shape` is the parameter of a display; None takes that of a `ConvolutionalAutoencoder`.
    """
    if image_shape is None:
        found: tuple[int, int, int] | None = getattr(autoencoder, "image_shape_", None)
        return None if found is None or found[1] == 1 else found
    return resolve_image_shape(image_shape, None, n_features)


def channels_first(
    autoencoder: Any, rows: NDArray[Any], shape: tuple[int, int, int] | None
) -> NDArray[Any]:
    """Return rows with the channels of their images first, whatever their place in the fit."""
    if shape is None or not getattr(autoencoder, "_has_channels_last", False):
        return rows
    channels, height, width = shape
    images = rows.reshape(*rows.shape[:-1], height, width, channels)
    return np.moveaxis(images, -1, -3).reshape(rows.shape)


def evenly_spaced(n_rows: int, n_drawn: int) -> NDArray[np.int64]:
    """Return numbers of rows at equal distances: in sorted data, neighbours are alike."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, n_drawn)).round().astype(np.int64))


def short(name: Any, length: int) -> str:
    """Return a name in at most this many characters."""
    text = str(name)
    return text if len(text) <= length else text[: length - 1] + "…"


def feature_labels(names: Any, features: NDArray[Any]) -> list[str]:
    """Return the names of features, by their numbers; "x0", "x1", ... if `names` is None."""
    return [f"x{feature}" if names is None else short(names[feature], 32) for feature in features]


def symmetric_limits(values: NDArray[Any]) -> dict[str, float]:
    """Return the colour limits of signed values, with 0 in the middle."""
    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    return {"vmin": -largest, "vmax": largest}


def short_number(value: float) -> str:
    """Return a number in three digits, such as 0.0123, 1.20 or 1.2e+05."""
    if value != 0 and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.1e}"
    return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:.0f}"


def draw_legend(row: NDArray[Any], handles: Any) -> None:
    """Draw a legend in one line in place of a row of axes."""
    for axes in row[1:]:
        axes.remove()
    row[0].set_axis_off()
    options = {"loc": "center left", "borderaxespad": 0.0, "frameon": False}
    legend = row[0].legend(handles=handles, ncols=len(handles), **options)
    legend.set_in_layout(False)  # it may be wider than its axes


def colour_bar(axes: Any, drawn: Any) -> None:
    """Draw the colour bar of an image in place of axes; without an image, leave them empty."""
    if drawn is None:
        axes.set_axis_off()
        return
    bar = axes.figure.colorbar(drawn, cax=axes)
    bar.outline.set_visible(False)
    axes.tick_params(labelsize="small", colors=INK)

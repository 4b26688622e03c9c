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


def tidy(ax: Any) -> None:
    """Draw the frame of a chart lightly, without its top and right sides."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=INK)


def beside(images: NDArray[Any], colours: tuple[int, ...] = (3, 4)) -> NDArray[Any]:
    """Return images of one channel, in which the channels of the given ones are side by side.

    Images whose number of channels is in `colours` are pictures already, and stay as they are.
    Their shape is (..., channels, height, width). Gaps between the channels are NaN.
    """
    n_channels, height, width = images.shape[-3:]
    if n_channels == 1 or n_channels in colours:
        return images
    gap = max(1, width // 12)
    parts = np.full((*images.shape[:-3], height, n_channels, width + gap), np.nan)
    parts[..., :width] = np.moveaxis(images, -3, -2)
    return parts.reshape(*images.shape[:-3], 1, height, -1)[..., :-gap]


def show_image(ax: Any, image: NDArray[Any], limits: tuple[float, float]) -> Any:
    """Draw an image of shape (channels, height, width) with values in `limits`.

    Three or four channels are colours, and other numbers of channels stand side by side.
    """
    image = beside(image)
    if len(image) > 1:
        return _draw(ax, np.moveaxis(scaled(image, *limits), 0, -1))
    return _draw(ax, image[0], cmap=IMAGES, vmin=limits[0], vmax=limits[1])


def show_signed(ax: Any, image: NDArray[Any], largest: float) -> Any:
    """Draw an image of shape (channels, height, width) with values from -largest to largest.

    Three channels are colours around mid-grey, which is 0. Other numbers of channels stand side by
    side, in blue and red.
    """
    image = beside(image, colours=(3,))
    if len(image) > 1:
        colours = 0.5 + 0.5 * np.nan_to_num(image / largest)
        return _draw(ax, np.moveaxis(colours.clip(0.0, 1.0), 0, -1))
    return _draw(ax, image[0], cmap=SIGNED, vmin=-largest, vmax=largest)


def _draw(ax: Any, picture: NDArray[Any], **options: Any) -> Any:
    drawn = ax.imshow(picture, interpolation="nearest", **options)
    # Anchored where the layout takes the labels on the left to be.
    ax.set(xticks=[], yticks=[], anchor="W")
    ax.spines[:].set_color(FRAME)
    return drawn


def scaled(colours: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Return colour images with [low, high] as [0, 1]: matplotlib ignores the limits of colours.

    Missing pixels are white.
    """
    shares = ((colours - low) / ((high - low) or 1.0)).clip(0.0, 1.0)
    return np.nan_to_num(shares, nan=1.0)


def cell_size(shape: tuple[int, int, int], extra: float) -> tuple[float, float]:
    """Return width and height in inches of an image of this shape, with its labels below."""
    height, width = beside(np.empty(shape)).shape[1:]
    across = 0.95 if width == shape[2] else min(0.75 * shape[0], 2.85)
    return across, min(max(across * height / width, 0.35), 1.9) + extra


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


def value_range(values: Any) -> tuple[float, float]:
    """Return the smallest and the largest known value; 0 and 1 if none is known."""
    low, high = (float(reduce(values, axis=None)) for reduce in (np.fmin.reduce, np.fmax.reduce))
    return (0.0, 1.0) if np.isnan(low) else (low, high)


def largest_size(values: NDArray[Any]) -> float:
    """Return the largest absolute value, as the colour limit of signed values; never 0."""
    return float(np.fmax.reduce(np.abs(values), axis=None, initial=0.0)) or 1.0


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
    """Draw the colour bar of an image in place of axes; of colours, leave them empty."""
    if drawn is None or drawn.get_array().ndim == 3:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.patch.set_visible(False)
        axes.yaxis.set_label_position("right")
        return
    bar = axes.figure.colorbar(drawn, cax=axes)
    bar.outline.set_visible(False)
    axes.tick_params(labelsize="small", colors=INK)

"""`LatentSpaceDisplay`: two columns of the code as a map, and what the decoder makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, column_or_1d

from skae.inspection.displays.labels import OTHERS, groups_of, is_categorical, name_classes, typed
from skae.inspection.displays.mosaic import as_images, mosaic, value_range
from skae.inspection.displays.style import (
    COLOURS,
    IMAGES,
    INK,
    VALUES,
    check_plot_support,
    new_axis,
    new_grid,
    tidy,
)
from skae.inspection.fitted import Fitted, open_fitted
from skae.inspection.layers import layer_parts
from skae.utils.validation import check_count, is_missing

# The axes have one unit if neither column of the code spans more than this many times the other.
_MOST_ELONGATED = 3.0
# The grid covers the codes between these percentiles.
_RANGE = 2.0, 98.0


class LatentSpaceDisplay:
    """Map of two columns of the code, beside a grid of decoded images on demand.

    `from_estimator` computes what the display shows.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        The two columns of the code.
    y : array-like of shape (n_samples,), default=None
        Labels or values of the rows. Strings, booleans and up to ten different whole numbers are
        labels. Other numbers are values, with a colour bar. Rows where y is missing (NaN or None)
        are grey.
    component_names : tuple of two str, default=("component 0", "component 1")
        Labels of the two axes.
    images : ndarray of shape (n_rows, n_columns, channels, height, width), default=None
        Decoded images: ``images[i, j]`` is that of the code ``(grid[0][j], grid[1][i])``.
    grid : tuple of two ndarray, default=None
        Values of the two columns of the code at which `images` were decoded.
    value_range : tuple of two float, default=None
        Values drawn black and white. None is the range of `images`.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
        The map.
    axes_ : ndarray of matplotlib Axes
        The map and, with images, their grid.
    scatter_ : matplotlib PathCollection
        The rows, in random order so that no class covers another.
    labels_ : list of matplotlib Text
        The name of each class, at its rows. Empty if there is a legend, or `y` has no classes.
    legend_ : matplotlib Legend or None
        The names of the classes, where they would overlap on the map.
    colorbar_ : matplotlib Colorbar or None
        If `y` holds values.
    image_ : matplotlib AxesImage or None
        The grid, as one image.

    See Also
    --------
    skae.inspection.latent_traversal : Decode along one column of the code.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import LatentSpaceDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> autoencoder = Autoencoder(2, max_iter=2, random_state=0).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(
    ...     autoencoder, X, y, grid=10, image_shape=(8, 8)
    ... )
    >>> display.codes.shape
    (1797, 2)
    >>> display.images.shape
    (10, 10, 1, 8, 8)
    """

    figure_: Any
    ax_: Any
    axes_: NDArray[Any]
    scatter_: Any

    def __init__(
        self,
        codes: NDArray[Any],
        *,
        y: ArrayLike | None = None,
        component_names: tuple[str, str] = ("component 0", "component 1"),
        images: NDArray[Any] | None = None,
        grid: tuple[NDArray[Any], NDArray[Any]] | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.codes = codes
        self.y = y
        self.component_names = component_names
        self.images = images
        self.grid = grid
        self.value_range = value_range

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        components: Sequence[int] = (0, 1),
        grid: int | None = None,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
        **scatter_kwargs: Any,
    ) -> Self:
        """Encode X and draw the codes.

        Parameters
        ----------
        estimator : object
            A fitted estimator of skae, a fitted `Pipeline` that ends with one, or a fitted search
            over either. Of a classifier or a regressor, the code is that of its fine-tuned encoder.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            Labels or values of the rows, see `LatentSpaceDisplay`.
        components : sequence of two int, default=(0, 1)
            The columns of the code to draw.
        grid : int, default=None
            Number of rows and columns of a second panel with decoded images. It covers the middle
            96% of the codes in each column; the other columns of the code are at their mean. The
            images are in the units of X if each step of a pipeline has `inverse_transform`.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width), for `grid`. None is the shape of the
            images that a `ConvolutionalAutoencoder` was fitted on.
        ax : matplotlib Axes, default=None
            Axes to draw on; with `grid`, they are split. None makes a new figure.
        **scatter_kwargs : dict
            Passed to `matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        check_plot_support(f"{cls.__name__}.from_estimator")
        fitted = open_fitted(estimator, X, decodes=grid is not None)
        if fitted.has_head:  # its encoder is not that of its autoencoder
            codes = np.concatenate(list(layer_parts(fitted, fitted.n_encoder_layers - 1)))
        else:
            codes = fitted.autoencoder._encode(fitted.rows)
        first, second = _check_components(components, codes.shape[1])
        decoded: dict[str, Any] = {}
        if grid is not None:
            check_count("grid", grid, lowest=2)
            x, y_values = (_grid_values(codes[:, column], grid) for column in (first, second))
            at = np.tile(codes.mean(axis=0), (grid, grid, 1))
            at[..., first] = x
            at[..., second] = y_values[:, None]
            inverts = hasattr(estimator, "inverse_transform")
            decode = (estimator if inverts else fitted.autoencoder).inverse_transform
            rows = decode(at.reshape(grid**2, -1).astype(codes.dtype))
            images = as_images(np.asarray(rows), fitted, image_shape)
            decoded = {
                "images": images.reshape(grid, grid, *images.shape[1:]),
                "grid": (x, y_values),
                "value_range": value_range(X if inverts else fitted.rows),
            }
        names = _component_name(fitted, first), _component_name(fitted, second)
        display = cls(codes[:, [first, second]], y=y, component_names=names, **decoded)
        return display.plot(ax, **scatter_kwargs)

    def plot(self, ax: Any = None, **scatter_kwargs: Any) -> Self:
        """Draw the codes, and the grid of images if there is one.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; with images, they are split. None makes a new figure.
        **scatter_kwargs : dict
            Passed to `matplotlib.axes.Axes.scatter`.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        check_plot_support(f"{type(self).__name__}.plot")
        spans = np.ptp(self.codes, axis=0)
        if self.images is None:
            width, height = spans
            is_wide = 0 < width < _MOST_ELONGATED * height
            size = 6.0, min(max(5.2 * height / width if is_wide else 0.0, 3.2), 5.4) + 0.4
            axes = [new_axis(ax, size)]
        else:
            axes = list(new_grid(ax, (1, 2), (11.0, 5.0))[0])
        self.axes_ = np.array(axes, dtype=object)
        self.ax_ = axes[0]
        self.figure_ = self.ax_.figure
        self.image_ = None if self.images is None else self._plot_grid(axes[1])
        tidy(self.ax_)
        self.ax_.set(xlabel=self.component_names[0], ylabel=self.component_names[1])
        if spans.max() < _MOST_ELONGATED * spans.min():
            # By its limits: constrained layout may cut labels of a box of fixed proportions.
            self.ax_.set_aspect("equal", adjustable="datalim")
        self._plot_codes(scatter_kwargs)
        return self

    def _plot_codes(self, scatter_kwargs: dict[str, Any]) -> None:
        self.labels_: list[Any] = []
        self.legend_ = self.colorbar_ = None
        n = len(self.codes)
        options: dict[str, Any] = {"s": 14 if n < 2500 else 5, "alpha": 0.8, "linewidths": 0}
        # So that no class covers another.
        order = np.random.default_rng(0).permutation(n)

        if self.y is None:
            self.scatter_ = self.ax_.scatter(
                *self.codes[order].T, **(options | {"color": COLOURS[0]} | scatter_kwargs)
            )
            return
        check_consistent_length(self.codes, self.y)
        y = column_or_1d(self.y)
        known = ~is_missing(y)
        given = typed(y[known])
        if not is_categorical(given):
            values = np.full(n, np.nan)
            values[known] = given
            options |= {"cmap": VALUES, "plotnonfinite": True} | scatter_kwargs
            self.scatter_ = self.ax_.scatter(*self.codes[order].T, c=values[order], **options)
            self.scatter_.cmap = self.scatter_.cmap.with_extremes(bad=OTHERS)
            self.colorbar_ = self.figure_.colorbar(self.scatter_, ax=self.ax_)
            self.colorbar_.outline.set_visible(False)
            self.colorbar_.solids.set_alpha(1.0)
            self.colorbar_.set_label(getattr(self.y, "name", None) or "y")
            return
        names, groups, others = groups_of(given)
        group = np.full(n, -1)
        group[known] = groups
        if not known.all():
            others = "no label" if others is None else f"{others} or no label"
        order = order[np.argsort(group[order] >= 0, kind="stable")]  # coloured rows on top
        colours = np.array([*COLOURS, OTHERS])[group]  # the last one for -1
        options |= {"c": list(colours[order])} | scatter_kwargs
        self.scatter_ = self.ax_.scatter(*self.codes[order].T, **options)
        self.labels_, self.legend_ = name_classes(self.ax_, self.codes, names, group, others)

    def _plot_grid(self, ax: Any) -> Any:
        """Draw all images as one, whose axes are the two columns of the code."""
        assert self.images is not None
        assert self.grid is not None
        # The second column of the code increases upwards.
        picture, low, high, gap = mosaic(self.images[::-1], self.value_range)
        height, width = self.images.shape[-2:]
        x, y = self.grid
        dx, dy = (x[1] - x[0]) / (width + gap), (y[1] - y[0]) / (height + gap)  # of a pixel
        right, top = x[-1] + dx * width / 2, y[-1] + dy * height / 2
        image = ax.imshow(
            picture,
            cmap=IMAGES,
            vmin=low,
            vmax=high,
            extent=(x[0] - dx * width / 2, right, y[0] - dy * height / 2, top),
            aspect=dx / dy,
            interpolation="nearest",
        )
        # The shares of the variance stand at the map already, and long labels may be cut here.
        xlabel, ylabel = (name.partition(" (")[0] for name in self.component_names)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.spines[:].set_visible(False)
        ax.tick_params(colors=INK, length=0)
        return image


def _check_components(components: Sequence[int], n_components: int) -> tuple[int, int]:
    """Return the two columns of the code, checked."""
    try:
        first, second = (int(component) for component in components)
    except (TypeError, ValueError):
        raise ValueError(f"components={components!r} must be two columns of the code.") from None
    if n_components < 2:
        raise ValueError(
            f"components={components!r} needs a code of two columns or more, but the estimator has "
            f"n_components={n_components}. For a single one, see latent_traversal."
        )
    for component in (first, second):
        if not 0 <= component < n_components:
            raise ValueError(
                f"components={components!r} must be two columns of the code, from 0 to "
                f"{n_components - 1}."
            )
    return first, second


def _component_name(fitted: Fitted, component: int) -> str:
    """Return the name of a column of the code, with its share of the variance if known."""
    shares = getattr(fitted.autoencoder, "explained_variance_ratio_", None)
    if shares is None or fitted.has_head:
        return f"component {component}"
    return f"component {component} ({shares[component]:.0%} of variance)"


def _grid_values(column: NDArray[Any], n: int) -> NDArray[Any]:
    """Return n equally spaced values that cover the middle of a column of the code."""
    low, high = np.percentile(column, _RANGE)
    if low == high:
        low, high = low - 1, high + 1  # a column that is constant
    return np.linspace(low, high, n)

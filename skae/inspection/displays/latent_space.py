"""`LatentSpaceDisplay`: two columns of the code as a map, and what the decoder makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skae.inspection.displays.labels import (
    OTHERS,
    Labels,
    check_length,
    groups_of,
    name_classes,
    read_labels,
)
from skae.inspection.displays.layout import fonts_for, make_room, new_axis, new_grid
from skae.inspection.displays.mosaic import decode_grid, mosaic
from skae.inspection.displays.points import in_order, point_defaults
from skae.inspection.displays.style import (
    COLOURS,
    IMAGES,
    INK,
    VALUES,
    beside,
    check_plot_support,
    tidy,
)
from skae.inspection.fitted import Fitted, open_fitted
from skae.inspection.layers import codes_of
from skae.utils.validation import check_count

# The axes have one unit if the map, which is as wide and high as its axes, thereby grows no more
# than by this factor.
_MOST_ELONGATED = 3.0


class LatentSpaceDisplay:
    """Map of two columns of the code, beside a grid of decoded images on demand.

    `from_estimator` computes what the display shows.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        The two columns of the code.
    y : array-like of shape (n_samples,), default=None
        Labels or values of the rows. Strings, booleans, categories of pandas, in their order, and
        up to ten different whole numbers are labels. Other numbers and dates are values, with a
        colour bar. Rows where y is missing (NaN, NaT or None) are grey.
    component_names : tuple of two str, default=("component 0", "component 1")
        Labels of the two axes.
    images : ndarray of shape (n_rows, n_columns, channels, height, width), default=None
        Decoded images: ``images[i, j]`` is that of the code ``(grid[0][j], grid[1][i])``. Three or
        four channels are colours, and other numbers of channels stand side by side.
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
        The rows; those with a label are in random order, so that no class covers another.
    labels_ : list of matplotlib Text
        The name of each class, at its rows. Empty if there is a legend, or `y` has no classes.
    legend_ : matplotlib Legend or None
        The names of the classes, where they would overlap on the map. It stands beside the map,
        or on it if the figure has no layout engine or is too narrow.
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
            Passed to `matplotlib.axes.Axes.scatter`. Those with a value for each row, such as `c`
            and `s`, are in the order of X.

        Returns
        -------
        display : LatentSpaceDisplay
        """
        check_plot_support(f"{cls.__name__}.from_estimator")
        fitted = open_fitted(estimator, X, decodes=grid is not None)
        check_length(y, fitted.rows.shape[0], "X")
        codes = codes_of(fitted)
        first, second = _check_components(components, codes.shape[1])
        decoded: dict[str, Any] = {}
        if grid is not None:
            check_count("grid", grid, lowest=2)
            decoded = decode_grid(estimator, fitted, X, codes, (first, second), grid, image_shape)
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
        codes = np.asarray(self.codes, dtype=np.float64)
        check_length(self.y, len(codes), "codes")
        labels = None if self.y is None else read_labels(self.y)
        has_bar = labels is not None and not labels.are_classes
        if self.images is None:
            width, height = np.ptp(codes, axis=0)
            is_wide = 0 < width < _MOST_ELONGATED * height
            size = 6.0, min(max(5.2 * height / width if is_wide else 0.0, 3.2), 5.4) + 0.4
            self._plot([new_axis(ax, size)], None, codes, labels, scatter_kwargs)
            return self
        size = 11.0, 5.0
        with fonts_for(ax, size):
            ratios = [1.0, 0.04, 1.0] if has_bar else [1.0, 1.0]
            grid = list(new_grid(ax, (1, len(ratios)), size, width_ratios=ratios)[0])
            bar = grid[1] if has_bar else None
            self._plot([grid[0], grid[-1]], bar, codes, labels, scatter_kwargs)
            make_room(ax, grid)
            self._set_aspect(codes)
        return self

    def _plot(
        self,
        axes: list[Any],
        bar: Any,
        codes: NDArray[Any],
        labels: Labels | None,
        scatter_kwargs: dict[str, Any],
    ) -> None:
        self.axes_ = np.array(axes, dtype=object)
        self.ax_ = axes[0]
        self.figure_ = self.ax_.figure
        self.image_ = None if self.images is None else self._plot_grid(axes[1])
        tidy(self.ax_)
        self.ax_.set(xlabel=self.component_names[0], ylabel=self.component_names[1])
        self.labels_: list[Any] = []
        self.legend_: Any = None
        self.colorbar_: Any = None
        kwargs = point_defaults(len(codes), scatter_kwargs) | scatter_kwargs
        if labels is None:
            if not {"c", "color"} & kwargs.keys():
                kwargs["color"] = COLOURS[0]
            self.scatter_ = self.ax_.scatter(*codes.T, **kwargs)
        elif {"c", "color"} & kwargs.keys():
            raise ValueError("c (or color) and y both say how rows are coloured. Pass one of them.")
        elif labels.are_classes:
            self._plot_classes(codes, labels, kwargs)
        else:
            self._plot_values(codes, labels, kwargs, bar)
        if not self.labels_:  # names are placed on a map with its aspect
            self._set_aspect(codes)

    def _plot_classes(self, codes: NDArray[Any], labels: Labels, kwargs: dict[str, Any]) -> None:
        names, groups, others = groups_of(labels)
        group = np.full(len(codes), -1)
        group[labels.known] = groups
        if not labels.known.all():
            others = "no label" if others is None else f"{others} or no label"
        # At random, so that no class covers another, and coloured rows on top.
        order = np.random.default_rng(0).permutation(len(codes))
        order = order[np.argsort(group[order] >= 0, kind="stable")]
        colours = np.array([*COLOURS, OTHERS])[group]  # the last one for -1
        kwargs = {"c": list(colours[order])} | in_order(kwargs, order)
        self.scatter_ = self.ax_.scatter(*codes[order].T, **kwargs)
        self._set_aspect(codes)
        self.labels_, self.legend_ = name_classes(self.ax_, codes, names, group, others)

    def _plot_values(
        self, codes: NDArray[Any], labels: Labels, kwargs: dict[str, Any], bar: Any
    ) -> None:
        """Draw values, and their colour bar on the axes `bar` or beside the map."""
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        values = np.full(len(codes), np.nan)
        values[labels.known] = labels.values
        order = np.random.default_rng(0).permutation(len(codes))
        kwargs = {"cmap": VALUES, "plotnonfinite": True} | in_order(kwargs, order)
        self.scatter_ = self.ax_.scatter(*codes[order].T, c=values[order], **kwargs)
        self.scatter_.cmap = self.scatter_.cmap.with_extremes(bad=OTHERS)
        place = {"ax": self.ax_} if bar is None else {"cax": bar}
        if labels.are_dates:
            locator = AutoDateLocator()
            place |= {"ticks": locator, "format": ConciseDateFormatter(locator)}
        self.colorbar_ = self.figure_.colorbar(self.scatter_, **place)
        self.colorbar_.outline.set_visible(False)
        self.colorbar_.solids.set_alpha(1.0)
        self.colorbar_.set_label(getattr(self.y, "name", None) or "y")

    def _set_aspect(self, codes: NDArray[Any]) -> None:
        """Give both axes one unit, unless the map would be much larger than its codes."""
        self.ax_.set_aspect("auto")
        self.figure_.canvas.figure.draw_without_rendering()
        spans, room = np.ptp(codes, axis=0), self.ax_.get_window_extent().size
        units = spans / room  # of a pixel
        if 0 < units.max() < _MOST_ELONGATED * units.min():
            # By its limits: constrained layout may cut labels of a box of fixed proportions.
            self.ax_.set_aspect("equal", adjustable="datalim")

    def _plot_grid(self, ax: Any) -> Any:
        """Draw all images as one, whose axes are the two columns of the code."""
        assert self.images is not None
        assert self.grid is not None
        # The second column of the code increases upwards.
        images = beside(self.images)
        picture, low, high, gap = mosaic(images[::-1], self.value_range)
        height, width = images.shape[-2:]
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


def _check_components(components: Any, n_components: int) -> tuple[int, int]:
    """Return the two columns of the code, checked."""
    if n_components < 2:
        raise ValueError(
            "the code has a single component, and a map needs two. Plot transform(X)[:, 0], or see "
            "latent_traversal."
        )
    numbers = list(components) if np.ndim(components) == 1 else []
    if (
        len(numbers) != 2
        or any(isinstance(n, bool) or not isinstance(n, Integral) for n in numbers)
        or not all(0 <= number < n_components for number in numbers)
        or numbers[0] == numbers[1]
    ):
        raise ValueError(
            f"components={components!r} must be two different columns of the code, as ints from 0 "
            f"to {n_components - 1}."
        )
    return int(numbers[0]), int(numbers[1])


def _component_name(fitted: Fitted, component: int) -> str:
    """Return the name of a column of the code, with its share of the variance if known."""
    shares = getattr(fitted.autoencoder, "explained_variance_ratio_", None)
    if shares is None or fitted.has_head:
        return f"component {component}"
    return f"component {component} ({shares[component]:.0%} of variance)"

"""`ReconstructionDisplay`: rows beside their reconstructions by PCA and by the autoencoder."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

from skae.inspection.displays.layout import fonts_for, make_room, new_grid
from skae.inspection.displays.style import (
    FRAME,
    INK,
    MUTED,
    NETWORK,
    PCA,
    cell_size,
    channels_first,
    check_plot_support,
    colour_bar,
    draw_legend,
    evenly_spaced,
    feature_labels,
    image_shape_of,
    label_row,
    largest_size,
    short,
    short_number,
    show_image,
    show_signed,
    tidy,
    value_range,
)
from skae.inspection.fitted import open_fitted
from skae.inspection.pca import pca_reconstruction
from skae.utils.validation import check_count

# Label, rows, errors and colour of a reconstruction.
Series = tuple[str, NDArray[Any], NDArray[np.float64], str]

# Axes of a row with less width than this, in inches, have a single tick.
_NARROW = 0.6


class ReconstructionDisplay:
    """Rows beside their reconstructions: by PCA of the same size, and by the autoencoder.

    Rows are drawn as images, or, for a table, as values of its features. The root mean square error
    of a reconstruction stands below it. All values are those that the autoencoder sees: in a
    pipeline, after the steps before it. Three or four channels of an image are colours, and other
    numbers stand side by side. Differences of three channels are colours around mid-grey, which
    is 0. Create it with `from_estimator`.

    Parameters
    ----------
    inputs : ndarray of shape (n_rows, n_features)
        The rows; those of images have their channels first.
    reconstructions : ndarray of shape (n_rows, n_features)
    pca_reconstructions : ndarray of shape (n_rows, n_features), default=None
        None leaves PCA out.
    row_names : sequence of length n_rows, default=None
        Numbers or names. None is 0, 1, ...
    feature_names : sequence of n_features str, default=None
        None is "x0", "x1", ...
    image_shape : tuple of (channels, height, width), default=None
        None draws a table.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes
        For images, of shape (3 or 4, n_rows): input, PCA, autoencoder and difference. For a table,
        of shape (n_rows,).
    errors_ : ndarray of shape (n_rows,)
        Root mean square error of each row of `reconstructions`; missing entries (NaN) are left out.
    pca_errors_ : ndarray of shape (n_rows,) or None
        The same for PCA.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import ReconstructionDisplay
    >>> X = load_digits().data
    >>> autoencoder = Autoencoder(8, max_iter=5, random_state=0).fit(X[:1000])
    >>> display = ReconstructionDisplay.from_estimator(
    ...     autoencoder, X[1000:], n_rows=6, image_shape=(8, 8)
    ... )
    >>> display.axes_.shape
    (4, 6)
    """

    def __init__(
        self,
        inputs: NDArray[Any],
        reconstructions: NDArray[Any],
        pca_reconstructions: NDArray[Any] | None = None,
        *,
        row_names: Any = None,
        feature_names: Any = None,
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        self.inputs = inputs
        self.reconstructions = reconstructions
        self.pca_reconstructions = pca_reconstructions
        self.row_names = row_names
        self.feature_names = feature_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_rows: int = 8,
        image_shape: tuple[int, ...] | None = None,
        pca: Any = "auto",
        max_features: int = 30,
        ax: Any = None,
    ) -> Self:
        """Reconstruct some rows of X and draw them.

        Parameters
        ----------
        estimator : object
            A fitted autoencoder of skae, a fitted `Pipeline` that ends with one, or a fitted search
            over either.
        X : array-like of shape (n_samples, n_features)
            As passed to `estimator`.
        n_rows : int, default=8
            Number of rows, spread evenly over X. To choose them, pass only these as X.
        image_shape : tuple of (height, width) or (channels, height, width), default=None
            None takes that of a `ConvolutionalAutoencoder`, and draws a table for all others.
        pca : "auto", None or a fitted PCA, default="auto"
            "auto" is the PCA of the training rows that the fit of the autoencoder started from. It
            is left out where there is none: with ``shortcut=None``, which is the default of some
            methods, and for counts. A PCA that you pass must be fitted to rows as the autoencoder
            sees them. None leaves PCA out.
        max_features : int, default=30
            Of a wider table, the features that vary most between these rows are drawn. The errors
            are of all features.
        ax : matplotlib Axes, default=None
            Axes whose place the drawing takes. None makes a new figure.

        Returns
        -------
        display : ReconstructionDisplay
        """
        check_plot_support(f"{cls.__name__}.from_estimator")
        check_count("n_rows", n_rows)
        fitted = open_fitted(estimator, X, decodes=True)
        autoencoder, rows = fitted.autoencoder, fitted.rows
        chosen = evenly_spaced(rows.shape[0], n_rows)
        rows = rows[chosen]
        restored = autoencoder._reconstruct(rows)
        inputs: NDArray[Any] = rows.toarray() if issparse(rows) else rows  # type: ignore[attr-defined]
        linear: NDArray[Any] | None = None
        if isinstance(pca, str):
            if pca != "auto":
                raise ValueError(f"pca={pca!r} must be 'auto', None or a fitted PCA.")
            linear = pca_reconstruction(fitted.model, inputs)
        elif pca is not None:
            if isinstance(pca, type) or not hasattr(pca, "inverse_transform"):
                raise ValueError(f"pca={pca!r} must be 'auto', None or a fitted PCA.")
            linear = np.asarray(pca.inverse_transform(pca.transform(inputs)))
        shape = image_shape_of(autoencoder, image_shape, inputs.shape[1])
        table: Any = X
        names = table.index if hasattr(X, "iloc") else None  # a list has a method `index`
        display = cls(
            channels_first(autoencoder, inputs, shape),
            channels_first(autoencoder, restored, shape),
            None if linear is None else channels_first(autoencoder, linear, shape),
            row_names=[row if names is None else names[row] for row in chosen],
            feature_names=fitted.names,
            image_shape=shape,
        )
        return display.plot(ax=ax, max_features=max_features)

    def plot(self, ax: Any = None, *, max_features: int = 30) -> Self:
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes whose place the drawing takes. None makes a new figure.
        max_features : int, default=30
            See `from_estimator`.

        Returns
        -------
        display : ReconstructionDisplay
        """
        check_plot_support(f"{type(self).__name__}.plot")
        check_count("max_features", max_features)
        self.errors_ = _root_mean_square(self.inputs - self.reconstructions)
        self.pca_errors_ = None
        series = [("Autoencoder", self.reconstructions, self.errors_, NETWORK)]
        if self.pca_reconstructions is not None:
            self.pca_errors_ = _root_mean_square(self.inputs - self.pca_reconstructions)
            series.insert(0, ("PCA", self.pca_reconstructions, self.pca_errors_, PCA))
        n_rows = len(self.inputs)
        names = [
            f"row {name}" if isinstance(name, Integral) else short(name, 14)
            for name in (range(n_rows) if self.row_names is None else self.row_names)
        ]
        if self.image_shape is None:
            self._plot_table(ax, series, names, max_features)
        else:
            self._plot_images(ax, series, names, self.image_shape)
        self.figure_ = self.axes_.flat[0].figure
        return self

    def _plot_images(
        self, ax: Any, series: list[Series], names: list[str], shape: tuple[int, int, int]
    ) -> None:
        n_rows, n_shown = len(self.inputs), len(series) + 2
        width, height = cell_size(shape, 0.25)
        size = (width + 0.1) * n_rows + 1.9, height * n_shown + 0.2
        ratios = {"width_ratios": [1.0] * n_rows + [0.1]}
        limits = value_range(self.inputs)
        parts = [("Input", self.inputs)] + [
            (f"{part[0]}\nRMS error below", part[1]) for part in series
        ]
        with fonts_for(ax, size, smallest=0.3):
            grid = new_grid(ax, (n_shown, n_rows + 1), size, **ratios)
            for axes, (label, rows) in zip(grid, parts, strict=False):
                images = rows.reshape(n_rows, *shape)
                for place, image in zip(axes, images, strict=False):
                    drawn = show_image(place, image, limits)
                label_row(axes[0], label)
                colour_bar(axes[-1], drawn if rows is self.inputs else None)
            for place, name in zip(grid[0], names, strict=False):
                place.set_title(name, fontsize="small", color=MUTED)
            for axes, (_, _, errors, colour) in zip(grid[1:], series, strict=False):
                for place, error in zip(axes, errors, strict=False):
                    place.set_xlabel(short_number(error), fontsize="medium", color=colour)
            differences = (self.reconstructions - self.inputs).reshape(n_rows, *shape)
            largest = largest_size(differences)
            for place, image in zip(grid[-1], differences, strict=False):
                drawn = show_signed(place, image, largest)
            label_row(grid[-1, 0], "Autoencoder\nminus input")
            colour_bar(grid[-1, -1], drawn)
            make_room(ax, grid.flat)
        self.axes_ = grid[:, :-1]

    def _plot_table(
        self, ax: Any, series: list[Series], names: list[str], max_features: int
    ) -> None:
        n_rows, n_features = self.inputs.shape
        kept = np.arange(n_features)
        if n_features > max_features:
            kept = np.sort(np.argsort(-_variances(self.inputs), kind="stable")[:max_features])
        labels = feature_labels(self.feature_names, kept)
        size = max(1.25 * n_rows, 3.6) + 2.2, 0.24 * len(kept) + 1.5
        ratios = {"height_ratios": [0.25, size[1] - 0.25]}
        with fonts_for(ax, size, smallest=0.3) as share:
            legend, self.axes_ = new_grid(ax, (2, n_rows), size, **ratios)
            for row, (axes, name) in enumerate(zip(self.axes_, names, strict=True)):
                if row:
                    axes.sharex(self.axes_[0])
                    axes.sharey(self.axes_[0])
                    axes.tick_params(labelleft=False)
                drawn = self._plot_row(axes, row, kept, series, share)
                axes.set_title(name, fontsize="small", color=MUTED)
                axes.grid(axis="y", color=FRAME, linewidth=0.6)
                tidy(axes)
            self.axes_[0].set_yticks(np.arange(len(kept)), labels)
            self.axes_[0].set_ylim(len(kept) - 0.4, -0.6)
            draw_legend(legend, drawn)
            make_room(ax, (legend[0], *self.axes_))
            _thin_ticks(self.axes_[0])

    def _plot_row(
        self, axes: Any, row: int, kept: NDArray[Any], series: list[Series], share: float
    ) -> list[Any]:
        """Draw a row of a table, with fonts in this share of their usual size."""
        inputs, places = self.inputs[row, kept], np.arange(len(kept))
        mark = {"color": INK, "marker": "|", "linestyle": "none", "zorder": 3}
        drawn: list[Any] = axes.plot(inputs, places, markersize=11 * share, label="Input", **mark)
        for number, (label, rows, errors, colour) in enumerate(series):
            # The length of a line is the error.
            shift = 0.36 * (number - (len(series) - 1) / 2)
            values = rows[row, kept]
            axes.hlines(places + shift, inputs, values, color=colour, linewidth=1.5 * share)
            mark = {"color": colour, "marker": "s" if label == "PCA" else "o", "linestyle": "none"}
            mark["markersize"] = 4 * share
            drawn += axes.plot(values, places + shift, label=label, **mark)
            below = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
            place = 0, -8 - 14 * share * (number + 1)  # below the ticks
            error = short_number(errors[row])
            axes.annotate(error, (0.5, 0.0), place, color=colour, ha="center", **below)
            if row == 0:
                axes.annotate("RMS error", (0.0, 0.0), place, color=colour, ha="right", **below)
        return drawn


def _thin_ticks(axes: Any) -> None:
    """Keep only the tick in the middle where ticks would be too close, on all axes that share."""
    width = axes.get_window_extent().width / axes.figure.dpi
    if width < _NARROW:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        axes.set_xticks(sorted(ticks, key=lambda tick: abs(tick - (low + high) / 2))[:1])


def _variances(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Return the variance of each feature over its known entries; 0 if there are none."""
    known = ~np.isnan(rows)
    n_known = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, rows, 0.0).sum(axis=0, dtype=np.float64) / n_known
    return np.square(np.where(known, rows - means, 0.0)).sum(axis=0) / n_known


def _root_mean_square(differences: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(differences, dtype=np.float64)
    n_observed = np.count_nonzero(~np.isnan(values), axis=1)
    with np.errstate(invalid="ignore"):  # of a row without any entry
        return np.sqrt(np.nansum(np.square(values), axis=1) / n_observed)

"""`FeatureDisplay`: what the units of a layer respond to, by several techniques side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skae.inspection.displays.layout import fonts_for, make_room, new_grid
from skae.inspection.displays.style import (
    INK,
    MUTED,
    NETWORK,
    cell_size,
    channels_first,
    check_plot_support,
    feature_labels,
    image_shape_of,
    label_row,
    largest_size,
    short_number,
    show_image,
    show_signed,
    tidy,
    value_range,
)
from skae.inspection.displays.units import (
    choose_techniques,
    choose_units,
    data_limits,
    find_samples,
    optimize_units,
)
from skae.inspection.layers import layer_parts, layer_weights, open_layer, over_positions
from skae.utils.validation import check_count


class FeatureDisplay:
    """What the units of a layer respond to: weights, samples and optimized inputs, side by side.

    There is a row for each unit. Weights are those of `weight_images`, of the code with its linear
    path. Samples are the rows of X for which the unit is most active, and the optimized input is
    the one that activates it most. Their activations stand below them. A table is drawn as bars of
    the features with the largest values: the weights, the mean of the samples minus the mean row,
    and the optimized input minus the mean row. Three or four channels of an image are colours, and
    other numbers stand side by side. Weights of three channels are colours around mid-grey, which
    is 0. `from_estimator` computes what the display shows.

    Parameters
    ----------
    units : sequence of int
        Numbers of the units.
    weights : ndarray, default=None
        Of shape (n_units, n_features) or (n_units, channels, height, width).
    samples : ndarray of shape (n_units, n_samples, n_features), default=None
    sample_activations : ndarray of shape (n_units, n_samples), default=None
    optimized : ndarray of shape (n_units, n_features), default=None
    optimized_activations : ndarray of shape (n_units,), default=None
    mean : ndarray of shape (n_features,) or float, default=0.0
        The row with which a table compares samples and optimized inputs.
    feature_names : sequence of n_features str, default=None
        None is "x0", "x1", ...
    image_shape : tuple of (channels, height, width), default=None
        Shape of the rows, which have their channels first. None draws bars.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes of shape (n_units, n_columns)
        For images, columns are the weights, each sample, and the optimized input. For a table, they
        are the techniques.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import FeatureDisplay
    >>> X = load_digits().data
    >>> autoencoder = Autoencoder(8, max_iter=5, random_state=0).fit(X)
    >>> display = FeatureDisplay.from_estimator(autoencoder, X, units=3, image_shape=(8, 8))
    >>> display.axes_.shape
    (3, 7)
    """

    def __init__(
        self,
        units: Sequence[int],
        *,
        weights: NDArray[Any] | None = None,
        samples: NDArray[Any] | None = None,
        sample_activations: NDArray[Any] | None = None,
        optimized: NDArray[Any] | None = None,
        optimized_activations: NDArray[Any] | None = None,
        mean: NDArray[Any] | float = 0.0,
        feature_names: Any = None,
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        self.units = units
        self.weights = weights
        self.samples = samples
        self.sample_activations = sample_activations
        self.optimized = optimized
        self.optimized_activations = optimized_activations
        self.mean = mean
        self.feature_names = feature_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        layer: int | str = 0,
        units: Sequence[int] | int = 6,
        techniques: Sequence[str] | None = None,
        image_shape: tuple[int, ...] | None = None,
        n_samples: int = 5,
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
        radius: float | None = None,
        max_features: int = 10,
        random_state: int | np.random.RandomState | None = 0,
        ax: Any = None,
    ) -> Self:
        """Compute and draw what the units of a layer respond to.

        Parameters
        ----------
        estimator : object
            A fitted estimator of skae, a fitted `Pipeline` that ends with one, or a fitted search
            over either.
        X : array-like of shape (n_samples, n_features), default=None
            Rows among which to search for samples, as passed to `estimator`.
        layer : int or "code", default=0
            See `activations`.
        units : sequence of int, or int, default=6
            Numbers of the units; of a convolution, of the channels. An int is how many to choose:
            those that vary most over X; without X, those with the largest weights or, of a layer
            without weights, the first ones. At most 30 are drawn.
        techniques : sequence of {"weights", "samples", "optimized"}, default=None
            None is all that apply: "samples" need X, and "weights" a layer of the encoder that
            follows no convolution.
        image_shape : tuple of (height, width) or (channels, height, width), default=None
            None takes that of a `ConvolutionalAutoencoder`, and draws bars for all others.
        n_samples : int, default=5
            Number of samples of each unit.
        bounds, radius : default=None
            Limits of the optimized input: see `maximize_activation`. If both are None and X is
            given, they are the range of each feature in X, and the root mean squared distance of
            the training rows from their mean.
        max_features : int, default=10
            Largest number of features of a unit that a table shows.
        random_state : int, RandomState instance or None, default=0
            Seed of the optimized inputs.
        ax : matplotlib Axes, default=None
            Axes whose place the drawing takes. None makes a new figure.

        Returns
        -------
        display : FeatureDisplay
        """
        check_plot_support(f"{cls.__name__}.from_estimator")
        check_count("n_samples", n_samples)
        fitted, number = open_layer(estimator, layer, X)
        shape = image_shape_of(fitted.autoencoder, image_shape, len(fitted.names))
        shown = choose_techniques(techniques, fitted, number, has_rows=X is not None, shape=shape)
        mean = fitted.units.mean.numpy()
        read = fitted if X is not None else replace(fitted, rows=mean[None])
        values = np.concatenate([over_positions(part) for part in layer_parts(read, number)])
        weights = None
        if "weights" in shown:
            weights = layer_weights(fitted, layer, shape, include_pca=True)
        chosen = choose_units(units, values, weights, layer, has_rows=X is not None)
        found: dict[str, Any] = {} if weights is None else {"weights": weights[chosen]}
        if "samples" in shown:
            found |= find_samples(fitted, values[:, chosen], n_samples)
        if "optimized" in shown:
            limits: dict[str, Any] = {"bounds": bounds, "radius": radius}
            if bounds is None and radius is None and X is not None:
                limits = data_limits(fitted)
            found |= optimize_units(fitted, layer, chosen, limits | {"random_state": random_state})
        for name in {"samples", "optimized"} & found.keys():
            found[name] = channels_first(fitted.autoencoder, found[name], shape)
        found |= {"feature_names": fitted.names, "image_shape": shape}
        return cls(chosen, mean=mean, **found).plot(ax=ax, max_features=max_features)

    def plot(self, ax: Any = None, *, max_features: int = 10) -> Self:
        """Draw the units.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes whose place the drawing takes. None makes a new figure.
        max_features : int, default=10
            See `from_estimator`.

        Returns
        -------
        display : FeatureDisplay
        """
        check_plot_support(f"{type(self).__name__}.plot")
        check_count("max_features", max_features)
        if self.image_shape is None:
            self._plot_table(ax, max_features)
        else:
            self._plot_images(ax, self.image_shape)
        self.figure_ = self.axes_.flat[0].figure
        return self

    def _plot_images(self, ax: Any, shape: tuple[int, int, int]) -> None:
        n_units = len(self.units)
        parts: list[tuple[str, NDArray[Any], NDArray[Any] | None]] = []
        if self.weights is not None:
            height, width = self.weights.shape[-2:]
            parts.append(("Weights", self.weights.reshape(n_units, 1, -1, height, width), None))
        for name, rows, values in (
            ("Most active samples", self.samples, self.sample_activations),
            ("Optimized", self.optimized, self.optimized_activations),
        ):
            if rows is not None:
                values = None if values is None else values.reshape(n_units, -1)
                parts.append((name, rows.reshape(n_units, -1, *shape), values))
        # An empty narrow column separates the techniques.
        ratios = [ratio for part in parts for ratio in [*[1.0] * part[1].shape[1], 0.15]][:-1]
        width, height = cell_size(shape, 0.22)
        size = width * sum(ratios) + 0.7, height * n_units + 0.3
        with fonts_for(ax, size):
            grid = new_grid(ax, (n_units, len(ratios)), size, width_ratios=ratios)
            for place in grid[:, [column for column, ratio in enumerate(ratios) if ratio < 1]].flat:
                place.remove()
            self.axes_ = grid[:, [ratio == 1 for ratio in ratios]]
            column = 0
            for name, images, values in parts:
                axes = self.axes_[:, column : column + images.shape[1]]
                column += images.shape[1]
                _plot_part(axes, images, values, is_signed=name == "Weights")
                # The long name needs two images.
                _write_heading(axes[0], name if len(name) < 10 or len(axes[0]) > 1 else "Sample")
            for place, unit in zip(self.axes_[:, 0], self.units, strict=True):
                label_row(place, f"unit {unit}")
            make_room(ax, self.axes_.flat)

    def _plot_table(self, ax: Any, max_features: int) -> None:
        parts = []
        if self.weights is not None:
            parts.append(("Weights", self.weights))
        if self.samples is not None:
            text = "Most active\nsamples, minus\nmean row"
            parts.append((text, self.samples.mean(axis=1) - self.mean))
        if self.optimized is not None:
            parts.append(("Optimized\ninput, minus\nmean row", self.optimized - self.mean))
        n_units, n_shown = len(self.units), min(max_features, parts[0][1].shape[1])
        size = 2.2 * len(parts) + 2.0, (0.2 * n_shown + 0.3) * n_units + 0.8
        with fonts_for(ax, size, smallest=0.3):
            self.axes_ = new_grid(ax, (n_units, len(parts)), size)
            for row, (axes, unit) in enumerate(zip(self.axes_, self.units, strict=True)):
                values = np.stack([part[row] for _, part in parts])
                features = _largest_features(values, n_shown)
                labels = feature_labels(self.feature_names, features)
                for place, bars, above in zip(
                    axes, values[:, features], self.axes_[0], strict=True
                ):
                    if row:
                        place.sharex(above)
                    _plot_bars(place, bars, labels if place is axes[0] else [""] * n_shown)
                    if row < n_units - 1:
                        place.tick_params(labelbottom=False)
                axes[0].set_ylabel(f"unit {unit}", color=INK)
            for place in self.axes_[0]:  # all rows share its ticks
                place.locator_params(axis="x", nbins=2)
            for place, (text, _) in zip(self.axes_[0], parts, strict=True):
                place.set_title(text, fontsize="medium", color=INK)
            self.axes_[0, 0].figure.align_ylabels(self.axes_[:, 0])
            make_room(ax, self.axes_.flat)


def _plot_part(
    axes: NDArray[Any], images: NDArray[Any], values: NDArray[Any] | None, *, is_signed: bool
) -> None:
    """Draw the images of a technique, one row of axes for each unit, with values below them."""
    limits = value_range(images)
    for index, place in np.ndenumerate(axes):
        if is_signed:  # units may have weights of any size
            show_signed(place, images[index], largest_size(images[index]))
        else:
            show_image(place, images[index], limits)
        if values is not None:
            text = short_number(float(values[index]))
            place.set_xlabel(text, fontsize="small", color=MUTED, labelpad=2)


def _write_heading(axes: NDArray[Any], name: str) -> None:
    for place in axes:
        place.set_title(" ", fontsize="medium")  # makes room
    heading = axes[0].set_title(name, loc="left", fontsize="medium", color=INK)
    heading.set_in_layout(False)  # it may be wider than its axes


def _largest_features(values: NDArray[Any], n_shown: int) -> NDArray[Any]:
    """Return the features with the largest bars, as shares of the largest one of a technique."""
    sizes = np.nan_to_num(np.abs(values))
    largest = sizes.max(axis=1, keepdims=True)
    shares = sizes / np.where(largest > 0, largest, 1.0)
    return np.argsort(-shares.max(axis=0), kind="stable")[:n_shown]


def _plot_bars(axes: Any, bars: NDArray[Any], labels: list[str]) -> None:
    places = np.arange(len(bars))
    axes.barh(places, bars, color=NETWORK, height=0.7)
    axes.axvline(0.0, color=MUTED, linewidth=0.8)
    axes.set_yticks(places, labels)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    tidy(axes)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)

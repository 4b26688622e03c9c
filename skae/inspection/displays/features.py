"""`FeatureDisplay`: what the units of a layer respond to, by several techniques side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse

import skae.inspection.displays.style as style
from skae.core.networks.conv import ConvolutionalMLP
from skae.inspection.ascent import maximize_activation
from skae.inspection.fitted import Fitted, open_fitted
from skae.inspection.layers import (
    check_unit,
    follows_bits,
    layer_parts,
    over_positions,
    resolve_layer,
    weight_images,
)
from skae.utils.validation import check_count

TECHNIQUES = ("weights", "samples", "optimised")


class FeatureDisplay:
    """What the units of a layer respond to: weights, samples and optimised inputs, side by side.

    There is a row for each unit. Weights are those of `weight_images`, of the code with its linear
    path. Samples are the rows of X for which the unit is most active, and the optimised input is
    the one that activates it most. Their activations stand below them. A table is drawn as bars of
    the features with the largest values: the weights, the mean of the samples minus the mean row,
    and the optimised input minus the mean row.

    Parameters
    ----------
    units : sequence of int
        Numbers of the units.
    weights : ndarray, default=None
        Of shape (n_units, n_features) or (n_units, channels, height, width).
    samples : ndarray of shape (n_units, n_samples, n_features), default=None
    sample_activations : ndarray of shape (n_units, n_samples), default=None
    optimised : ndarray of shape (n_units, n_features), default=None
    optimised_activations : ndarray of shape (n_units,), default=None
    mean : ndarray of shape (n_features,) or float, default=0.0
        The row with which a table compares samples and optimised inputs.
    feature_names : sequence of n_features str, default=None
        None is "x0", "x1", ...
    image_shape : tuple of (channels, height, width), default=None
        Shape of the rows, which have their channels first. None draws bars.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes of shape (n_units, n_columns)
        For images, columns are the weights, each sample, and the optimised input. For a table, they
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
        optimised: NDArray[Any] | None = None,
        optimised_activations: NDArray[Any] | None = None,
        mean: NDArray[Any] | float = 0.0,
        feature_names: Any = None,
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        self.units = units
        self.weights = weights
        self.samples = samples
        self.sample_activations = sample_activations
        self.optimised = optimised
        self.optimised_activations = optimised_activations
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
            without weights, the first ones.
        techniques : sequence of {"weights", "samples", "optimised"}, default=None
            None is all that apply: "samples" need X, and "weights" a layer of the encoder that
            follows no convolution.
        image_shape : tuple of (height, width) or (channels, height, width), default=None
            None takes that of a `ConvolutionalAutoencoder`, and draws bars for all others.
        n_samples : int, default=5
            Number of samples of each unit.
        bounds, radius : default=None
            Limits of the optimised input: see `maximize_activation`. If both are None and X is
            given, they are the range of each feature in X, and the root mean squared distance of
            the training rows from their mean.
        max_features : int, default=10
            Largest number of features of a unit that a table shows.
        random_state : int, RandomState instance or None, default=0
            Seed of the optimised inputs.
        ax : matplotlib Axes, default=None
            Axes whose place the drawing takes. None makes a new figure.

        Returns
        -------
        display : FeatureDisplay
        """
        style.check_plot_support(f"{cls.__name__}.from_estimator")
        check_count("n_samples", n_samples)
        fitted = open_fitted(estimator, X)
        number = resolve_layer(fitted, layer)
        shape = style.image_shape_of(fitted.autoencoder, image_shape, len(fitted.names))
        shown = _techniques(techniques, fitted, number, has_rows=X is not None, shape=shape)
        mean = fitted.units.mean.numpy()
        read = fitted if X is not None else replace(fitted, rows=mean[None])
        values = np.concatenate([over_positions(part) for part in layer_parts(read, number)])
        weights = None
        if "weights" in shown:
            weights = weight_images(estimator, shape, layer=layer, include_pca=True)
        if isinstance(units, int | np.integer):
            check_count("units", units)
            chosen = _largest(values, weights, int(units), has_rows=X is not None)
        else:
            chosen = [check_unit(unit, values.shape[1], layer, "units") for unit in units]
            if not chosen:
                raise ValueError(f"units={units!r} names no unit.")
        found: dict[str, Any] = {} if weights is None else {"weights": weights[chosen]}
        if "samples" in shown:
            found |= _samples(fitted, values[:, chosen], n_samples)
        if "optimised" in shown:
            limits: dict[str, Any] = {"bounds": bounds, "radius": radius}
            if bounds is None and radius is None and X is not None:
                limits = _limits(fitted)
            limits |= {"layer": layer, "random_state": random_state}
            results = [maximize_activation(estimator, unit, **limits) for unit in chosen]
            found["optimised"] = np.stack([result.input for result in results])
            found["optimised_activations"] = np.array([result.activation for result in results])
        for name in {"samples", "optimised"} & found.keys():
            found[name] = style.channels_first(fitted.autoencoder, found[name], shape)
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
        style.check_plot_support(f"{type(self).__name__}.plot")
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
            weights = self.weights.reshape(n_units, 1, -1, *self.weights.shape[-2:]).mean(axis=2)
            parts.append(("Weights", weights[:, :, None], None))
        for name, rows, values in (
            ("Most active samples", self.samples, self.sample_activations),
            ("Optimised", self.optimised, self.optimised_activations),
        ):
            if rows is not None:
                assert values is not None
                images = rows.reshape(n_units, -1, *shape)
                parts.append((name, images, values.reshape(n_units, -1)))
        # An empty narrow column separates the techniques.
        ratios = [ratio for part in parts for ratio in [*[1.0] * part[1].shape[1], 0.15]][:-1]
        size = 0.95 * sum(ratios) + 0.7, style.cell_height(shape, 0.22) * n_units + 0.3
        grid = style.new_grid(ax, (n_units, len(ratios)), size, width_ratios=ratios)
        for place in grid[:, [column for column, ratio in enumerate(ratios) if ratio < 1]].flat:
            place.remove()
        grid = grid[:, [ratio == 1 for ratio in ratios]]
        column = 0
        for name, images, values in parts:
            axes = grid[:, column : column + images.shape[1]]
            column += images.shape[1]
            low, high = float(np.nanmin(images)), float(np.nanmax(images))
            for index, place in np.ndenumerate(axes):
                image = images[index]
                if values is None:  # units may have weights of any size
                    limits = style.symmetric_limits(image)
                    style.show_image(place, image, cmap=style.SIGNED, **limits)
                    continue
                style.show_scaled(place, image, low, high)
                text = style.short_number(float(values[index]))
                place.set_xlabel(text, fontsize="small", color=style.MUTED, labelpad=2)
            for place in axes[0]:
                place.set_title(" ")  # makes room
            heading = axes[0, 0].set_title(name, loc="left", fontsize="medium", color=style.INK)
            heading.set_in_layout(False)  # it may be wider than its axes
        for place, unit in zip(grid[:, 0], self.units, strict=True):
            style.label_row(place, f"unit {unit}")
        self.axes_ = grid

    def _plot_table(self, ax: Any, max_features: int) -> None:
        parts = []
        if self.weights is not None:
            parts.append(("Weights", self.weights))
        if self.samples is not None:
            text = "Most active samples,\nminus mean row"
            parts.append((text, self.samples.mean(axis=1) - self.mean))
        if self.optimised is not None:
            parts.append(("Optimised input,\nminus mean row", self.optimised - self.mean))
        n_units, n_shown = len(self.units), min(max_features, parts[0][1].shape[1])
        size = 2.2 * len(parts) + 2.0, (0.2 * n_shown + 0.3) * n_units + 0.8
        self.axes_ = style.new_grid(ax, (n_units, len(parts)), size)
        places = np.arange(n_shown)
        for row, (axes, unit) in enumerate(zip(self.axes_, self.units, strict=True)):
            values = np.stack([part[row] for _, part in parts])
            largest = np.nanmax(np.abs(values), axis=1, keepdims=True)
            sizes = np.nanmax(np.abs(values) / np.where(largest > 0, largest, 1.0), axis=0)
            features = np.argsort(-sizes, kind="stable")[:n_shown]
            labels = style.feature_labels(self.feature_names, features)
            for column, (place, bars) in enumerate(zip(axes, values[:, features], strict=True)):
                if row:
                    place.sharex(self.axes_[0, column])
                else:
                    place.set_title(parts[column][0], fontsize="medium", color=style.INK)
                place.barh(places, bars, color=style.NETWORK, height=0.7)
                place.axvline(0.0, color=style.MUTED, linewidth=0.8)
                place.set_yticks(places, labels if column == 0 else [""] * n_shown)
                place.set_ylim(n_shown - 0.4, -0.6)
                style.tidy(place)
                place.tick_params(axis="y", length=0)
                place.spines["left"].set_visible(False)
                if row < n_units - 1:
                    place.tick_params(labelbottom=False)
            axes[0].set_ylabel(f"unit {unit}", color=style.INK)
        self.axes_[0, 0].figure.align_ylabels(self.axes_[:, 0])


def _techniques(
    techniques: Sequence[str] | None,
    fitted: Fitted,
    layer: int,
    *,
    has_rows: bool,
    shape: tuple[int, int, int] | None,
) -> list[str]:
    """Return the techniques to show, which must be known; None is all that apply."""
    encoder = fitted.network(fitted.dtype).encoder
    is_convolution = isinstance(encoder, ConvolutionalMLP)
    if techniques is None:
        applies = {
            "weights": layer < fitted.n_encoder_layers
            and not (is_convolution and (layer or shape is None)),
            "samples": has_rows,
            "optimised": not follows_bits(fitted, layer),
        }
        return [name for name in TECHNIQUES if applies[name]]
    if not techniques or isinstance(techniques, str) or not {*techniques} <= {*TECHNIQUES}:
        raise ValueError(f"techniques={techniques!r} must be some of {TECHNIQUES}.")
    if "samples" in techniques and not has_rows:
        raise ValueError(f"techniques={techniques!r} has 'samples', which need X.")
    if "weights" in techniques and is_convolution and shape is None:
        raise ValueError(
            f"techniques={techniques!r} has 'weights', and kernels are drawn as images. Pass "
            "image_shape."
        )
    return list(techniques)


def _largest(
    values: NDArray[Any], weights: NDArray[Any] | None, n_units: int, *, has_rows: bool
) -> list[int]:
    """Return the units that vary most, or have the largest weights; otherwise the first ones."""
    sizes = np.zeros(values.shape[1])
    if has_rows:
        sizes = values.std(axis=0, dtype=np.float64)
    elif weights is not None:
        sizes = np.square(weights.reshape(len(weights), -1)).sum(axis=1)
    return [int(unit) for unit in np.argsort(-sizes, kind="stable")[:n_units]]


def _limits(fitted: Fitted) -> dict[str, Any]:
    """Return the range of each feature, and the root mean squared distance of training rows."""
    mean, radius = fitted.units.mean.numpy(), fitted.units.scale * np.sqrt(len(fitted.names))
    if issparse(fitted.rows):
        return {"radius": radius}
    low, high = np.fmin.reduce(fitted.rows, axis=0), np.fmax.reduce(fitted.rows, axis=0)
    return {"bounds": (np.fmin(low, mean), np.fmax(high, mean)), "radius": radius}


def _samples(fitted: Fitted, values: NDArray[Any], n_samples: int) -> dict[str, NDArray[Any]]:
    """Return the rows with the highest values of each unit, and these values."""
    order = np.argsort(-values, axis=0, kind="stable")[:n_samples].T
    chosen: Any = fitted.rows[order.ravel()]
    rows = chosen.toarray() if issparse(chosen) else chosen
    return {
        "samples": rows.reshape(*order.shape, -1),
        "sample_activations": np.take_along_axis(values.T, order, axis=1),
    }

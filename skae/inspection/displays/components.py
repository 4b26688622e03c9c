"""`ComponentsDisplay`: how much each component explains, and which features belong to it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skae.inspection.displays.layout import fonts_for, make_room, new_grid
from skae.inspection.displays.style import (
    INK,
    NETWORK,
    PCA,
    SIGNED,
    beside,
    channels_first,
    check_plot_support,
    colour_bar,
    feature_labels,
    image_shape_of,
    largest_size,
    show_signed,
    tidy,
)
from skae.inspection.features import mean_sensitivities
from skae.inspection.fitted import open_fitted
from skae.inspection.pca import pca_shares
from skae.utils.validation import check_count

_LABELS = {
    "components": "Change of a feature with a component",
    "sensitivities": "Change of a component with a feature",
}
_N_COLUMNS = 5  # of images
_HEIGHT = 3.8  # of the chart of variances, in inches
# Below this share of the usual room, images are titled without their shares of the variance.
_WITHOUT_SHARES = 0.75


class ComponentsDisplay:
    """The variance that each component explains, beside PCA's, and the loadings of the features.

    Loadings are drawn as images or, for a table, as a heat map. Of images with three channels they
    are colours around mid-grey, which is 0: a pixel that reddens with a component is red. Other
    numbers of channels stand side by side. Create it with `from_estimator`.

    Parameters
    ----------
    explained_variance_ratio : ndarray of shape (n_components,)
    loadings : ndarray of shape (n_components, n_features)
        Those of images have their channels first.
    pca_explained_variance_ratio : ndarray of shape (n_principal_components,), default=None
        None leaves PCA out.
    feature_names : sequence of n_features str, default=None
        None is "x0", "x1", ...
    image_shape : tuple of (channels, height, width), default=None
        None draws a heat map.
    loadings_label : str, default="Loading"
        Label of the colour bar.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of Axes
        Explained variance and heat map; or explained variance and the image of each component.
    components_drawn_ : ndarray of int
        Numbers of the components in the order of the drawing.
    features_drawn_ : ndarray of int
        Numbers of the features in the heat map.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import Autoencoder
    >>> from skae.inspection import ComponentsDisplay
    >>> X = load_wine(as_frame=True).data
    >>> pipeline = make_pipeline(StandardScaler(), Autoencoder(3, max_iter=5, random_state=0))
    >>> display = ComponentsDisplay.from_estimator(pipeline.fit(X), X)
    >>> display.loadings.shape
    (3, 13)
    """

    def __init__(
        self,
        explained_variance_ratio: NDArray[Any],
        loadings: NDArray[Any],
        pca_explained_variance_ratio: NDArray[Any] | None = None,
        *,
        feature_names: Any = None,
        image_shape: tuple[int, int, int] | None = None,
        loadings_label: str = "Loading",
    ) -> None:
        self.explained_variance_ratio = explained_variance_ratio
        self.loadings = loadings
        self.pca_explained_variance_ratio = pca_explained_variance_ratio
        self.feature_names = feature_names
        self.image_shape = image_shape
        self.loadings_label = loadings_label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        loadings: str = "components",
        image_shape: tuple[int, ...] | None = None,
        n_components: int = 10,
        max_features: int = 30,
        ax: Any = None,
    ) -> Self:
        """Draw the components of a fitted autoencoder.

        Parameters
        ----------
        estimator : object
            A fitted autoencoder of skae, a fitted `Pipeline` that ends with one, or a fitted search
            over either.
        X : array-like of shape (n_samples, n_features)
            The training rows, as passed to `estimator`; PCA is fitted to them, unless they
            are sparse.
        loadings : {"components", "sensitivities"}, default="components"
            "components" are `components_`: how a feature changes with a component, by least
            squares. "sensitivities" are how a component changes with a feature,
            on average over X: see `code_sensitivities`. Of PCA both are its components.
        image_shape : tuple of (height, width) or (channels, height, width), default=None
            None takes that of a `ConvolutionalAutoencoder`, and draws a heat map for all others.
        n_components : int, default=10
            Largest number of components to draw: those that explain most, in this order. The
            totals are of all components.
        max_features : int, default=30
            Largest number of features in a heat map: those with the largest loadings.
        ax : matplotlib Axes, default=None
            Axes whose place the drawing takes. None makes a new figure.

        Returns
        -------
        display : ComponentsDisplay
        """
        check_plot_support(f"{cls.__name__}.from_estimator")
        if loadings not in _LABELS:
            raise ValueError(f"loadings={loadings!r} must be 'components' or 'sensitivities'.")
        fitted = open_fitted(estimator, X, decodes=True)
        autoencoder: Any = fitted.autoencoder
        shape = image_shape_of(autoencoder, image_shape, len(fitted.names))
        values = autoencoder.components_
        if loadings == "sensitivities":
            values = mean_sensitivities(fitted).mean
        display = cls(
            autoencoder.explained_variance_ratio_,
            channels_first(autoencoder, values, shape),
            pca_shares(fitted.model, fitted.rows, autoencoder.n_components_),
            feature_names=fitted.names,
            image_shape=shape,
            loadings_label=_LABELS[loadings],
        )
        return display.plot(ax=ax, n_components=n_components, max_features=max_features)

    def plot(self, ax: Any = None, *, n_components: int = 10, max_features: int = 30) -> Self:
        """Draw the components.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes whose place the drawing takes. None makes a new figure.
        n_components, max_features : int
            See `from_estimator`.

        Returns
        -------
        display : ComponentsDisplay
        """
        check_plot_support(f"{type(self).__name__}.plot")
        check_count("n_components", n_components)
        check_count("max_features", max_features)
        shares = np.nan_to_num(self.explained_variance_ratio)
        order = np.argsort(-shares, kind="stable")[:n_components]
        loadings = self.loadings[order]
        sizes = np.square(loadings).sum(axis=0)
        features = np.sort(np.argsort(-sizes, kind="stable")[:max_features])
        self.components_drawn_, self.features_drawn_ = order, features
        width, height, shape = self._size(len(order), len(features))
        scree = max(3.6, 0.4 * len(order) + 1.0)
        ratios = {"width_ratios": [scree, width, 0.15]}
        size = scree + width + 0.8, height
        with fonts_for(ax, size) as share:
            chart, middle, bar = new_grid(ax, (1, 3), size, **ratios)[0]
            self._plot_shares(chart, order)
            if height > scree + 1.0:
                chart.set(box_aspect=1.0, anchor="N")
            axes = [middle]
            if self.image_shape is None:
                drawn = self._plot_heat_map(middle, loadings[:, features], order, features)
            else:
                # The room for titles is known only once the images have their places.
                axes = list(new_grid(middle, shape, (0, 0)).flat)
                images = loadings.reshape(-1, *self.image_shape)
                drawn = self._plot_images(axes, images, order, has_shares=share > _WITHOUT_SHARES)
            colour_bar(bar, drawn)
            label = self.loadings_label
            bar.set_ylabel(label if drawn.get_array().ndim < 3 else f"{label}; 0 is grey")
            bar.yaxis.label.set_color(INK)
            make_room(ax, (chart, middle, bar))
            if ax is not None and self.image_shape is not None:
                make_room(middle, axes)
        n_kept = len(order) if self.image_shape else 1
        self.axes_ = np.array([chart, *axes[:n_kept]], dtype=object)
        self.figure_ = chart.figure
        return self

    def _size(self, n_shown: int, n_features: int) -> tuple[float, float, tuple[int, int]]:
        """Return width and height of the loadings in inches, and the grid of their images."""
        if self.image_shape is None:
            return 0.45 * n_shown + 2.4, max(_HEIGHT, 0.2 * n_features + 1.1), (1, 1)
        tall, wide = beside(np.empty(self.image_shape), colours=(3,)).shape[1:]
        n_columns = min(n_shown, _N_COLUMNS if wide == self.image_shape[2] else 2)
        n_rows, aspect = -(-n_shown // n_columns), tall / wide
        lowest, highest = (1.15, 1.6) if n_columns > 2 else (1.6, 2.8)
        side = min(highest, max(lowest, (_HEIGHT / n_rows - 0.3) / aspect))
        width, height = (side + 0.1) * n_columns, n_rows * (side * aspect + 0.3)
        return width, max(_HEIGHT, height), (n_rows, n_columns)

    def _plot_shares(self, axes: Any, order: NDArray[Any]) -> None:
        places = np.arange(len(order))
        shares = self.explained_variance_ratio
        label = f"Autoencoder: {shares.sum():.1%} in all"
        top = np.fmax.reduce(shares, initial=0.0)
        drawn = [axes.bar(places, shares[order], color=NETWORK, width=0.7, label=label)]
        if self.pca_explained_variance_ratio is not None:
            shares = self.pca_explained_variance_ratio
            label = f"PCA: {shares.sum():.1%} in all"
            first, top = shares[: len(order)], max(top, shares.max())
            mark = {"color": PCA, "marker": "s", "markersize": 4}
            drawn += axes.plot(places[: len(first)], first, label=label, **mark)
        axes.set_xticks(places, [str(number) for number in order])
        axes.set_ylim(0.0, 1.05 * top or 1.0)
        axes.set(xlabel="Component", ylabel="Explained variance ratio")
        # Above the chart, where it covers no bar.
        place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.0}
        axes.legend(handles=drawn, frameon=False, **place)
        tidy(axes)

    def _plot_heat_map(
        self, axes: Any, loadings: NDArray[Any], order: NDArray[Any], features: NDArray[Any]
    ) -> Any:
        labels = feature_labels(self.feature_names, features)
        largest = largest_size(loadings)
        limits = {"vmin": -largest, "vmax": largest}
        drawn = axes.imshow(loadings.T, cmap=SIGNED, aspect="auto", **limits)
        axes.set_xticks(np.arange(len(order)), [str(number) for number in order])
        axes.set_yticks(np.arange(len(features)), labels)
        axes.set_xlabel("Component")
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)
        return drawn

    def _plot_images(
        self, axes: list[Any], images: NDArray[Any], order: NDArray[Any], *, has_shares: bool
    ) -> Any:
        largest = largest_size(images)
        for place, image, number in zip(axes, images, order, strict=False):
            drawn = show_signed(place, image, largest)
            share = f": {self.explained_variance_ratio[number]:.1%}" if has_shares else ""
            place.set_title(f"{number}{share}", fontsize="small", color=INK)
        for place in axes[len(images) :]:
            place.set_axis_off()
        return drawn

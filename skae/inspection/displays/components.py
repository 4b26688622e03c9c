"""`ComponentsDisplay`: how much each component explains, and which features belong to it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

import skae.inspection.displays.style as style
from skae.inspection.features import code_sensitivities
from skae.inspection.fitted import open_fitted
from skae.inspection.pca import pca_shares
from skae.utils.validation import check_count

_LABELS = {
    "components": "Change of a feature with a component",
    "sensitivities": "Change of a component with a feature",
}
_N_COLUMNS = 5  # of images
_HEIGHT = 3.8  # of the chart of variances, in inches


class ComponentsDisplay:
    """The variance that each component explains, beside PCA's, and the loadings of the features.

    Create it with `from_estimator`.

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
        style.check_plot_support(f"{cls.__name__}.from_estimator")
        if loadings not in _LABELS:
            raise ValueError(f"loadings={loadings!r} must be 'components' or 'sensitivities'.")
        fitted = open_fitted(estimator, X, decodes=True)
        autoencoder: Any = fitted.autoencoder
        shape = style.image_shape_of(autoencoder, image_shape, len(fitted.names))
        values = autoencoder.components_
        if loadings == "sensitivities":
            values = code_sensitivities(estimator, X).mean
        display = cls(
            autoencoder.explained_variance_ratio_,
            style.channels_first(autoencoder, values, shape),
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
        style.check_plot_support(f"{type(self).__name__}.plot")
        check_count("n_components", n_components)
        check_count("max_features", max_features)
        order = np.argsort(-self.explained_variance_ratio, kind="stable")[:n_components]
        loadings = self.loadings[order]
        sizes = np.square(loadings).sum(axis=0)
        features = np.sort(np.argsort(-sizes, kind="stable")[:max_features])
        self.components_drawn_, self.features_drawn_ = order, features
        n_shown = len(order)
        if self.image_shape is None:
            width, height = 0.45 * n_shown + 2.4, max(_HEIGHT, 0.2 * len(features) + 1.1)
        else:
            n_columns = min(n_shown, _N_COLUMNS)
            n_rows, aspect = -(-n_shown // n_columns), self.image_shape[1] / self.image_shape[2]
            side = min(1.6, max(1.15, (_HEIGHT / n_rows - 0.3) / aspect))
            width, height = (side + 0.1) * n_columns, max(_HEIGHT, n_rows * (side * aspect + 0.3))
        scree = max(3.6, 0.4 * n_shown + 1.0)
        ratios = {"width_ratios": [scree, width, 0.15]}
        grid = style.new_grid(ax, (1, 3), (scree + width + 0.8, height), **ratios)[0]
        self._plot_shares(grid[0], order)
        if height > scree + 1.0:
            grid[0].set(box_aspect=1.0, anchor="N")
        if self.image_shape is None:
            drawn = self._plot_heat_map(grid[1], loadings[:, features], order, features)
            axes = [grid[1]]
        else:
            axes = list(style.new_grid(grid[1], (n_rows, n_columns), (0, 0)).flat)
            drawn = self._plot_images(axes, loadings, order, self.image_shape)
        style.colour_bar(grid[2], drawn)
        grid[2].set_ylabel(self.loadings_label, color=style.INK)
        self.axes_ = np.array([grid[0], *axes[: n_shown if self.image_shape else 1]], dtype=object)
        self.figure_ = grid[0].figure
        return self

    def _plot_shares(self, axes: Any, order: NDArray[Any]) -> None:
        places = np.arange(len(order))
        shares = self.explained_variance_ratio
        label = f"Autoencoder: {shares.sum():.1%} in all"
        drawn = [axes.bar(places, shares[order], color=style.NETWORK, width=0.7, label=label)]
        if self.pca_explained_variance_ratio is not None:
            shares = self.pca_explained_variance_ratio
            label = f"PCA: {shares.sum():.1%} in all"
            first = shares[: len(order)]
            mark = {"color": style.PCA, "marker": "s", "markersize": 4}
            drawn += axes.plot(places[: len(first)], first, label=label, **mark)
        axes.set_xticks(places, [str(number) for number in order])
        axes.set_ylim(bottom=0.0)
        axes.set(xlabel="Component", ylabel="Explained variance ratio")
        # Above the chart, where it covers no bar.
        place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.0}
        axes.legend(handles=drawn, frameon=False, **place)
        style.tidy(axes)

    def _plot_heat_map(
        self, axes: Any, loadings: NDArray[Any], order: NDArray[Any], features: NDArray[Any]
    ) -> Any:
        labels = style.feature_labels(self.feature_names, features)
        limits = style.symmetric_limits(loadings)
        drawn = axes.imshow(loadings.T, cmap=style.SIGNED, aspect="auto", **limits)
        axes.set_xticks(np.arange(len(order)), [str(number) for number in order])
        axes.set_yticks(np.arange(len(features)), labels)
        axes.set_xlabel("Component")
        axes.tick_params(length=0, colors=style.INK)
        axes.spines[:].set_visible(False)
        return drawn

    def _plot_images(
        self,
        axes: list[Any],
        loadings: NDArray[Any],
        order: NDArray[Any],
        shape: tuple[int, int, int],
    ) -> Any:
        # Of colours, the mean over the channels: a loading has a sign, and a colour has none.
        images = loadings.reshape(len(loadings), *shape).mean(axis=1)
        options = {"cmap": style.SIGNED, **style.symmetric_limits(images)}
        for place, image, number in zip(axes, images, order, strict=False):
            drawn = style.show_image(place, image, **options)
            share = self.explained_variance_ratio[number]
            place.set_title(f"{number}: {share:.1%}", fontsize="small", color=style.INK)
        for place in axes[len(images) :]:
            place.set_axis_off()
        return drawn

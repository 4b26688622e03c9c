"""`LossCurveDisplay`: training and held-out loss of a fit, and that of PCA."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier

from skae.inference.density import LatentDensity
from skae.inspection.displays.layout import has_layout, new_axis
from skae.inspection.displays.style import INK, MUTED, NETWORK, PCA, check_plot_support, tidy
from skae.inspection.fitted import Fitted, open_fitted
from skae.inspection.losses import loss_curves

# Losses whose start is PCA itself.
_OF_PCA = frozenset({"squared_error", "absolute_error", "huber"})
# The axis of the loss is logarithmic if the highest loss is more than this many times the lowest.
_WIDE_RANGE = 20.0
# Height of a line of text, with some space.
_LINE = 15.0 / 72.0


class LossCurveDisplay:
    """Training loss and held-out loss after each epoch, and the loss at the start.

    `from_estimator` reads them from a fit, see `loss_curves`.

    Parameters
    ----------
    epochs : array-like of shape (n_epochs + 1,)
        0 is the start.
    training : array-like of shape (n_epochs + 1,)
        Training loss; NaN at the start.
    validation : array-like of shape (n_epochs + 1,), default=None
        Loss of the held-out rows.
    pca : float, default=None
        Held-out loss of PCA.
    best_iter : int, default=None
        Epoch whose state was kept.
    pca_kept : bool, default=False
        Whether PCA was kept instead of an epoch.
    loss_name : str, default="loss"
        Label of the axis.
    pca_name : str, default="PCA"
        Label of the line at `pca`.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
    lines_ : dict of str to matplotlib Line2D
        The lines "training", "validation" and "pca", as far as they are known.
    labels_ : list of matplotlib Text
        The names of the lines, at their right ends. Empty if there is a legend.
    legend_ : matplotlib Legend or None
        Instead of `labels_` in a figure without a layout engine, which makes no room for them.
    best_ : matplotlib Line2D or None
        A ring around the loss of the state that was kept.

    See Also
    --------
    skae.inspection.loss_curves : The numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import LossCurveDisplay
    >>> autoencoder = Autoencoder(8, max_iter=5, random_state=0).fit(load_digits().data)
    >>> display = LossCurveDisplay.from_estimator(autoencoder)
    >>> display.ax_.get_title(loc="left")
    'Epoch 5 of 5 was kept'
    """

    def __init__(
        self,
        *,
        epochs: ArrayLike,
        training: ArrayLike,
        validation: ArrayLike | None = None,
        pca: float | None = None,
        best_iter: int | None = None,
        pca_kept: bool = False,
        loss_name: str = "loss",
        pca_name: str = "PCA",
    ) -> None:
        self.epochs = epochs
        self.training = training
        self.validation = validation
        self.pca = pca
        self.best_iter = best_iter
        self.pca_kept = pca_kept
        self.loss_name = loss_name
        self.pca_name = pca_name

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **line_kwargs: Any) -> Self:
        """Draw the losses of a fit.

        Parameters
        ----------
        estimator : object
            A fitted estimator of skae, a fitted `Pipeline` that ends with one, or a fitted search
            over either. For a classifier or a regressor, the losses are those of its own training.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.
        **line_kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the two curves.

        Returns
        -------
        display : LossCurveDisplay
        """
        check_plot_support(f"{cls.__name__}.from_estimator")
        fitted = open_fitted(estimator)
        display = cls(
            **loss_curves(estimator),
            pca_kept=getattr(fitted.estimator, "selected_", None) == "pca",
            loss_name=_loss_name(fitted),
            pca_name=_pca_name(fitted),
        )
        return display.plot(ax, **line_kwargs)

    def plot(self, ax: Any = None, **line_kwargs: Any) -> Self:
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a new figure.
        **line_kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the two curves.

        Returns
        -------
        display : LossCurveDisplay
        """
        check_plot_support(f"{type(self).__name__}.plot")
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        line_kwargs = normalize_kwargs(line_kwargs, Line2D)
        self.ax_ = ax = new_axis(ax, (6.4, 3.8))
        self.figure_ = ax.figure
        tidy(ax)
        epochs = np.asarray(self.epochs)
        curves = {"training": np.asarray(self.training, dtype=np.float64)}
        if self.validation is not None:
            curves["validation"] = np.asarray(self.validation, dtype=np.float64)
        styles: dict[str, dict[str, Any]] = {
            "training": {"color": MUTED, "linewidth": 1.2},
            "validation": {"color": NETWORK},
        }
        self.lines_ = {
            name: ax.plot(epochs, curve, **(styles[name] | line_kwargs))[0]
            for name, curve in curves.items()
        }
        if self.pca is not None:
            self.lines_["pca"] = ax.axhline(self.pca, color=PCA, linestyle="--", linewidth=1.4)
        values = np.concatenate([*curves.values(), [np.nan if self.pca is None else self.pca]])
        values = values[np.isfinite(values)]
        if len(values) and values.min() > 0 and values.max() > _WIDE_RANGE * values.min():
            ax.set_yscale("log")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="epoch", ylabel=self.loss_name)
        ax.set_title(self._title(), loc="left", fontsize=11, color=INK)
        self._mark_best(curves)
        names = {"training": "training", "validation": "held out", "pca": self.pca_name}
        for name, line in self.lines_.items():
            line.set_label(names[name])
        self.labels_: list[Any] = []
        self.legend_: Any = None
        if not len(values):
            ax.set(xticks=[], yticks=[])
        elif has_layout(ax):
            self._label_lines()
        else:  # nothing makes room beside the axes
            self.legend_ = ax.legend(frameon=False)
        return self

    def _title(self) -> str:
        n_epochs = int(np.max(self.epochs))
        if self.pca_kept:
            reason = ": no epoch is clearly better" if n_epochs else ", without training"
            name = self.pca_name[0].upper() + self.pca_name[1:]
            return f"{name} was kept{reason}"
        if self.best_iter is None:
            return ""
        return f"Epoch {self.best_iter} of {n_epochs} was kept"

    def _mark_best(self, curves: dict[str, NDArray[np.float64]]) -> None:
        """Draw a ring at the state that was kept, where its loss is known."""
        self.best_ = None
        if self.best_iter is None:
            return
        curve = curves.get("validation", curves["training"])
        kept = np.flatnonzero(np.asarray(self.epochs) == self.best_iter)
        if len(kept) == 0 or not np.isfinite(curve[kept[0]]):
            return
        colour = PCA if self.pca_kept else INK
        ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "color": colour}
        # Not clipped at epoch 0.
        self.best_ = self.ax_.plot(
            [self.best_iter], [curve[kept[0]]], linestyle="", clip_on=False, **ring
        )[0]

    def _label_lines(self) -> None:
        """Write the names of the lines at their right ends, moved apart where they overlap."""
        self.ax_.autoscale_view()
        ends = []
        for line in self.lines_.values():
            values = np.asarray(line.get_ydata(), dtype=np.float64)
            values = values[np.isfinite(values)]
            if len(values):
                place = self.ax_.transData.transform((0, values[-1]))
                height = float(self.ax_.transAxes.inverted().transform(place)[1])
                ends.append((height, line.get_label(), line.get_color()))
        ends.sort()
        box = self.ax_.get_window_extent().height / self.figure_.dpi
        heights = moved_apart([height for height, _, _ in ends], _LINE / box)
        self.labels_ = [
            self.ax_.text(
                1.02, height, name, color=colour, va="center", transform=self.ax_.transAxes
            )
            for height, (_, name, colour) in zip(heights, ends, strict=True)
        ]


def moved_apart(heights: list[float], gap: float) -> list[float]:
    """Return sorted heights with at least this gap, moved as little as their sum allows.

    Heights that are too close become a group around their mean.
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _first(groups[-1], gap) - _last(groups[-2], gap) < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_first(group, gap) + gap * place for group in groups for place in range(len(group))]


def _first(group: list[float], gap: float) -> float:
    return float(np.mean(group)) - gap * (len(group) - 1) / 2


def _last(group: list[float], gap: float) -> float:
    return float(np.mean(group)) + gap * (len(group) - 1) / 2


def _loss_name(fitted: Fitted) -> str:
    """Return the name of the loss with its unit."""
    if fitted.has_head:
        if is_classifier(fitted.estimator):
            return "cross-entropy"
        return "squared error (1 = variance of the targets)"
    criterion = fitted.autoencoder._criterion(fitted.model)
    if criterion.perfect_score == 0:
        return "loss (nats per row)"
    return "loss (1 = predicting the mean)"


def _pca_name(fitted: Fitted) -> str:
    """Return what the start of the training is."""
    if isinstance(fitted.autoencoder, LatentDensity):
        has_noise = fitted.autoencoder.noise_variance_ is not None
        return "probabilistic PCA" if has_noise else "start near PCA"
    loss = getattr(fitted.autoencoder, "loss", None)
    code_activation = getattr(fitted.autoencoder, "code_activation", "identity")
    return "PCA" if loss in _OF_PCA and code_activation == "identity" else "start near PCA"

"""`SearchDisplay`: the scores of a search against the strength that it varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skae.inspection.displays.cv_results import (
    best_of_each,
    find_parameter,
    find_scores,
    order_of,
    plain_values,
    varied,
)
from skae.inspection.displays.layout import make_room, new_axis, new_grid
from skae.inspection.displays.style import INK, NETWORK, PCA, check_plot_support, short, tidy

# Two values are taken for a logarithmic grid from this ratio on.
_LOGARITHMIC = 10.0
# A logarithmic axis up to this ratio has ticks at 1, 2 and 5.
_FEW_DECADES = 200.0
# Up to so many values of so many characters have a tick each, this share of the axis apart.
_MOST_TICKS, _LONGEST_TICK, _TICK_GAP = 12, 5, 0.07
_LONGEST_NAME = 24


class SearchDisplay:
    """Mean scores of a search, with their spread, against the values of a parameter.

    Each score has a panel. They stand above one another and share their axis, so that what a value
    costs in one score and gains in another is read at one place. `from_search` reads the scores
    from a fitted search.

    Parameters
    ----------
    values : array-like of shape (n_values,)
        Values of the parameter. Numbers are drawn on an axis, logarithmic if they are spaced like
        that; others, such as strings, are names.
    mean_scores : dict of str to array-like of shape (n_values,)
        Mean of each score over the folds, higher is better.
    std_scores : dict of str to array-like of shape (n_values,)
        Standard deviation of each score over the folds.
    param_name : str
        Name of the parameter.
    best_index : int, default=None
        Position of the value that was chosen. None marks the best value of each score.
    n_splits : int, default=None
        Number of folds, for the label of the axis.
    is_connected : bool, default=True
        Whether a line connects the scores. Pass False if the candidates differ in other parameters
        too.

    Attributes
    ----------
    figure_ : matplotlib Figure
    ax_ : matplotlib Axes
        The first panel.
    axes_ : ndarray of matplotlib Axes of shape (n_scores,)
    lines_ : list of matplotlib Line2D
        The mean scores of each panel.
    spreads_ : list of matplotlib PolyCollection or LineCollection
        One standard deviation on either side: a band, or bars if points are not connected.
    best_ : list of matplotlib Line2D
        The ring at the chosen value in each panel.

    See Also
    --------
    skae.metrics : Scores that can choose the strength of a penalty.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skae import SparseAutoencoder
    >>> from skae.inspection import SearchDisplay
    >>> from skae.metrics import masked_imputation_score, reconstruction_score
    >>> search = GridSearchCV(
    ...     SparseAutoencoder(8, max_iter=5, random_state=0),
    ...     {"alpha": [0, 0.03, 0.3]},
    ...     scoring={"imputation": masked_imputation_score, "reconstruction": reconstruction_score},
    ...     refit="imputation",
    ...     cv=2,
    ... )
    >>> display = SearchDisplay.from_search(search.fit(load_iris().data))
    >>> display.values
    array([0.  , 0.03, 0.3 ])
    >>> list(display.mean_scores)
    ['imputation', 'reconstruction']
    """

    def __init__(
        self,
        values: Sequence[Any] | NDArray[Any],
        mean_scores: Mapping[str, ArrayLike],
        std_scores: Mapping[str, ArrayLike],
        *,
        param_name: str,
        best_index: int | None = None,
        n_splits: int | None = None,
        is_connected: bool = True,
    ) -> None:
        self.values = values
        self.mean_scores = mean_scores
        self.std_scores = std_scores
        self.param_name = param_name
        self.best_index = best_index
        self.n_splits = n_splits
        self.is_connected = is_connected

    @classmethod
    def from_search(
        cls,
        search: Any,
        param_name: str | None = None,
        *,
        scores: Sequence[str] | None = None,
        ax: Any = None,
        **line_kwargs: Any,
    ) -> Self:
        """Draw the scores of a search.

        Parameters
        ----------
        search : object
            A fitted `GridSearchCV`, `RandomizedSearchCV` or other search with `cv_results_`.
        param_name : str, default=None
            Name of the parameter; that of a step of a pipeline may leave out the name of the step.
            None is the only one that the search varies. If it varies others too, each value is
            shown with the best of the others. Of a halving search, the last round of each candidate
            is shown.
        scores : sequence of str, default=None
            Names of the scores to draw, in this order. None is all of them; the one that chose the
            best candidate comes first.
        ax : matplotlib Axes, default=None
            Axes to draw on; they are split if there are several scores. None makes a new figure.
        **line_kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the mean scores.

        Returns
        -------
        display : SearchDisplay
        """
        check_plot_support(f"{cls.__name__}.from_search")
        if not hasattr(search, "cv_results_") and not hasattr(search, "refit"):
            raise TypeError(
                f"search is a {type(search).__name__}, which has no cv_results_. Pass a fitted "
                "GridSearchCV, RandomizedSearchCV or the like."
            )
        check_is_fitted(search, "cv_results_")
        results = search.cv_results_
        name = find_parameter(results, param_name)
        refit = getattr(search, "refit", None)
        shown = find_scores(results, refit, scores)
        values = np.ma.asarray(results[f"param_{name}"])
        chooses = results[f"mean_test_{find_scores(results, refit, None)[0]}"]
        best = getattr(search, "best_index_", None)
        # A halving search repeats candidates: the last round of each counts.
        last = {repr(params): number for number, params in enumerate(results["params"])}
        candidates, repeats = best_of_each(values, chooses, set(last.values()), best)
        others_vary = len(varied(results)) > (name in varied(results))
        order = [candidates[place] for place in order_of([values[c] for c in candidates])]
        display = cls(
            plain_values([values[c] for c in order]),
            {key: np.asarray(results[f"mean_test_{key}"])[order] for key in shown},
            {key: np.asarray(results[f"std_test_{key}"])[order] for key in shown},
            param_name=name.rpartition("__")[2],
            best_index=order.index(best) if best in order else None,
            n_splits=getattr(search, "n_splits_", None),
            is_connected=repeats or not others_vary,
        )
        return display.plot(ax, **line_kwargs)

    def plot(self, ax: Any = None, **line_kwargs: Any) -> Self:
        """Draw the scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; they are split if there are several scores. None makes a new figure.
        **line_kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the mean scores.

        Returns
        -------
        display : SearchDisplay
        """
        check_plot_support(f"{type(self).__name__}.plot")
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        n_panels = len(self.mean_scores)
        if n_panels == 1 and ax is not None:
            self.axes_ = np.array([new_axis(ax, (0, 0))], dtype=object)
        else:
            self.axes_ = new_grid(ax, (n_panels, 1), (6.0, 1.0 + 2.3 * n_panels))[:, 0]
        self.ax_ = self.axes_[0]
        self.figure_ = self.ax_.figure
        values = plain_values(list(self.values))
        is_axis = values.dtype.kind in "iuf"
        x = values if is_axis else np.arange(len(values))
        options = {"color": NETWORK, "marker": "o", "markersize": 4}
        if not (is_axis and self.is_connected):
            options["linestyle"] = ""
        options |= normalize_kwargs(line_kwargs, Line2D)
        self.lines_: list[Any] = []
        self.spreads_: list[Any] = []
        self.best_: list[Any] = []
        for panel, name in zip(self.axes_, self.mean_scores, strict=True):
            self._plot_score(panel, x, name, options)
            if is_axis:
                _set_scale(panel, values)
            else:
                panel.set_xlim(-0.5, len(values) - 0.5)
        for panel in self.axes_[:-1]:
            panel.sharex(self.axes_[-1])
            panel.tick_params(labelbottom=False)
        self._label_values(values, is_axis=is_axis)
        if n_panels > 1:
            make_room(ax, self.axes_)
        return self

    def _plot_score(self, panel: Any, x: NDArray[Any], name: str, options: dict[str, Any]) -> None:
        mean = np.asarray(self.mean_scores[name], dtype=np.float64)
        deviation = np.asarray(self.std_scores[name], dtype=np.float64)
        line = panel.plot(x, mean, **options)[0]
        colour = line.get_color()
        low, high = mean - deviation, mean + deviation
        if options.get("linestyle") == "":
            spread = panel.vlines(x, low, high, color=colour, alpha=0.5)
        else:
            spread = panel.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        self.lines_.append(line)
        self.spreads_.append(spread)
        tidy(panel)
        folds = "the folds" if self.n_splits is None else f"{self.n_splits} folds"
        panel.set_ylabel(f"mean ± SD\nover {folds}")
        title = name.replace("_", " ")
        if np.isfinite(mean).any():
            best = int(np.nanargmax(mean)) if self.best_index is None else self.best_index
            value = _name_of(self.values[best])
            title += f": {mean[best]:.3g} at {self.param_name} = {value}"
            panel.axvline(x[best], color=PCA, linewidth=1.0, linestyle=":", zorder=0)
            ring = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "color": PCA}
            self.best_ += panel.plot(x[best], mean[best], linestyle="", **ring)
        else:
            title += ": every score is NaN"
        panel.set_title(title, loc="left", fontsize=11, color=INK)

    def _label_values(self, values: NDArray[Any], *, is_axis: bool) -> None:
        """Write the values below the last panel, unless they are too many for a tick each."""
        panel = self.axes_[-1]
        panel.set_xlabel(self.param_name)
        if not is_axis:
            names = [_name_of(value) for value in values]
            is_long = sum(map(len, names)) > 50
            panel.set_xticks(
                range(len(names)),
                names,
                rotation=20 if is_long else 0,
                ha="right" if is_long else "center",
            )
        elif len(np.unique(values)) <= _MOST_TICKS and (
            max(len(f"{value:g}") for value in values) <= _LONGEST_TICK
        ):
            places = panel.transAxes.inverted().transform(
                panel.transData.transform(np.c_[values, np.zeros(len(values))])
            )[:, 0]
            ticks, last = [], -np.inf
            for value, place in sorted(zip(values.tolist(), places.tolist(), strict=True)):
                if place - last >= _TICK_GAP:
                    ticks.append(value)
                    last = place
            panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            panel.set_xticks([], minor=True)


def _name_of(value: Any) -> str:
    name = f"{value:.4g}" if isinstance(value, float | np.floating) else value
    return short(name, _LONGEST_NAME)


def _set_scale(panel: Any, values: NDArray[Any]) -> None:
    """Make the axis logarithmic if the values are spaced like that; 0 has its own place there."""
    from matplotlib.ticker import LogLocator, NullFormatter

    values = np.unique(values)
    positive = values[values > 0]
    if len(positive) < 2 or values[0] < 0 or not _is_logarithmic(positive):
        return
    if len(positive) == len(values):
        panel.set_xscale("log")
        digits = (1, 2, 5) if positive[-1] < _FEW_DECADES * positive[0] else (1,)
        panel.xaxis.set_major_locator(LogLocator(subs=digits))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
        return
    step = np.diff(np.log10(positive)).mean()
    panel.set_xscale("symlog", linthresh=positive[0], linscale=max(step, 0.2))


def _is_logarithmic(values: NDArray[Any]) -> bool:
    """Return whether the logarithms of sorted positive values are more evenly spaced."""
    if len(values) == 2:
        return bool(values[1] >= _LOGARITHMIC * values[0])
    return _unevenness(np.log(values)) < _unevenness(values)


def _unevenness(values: NDArray[Any]) -> float:
    """Return the mean distance of sorted values from equally spaced ones, as a share."""
    places = (values - values[0]) / (values[-1] - values[0])
    return float(np.abs(places - np.linspace(0.0, 1.0, len(values))).mean())

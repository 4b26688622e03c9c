"""What `SearchDisplay` draws is what the search recorded."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import uniform
from sklearn.datasets import load_diabetes
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import ElasticNet, Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae.inspection.displays import SearchDisplay

X, Y = load_diabetes(return_X_y=True)
ALPHAS = [1.0, 0.01, 0.1, 0.0]


def n_zeros(estimator, X, y=None):
    return float((estimator.coef_ == 0).mean())


@pytest.fixture(scope="module")
def search():
    """Return a search over one strength, in no order, with two scores; the second one chooses."""
    return GridSearchCV(
        Ridge(), {"alpha": ALPHAS}, scoring={"zeros": n_zeros, "r2": "r2"}, refit="r2", cv=3
    ).fit(X, Y)


@pytest.fixture(scope="module")
def grid():
    """Return a search over two parameters."""
    parameters = {"alpha": [0.01, 0.1, 1.0], "l1_ratio": [0.2, 0.9]}
    return GridSearchCV(ElasticNet(), parameters, cv=3).fit(X, Y)


def test_scores_are_drawn_in_the_order_of_the_values(search):
    display = SearchDisplay.from_search(search)
    order = np.argsort(ALPHAS)
    assert list(display.mean_scores) == ["r2", "zeros"]  # the one that chose is first
    for line, name in zip(display.lines_, ("r2", "zeros"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.sort(ALPHAS))
        np.testing.assert_array_equal(
            line.get_ydata(), search.cv_results_[f"mean_test_{name}"][order]
        )


def test_the_band_is_one_standard_deviation(search):
    band = SearchDisplay.from_search(search).spreads_[0].get_paths()[0].vertices
    mean, deviation = (search.cv_results_[f"{part}_test_r2"] for part in ("mean", "std"))
    for alpha, low, high in zip(ALPHAS, mean - deviation, mean + deviation, strict=True):
        heights = band[band[:, 0] == alpha, 1]
        assert (heights.min(), heights.max()) == pytest.approx((low, high))


def test_the_chosen_value_is_marked_in_every_panel(search):
    display = SearchDisplay.from_search(search)
    best = search.best_params_["alpha"]
    for ring, panel, name in zip(display.best_, display.axes_, ("r2", "zeros"), strict=True):
        mean = search.cv_results_[f"mean_test_{name}"][search.best_index_]
        np.testing.assert_array_equal(ring.get_xydata(), [[best, mean]])
        assert panel.get_title(loc="left") == f"{name}: {mean:.3g} at alpha = {best:g}"


def test_without_a_choice_each_score_has_its_own_best():
    unchosen = GridSearchCV(
        Ridge(),
        {"alpha": ALPHAS},
        scoring={"r2": "r2", "worst": lambda estimator, X, y: -estimator.score(X, y)},
        refit=False,
        cv=3,
    ).fit(X, Y)
    display = SearchDisplay.from_search(unchosen)
    means = [unchosen.cv_results_[f"mean_test_{name}"] for name in ("r2", "worst")]
    assert [ring.get_xdata()[0] for ring in display.best_] == [
        ALPHAS[int(mean.argmax())] for mean in means
    ]


def test_panels_share_the_axis_of_the_strength(search):
    display = SearchDisplay.from_search(search)
    first, last = display.axes_
    assert first.get_xlim() == last.get_xlim()
    assert first.get_xscale() == last.get_xscale() == "symlog"
    assert [tick.get_text() for tick in last.get_xticklabels()] == ["0", "0.01", "0.1", "1"]
    assert last.get_xlabel() == "alpha"


def test_scores_can_be_chosen(search):
    _, ax = plt.subplots()
    display = SearchDisplay.from_search(search, scores=["zeros"], ax=ax)
    assert list(display.axes_) == [ax]
    with pytest.raises(ValueError, match=r"scores=\['auc'\]"):
        SearchDisplay.from_search(search, scores=["auc"])


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.01, 0.03, 0.1, 0.3], "log"),
        ([0, 0.01, 0.03, 0.1], "symlog"),
        ([0.1, 0.2, 0.3, 0.4], "linear"),
        ([0, 1, 2, 3], "linear"),
        ([0.01, 1], "log"),
        ([1, 2], "linear"),
        ([-1, 1, 10, 100], "linear"),
        ([5], "linear"),
    ],
)
def test_the_axis_is_spaced_like_the_values(values, scale):
    scores = {"score": np.arange(len(values))}
    display = SearchDisplay(values, scores, scores, param_name="alpha").plot()
    assert display.ax_.get_xscale() == scale


def test_ticks_of_values_do_not_overlap():
    values = [0.1, 0.101, 0.102, 0.5, 1]
    scores = {"score": np.arange(5)}
    display = SearchDisplay(values, scores, scores, param_name="alpha").plot()
    display.figure_.draw_without_rendering()
    boxes = [tick.get_window_extent() for tick in display.ax_.get_xticklabels()]
    assert len(boxes) == 3
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_of_several_parameters_one_must_be_named(grid):
    with pytest.raises(ValueError, match=r"param_name=None, but .* alpha, l1_ratio"):
        SearchDisplay.from_search(grid)
    with pytest.raises(ValueError, match="param_name='beta' must be one of alpha, l1_ratio"):
        SearchDisplay.from_search(grid, "beta")


def test_each_value_is_shown_with_the_best_of_the_others(grid):
    display = SearchDisplay.from_search(grid, "alpha")
    means = grid.cv_results_["mean_test_score"].reshape(3, 2)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), means.max(axis=1))
    assert display.lines_[0].get_linestyle() == "-"


def test_random_candidates_that_differ_in_more_are_not_connected():
    drawn = RandomizedSearchCV(
        ElasticNet(), {"alpha": uniform(0.1, 1), "l1_ratio": uniform(0, 1)}, n_iter=4, cv=2
    ).fit(X, Y)
    display = SearchDisplay.from_search(drawn, "alpha")
    assert display.lines_[0].get_linestyle() == "None"
    assert len(display.spreads_[0].get_segments()) == 4


def test_a_parameter_of_a_step_goes_by_its_own_name():
    pipeline = make_pipeline(StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"ridge__alpha": [1, 10, 100]}, cv=2).fit(X, Y)
    for name in (None, "alpha", "ridge__alpha"):
        display = SearchDisplay.from_search(search, name)
        assert display.param_name == "alpha"
        np.testing.assert_array_equal(display.values, [1, 10, 100])


def test_values_that_are_no_numbers_are_names():
    search = GridSearchCV(Ridge(), {"solver": ["svd", "lsqr"]}, cv=2).fit(X, Y)
    display = SearchDisplay.from_search(search)
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["svd", "lsqr"]
    np.testing.assert_array_equal(
        display.lines_[0].get_xydata(), np.c_[[0, 1], search.cv_results_["mean_test_score"]]
    )


def test_candidates_without_the_parameter_are_left_out():
    grids = [{"alpha": [1.0, 10.0]}, {"fit_intercept": [False]}]
    search = GridSearchCV(Ridge(), grids, cv=2).fit(X, Y)
    np.testing.assert_array_equal(SearchDisplay.from_search(search, "alpha").values, [1.0, 10.0])


def test_the_last_round_of_a_halving_search_counts():
    search = HalvingGridSearchCV(
        Ridge(), {"alpha": [0.01, 0.1, 1.0, 100.0]}, cv=2, random_state=0, min_resources=100
    ).fit(X, Y)
    results = search.cv_results_
    last = {params["alpha"]: number for number, params in enumerate(results["params"])}
    assert len(last) < len(results["params"])
    display = SearchDisplay.from_search(search)
    np.testing.assert_array_equal(display.values, sorted(last))
    np.testing.assert_array_equal(
        display.lines_[0].get_ydata(),
        [results["mean_test_score"][last[alpha]] for alpha in sorted(last)],
    )


def test_a_search_without_scores_says_so():
    missing = {"score": [np.nan, np.nan]}
    display = SearchDisplay([1, 2], missing, missing, param_name="alpha").plot()
    assert display.ax_.get_title(loc="left") == "score: every score is NaN"
    assert display.best_ == []


def test_what_is_no_fitted_search_is_refused():
    with pytest.raises(TypeError, match="search is a Ridge, which has no cv_results_"):
        SearchDisplay.from_search(Ridge().fit(X, Y))
    with pytest.raises(NotFittedError):
        SearchDisplay.from_search(GridSearchCV(Ridge(), {"alpha": [1]}))

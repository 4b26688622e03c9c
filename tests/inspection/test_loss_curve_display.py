"""What `LossCurveDisplay` draws is what the fit recorded."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, AutoencoderClassifier, VariationalAutoencoder
from skae.inspection.displays import LossCurveDisplay
from skae.inspection.displays.loss_curve import moved_apart

X, Y = (part[:500] for part in load_digits(return_X_y=True))
SMALL = {"hidden_layer_sizes": (32,), "max_iter": 8, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(2, **SMALL).fit(X)


def test_the_lines_are_the_losses_of_the_fit(fitted):
    display = LossCurveDisplay.from_estimator(fitted)
    held_out = 1 - np.array(fitted.validation_scores_)
    epochs = np.arange(fitted.n_iter_ + 1)
    for name, curve in (("training", [np.nan, *fitted.loss_curve_]), ("validation", held_out)):
        np.testing.assert_array_equal(display.lines_[name].get_xdata(), epochs)
        np.testing.assert_array_equal(display.lines_[name].get_ydata(), curve)
    np.testing.assert_array_equal(display.lines_["pca"].get_ydata(), held_out[[0, 0]])


def test_the_kept_epoch_is_marked(fitted):
    display = LossCurveDisplay.from_estimator(fitted)
    assert fitted.selected_ == "network"
    kept = fitted.best_iter_, 1 - fitted.validation_scores_[fitted.best_iter_]
    np.testing.assert_array_equal(display.best_.get_xydata(), [kept])
    assert display.ax_.get_title(loc="left") == f"Epoch {kept[0]} of {fitted.n_iter_} was kept"


def test_where_pca_was_kept_it_is_said():
    fitted = Autoencoder(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(
        load_iris().data
    )
    assert fitted.selected_ == "pca"
    display = LossCurveDisplay.from_estimator(fitted)
    assert display.ax_.get_title(loc="left") == "PCA was kept: no epoch is clearly better"
    np.testing.assert_array_equal(
        display.best_.get_xydata(), [[0, 1 - fitted.validation_scores_[0]]]
    )


def test_a_fit_that_did_not_train_has_no_curve():
    display = LossCurveDisplay.from_estimator(Autoencoder(1, **SMALL).fit(X[:4]))
    assert display.ax_.get_title(loc="left") == "PCA was kept, without training"
    assert display.best_ is None
    assert display.labels_ == []


def test_without_held_out_rows_there_is_one_line():
    fitted = Autoencoder(2, early_stopping=False, **SMALL).fit(X)
    display = LossCurveDisplay.from_estimator(fitted)
    assert list(display.lines_) == ["training"]
    np.testing.assert_array_equal(
        display.best_.get_xydata(), [[fitted.best_iter_, fitted.loss_curve_[fitted.best_iter_ - 1]]]
    )


def test_a_pipeline_is_its_last_step():
    pipeline = make_pipeline(StandardScaler(), Autoencoder(2, **SMALL)).fit(X)
    display = LossCurveDisplay.from_estimator(pipeline)
    np.testing.assert_array_equal(
        display.lines_["validation"].get_ydata(), 1 - np.array(pipeline[-1].validation_scores_)
    )


@pytest.mark.parametrize(
    ("likelihood", "start"), [("gaussian", "probabilistic PCA"), ("bernoulli", "start near PCA")]
)
def test_a_density_is_in_nats(likelihood, start):
    fitted = VariationalAutoencoder(2, likelihood=likelihood, **SMALL).fit(X / 16)
    display = LossCurveDisplay.from_estimator(fitted)
    assert display.ax_.get_ylabel() == "loss (nats per row)"
    assert display.lines_["pca"].get_label() == start
    np.testing.assert_array_equal(
        display.lines_["validation"].get_ydata(), -np.array(fitted.validation_scores_)
    )


def test_another_loss_starts_near_pca():
    fitted = Autoencoder(2, loss="log_loss", **SMALL).fit(X / 16)
    assert LossCurveDisplay.from_estimator(fitted).pca_name == "start near PCA"


def test_a_classifier_shows_its_own_training():
    fitted = AutoencoderClassifier(Autoencoder(2, **SMALL), max_iter=5, random_state=0).fit(X, Y)
    display = LossCurveDisplay.from_estimator(fitted)
    assert display.ax_.get_ylabel() == "cross-entropy"
    np.testing.assert_array_equal(display.lines_["training"].get_ydata()[1:], fitted.loss_curve_)


def test_names_stand_at_the_ends_of_their_lines_and_apart():
    losses = [1.0, 0.5, 0.4]
    display = LossCurveDisplay(
        epochs=[0, 1, 2],
        training=[np.nan, 0.9, 0.401],
        validation=losses,
        pca=1.0,
        best_iter=2,
    ).plot()
    display.figure_.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in display.labels_}
    assert set(boxes) == {"training", "held out", "PCA"}
    assert not any(one.overlaps(other) for one, other in combinations(boxes.values(), 2))
    assert boxes["held out"].y0 < boxes["training"].y0 < boxes["PCA"].y0
    inside = display.ax_.get_window_extent()
    assert all(box.x0 >= inside.x1 for box in boxes.values())
    assert all(box.x1 <= display.figure_.bbox.x1 for box in boxes.values())


def test_axes_without_room_get_a_legend(fitted):
    _, ax = plt.subplots()
    display = LossCurveDisplay.from_estimator(fitted, ax=ax, lw=3)
    assert display.ax_ is ax
    assert display.labels_ == []
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == ["training", "held out", "PCA"]
    assert display.lines_["training"].get_linewidth() == 3


@pytest.mark.parametrize(("highest", "scale"), [(2.0, "linear"), (50.0, "log"), (-1.0, "linear")])
def test_a_wide_range_has_a_logarithmic_axis(highest, scale):
    display = LossCurveDisplay(epochs=[0, 1, 2], training=[np.nan, highest, 1.0]).plot()
    assert display.ax_.get_yscale() == scale


def test_close_heights_are_moved_apart_around_their_mean(rng):
    np.testing.assert_allclose(moved_apart([0.1, 0.5, 0.5, 0.9], 0.2), [0.1, 0.4, 0.6, 0.9])
    assert moved_apart([], 0.1) == []
    for _ in range(20):
        heights = sorted(rng.random(6))
        moved = moved_apart(heights, 0.1)
        assert np.diff(moved).min() >= 0.1 - 1e-12
        assert sum(moved) == pytest.approx(sum(heights))

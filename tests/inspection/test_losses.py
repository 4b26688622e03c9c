"""The loss curves: the same loss, sign and epochs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from skae import Autoencoder, AutoencoderClassifier, SparseAutoencoder, VariationalAutoencoder
from skae.inspection import loss_curves

X, Y = load_digits(return_X_y=True)
X, Y = X[:400], Y[:400]


@pytest.mark.parametrize("cls", [Autoencoder, SparseAutoencoder, VariationalAutoencoder])
def test_the_curves_are_losses_on_the_same_epochs(cls):
    estimator = cls(4, hidden_layer_sizes=(32,), max_iter=6, random_state=0).fit(X)
    curves = loss_curves(estimator)
    assert_array_equal(curves.epochs, np.arange(7))
    assert np.isnan(curves.training[0])
    assert_array_equal(curves.training[1:], estimator.loss_curve_)
    perfect = 0.0 if cls is VariationalAutoencoder else 1.0
    assert_allclose(curves.validation, perfect - np.array(estimator.validation_scores_))
    assert curves.validation[curves.best_iter] == pytest.approx(estimator.best_loss_)
    # Of the same unit: training and held-out loss are near each other.
    assert np.abs(curves.validation[-1] / curves.training[-1] - 1) < 0.3
    assert (curves.pca is None) == (estimator.shortcut is None)
    if curves.pca is not None:
        assert curves.pca == curves.validation[0]


def test_without_held_out_rows():
    curves = loss_curves(Autoencoder(4, early_stopping=False, max_iter=2, random_state=0).fit(X))
    assert curves.validation is None
    assert curves.pca is None
    assert len(curves.training) == 3


def test_the_start_of_a_continued_fit_is_not_pca():
    estimator = Autoencoder(4, warm_start=True, max_iter=8, random_state=0).fit(X)
    assert loss_curves(estimator).pca is not None
    assert estimator.selected_ == "network"
    assert loss_curves(estimator.fit(X)).pca is None


def test_after_partial_fit():
    estimator = Autoencoder(4, random_state=0)
    for part in np.array_split(X, 3):
        estimator.partial_fit(part)
    curves = loss_curves(estimator)
    assert curves.validation is None
    assert len(curves.epochs) == estimator.n_iter_ + 1


def test_a_classifier_has_its_own_curve():
    classifier = AutoencoderClassifier(
        Autoencoder(4, max_iter=2), early_stopping=True, max_iter=3, random_state=0
    ).fit(X, Y)
    curves = loss_curves(classifier)
    assert_array_equal(curves.training[1:], classifier.loss_curve_)
    assert_array_equal(curves.validation, -np.array(classifier.validation_scores_))
    assert curves.pca is None

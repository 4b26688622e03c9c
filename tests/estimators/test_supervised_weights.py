"""Classifier and regressor: duplicates, weights and held-out rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier

from skae import (
    Autoencoder,
    AutoencoderClassifier,
)
from skae.fitting.duplicates import merge_duplicates
from skae.fitting.selection import ValidationLoss

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0}


AUTOENCODER = Autoencoder(4, **SMALL)


@pytest.fixture(scope="module")
def iris_data():
    return load_iris(return_X_y=True)


def classifier(autoencoder=None, **parameters) -> AutoencoderClassifier:
    defaults = {"random_state": 0}
    return AutoencoderClassifier(autoencoder or AUTOENCODER, **(defaults | parameters))


def test_the_order_of_rows_does_not_matter(iris_data):
    X, y = iris_data
    order = np.random.default_rng(0).permutation(len(X))
    one, other = classifier().fit(X, y), classifier().fit(X[order], y[order])
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_a_weight_of_three_is_three_rows(iris_data):
    X, y = iris_data
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = classifier().fit(X, y, sample_weight=weights)
    repeated = classifier().fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    assert np.array_equal(weighted.predict_proba(X), repeated.predict_proba(X))


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_class_whose_rows_have_no_weight_stays(iris_data, class_weight):
    """Bagging draws rows by their weights: its members must agree on the classes."""
    X, y = iris_data
    weights = (y != 1) * 1.0
    weighted = classifier(class_weight=class_weight).fit(X, y, sample_weight=weights)
    assert weighted.classes_.tolist() == [0, 1, 2]
    assert weighted.predict_proba(X)[:, 1].mean() < 0.1
    without = classifier(class_weight=class_weight).fit(X[y != 1], y[y != 1])
    assert np.array_equal(weighted.predict(X[y != 1]), without.predict(X[y != 1]))
    y = np.where(np.arange(len(y)) == 0, 7, y)
    bagging = BaggingClassifier(classifier(), n_estimators=5, random_state=0).fit(X, y)
    assert bagging.predict_proba(X).shape == bagging.decision_function(X).shape == (150, 4)


def test_duplicates_are_merged_with_their_labels():
    X = np.array([[1.0, np.nan], [0.0, 2.0], [1.0, np.nan], [0.0, 2.0], [5.0, 5.0]])
    targets = np.array([[0.0], [1.0], [0.0], [np.nan], [1.0]])
    rows = merge_duplicates(X, targets, np.array([1.0, 2.0, 0.5, 1.0, 0.0]))
    found = {
        (*x, *t): w
        for x, t, w in zip(rows.X.tolist(), rows.targets.tolist(), rows.weights, strict=True)
    }
    assert len(found) == 3
    assert sorted(found.values()) == [1.0, 1.5, 2.0]
    assert rows.is_labelled.sum() == 2


def test_balanced_classes_have_the_same_weight(iris_data):
    """Nine tenths of one class, on an uninformative code: balancing moves the decision boundary."""
    X, y = iris_data
    rows = np.r_[50:100, 100:106]
    X_few, y_few = X[rows, :2], y[rows]

    def recall(class_weight) -> float:
        autoencoder = Autoencoder(2, **SMALL)
        model = classifier(autoencoder, class_weight=class_weight, freeze=True).fit(X_few, y_few)
        return (model.predict(X[100:, :2]) == 2).mean()

    assert recall("balanced") > recall(None) + 0.2
    same = {1: 56 / (2 * 50), 2: 56 / (2 * 6)}
    assert recall(same) == recall("balanced")


def test_early_stopping_keeps_the_best(iris_data):
    X, y = iris_data
    model = classifier(early_stopping=True, max_iter=40, learning_rate_init=0.05).fit(X, y)
    best = model.validation_scores_[model.best_iter_]
    assert best == max(model.validation_scores_)
    assert classifier().fit(X, y).validation_scores_ is None


@pytest.mark.parametrize("seed", range(4))
def test_validation_scores_do_not_depend_on_which_rows_are_held_out(iris_data, seed):
    """A zero head gives both classes the same probability, whatever their weights."""
    X, y = iris_data[0][:100], iris_data[1][:100]
    weights = np.random.default_rng(seed).lognormal(sigma=2.0, size=100)
    model = classifier(early_stopping=True, random_state=seed, max_iter=1).fit(X, y, weights)
    assert model.validation_scores_[0] == pytest.approx(np.log(0.5), abs=1e-6)


def test_classes_are_held_out_alike(iris_data, monkeypatch):
    X, y = iris_data
    y = np.where(np.arange(150) < 110, y, -1)  # 50, 50 and 10 rows
    splits = []

    def validation_loss(criterion, network, data, split):
        labels = data[split.held_out[0], -2].long()
        splits.append(labels.bincount(minlength=3).tolist())
        return ValidationLoss(criterion, network, data, split)

    monkeypatch.setattr("skae.fitting.head_trainer.ValidationLoss", validation_loss)
    for seed in range(5):
        classifier(early_stopping=True, random_state=seed, max_iter=1).fit(X, y)
    assert len(splits) == 10
    assert all(max(abs(a - b) for a, b in zip(s, (5, 5, 1), strict=True)) <= 1 for s in splits)


@pytest.mark.filterwarnings("error")
def test_rows_without_weight_validate_nothing(iris_data):
    X, y = iris_data
    rows = np.r_[:36, 50:52, 100:102]
    for seed in range(4):
        model = classifier(early_stopping=True, random_state=seed, class_weight={0: 0.0})
        model.fit(X[rows], y[rows])
        assert model.best_iter_ > 0
        assert np.isfinite(model.validation_scores_ or 0.0).all()


def test_a_fold_without_a_class_may_have_its_weight(iris_data):
    X, y = iris_data
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    two = y < 2
    known = classifier(class_weight={0: 1.0, 1: 2.0}).fit(X[two], y[two])
    more = classifier(class_weight=weights).fit(X[two], y[two])
    np.testing.assert_array_equal(more.predict_proba(X), known.predict_proba(X))

"""Classifier and regressor on an autoencoder's encoder."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from instances import make_fast
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderRegressor,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    PredictiveSparseDecomposition,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
)
from skae.core.head import build_head

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0}
METHODS = [
    Autoencoder(4, **SMALL),
    Autoencoder(4, code_activation="relu", tied_weights=True, **SMALL),
    SparseAutoencoder(12, penalty="topk", n_active=4, **SMALL),
    DenoisingAutoencoder(4, **SMALL),
    ContractiveAutoencoder(4, **SMALL),
    VariationalAutoencoder(4, **SMALL),
    StackedAutoencoder(4, pretraining_iter=3, **SMALL),
]


@pytest.fixture(scope="module")
def iris_data():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def few_labels():
    """Digits, of which the first 1200 are given and 100 labelled."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    return X[:1200], np.where(np.arange(1200) < 100, y[:1200], -1), X[1200:], y[1200:]


def classifier(autoencoder=None, **parameters) -> AutoencoderClassifier:
    defaults = {"random_state": 0}
    return AutoencoderClassifier(autoencoder or METHODS[0], **(defaults | parameters))


def brief(autoencoder=None, **parameters) -> AutoencoderClassifier:
    """Return a classifier for what holds after any number of epochs."""
    return classifier(autoencoder, max_iter=5, **parameters)


def quick(autoencoder=None, **parameters) -> AutoencoderClassifier:
    """Return a classifier that learns in few epochs."""
    return classifier(autoencoder, learning_rate_init=0.03, max_iter=30, **parameters)


@pytest.mark.parametrize("autoencoder", METHODS, ids=str)
@pytest.mark.parametrize("freeze", [False, True, 1])
def test_every_autoencoder_can_be_used(iris_data, autoencoder, freeze):
    X, y = iris_data
    model = classifier(autoencoder, freeze=freeze, learning_rate_init=0.03).fit(X, y)
    assert model.score(X, y) > 0.88
    assert model.predict_proba(X).sum(1) == pytest.approx(1.0)


@pytest.mark.parametrize("autoencoder", METHODS, ids=str)
@pytest.mark.parametrize(("freeze", "n_frozen"), [(False, 0), (0, 0), (1, 1), (2, 2), (True, 2)])
def test_frozen_layers_stay_as_the_autoencoder_has_them(iris_data, autoencoder, freeze, n_frozen):
    if not autoencoder.hidden_layer_sizes:
        autoencoder = clone(autoencoder).set_params(hidden_layer_sizes=(16,))
    model = brief(autoencoder, freeze=freeze, weight_decay=0.0).fit(*iris_data)
    before = model.autoencoder_._model.network.encoder.layers
    after = model._predictor.network.network.encoder.layers
    same = [torch.equal(a.weight, b.weight) for a, b in zip(before, after, strict=True)]
    assert same == [i < n_frozen for i in range(2)]


def test_a_frozen_encoder_is_logistic_regression_on_the_code(iris_data):
    """The head alone, trained to convergence, has scikit-learn's maximum-likelihood weights."""
    X, y = iris_data
    model = classifier(
        freeze=True, solver="lbfgs", weight_decay=0.0, max_iter=300, learning_rate_init=1.0
    ).fit(X, y)
    code = StandardScaler().fit_transform(model.autoencoder_.transform(X))
    reference = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-8).fit(code, y)
    assert model.loss_curve_[-1] < 0.06
    assert model.predict_proba(X) == pytest.approx(reference.predict_proba(code), abs=0.02)


def test_unlabelled_rows_help(few_labels):
    """The same classifier, with and without the 1100 rows that have no label."""
    X, y, X_test, y_test = few_labels
    autoencoder = Autoencoder(16, max_iter=30, random_state=0)
    with_all = classifier(autoencoder).fit(X, y)
    without = classifier(autoencoder).fit(X[:100], y[:100])
    assert with_all.autoencoder_.score(X_test) > without.autoencoder_.score(X_test) + 0.05
    assert with_all.score(X_test, y_test) > without.score(X_test, y_test)
    assert with_all.score(X_test, y_test) > 0.85


def test_unlabelled_rows_train_the_autoencoder_alone(few_labels):
    """With a given autoencoder, they change nothing."""
    X, y, X_test, _ = few_labels
    autoencoder = Autoencoder(8, **SMALL).fit(X)
    some = classifier(autoencoder, prefit=True, freeze=True).fit(X[:100], y[:100])
    many = classifier(autoencoder, prefit=True, freeze=True).fit(X, y)
    # The head standardises by all rows given; the fits differ by that alone.
    assert (some.predict(X_test) == many.predict(X_test)).mean() > 0.95


def test_a_prefit_autoencoder_is_used_and_not_changed(iris_data):
    X, y = iris_data
    autoencoder = Autoencoder(3, **SMALL).fit(X)
    code = autoencoder.transform(X)
    model = brief(autoencoder, prefit=True).fit(X, y)
    assert model.autoencoder_ is autoencoder
    assert np.array_equal(autoencoder.transform(X), code)
    cloned = brief(autoencoder).fit(X, y)
    assert cloned.autoencoder_ is not autoencoder
    assert np.array_equal(autoencoder.transform(X), code)


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0), ("gelu", 2.0), ("tanh", 1.0)])
def test_the_hidden_layers_of_a_head_keep_the_variance_of_a_signal(activation, gain):
    hidden, last = build_head([400, 300, 2], activation, torch.Generator().manual_seed(0)).layers
    assert hidden.weight.var().item() * 400 == pytest.approx(gain, rel=0.02)
    assert not last.weight.any()


def test_labels_of_any_kind(iris_data):
    X, y = iris_data
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = quick().fit(X, names)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert np.array_equal(model.classes_[quick().fit(X, y).predict(X)], model.predict(X))
    binary = quick().fit(X[:100], np.where(y[:100] == 0, -1, 1))
    assert binary.classes_.tolist() == [-1, 1]
    logits = binary.decision_function(X)
    assert logits.shape == (150,)
    assert binary.predict_proba(X)[:, 1] == pytest.approx(1 / (1 + np.exp(-logits)))
    assert np.exp(binary.predict_log_proba(X)) == pytest.approx(binary.predict_proba(X))
    named = quick().fit(X[:100], np.where(y[:100] == 0, "-1", "1"))
    assert named.classes_.tolist() == ["-1", "1"]


def test_names_and_minus_one_for_rows_without_a_label(iris_data):
    X, y = iris_data
    numbers = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    names[numbers == -1] = -1
    named, numbered = brief().fit(X, names), brief().fit(X, numbers)
    assert named.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    np.testing.assert_array_equal(named.predict_proba(X), numbered.predict_proba(X))


@pytest.mark.parametrize("mark", [None, np.nan, pd.NA])
def test_missing_labels_are_unlabelled(iris_data, mark):
    X, y = iris_data
    numbers = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    names[numbers == -1] = mark
    named, numbered = brief().fit(X, names), brief().fit(X, numbers)
    assert named.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    np.testing.assert_array_equal(named.predict_proba(X), numbered.predict_proba(X))
    assert named.score(X, names) == numbered.score(X, numbers)


def test_score_leaves_rows_without_a_label_out(iris_data):
    X, y = iris_data
    y_few = np.where(np.arange(len(y)) % 3 == 0, y, -1)
    model = brief().fit(X, y_few)
    weights = np.arange(1.0, 151.0)
    assert model.score(X, y_few) == model.score(X[::3], y[::3])
    weighted = model.score(X, y_few, sample_weight=weights)
    assert weighted == pytest.approx(model.score(X[::3], y[::3], sample_weight=weights[::3]))
    # Where -1 is a class, it counts.
    binary = classifier().fit(X[:100], np.where(y[:100] == 0, -1, 1))
    assert binary.score(X[:100], np.where(y[:100] == 0, -1, 1)) == 1.0
    assert binary.score(X[:100], np.full(100, -1)) == 0.5


def test_cross_validation_with_few_labels(iris_data):
    """By default, and with the folds that the README shows for scikit-learn's scorers."""
    X, y = iris_data
    y_few = np.where(np.arange(len(y)) % 2 == 0, y, -1)
    by_default = cross_val_score(quick(), X, y_few, cv=2, error_score="raise")
    assert by_default.mean() > 0.8
    labelled, unlabelled = np.flatnonzero(y_few != -1), np.flatnonzero(y_few == -1)
    folds = [
        (np.r_[labelled[train], unlabelled], labelled[test])
        for train, test in StratifiedKFold(2).split(labelled, y_few[labelled])
    ]
    accuracy = cross_val_score(quick(), X, y_few, cv=folds, scoring="accuracy")
    for (train, test), score in zip(folds, accuracy, strict=True):
        model = quick().fit(X[train], y_few[train])
        assert score == (model.predict(X[test]) == y[test]).mean()
    assert accuracy.mean() > 0.75
    # Text with None: no string scorer and no stratified split takes it, but `score` does.
    names = np.where(y_few == -1, None, np.array(["a", "b", "c"], dtype=object)[y])
    cv = KFold(2, shuffle=True, random_state=0)
    named = cross_val_score(quick(), X, names, cv=cv, error_score="raise")
    np.testing.assert_array_equal(named, cross_val_score(quick(), X, y_few, cv=cv))


def test_a_frozen_autoencoder_survives_the_clones_of_a_cross_validation(iris_data):
    X, y = iris_data
    autoencoder = clone(METHODS[0]).fit(X)
    frozen = brief(FrozenEstimator(autoencoder))
    scores = cross_val_score(frozen, X, y, cv=2, error_score="raise")
    assert len(scores) == 2
    one, other = frozen.fit(X, y), brief(autoencoder, prefit=True).fit(X, y)
    assert one.autoencoder_ is autoencoder
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    with pytest.raises(NotFittedError, match="pass autoencoder=FrozenEstimator"):
        cross_val_score(brief(autoencoder, prefit=True), X, y, error_score="raise")


@pytest.mark.parametrize("frozen", [False, True])
def test_a_fitted_autoencoder_is_given_the_features_in_its_order(iris_data, frozen):
    X, y = iris_data
    frame = pd.DataFrame(X, columns=list("abcd"))
    autoencoder = clone(METHODS[0]).fit(frame)
    model = brief(FrozenEstimator(autoencoder) if frozen else autoencoder, prefit=not frozen)
    with pytest.raises(ValueError, match="must be in the same order"):
        model.fit(frame[list("dcba")], y)
    fitted = brief().fit(frame, y)
    assert fitted.autoencoder_.feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("factor", [2.0**-500, 2.0**500])
def test_scales_of_x_and_y_that_float32_does_not_have(iris_data, factor):
    X, y = iris_data
    np.testing.assert_array_equal(
        quick().fit(X * factor, y).predict(X * factor), quick().fit(X, y).predict(X)
    )
    regressor = AutoencoderRegressor(Autoencoder(2, **SMALL), max_iter=5, random_state=0)
    expected = regressor.fit(X[:, :3], X[:, 3]).predict(X[:, :3])
    targets = X[:, 3] * factor * factor**0.1
    scaled = clone(regressor).fit(X[:, :3], targets).predict(X[:, :3])
    np.testing.assert_allclose(scaled / (factor * factor**0.1), expected, rtol=1e-4)


def test_all_of_an_encoder_is_trained_on_labels(iris_data):
    X, y = iris_data
    model = brief(PredictiveSparseDecomposition(5, max_iter=5, random_state=0)).fit(X, y)
    before = model.autoencoder_._model.network.thresholds
    assert not torch.equal(model._predictor.network.network.thresholds, before)


@pytest.mark.parametrize("n_bits", [32, 64])
def test_a_deep_head_learns_by_sgd(n_bits):
    X, y = load_digits(return_X_y=True)
    bits = make_fast(HashingAutoencoder, n_bits)
    classifier = AutoencoderClassifier(
        bits, solver="sgd", hidden_layer_sizes=(16,), freeze=True, random_state=0
    )
    assert classifier.fit(X[:400], y[:400]).score(X[:400], y[:400]) > 0.8


@pytest.mark.parametrize("freeze", [True, False])
def test_columns_of_small_variance_tell_classes_apart(freeze):
    rng = np.random.default_rng(0)
    X = np.column_stack([1e5 * rng.normal(size=400), rng.normal(size=400)])
    y = X[:, 1] > 0
    classifier = AutoencoderClassifier(
        make_fast(Autoencoder, 2), freeze=freeze, max_iter=30, random_state=0
    )
    assert classifier.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.8


def test_grid_search_reaches_the_autoencoder(iris_data):
    pipeline = make_pipeline(StandardScaler(), quick())
    grid = {
        "autoencoderclassifier__autoencoder__n_components": [1, 3],
        "autoencoderclassifier__freeze": [True, False],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(*iris_data)
    assert search.best_score_ > 0.9


def test_callbacks_see_autoencoder_and_head(iris_data):
    def likelihood(estimator, X, y) -> float:
        return -log_loss(y, estimator.predict_proba(X))

    monitor = ScoringMonitor(scoring={"score": likelihood})
    model = classifier(max_iter=4, weight_decay=0.0).set_callbacks(monitor).fit(*iris_data)
    assert model.n_iter_ == 8  # of the head alone, then of both
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 8
    assert rows[-1]["score"] == pytest.approx(likelihood(model, *iris_data))
    assert rows[-1]["score"] > rows[0]["score"]


def test_a_progress_bar_ends_with_the_fit(iris_data):
    model = classifier(max_iter=3).set_callbacks(ProgressBar()).fit(*iris_data)
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert not [thread for thread in threads if "rogress" in type(thread).__name__]
    assert {name for name in vars(model) if name.startswith("_")} == {
        "_predictor",
        "_skl_callbacks",
    }


def test_missing_entries_where_the_autoencoder_takes_them(iris_data):
    X, y = iris_data
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    model = classifier(DenoisingAutoencoder(4, **SMALL), learning_rate_init=0.01).fit(holes, y)
    assert model.score(holes, y) > 0.85
    with pytest.raises(ValueError, match="Input X contains NaN"):
        classifier().fit(holes, y)


def test_pickle_and_float32(iris_data):
    X, y = iris_data
    model = brief().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32

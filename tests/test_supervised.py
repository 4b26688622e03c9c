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
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
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
from skae._core.held_out import Judge
from skae._core.supervised import build_head
from skae._supervised import merge_equal_rows

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


@pytest.mark.parametrize("autoencoder", METHODS, ids=str)
@pytest.mark.parametrize("freeze", [False, True, 1])
def test_every_autoencoder_serves(iris_data, autoencoder, freeze):
    X, y = iris_data
    model = classifier(autoencoder, freeze=freeze, learning_rate_init=0.03).fit(X, y)
    assert model.score(X, y) > 0.88
    assert model.predict_proba(X).sum(1) == pytest.approx(1.0)


@pytest.mark.parametrize("autoencoder", METHODS, ids=str)
@pytest.mark.parametrize(("freeze", "n_frozen"), [(False, 0), (0, 0), (1, 1), (2, 2), (True, 2)])
def test_frozen_layers_stay_as_the_autoencoder_has_them(iris_data, autoencoder, freeze, n_frozen):
    if not autoencoder.hidden_layer_sizes:
        autoencoder = clone(autoencoder).set_params(hidden_layer_sizes=(16,))
    model = classifier(autoencoder, freeze=freeze, weight_decay=0.0).fit(*iris_data)
    before = model.autoencoder_._model.network.encoder.layers
    after = model._predictor.network.network.encoder.layers
    same = [torch.equal(a.weight, b.weight) for a, b in zip(before, after, strict=True)]
    assert same == [i < n_frozen for i in range(2)]


def test_a_frozen_encoder_is_logistic_regression_on_the_code(iris_data):
    """The head alone, trained to the end: the likeliest weights, as scikit-learn finds them."""
    X, y = iris_data
    model = classifier(
        freeze=True, solver="lbfgs", weight_decay=0.0, max_iter=300, learning_rate_init=1.0
    ).fit(X, y)
    code = StandardScaler().fit_transform(model.autoencoder_.transform(X))
    reference = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-8).fit(code, y)
    assert model.loss_curve_[-1] < 0.06
    assert model.predict_proba(X) == pytest.approx(reference.predict_proba(code), abs=0.02)


def test_a_frozen_linear_regressor_is_least_squares_on_the_code_of_the_encoder():
    X, y = load_diabetes(return_X_y=True)
    autoencoder = Autoencoder(5, transform_max_iter=0, random_state=0)
    model = AutoencoderRegressor(autoencoder, freeze=True, solver="lbfgs", weight_decay=0.0).fit(
        X, y
    )
    code = model.autoencoder_.transform(X)
    expected = LinearRegression().fit(code, y).predict(code)
    assert model.predict(X) == pytest.approx(expected, abs=0.5)


def test_unlabelled_rows_help(few_labels):
    """The same classifier, with and without the 1100 rows that have no label."""
    X, y, X_test, y_test = few_labels
    autoencoder = Autoencoder(16, random_state=0)
    with_all = classifier(autoencoder).fit(X, y)
    without = classifier(autoencoder).fit(X[:100], y[:100])
    assert with_all.autoencoder_.score(X_test) > without.autoencoder_.score(X_test) + 0.05
    assert with_all.score(X_test, y_test) > without.score(X_test, y_test)
    assert with_all.score(X_test, y_test) > 0.85


def test_unlabelled_rows_train_the_autoencoder_alone(few_labels):
    """Given the autoencoder, they change nothing."""
    X, y, X_test, _ = few_labels
    autoencoder = Autoencoder(8, **SMALL).fit(X)
    some = classifier(autoencoder, prefit=True, freeze=True).fit(X[:100], y[:100])
    many = classifier(autoencoder, prefit=True, freeze=True).fit(X, y)
    # The head's units are those of all rows given; the fits differ by that alone.
    assert (some.predict(X_test) == many.predict(X_test)).mean() > 0.95


def test_prefit_autoencoder_is_used_and_not_changed(iris_data):
    X, y = iris_data
    autoencoder = Autoencoder(3, **SMALL).fit(X)
    code = autoencoder.transform(X)
    model = classifier(autoencoder, prefit=True).fit(X, y)
    assert model.autoencoder_ is autoencoder
    assert np.array_equal(autoencoder.transform(X), code)
    cloned = classifier(autoencoder).fit(X, y)
    assert cloned.autoencoder_ is not autoencoder
    assert np.array_equal(autoencoder.transform(X), code)


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
def test_a_class_whose_rows_weigh_nothing_stays(iris_data, class_weight):
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


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0), ("gelu", 2.0), ("tanh", 1.0)])
def test_the_hidden_layers_of_a_head_keep_the_variance_of_a_signal(activation, gain):
    hidden, last = build_head([400, 300, 2], activation, torch.Generator().manual_seed(0)).layers
    assert hidden.weight.var().item() * 400 == pytest.approx(gain, rel=0.02)
    assert not last.weight.any()


def test_equal_rows_are_merged_with_their_labels():
    X = np.array([[1.0, np.nan], [0.0, 2.0], [1.0, np.nan], [0.0, 2.0], [5.0, 5.0]])
    targets = np.array([[0.0], [1.0], [0.0], [np.nan], [1.0]])
    rows = merge_equal_rows(X, targets, np.array([1.0, 2.0, 0.5, 1.0, 0.0]))
    found = {
        (*x, *t): w
        for x, t, w in zip(rows.X.tolist(), rows.targets.tolist(), rows.weights, strict=True)
    }
    assert len(found) == 3
    assert sorted(found.values()) == [1.0, 1.5, 2.0]
    assert rows.labelled.sum() == 2


def test_balanced_classes_weigh_the_same(iris_data):
    """Nine tenths of one class, on a code that cannot tell: balance moves the border."""
    X, y = iris_data
    rows = np.r_[50:100, 100:106]
    X_few, y_few = X[rows, :2], y[rows]

    def recall(class_weight) -> float:
        model = classifier(class_weight=class_weight, freeze=True).fit(X_few, y_few)
        return (model.predict(X[100:, :2]) == 2).mean()

    assert recall("balanced") > recall(None) + 0.2
    same = {1: 56 / (2 * 50), 2: 56 / (2 * 6)}
    assert recall(same) == recall("balanced")


def test_labels_of_any_kind(iris_data):
    X, y = iris_data
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = classifier().fit(X, names)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert np.array_equal(model.classes_[classifier().fit(X, y).predict(X)], model.predict(X))
    binary = classifier().fit(X[:100], np.where(y[:100] == 0, -1, 1))
    assert binary.classes_.tolist() == [-1, 1]
    logits = binary.decision_function(X)
    assert logits.shape == (150,)
    assert binary.predict_proba(X)[:, 1] == pytest.approx(1 / (1 + np.exp(-logits)))
    assert np.exp(binary.predict_log_proba(X)) == pytest.approx(binary.predict_proba(X))
    named = classifier().fit(X[:100], np.where(y[:100] == 0, "-1", "1"))
    assert named.classes_.tolist() == ["-1", "1"]


def test_names_and_minus_one_for_rows_without_a_label(iris_data):
    X, y = iris_data
    numbers = np.where(np.arange(len(y)) % 3 == 0, -1, y)
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    names[numbers == -1] = -1
    named, numbered = classifier().fit(X, names), classifier().fit(X, numbers)
    assert named.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    np.testing.assert_array_equal(named.predict_proba(X), numbered.predict_proba(X))


def test_a_frozen_autoencoder_survives_the_clones_of_a_cross_validation(iris_data):
    X, y = iris_data
    autoencoder = clone(METHODS[0]).fit(X)
    frozen = classifier(FrozenEstimator(autoencoder))
    scores = cross_val_score(frozen, X, y, cv=2, error_score="raise")
    assert len(scores) == 2
    one, other = frozen.fit(X, y), classifier(autoencoder, prefit=True).fit(X, y)
    assert one.autoencoder_ is autoencoder
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    with pytest.raises(NotFittedError, match="pass autoencoder=FrozenEstimator"):
        cross_val_score(classifier(autoencoder, prefit=True), X, y, error_score="raise")


@pytest.mark.parametrize("frozen", [False, True])
def test_a_fitted_autoencoder_is_given_the_features_in_its_order(iris_data, frozen):
    X, y = iris_data
    frame = pd.DataFrame(X, columns=list("abcd"))
    autoencoder = clone(METHODS[0]).fit(frame)
    model = classifier(FrozenEstimator(autoencoder) if frozen else autoencoder, prefit=not frozen)
    with pytest.raises(ValueError, match="must be in the same order"):
        model.fit(frame[list("dcba")], y)
    fitted = classifier().fit(frame, y)
    assert fitted.autoencoder_.feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("factor", [2.0**-500, 2.0**500])
def test_scales_of_x_and_y_that_float32_does_not_have(iris_data, factor):
    X, y = iris_data
    np.testing.assert_array_equal(
        classifier().fit(X * factor, y).predict(X * factor), classifier().fit(X, y).predict(X)
    )
    regressor = AutoencoderRegressor(Autoencoder(2, **SMALL), random_state=0)
    expected = regressor.fit(X[:, :3], X[:, 3]).predict(X[:, :3])
    targets = X[:, 3] * factor * factor**0.1
    scaled = clone(regressor).fit(X[:, :3], targets).predict(X[:, :3])
    np.testing.assert_allclose(scaled / (factor * factor**0.1), expected, rtol=1e-4)


def test_all_of_an_encoder_is_trained_on_labels(iris_data):
    X, y = iris_data
    model = classifier(PredictiveSparseDecomposition(5, max_iter=5, random_state=0)).fit(X, y)
    before = model.autoencoder_._model.network.thresholds
    assert not torch.equal(model._predictor.network.network.thresholds, before)


def test_several_targets():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, 1e6 - 1000 * y])
    model = AutoencoderRegressor(Autoencoder(6, **SMALL), random_state=0).fit(X, Y)
    predicted = model.predict(X)
    assert predicted.shape == Y.shape
    assert model.score(X, Y) > 0.4
    assert np.corrcoef(predicted.T)[0, 1] < -0.9
    assert AutoencoderRegressor(Autoencoder(6, **SMALL)).fit(X, y).predict(X).shape == y.shape


@pytest.mark.parametrize("n_components", [8, 32])
def test_a_regressor_learns_by_sgd(n_components):
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    autoencoder = make_fast(Autoencoder, n_components, hidden_layer_sizes=(32,))
    regressor = AutoencoderRegressor(autoencoder, solver="sgd", random_state=0)
    assert regressor.fit(X[:400], y[:400]).score(X[400:800], y[400:800]) > 0.5


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


def test_rows_that_are_all_equal():
    X, y = np.ones((20, 3)), np.arange(20.0)
    regressor = make_fast(AutoencoderRegressor, autoencoder=make_fast(Autoencoder, 2))
    assert regressor.fit(X, np.ones(20)).predict(X) == pytest.approx(1.0)
    one = regressor.fit(np.eye(20), y, sample_weight=np.eye(20)[3])
    assert one.predict(np.eye(20)) == pytest.approx(3.0)


def test_targets_have_no_unit():
    X, y = load_diabetes(return_X_y=True)
    plain, moved = (
        AutoencoderRegressor(Autoencoder(5, **SMALL), random_state=0).fit(X, target)
        for target in (y, 1000 * y + 1e5)
    )
    assert moved.predict(X) == pytest.approx(1000 * plain.predict(X) + 1e5, rel=1e-4)


def test_early_stopping_keeps_the_best(iris_data):
    X, y = iris_data
    model = classifier(early_stopping=True, max_iter=40, learning_rate_init=0.05).fit(X, y)
    best = model.validation_scores_[model.best_iter_]
    assert best == max(model.validation_scores_)
    assert classifier().fit(X, y).validation_scores_ is None


@pytest.mark.parametrize("seed", range(4))
def test_held_out_scores_do_not_depend_on_who_judges(iris_data, seed):
    """A head that is 0 gives both classes the same probability, whatever their weights."""
    X, y = iris_data[0][:100], iris_data[1][:100]
    weights = np.random.default_rng(seed).lognormal(sigma=2.0, size=100)
    model = classifier(early_stopping=True, random_state=seed, max_iter=1).fit(X, y, weights)
    assert model.validation_scores_[0] == pytest.approx(np.log(0.5), abs=1e-6)


def test_classes_are_held_out_alike(iris_data, monkeypatch):
    X, y = iris_data
    y = np.where(np.arange(150) < 110, y, -1)  # 50, 50 and 10 rows
    divisions = []

    def judge(measure, data, division, **options):
        labels = data[division.held_out, -2].long()
        divisions.append(labels.bincount(minlength=3).tolist())
        return Judge(measure, data, division, **options)

    monkeypatch.setattr("skae._supervised.Judge", judge)
    for seed in range(5):
        classifier(early_stopping=True, random_state=seed, max_iter=1).fit(X, y)
    assert len(divisions) == 10
    assert all(max(abs(a - b) for a, b in zip(d, (5, 5, 1), strict=True)) <= 1 for d in divisions)


@pytest.mark.filterwarnings("error")
def test_rows_without_weight_judge_nothing(iris_data):
    X, y = iris_data
    rows = np.r_[:36, 50:52, 100:102]
    for seed in range(4):
        model = classifier(early_stopping=True, random_state=seed, class_weight={0: 0.0})
        model.fit(X[rows], y[rows])
        assert model.best_iter_ > 0
        assert np.isfinite(model.validation_scores_ or 0.0).all()


def test_grid_search_reaches_the_autoencoder(iris_data):
    pipeline = make_pipeline(StandardScaler(), classifier())
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
    model = classifier().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X, y: classifier(Autoencoder).fit(X, y), ValueError, "an instance of"),
        (lambda X, y: classifier(LogisticRegression()).fit(X, y), ValueError, "BaseAutoencoder"),
        (lambda X, y: classifier().fit(X, np.zeros(150)), ValueError, r"1 class: \[0.0\]\."),
        (
            lambda X, y: classifier().fit(X, np.where(y == 0, 0, -1)),
            ValueError,
            r"1 class: \[0\] \(rows with y == -1 count as unlabelled\)",
        ),
        (lambda X, y: classifier().fit(X, -np.ones(150)), ValueError, "No row has a label"),
        (
            lambda X, y: classifier().fit(X, np.where(y == 0, np.nan, y)),
            ValueError,
            "Input y contains NaN. Mark rows without a label by -1",
        ),
        (
            lambda X, y: AutoencoderRegressor().fit(X, np.where(y == 0, np.nan, y)),
            ValueError,
            "Input y contains NaN",
        ),
        (lambda X, y: classifier().fit(X, y[:9]), ValueError, "inconsistent numbers of samples"),
        (lambda X, y: classifier().fit(X, None), ValueError, "requires y to be passed"),
        (lambda X, y: classifier(freeze=3).fit(X, y), ValueError, "but the encoder has 2"),
        (lambda X, y: classifier(freeze=-1).fit(X, y), ValueError, "The 'freeze' parameter"),
        (
            lambda X, y: classifier().fit(X, np.where(y == 0, "-1", y.astype("U2"))),
            ValueError,
            "y holds strings, '-1' among them",
        ),
        (
            lambda X, y: classifier(FrozenEstimator(PCA())).fit(X, y),
            TypeError,
            "autoencoder must be an autoencoder of skae, but it is a FrozenEstimator of PCA",
        ),
        (
            lambda X, y: classifier(prefit=True).fit(X, y),
            NotFittedError,
            "prefit=True needs a fitted autoencoder, but this Autoencoder is not fitted",
        ),
        (
            lambda X, y: classifier(FrozenEstimator(Autoencoder())).fit(X, y),
            NotFittedError,
            "FrozenEstimator needs a fitted autoencoder, but this Autoencoder is not fitted",
        ),
        (
            lambda X, y: AutoencoderClassifier(prefit=True).fit(X, y),
            ValueError,
            "but autoencoder is None",
        ),
        (
            lambda X, y: classifier(METHODS[0].fit(X[:, :3]), prefit=True).fit(X, y),
            ValueError,
            "X has 4 features, but Autoencoder is expecting 3 features",
        ),
        (
            lambda X, y: classifier(class_weight={0: -1.0}).fit(X, y),
            ValueError,
            "class_weight={0: -1.0} must have finite numbers, none below 0",
        ),
        (
            lambda X, y: classifier(class_weight={0: 0, 1: 0, 2: 0}).fit(X, y),
            ValueError,
            "none below 0 and one above it",
        ),
        (
            lambda X, y: classifier(class_weight={0: np.nan}).fit(X, y),
            ValueError,
            "class_weight={0: nan} must have finite numbers",
        ),
        (
            lambda X, y: classifier(class_weight={0: "heavy"}).fit(X, y),
            ValueError,
            "class_weight={0: 'heavy'} must have finite numbers",
        ),
        (
            lambda X, y: classifier(class_weight={7: 1.0}).fit(X, y),
            ValueError,
            r"class_weight has weights of \['7'\]",
        ),
        (lambda X, y: classifier().predict(X), NotFittedError, "not fitted yet"),
    ],
)
def test_bad_input(iris_data, call, error, message):
    with pytest.raises(error, match=message):
        call(*iris_data)


def test_labels_whose_rows_weigh_nothing(iris_data):
    X, y = iris_data
    with pytest.raises(ValueError, match="must have finite numbers, none below 0 and one above it"):
        classifier(class_weight={0: 0, 1: 0}).fit(X, y, sample_weight=(y < 2) * 1.0)
    with pytest.raises(ValueError, match=r"sample_weight is 0 for all of \[0, 1, 2\] except \[1\]"):
        classifier().fit(X, y, sample_weight=(y == 1) * 1.0)


def test_an_interrupt_of_the_autoencoder_ends_the_fit(iris_data, monkeypatch):
    X, y = iris_data
    train, n_runs = Autoencoder._train, []

    def interrupted(self, *args, **settings):
        history = train(self, *args, **settings)
        n_runs.append(type(self))
        history.stopped_by = "interrupt"
        return history

    monkeypatch.setattr(Autoencoder, "_train", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted, so the head was not trained"):
        model = classifier(Autoencoder(2, **SMALL)).fit(X, y)
    assert n_runs == [Autoencoder]
    assert model.n_iter_ == 0
    np.testing.assert_allclose(model.predict_proba(X), 1 / 3)
    n_runs.clear()
    monkeypatch.undo()
    prefit = classifier(model.autoencoder_, prefit=True).fit(X, y)
    assert prefit.n_iter_ > 0


def test_a_failed_fit_leaves_nothing_behind(iris_data):
    X, y = iris_data
    model = classifier(freeze=5)
    with pytest.raises(ValueError, match="freeze=5"):
        model.fit(X, y)
    assert not [name for name in vars(model) if name.endswith("_") or name == "_predictor"]


def test_a_fold_without_a_class_may_have_its_weight(iris_data):
    X, y = iris_data
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    two = y < 2
    known = classifier(class_weight={0: 1.0, 1: 2.0}).fit(X[two], y[two])
    more = classifier(class_weight=weights).fit(X[two], y[two])
    np.testing.assert_array_equal(more.predict_proba(X), known.predict_proba(X))


@pytest.mark.parametrize("size", [1e307, 1e-310])
def test_the_size_of_equal_weights_is_nothing(iris, size):
    y = iris[:, 0]
    plain, weighted = (make_fast(AutoencoderRegressor, max_iter=5) for _ in range(2))
    weighted.fit(iris, y, sample_weight=np.full(len(y), size))
    np.testing.assert_allclose(weighted.predict(iris), plain.fit(iris, y).predict(iris), rtol=1e-5)

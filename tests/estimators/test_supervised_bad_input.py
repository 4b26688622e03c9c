"""Classifier and regressor: errors, and fits that end early."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderRegressor,
)

SMALL = {"hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0}


AUTOENCODER = Autoencoder(4, **SMALL)


@pytest.fixture(scope="module")
def iris_data():
    return load_iris(return_X_y=True)


def classifier(autoencoder=None, **parameters) -> AutoencoderClassifier:
    defaults = {"random_state": 0}
    return AutoencoderClassifier(autoencoder or AUTOENCODER, **(defaults | parameters))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda X, y: classifier(Autoencoder).fit(X, y), ValueError, "an instance of"),
        (
            lambda X, y: classifier(LogisticRegression()).fit(X, y),
            ValueError,
            r"'autoencoder' parameter of AutoencoderClassifier must be an instance of an "
            r"autoencoder of skae, such as Autoencoder\(32\), or FrozenEstimator or None",
        ),
        (lambda X, y: classifier().fit(X, np.zeros(150)), ValueError, r"1 class: \[0.0\]\."),
        (
            lambda X, y: classifier().fit(X, np.where(y == 0, 0, -1)),
            ValueError,
            r"1 class: \[0\] \(rows with y == -1 or without y count as unlabelled\)",
        ),
        (lambda X, y: classifier().fit(X, -np.ones(150)), ValueError, "No row has a label"),
        (
            lambda X, y: classifier().fit(X, np.full(150, None)),
            ValueError,
            "No row has a label: every y is -1 or missing",
        ),
        (
            lambda X, y: AutoencoderRegressor().fit(X, np.c_[y, np.where(y == 0, np.nan, y)]),
            ValueError,
            "y has rows with NaN in some targets only",
        ),
        (
            lambda X, y: AutoencoderRegressor(AUTOENCODER).fit(X, np.full(150, np.nan)),
            ValueError,
            "No row of positive weight has a target",
        ),
        (
            lambda X, y: classifier().fit(X, y).score(X, -np.ones(150)),
            ValueError,
            "No row has a label: every y is -1 or missing. Score labelled rows",
        ),
        (
            lambda X, y: AutoencoderRegressor(AUTOENCODER).fit(X, y).score(X, np.full(150, np.nan)),
            ValueError,
            "No row has a target: every y is NaN",
        ),
        (
            lambda X, y: classifier().fit(X, y).score(X, y[:9]),
            ValueError,
            "inconsistent numbers of samples",
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
            lambda X, y: classifier(Autoencoder(2).fit(X[:9, :3]), prefit=True).fit(X, y),
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


def test_labels_whose_rows_have_no_weight(iris_data):
    X, y = iris_data
    with pytest.raises(ValueError, match="must have finite numbers, none below 0 and one above it"):
        classifier(class_weight={0: 0, 1: 0}).fit(X, y, sample_weight=(y < 2) * 1.0)
    with pytest.raises(
        ValueError, match=r"only rows with the label 1 have a positive sample_weight"
    ):
        classifier().fit(X, y, sample_weight=(y == 1) * 1.0)
    y = np.where(y == 0, -1, y)
    with pytest.raises(ValueError, match="no row with a label has a positive sample_weight"):
        classifier().fit(X, y, sample_weight=(y == -1) * 1.0)


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

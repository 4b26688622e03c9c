"""Parameters of an autoencoder that is wrapped, given or not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderRegressor,
    DenoisingAutoencoder,
)

DEFAULTS = {
    AutoencoderClassifier: Autoencoder(32),
    AutoencoderRegressor: Autoencoder(32),
    AutoencoderImputer: DenoisingAutoencoder(0.9),
}


@pytest.mark.parametrize("cls", DEFAULTS)
def test_parameters_of_the_default_can_be_set(cls):
    explicit = cls(clone(DEFAULTS[cls])).set_params(autoencoder__max_iter=3, random_state=1)
    implicit = cls().set_params(random_state=1, autoencoder__max_iter=3)
    assert repr(implicit) == repr(explicit)
    assert "max_iter=3" in repr(implicit)
    given = cls(clone(DEFAULTS[cls]))
    assert repr(given.set_params(autoencoder=None, autoencoder__max_iter=3)) == repr(
        cls(clone(DEFAULTS[cls]).set_params(max_iter=3))
    )


@pytest.mark.parametrize("cls", DEFAULTS)
def test_each_estimator_has_a_default_of_its_own(cls):
    one, other = cls(), cls()
    one.set_params(autoencoder__max_iter=3)
    assert other.autoencoder is None
    assert other.set_params(autoencoder__tol=0.5).autoencoder.max_iter == "auto"
    assert cls().set_params(random_state=0).autoencoder is None


@pytest.mark.parametrize("cls", DEFAULTS)
def test_a_misspelt_parameter_is_named(cls):
    with pytest.raises(ValueError, match="Invalid parameter 'n_componentz'"):
        cls().set_params(autoencoder__n_componentz=3)
    with pytest.raises(ValueError, match="Invalid parameter 'autoencodr'"):
        cls().set_params(autoencodr__n_components=3)


@pytest.mark.parametrize("cls", DEFAULTS)
def test_a_search_reaches_the_default(cls):
    X, y = load_iris(return_X_y=True)
    X, y = X[::2], y[::2]

    def score(model, X, y):
        return model[-1].autoencoder_.n_components_

    step = cls().set_params(random_state=0)
    grid = {"autoencoder__n_components": [2, 3], "autoencoder__max_iter": [1]}
    if cls is not AutoencoderImputer:
        step.set_params(max_iter=1)
    grid = {f"{cls.__name__.lower()}__{name}": values for name, values in grid.items()}
    model = make_pipeline(StandardScaler(), step)
    search = GridSearchCV(model, grid, cv=2, scoring=score, error_score="raise").fit(X, y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], [2, 3])
    assert step.autoencoder is None

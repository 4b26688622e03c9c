"""Imputation as a step of a pipeline."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.callback import ProgressBar
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, AutoencoderImputer, DenoisingAutoencoder

FAST = {"hidden_layer_sizes": (16,), "max_iter": 5}


@pytest.fixture(scope="module")
def wine():
    """A table with a fifth of its entries missing, its labels, and the whole table."""
    table, y = load_wine(as_frame=True, return_X_y=True)
    whole = StandardScaler().set_output(transform="pandas").fit_transform(table)
    return whole.mask(np.random.default_rng(0).random(whole.shape) < 0.2), y, whole


def imputer(**changes) -> AutoencoderImputer:
    return AutoencoderImputer(DenoisingAutoencoder(4, **FAST, **changes), random_state=0)


def test_it_fills_as_its_autoencoder_imputes_and_beats_the_mean(wine):
    X, _, whole = wine
    autoencoder = DenoisingAutoencoder(4, max_iter=20, random_state=3)
    model = AutoencoderImputer(autoencoder).fit(X)
    filled, observed = model.transform(X), X.notna().to_numpy()
    np.testing.assert_array_equal(filled, autoencoder.fit(X).impute(X))
    np.testing.assert_array_equal(filled[observed], X.to_numpy()[observed])
    error = np.square(filled - whole.to_numpy())[~observed].mean()
    of_mean = np.square(whole - X.mean()).to_numpy()[~observed].mean()
    assert error < 0.8 * of_mean
    np.testing.assert_array_equal(model.transform(whole), whole)


def test_tables_keep_their_names_and_index(wine):
    X = wine[0][50:]
    filled = imputer().set_output(transform="pandas").fit_transform(X)
    assert isinstance(filled, pd.DataFrame)
    assert filled.columns.equals(X.columns)
    assert filled.index.equals(X.index)
    assert not filled.isna().to_numpy().any()
    names = imputer().fit(X).get_feature_names_out()
    assert names.tolist() == X.columns.tolist()


def test_a_classifier_behind_it_sees_the_table_and_a_search_sets_the_noise(wine):
    X, y, _ = wine
    model = make_pipeline(imputer(), LogisticRegression())
    grid = {"autoencoderimputer__autoencoder__noise_level": [0.0, 0.3]}
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)
    assert search.best_estimator_[-1].coef_.shape[1] == X.shape[1]
    assert search.best_score_ > 0.85
    levels = [imputer().set_params(autoencoder__noise_level=level) for level in (0.0, 0.3)]
    first, second = (level.fit_transform(X) for level in levels)
    assert not np.array_equal(first, second)


def test_the_autoencoder_given_is_not_changed(wine):
    given = DenoisingAutoencoder(4, **FAST)
    model = AutoencoderImputer(given, random_state=0).fit(wine[0])
    assert given.random_state is None
    assert not hasattr(given, "n_components_")
    same = AutoencoderImputer(given, random_state=0).fit(wine[0])
    np.testing.assert_array_equal(model.transform(wine[0]), same.transform(wine[0]))


def test_a_row_without_any_value_gets_the_reconstruction_of_the_mean(wine):
    X = wine[0].to_numpy(dtype=np.float32)
    model = imputer().fit(X)
    nothing = np.full((1, X.shape[1]), np.nan, dtype=np.float32)
    filled = model.transform(nothing)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled, model.autoencoder_.reconstruct(nothing))


def test_a_progress_bar_shows_the_autoencoder(wine, capsys):
    imputer().set_callbacks(ProgressBar()).fit(wine[0])
    assert "DenoisingAutoencoder" in capsys.readouterr().out


def test_bad_input(wine):
    X = wine[0].to_numpy()
    with pytest.raises(ValueError, match=r"The 'autoencoder' parameter .*DenoisingAutoencoder"):
        AutoencoderImputer(Autoencoder(2)).fit(X)
    model = imputer()
    with pytest.raises(ValueError, match=r"Features \[2\] have no value in any training row"):
        model.fit(np.where(np.arange(X.shape[1]) == 2, np.nan, X))
    assert not hasattr(model, "n_features_in_")
    with pytest.raises(ValueError, match="X has 3 features, but AutoencoderImputer is expecting"):
        imputer().fit(X).transform(X[:, :3])


def test_groups_reach_the_autoencoder_and_a_step_of_a_pipeline(wine):
    X, y, _ = wine
    groups = np.arange(len(X)) // 6
    alone = DenoisingAutoencoder(4, random_state=3, **FAST).fit(X, groups=groups)
    model = AutoencoderImputer(DenoisingAutoencoder(4, random_state=3, **FAST))
    filled = model.fit_transform(X, groups=groups)
    assert model.autoencoder_.validation_scores_ == alone.validation_scores_
    np.testing.assert_array_equal(filled, alone.impute(X))
    assert model.fit(X).autoencoder_.validation_scores_ != alone.validation_scores_
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(groups=True)
        pipeline = make_pipeline(model, LogisticRegression(max_iter=1000)).fit(X, y, groups=groups)
    assert pipeline[0].autoencoder_.validation_scores_ == alone.validation_scores_
    with pytest.raises(ValueError, match="groups has 6 entries"):
        model.fit(X, groups=groups[:6])
    with pytest.raises(ValueError, match="but early_stopping=False"):
        imputer(early_stopping=False).fit(X, groups=groups)

"""What the functions of skae.inspection take, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from instances import AUTOENCODERS, make_fast
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import Autoencoder, AutoencoderClassifier, AutoencoderImputer, DenoisingAutoencoder
from skae.inspection import (
    activations,
    code_sensitivities,
    code_statistics,
    feature_contribution,
    latent_traversal,
    loss_curves,
    max_activating_samples,
    maximize_activation,
    weight_images,
)

X, Y = load_wine(return_X_y=True, as_frame=True)
FAST = Autoencoder(3, hidden_layer_sizes=(16,), max_iter=3, random_state=0)


@pytest.fixture(scope="module")
def scaled():
    return StandardScaler().set_output(transform="pandas").fit_transform(X)


@pytest.fixture(scope="module")
def fitted(scaled):
    return clone(FAST).fit(scaled)


def test_a_pipeline_gives_what_its_last_step_gives(fitted, scaled):
    pipeline = make_pipeline(StandardScaler(), clone(FAST)).fit(X)
    assert_array_equal(activations(pipeline, X), activations(fitted, scaled))
    sensitivities = code_sensitivities(pipeline, X)
    assert list(sensitivities.feature_names) == list(X.columns)
    assert_array_equal(sensitivities.mean, code_sensitivities(fitted, scaled).mean)
    assert_array_equal(loss_curves(pipeline).training, loss_curves(fitted).training)


def test_a_search_and_a_frozen_estimator_give_what_they_hold(fitted, scaled):
    search = GridSearchCV(clone(FAST), {"max_iter": [3]}, cv=2).fit(scaled)
    assert_array_equal(activations(search, scaled), activations(fitted, scaled))
    assert_array_equal(activations(FrozenEstimator(fitted), scaled), activations(fitted, scaled))


def test_an_imputer_gives_its_autoencoder(scaled):
    imputer = AutoencoderImputer(make_fast(DenoisingAutoencoder, 3)).fit(scaled)
    inside = imputer.autoencoder_
    assert_array_equal(activations(imputer, scaled), activations(inside, scaled.to_numpy()))
    assert list(code_sensitivities(imputer, scaled).feature_names) == list(X.columns)


def test_a_classifier_has_its_own_encoder_and_no_decoder(scaled):
    classifier = AutoencoderClassifier(clone(FAST), max_iter=5, random_state=0).fit(scaled, Y)
    codes = activations(classifier, scaled)
    assert codes.shape == (len(X), 3)
    assert not np.allclose(codes, activations(classifier.autoencoder_, scaled))  # fine-tuned
    frozen = AutoencoderClassifier(clone(FAST), freeze=True, max_iter=5).fit(scaled, Y)
    assert_array_equal(activations(frozen, scaled), activations(frozen.autoencoder_, scaled))
    with pytest.raises(TypeError, match="AutoencoderClassifier has no decoder"):
        feature_contribution(classifier, scaled)
    assert_array_equal(code_statistics(classifier, scaled)["mean"], codes.mean(axis=0))
    with pytest.raises(ValueError, match="from 0 to 1"):
        activations(classifier, scaled, layer=2)


def test_names_are_numbered_where_there_are_none():
    pipeline = make_pipeline(MinMaxScaler(), clone(FAST)).fit(X.to_numpy())
    names = code_sensitivities(pipeline, X.to_numpy()).feature_names
    assert list(names) == [f"x{i}" for i in range(13)]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (PCA(2), "^PCA is not an autoencoder"),
        (
            make_pipeline(StandardScaler(), "passthrough"),
            "of Pipeline is 'passthrough', not an",
        ),
        (
            make_pipeline(StandardScaler(), clone(FAST), LogisticRegression()),
            r"The last step of Pipeline is LogisticRegression, .* such as pipeline\[:2\]",
        ),
    ],
)
def test_other_estimators_are_refused(wrong, text):
    wrong.fit(X, Y)
    for function in (weight_images, loss_curves):
        with pytest.raises(TypeError, match=text):
            function(wrong)


def test_unfitted_estimators_are_refused():
    for refit in (True, False):
        search = GridSearchCV(clone(FAST), {"max_iter": [1]}, cv=2, refit=refit)
        with pytest.raises(NotFittedError, match=r"GridSearchCV has no best_estimator_\. Call"):
            activations(search if refit else search.fit(X), X)
    with pytest.raises(TypeError, match=r"^Autoencoder is a class\. Pass a fitted"):
        activations(Autoencoder, X)
    with pytest.raises(NotFittedError):
        activations(Autoencoder(), X)
    with pytest.raises(NotFittedError):
        activations(make_pipeline(StandardScaler(), Autoencoder()), X)


@pytest.mark.parametrize("cls", AUTOENCODERS, ids=lambda cls: cls.__name__)
def test_every_autoencoder_can_be_looked_into(cls):
    rows = MinMaxScaler().fit_transform(X).astype(np.float32)
    before = rows.copy()
    estimator = make_fast(cls, 3).fit(rows)
    codes = activations(estimator, rows)
    assert codes.dtype == np.float32
    assert codes.shape == (len(X), 3)
    assert max_activating_samples(estimator, rows, unit=1).activations[0] == codes[:, 1].max()
    found = maximize_activation(estimator, 1, n_restarts=2, random_state=0)
    again = activations(estimator, found.inputs)[:, 1]
    np.testing.assert_allclose(found.activations, again, rtol=1e-6)
    assert latent_traversal(estimator, 2, [0.0, 1.0]).shape == (2, 13)
    assert code_statistics(estimator, rows).singular_values.shape == (3,)
    assert code_sensitivities(estimator, rows).mean.shape == (3, 13)
    assert feature_contribution(estimator, rows).shape == (3, 13)
    assert np.isfinite(weight_images(estimator)).all()
    assert len(loss_curves(estimator).training) == estimator.n_iter_ + 1
    assert_array_equal(rows, before)


def test_threads_are_left_as_found(fitted, scaled):
    before = torch.get_num_threads()
    for part in (activations(fitted, scaled), code_sensitivities(fitted, scaled)):
        assert part is not None
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="layer must be"):
        activations(fitted, scaled, layer=99)
    assert torch.get_num_threads() == before

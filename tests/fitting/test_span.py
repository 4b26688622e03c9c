"""Wide rows are trained on in coordinates of their span, and the model is one of features."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.decomposition import PCA

from skae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from skae.core.corruption import masking
from skae.core.criterion import Penalty
from skae.fitting.span import find_span
from skae.fitting.split import split_rows

DTYPES = [np.float32, np.float64]
# Rounding of float32: of the rows, or of the weights in features.
TOLERANCES = {np.float32: 2e-5, np.float64: 2e-6}
SETTINGS = [
    {},
    {"code_activation": "tanh"},
    {"code_activation": "relu"},
    {"shortcut": None},
    {"hidden_layer_sizes": ()},
    {"hidden_layer_sizes": (), "shortcut": None},
    {"early_stopping": False, "dropout": 0.1},
]


def curved(n_rows: int = 60, n_features: int = 200, dtype: type = np.float64) -> np.ndarray:
    """Return rows on a curved surface in 20 dimensions, far from 0, with a constant feature."""
    rng = np.random.default_rng(0)
    factors, first = rng.normal(size=(n_rows, 2)), rng.normal(size=(2, 20))
    X = np.tanh(2 * factors @ first) @ rng.normal(size=(20, n_features)) + 5.0
    X[:, 7] = 0.3
    return X.astype(dtype)


def fast(method: type = Autoencoder, n_components: float = 3, **options):
    return method(
        n_components,
        **({"hidden_layer_sizes": (16,), "max_iter": 10, "random_state": 0} | options),
    )


def span_of(X: np.ndarray):
    return find_span(fast(), X)


# -- coordinates ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_coordinates_are_those_along_orthonormal_axes(dtype):
    X = np.random.default_rng(0).normal(size=(40, 300)).astype(dtype) * 7 + 100
    span = span_of(X)
    assert span.axes.shape == (300, 39)
    assert span.axes.dtype == span.coordinates.dtype == dtype
    tolerance = 50 * np.finfo(dtype).eps
    np.testing.assert_allclose(span.axes.T @ span.axes, np.eye(39), atol=tolerance)
    rows = span.mean + span.coordinates @ span.axes.T
    np.testing.assert_allclose(rows, X, rtol=tolerance)


def test_coordinates_keep_all_distances_and_vary_alike():
    X = curved()
    coordinates = span_of(X).coordinates
    before, after = (((rows[:, None] - rows) ** 2).sum(-1) for rows in (X, coordinates))
    np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-8)
    variances, principal = coordinates.var(axis=0), PCA(20).fit(X).explained_variance_
    assert variances.max() < 0.5 * principal[0]
    assert variances.min() > 10 * principal[-1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_there_are_as_many_axes_as_the_rows_have_dimensions(dtype):
    rng = np.random.default_rng(0)
    distinct = rng.normal(size=(20, 120)).astype(dtype)
    assert span_of(np.repeat(distinct, 3, axis=0)).axes.shape == (120, 19)
    flat = (rng.normal(size=(50, 4)) @ rng.normal(size=(4, 100))).astype(dtype)
    assert span_of(flat).axes.shape == (100, 4)


def test_axes_are_exactly_0_where_a_feature_is_constant():
    X = curved()
    X[:, :30] = X[0, :30]
    is_constant = np.ptp(X, axis=0) == 0
    assert np.array_equal(~span_of(X).axes.any(axis=1), is_constant)
    model = fast().fit(X)
    new = np.where(is_constant, X + 1.0, X)
    assert np.array_equal(model.transform(new), model.transform(X))
    assert np.array_equal(model.reconstruct(X)[:, is_constant], X[:, is_constant])


def test_rows_that_do_not_vary_have_no_span():
    X = np.full((20, 50), 0.1)
    assert span_of(X) is None
    assert np.array_equal(fast().fit(X).reconstruct(X), X)
    X[::2] = np.nextafter(0.1, 1)
    assert span_of(X) is None
    np.testing.assert_allclose(fast().fit(X).reconstruct(X), X, rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "is_converted"), [((50, 99), False), ((50, 100), True), ((2001, 4002), False)]
)
def test_rows_are_converted_only_if_that_pays(shape, is_converted):
    X = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert (span_of(X) is not None) == is_converted


@pytest.mark.parametrize(
    ("n_distinct", "factor"), [(60, 1e2), (60, 1e4), (60, 1e6), (30, 1e2), (30, 1e3)]
)
def test_a_heavy_row_leaves_the_others_their_differences(n_distinct, factor):
    """They are known to a rounding of the centred rows, whose size the heavy row sets."""
    X = np.random.default_rng(0).normal(size=(n_distinct, 300)).astype(np.float32)
    X = np.repeat(X, 60 // n_distinct, axis=0)
    X[3] *= np.float32(factor)
    span = span_of(X)
    rows = span.mean + span.coordinates.astype(np.float64) @ span.axes.T.astype(np.float64)
    sizes = np.linalg.norm(X - span.mean, axis=1)
    lost = np.linalg.norm(rows - X, axis=1)
    assert (lost < 32 * np.finfo(np.float32).eps * sizes).all()


def test_rows_whose_differences_a_heavy_row_covers_are_trained_on_as_they_are():
    X = np.random.default_rng(0).normal(size=(60, 300)).astype(np.float32)
    X[3] *= np.float32(1e7)
    assert span_of(X) is None


def test_wide_rows_have_all_folds_and_groups_of_duplicates(monkeypatch):
    """The limit on folds is one of the weights in training, which are those of coordinates."""
    splits = []

    def spy(*arguments, **options):
        splits.append(split_rows(*arguments, **options))
        return splits[-1]

    monkeypatch.setattr("skae.fitting.split.split_rows", spy)
    X = np.repeat(curved(30, 20_000), 2, axis=0)
    Autoencoder(max_iter=1, random_state=0).fit(X)
    assert len(splits[0].training) == 6
    assert np.array_equal(splits[0].groups, np.repeat(np.arange(30), 2))


class Missing(Autoencoder):
    _allows_missing = True


class Masking(Autoencoder):
    """Promises nothing of its own hook."""

    def _corruption(self, model, data):
        return lambda batch, generator: masking(batch, 0.5, generator)


@pytest.mark.parametrize(
    "estimator",
    [
        fast(loss="huber"),
        fast(tied_weights=True),
        fast(warm_start=True),
        fast(Masking),
        fast(Missing),
        fast(DenoisingAutoencoder),
        fast(VariationalAutoencoder),
        fast(ContractiveAutoencoder),  # its weights are tied
        fast(n_components=10**12),
    ],
    ids=lambda estimator: f"{type(estimator).__name__}({estimator.loss})",
)
def test_what_may_act_on_single_features_sees_them(estimator):
    assert find_span(estimator, curved()) is None


def test_sparse_rows_and_rows_near_overflow_are_trained_on_as_they_are():
    assert find_span(fast(), csr_array(curved())) is None
    assert find_span(fast(), curved(dtype=np.float32) * np.float32(5e36)) is None
    assert find_span(fast(), curved(dtype=np.float32) * np.float32(5e34)) is not None


# -- the model of features ------------------------------------------------------------------------


METHODS = [(Autoencoder, settings) for settings in SETTINGS] + [
    (SparseAutoencoder, {}),
    (SparseAutoencoder, {"penalty": "topk", "n_active": 2, "hidden_layer_sizes": ()}),
    (ContractiveAutoencoder, {"tied_weights": False, "early_stopping": False}),
    (
        ContractiveAutoencoder,
        {"tied_weights": False, "early_stopping": False, "code_activation": "logistic"},
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("method", "settings"), METHODS, ids=str)
def test_the_model_equals_that_of_the_coordinates(method, settings, dtype):
    if dtype is np.float32 and method is Autoencoder:
        # Rounding may decide whether the codes take one more step.
        settings = settings | {"transform_max_iter": 0}
    X = curved(dtype=dtype)
    span = span_of(X)
    model = fast(method, **settings).fit(X)
    other = fast(method, **settings).fit(span.coordinates)
    assert model.selected_ == other.selected_
    assert model.loss_curve_ == other.loss_curve_
    assert model.validation_scores_ == other.validation_scores_
    axes, close = span.axes, TOLERANCES[dtype]
    # The sign of a component depends on the loading that is largest, of features here.
    signs = np.sign((model.components_ * (other.components_ @ axes.T)).sum(axis=1))
    codes = other.transform(span.coordinates)
    np.testing.assert_allclose(
        model.transform(X), codes * signs, rtol=0, atol=close * np.abs(codes).max()
    )
    rows = span.mean + other.reconstruct(span.coordinates) @ axes.T
    np.testing.assert_allclose(model.reconstruct(X), rows, rtol=0, atol=close * X.std())
    loadings = (other.components_ * signs[:, None]) @ axes.T
    np.testing.assert_allclose(model.components_, loadings, atol=close * np.abs(loadings).max())
    np.testing.assert_allclose(
        model.explained_variance_ratio_, other.explained_variance_ratio_, rtol=1e-12
    )
    assert model.score(X) == pytest.approx(other.score(span.coordinates), abs=close)


def test_components_are_the_jacobian_of_the_decoder():
    X = curved()
    model = fast().fit(X)
    step = 1e-4 * np.eye(3)
    there, back = model.inverse_transform(step), model.inverse_transform(-step)
    np.testing.assert_allclose((there - back) / 2e-4, model.components_, atol=1e-5)
    largest = np.abs(model.components_).argmax(axis=1)
    assert (model.components_[range(3), largest] > 0).all()


class Positive(Autoencoder):
    """Codes of at least 1, in training units: a linear code whose signs have a meaning."""

    _is_rotation_invariant = True

    def _criterion(self, model):
        def too_small(model, batch):
            return torch.relu(1.0 - batch.code).sum(-1).mean(-1)

        return super()._criterion(model).with_penalty(Penalty("too_small", 10.0, too_small))


def test_signs_that_the_objective_chooses_stay():
    X = curved()
    assert find_span(fast(Positive), X) is not None
    settings = {"n_components": 6, "early_stopping": False, "transform_max_iter": 0}
    model = fast(Positive, max_iter=100, learning_rate_init=0.01, **settings).fit(X)
    assert model.selected_ == "network"
    assert (model.transform(X) > 0).mean() > 0.99


def test_only_the_part_of_a_row_in_the_span_counts():
    X = curved()
    axes, model = span_of(X).axes, fast().fit(X)
    rng = np.random.default_rng(1)
    beside = rng.normal(size=X.shape)
    beside -= beside @ axes @ axes.T
    codes = model.transform(X)
    np.testing.assert_allclose(model.transform(X + beside), codes, atol=1e-5 * np.abs(codes).max())
    outputs = model.inverse_transform(10 * rng.normal(size=(5, 3))) - model.mean_
    np.testing.assert_allclose(outputs @ axes @ axes.T, outputs, atol=1e-5)


def test_a_pickle_and_more_training_have_a_model_of_features():
    X = curved()
    model = fast().fit(X)
    codes, error = model.transform(X), model.reconstruction_error(X).sum()
    assert np.array_equal(pickle.loads(pickle.dumps(model)).transform(X), codes)
    model.set_params(warm_start=True, early_stopping=False).fit(X)
    assert model.reconstruction_error(X).sum() <= error
    fitted = fast().fit(X)
    before = fitted.reconstruct(X)
    fitted.set_params(learning_rate_init=1e-9, weight_decay=0).partial_fit(X)
    np.testing.assert_allclose(fitted.reconstruct(X), before, atol=1e-4 * X.std())


# -- PCA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_components", [3, 0.9])
def test_a_linear_model_is_pca(dtype, n_components):
    X = curved(dtype=dtype)
    model, pca = fast(n_components=n_components, max_iter=1).fit(X), PCA(n_components).fit(X)
    assert model.selected_ == "pca"
    assert model.n_components_ == pca.n_components_
    close = {"rtol": 0, "atol": 2e-5 if dtype == np.float32 else 1e-11}
    np.testing.assert_allclose(model.components_, pca.components_, **close)
    # The rows are float32 in training units.
    np.testing.assert_allclose(
        model.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-5
    )
    codes = pca.transform(X)
    np.testing.assert_allclose(model.transform(X) / codes.std(), codes / codes.std(), **close)


@pytest.mark.parametrize("n_rows", [2, 3, 12])
def test_few_rows(n_rows):
    X = curved(n_rows)
    model, pca = fast(n_components=2).fit(X), PCA(min(2, n_rows - 1)).fit(X)
    error = np.square(X - pca.inverse_transform(pca.transform(X))).sum()
    assert model.reconstruction_error(X).sum() <= error + 1e-9


def test_more_components_than_the_rank_are_0():
    X = curved(30)
    X[:] = np.repeat(X[:3], 10, axis=0)
    model = fast(n_components=5, max_iter=1).fit(X)
    assert not model.components_[2:].any()
    np.testing.assert_allclose(model.reconstruct(X), X, atol=1e-9)


@pytest.mark.parametrize("n_components", [29, 30])
def test_new_rows_are_not_reconstructed_worse_than_by_pca_with_as_many_components(n_components):
    """With as many as there are rows, the last axis of PCA lies outside the span."""
    X, new = np.random.default_rng(0).normal(size=(2, 30, 90))
    model, pca = fast(n_components=n_components).fit(X), PCA(n_components).fit(X)
    error = np.square(new - pca.inverse_transform(pca.transform(new))).sum()
    assert model.reconstruction_error(new).sum() <= error * 1.005


# -- shift, scale and rotation --------------------------------------------------------------------


def test_shift_scale_and_rotation_of_rows_shift_scale_and_rotate_the_model():
    X = curved(150, 300)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(300, 300)))[0]
    settings = {"n_components": 2, "hidden_layer_sizes": (64,), "max_iter": 40}
    model, other = (fast(**settings).fit(rows) for rows in (X, 3.0 * X @ rotation + 50.0))
    assert model.selected_ == other.selected_ == "network"
    new = X + np.random.default_rng(2).normal(size=X.shape)
    np.testing.assert_allclose(
        other.reconstruct(3.0 * new @ rotation + 50.0),
        3.0 * model.reconstruct(new) @ rotation + 50.0,
        atol=1e-5,
    )
    loadings = model.components_ @ rotation
    signs = np.sign((loadings * other.components_).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(other.components_, signs * loadings, atol=1e-6)


def test_features_may_be_padded_and_permuted():
    X = curved()
    order = np.random.default_rng(1).permutation(300)
    padded = np.pad(X, ((0, 0), (0, 100)))[:, order]
    codes, others = fast().fit_transform(X), fast().fit_transform(padded)
    np.testing.assert_allclose(others, codes, atol=1e-6 * codes.std())


def test_a_power_of_two_scales_the_code_to_the_bit():
    X = curved()
    assert np.array_equal(fast().fit_transform(8 * X), 8 * fast().fit_transform(X))

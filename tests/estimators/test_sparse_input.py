"""Sparse X: every estimator and method gives what dense X gives, and X never becomes dense."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from instances import AUTOENCODERS, ESTIMATORS, make_fast
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_array, csr_array, csr_matrix, issparse, random_array
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderRegressor,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
    metrics,
)
from skae.core.csr_rows import CSRRows
from skae.core.entry_rows import EntryRows
from skae.inspection import activations, feature_contribution

CONTAINERS = [csr_matrix, csr_array, csc_array, coo_matrix]
# Methods of a row each.
METHODS = [
    "transform",
    "reconstruct",
    "reconstruction_error",
    "score_samples",
    "elbo",
    "encode_distribution",
    "predict",
    "predict_proba",
    "decision_function",
    "hash",
    "jacobian",
    "singular_values",
    "sparse_code",
    "denoise",
    "impute",
]
# Of all estimators but this one, which says so.
TAKE_SPARSE = [cls for cls in ESTIMATORS if cls is not AutoencoderImputer]


def sparse_table(n_rows: int = 200, n_columns: int = 24) -> NDArray[np.float64]:
    """Return rows on a curved surface, most of whose entries are 0.

    One feature is far from 0 and has no zeros; some rows are equal, and one is empty.
    """
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, np.pi, (n_rows, 2))
    waves = np.cos(np.linspace(1, 4, n_columns) * angles[:, :1] + 2 * angles[:, 1:])
    X = np.where(waves > 0.4, waves, 0.0)
    X[5] = 0
    X[:, 0] += 20
    X[10:14] = X[:4]
    return X


def dense(result: object) -> NDArray[np.float64]:
    """Return what a method returned as one array."""
    if isinstance(result, tuple):
        return np.concatenate([dense(part) for part in result], axis=None)
    return np.asarray(result.toarray() if issparse(result) else result, dtype=np.float64)


def assert_alike(one: object, other: object, tolerance: float = 1e-4) -> None:
    """Assert that two results agree, relative to the largest number."""
    one, other = dense(one), dense(other)
    assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


def fit_both(
    estimator: BaseEstimator, X: NDArray[np.float64], container: type = csr_matrix
) -> tuple[BaseEstimator, BaseEstimator]:
    """Return the estimator fitted to sparse and to dense X, with labels for a head."""
    y = (X[:, 1] > X[:, 1].mean()).astype(int)
    return clone(estimator).fit(container(X), y), clone(estimator).fit(X, y)


@pytest.mark.parametrize("cls", TAKE_SPARSE, ids=lambda cls: cls.__name__)
def test_every_method_is_that_of_dense_x(cls):
    X = sparse_table()
    sparse_fit, dense_fit = fit_both(make_fast(cls), X)
    np.testing.assert_allclose(sparse_fit.loss_curve_, dense_fit.loss_curve_, rtol=1e-4)
    for name in filter(lambda name: hasattr(dense_fit, name), METHODS):
        expected = getattr(dense_fit, name)(X)
        assert_alike(getattr(sparse_fit, name)(csr_matrix(X)), expected)
        assert_alike(getattr(dense_fit, name)(csr_array(X)), expected, 1e-12)
    y = np.arange(len(X)) % 2
    assert sparse_fit.score(csr_matrix(X), y) == pytest.approx(dense_fit.score(X, y), rel=1e-4)


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_format_gives_the_same_fit(container):
    X = sparse_table().astype(np.float32)
    fitted = make_fast(Autoencoder, 4).fit(container(X))
    code = fitted.transform(container(X))
    assert code.dtype == np.float32
    # Of sparse rows, PCA is in float64, so the start is that of dense rows in float64.
    assert_alike(code, make_fast(Autoencoder, 4).fit(X.astype(np.float64)).transform(X))


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "log_loss", "poisson", "multinomial"])
def test_every_loss(loss):
    X = sparse_table()
    X = np.floor(4 * X) if loss in ("poisson", "multinomial") else X / X.max()
    sparse_fit, dense_fit = fit_both(make_fast(Autoencoder, 4, loss=loss), X)
    assert sparse_fit.selected_ == dense_fit.selected_
    assert_alike(sparse_fit.transform(csr_array(X)), dense_fit.transform(X))


@pytest.mark.parametrize(
    "estimator",
    [
        Autoencoder(0.9, random_state=0, max_iter=3),
        Autoencoder(4, shortcut=None, random_state=0, max_iter=3),
        Autoencoder(4, code_activation="relu", random_state=0, max_iter=3),
        Autoencoder(4, early_stopping=False, random_state=0, max_iter=3),
        Autoencoder(4, solver="lbfgs", random_state=0, max_iter=1),
        SparseAutoencoder(6, shortcut="pca", random_state=0, max_iter=3),
        SparseAutoencoder(6, shortcut="pca", tied_weights=True, random_state=0, max_iter=3),
        SparseAutoencoder(6, penalty="topk", shortcut="pca", n_active=3, max_iter=3),
        SparseAutoencoder(6, penalty="kl", sparse_output=True, random_state=0, max_iter=3),
        DenoisingAutoencoder(4, noise="salt_and_pepper", random_state=0, max_iter=3),
        DenoisingAutoencoder(4, noise="gaussian", random_state=0, max_iter=3),
        StackedAutoencoder(4, pretraining="rbm", random_state=0, max_iter=3, pretraining_iter=2),
        StackedAutoencoder(
            4, pretraining="contractive", random_state=0, max_iter=3, pretraining_iter=2
        ),
    ],
    ids=str,
)
def test_other_parameters(estimator):
    estimator = clone(estimator).set_params(hidden_layer_sizes=(16,), random_state=0)
    X = sparse_table()
    sparse_fit, dense_fit = fit_both(estimator, X)
    assert sparse_fit.n_components_ == dense_fit.n_components_
    assert_alike(sparse_fit.transform(csr_array(X)), dense_fit.transform(X))


@pytest.mark.parametrize("pretraining", ["rbm", "denoising"])
def test_pretraining_on_probabilities(pretraining):
    X = sparse_table() / 21
    options = {"loss": "log_loss", "pretraining": pretraining, "pretraining_iter": 2}
    stacked = make_fast(StackedAutoencoder, 4, **options)
    sparse_fit, dense_fit = fit_both(stacked, X)
    assert_alike(sparse_fit.transform(csr_array(X)), dense_fit.transform(X))


def test_bernoulli_likelihood():
    X = (sparse_table() > 0.5).astype(float)
    sparse_fit, dense_fit = fit_both(make_fast(VariationalAutoencoder, likelihood="bernoulli"), X)
    assert sparse_fit.score(csr_array(X)) == pytest.approx(dense_fit.score(X), rel=1e-6)


@pytest.mark.parametrize("cls", AUTOENCODERS, ids=lambda cls: cls.__name__)
def test_partial_fit(cls):
    X = sparse_table()
    sparse_fit, dense_fit = make_fast(cls, 4), make_fast(cls, 4)
    for part in np.array_split(X, 5):
        sparse_fit.partial_fit(csr_array(part))
        dense_fit.partial_fit(part)
    assert_alike(sparse_fit.transform(csr_array(X)), dense_fit.transform(X))


def test_warm_start_goes_on_with_new_rows():
    X = sparse_table()
    models = [make_fast(Autoencoder, 4, warm_start=True, max_iter=20) for _ in range(2)]
    for rows in (slice(0, 150), slice(50, 200)):
        for model, container in zip(models, (csr_array, np.asarray), strict=True):
            model.fit(container(X[rows]))
    assert models[0].n_iter_ == models[1].n_iter_
    assert_alike(models[0].transform(csr_array(X)), models[1].transform(X))


def test_draws_around_sparse_rows():
    X = sparse_table()
    sparse_fit, dense_fit = fit_both(make_fast(Autoencoder, 4), X)
    drawn = sparse_fit.sample(5, X=csr_array(X), random_state=0)
    assert_alike(drawn, dense_fit.sample(5, X=X, random_state=0))
    # So few entries are masked that those of some columns never are.
    rare = make_fast(DenoisingAutoencoder, 4, noise_level=1e-4)
    sparse_fit, dense_fit = fit_both(rare, X)
    assert_alike(sparse_fit.sample(5, random_state=0), dense_fit.sample(5, random_state=0))


def test_the_score_function():
    X = sparse_table()
    sparse_fit, dense_fit = fit_both(make_fast(DenoisingAutoencoder, 4, noise="gaussian"), X)
    result = sparse_fit.score_function(csr_matrix(X))
    assert type(result) is np.ndarray
    assert_alike(result, dense_fit.score_function(X))


@pytest.mark.parametrize("options", [{"freeze": True}, {"freeze": 1, "early_stopping": True}])
def test_few_labels_and_weights(options):
    X = sparse_table()
    y = (X[:, 1] > X[:, 1].mean()).astype(int)
    y[::3] = -1
    weights = np.arange(len(X)) % 3
    classifier = make_fast(AutoencoderClassifier, **options)
    sparse_fit = clone(classifier).fit(csr_array(X), y, sample_weight=weights)
    dense_fit = clone(classifier).fit(X, y, sample_weight=weights)
    assert_alike(sparse_fit.predict_proba(csr_array(X)), dense_fit.predict_proba(X))


def test_a_fitted_autoencoder_in_a_classifier():
    X = csr_array(sparse_table())
    autoencoder = make_fast(Autoencoder, 4).fit(X)
    classifier = AutoencoderClassifier(autoencoder, prefit=True, max_iter=2, random_state=0)
    classifier.fit(X, np.arange(X.shape[0]) % 2)
    assert classifier.predict(X[:5]).shape == (5,)
    regressor = make_fast(AutoencoderRegressor).fit(X[[0, 0, 0]], [1.0, 1.0, 1.0])
    assert regressor.predict(X[:2]) == pytest.approx([1.0, 1.0])


def test_the_imputer_refuses_sparse_x():
    with pytest.raises(TypeError, match="zeros of sparse X are values"):
        AutoencoderImputer().fit(csr_array(sparse_table()))


def test_constant_sparse_x():
    X = csr_array(np.tile([0.0, 0.1, 3.0], (30, 1)))
    fitted = make_fast(Autoencoder, 2).fit(X)
    assert fitted.score(X) == 1.0
    np.testing.assert_allclose(fitted.reconstruct(X), X.toarray())


def test_missing_entries_of_sparse_x_are_refused():
    X = csr_array(sparse_table())
    X.data[3] = np.nan
    with pytest.raises(ValueError, match=r"sparse and contains NaN.*missing entries in dense X"):
        make_fast(DenoisingAutoencoder).fit(X)
    with pytest.raises(ValueError, match=r"Input X contains NaN.*Use DenoisingAutoencoder"):
        make_fast(Autoencoder).fit(X)


def test_a_subclass_may_need_dense_x():
    class NeedsDense(Autoencoder):
        _allows_sparse = False

    assert not NeedsDense().__sklearn_tags__().input_tags.sparse
    with pytest.raises(TypeError, match="Sparse data was passed to NeedsDense, which takes dense"):
        NeedsDense().fit(csr_array(sparse_table()))


def test_sparse_images_are_rows():
    X = sparse_table(200, 64)
    options = {"image_shape": (1, 8, 8)}
    sparse_fit, dense_fit = fit_both(make_fast(ConvolutionalAutoencoder, 4, **options), X)
    assert_alike(sparse_fit.transform(csr_array(X)), dense_fit.transform(X))


def bumps(n_rows: int = 1200, n_columns: int = 1100) -> NDArray[np.float64]:
    """Return rows with a bump each, a fortieth of whose entries are not 0."""
    places, heights = np.random.default_rng(0).uniform(size=(2, n_rows, 1))
    columns = np.linspace(0, 1, n_columns)
    X = np.exp(-np.square((places - columns) / 0.012)) * (1 + heights * np.cos(9 * columns))
    X = np.where(X > 0.3, np.ceil(4 * X), 0.0)
    X[:, 0] += 20
    return X


@pytest.mark.parametrize(
    "estimator",
    [
        Autoencoder(4, max_iter=3, solver="sgd"),
        Autoencoder(4, max_iter=3, solver="sgd", hidden_layer_sizes=()),
        Autoencoder(4, max_iter=3, solver="sgd", tied_weights=True),
        HashingAutoencoder(8, max_iter=3, loss="multinomial"),
        HashingAutoencoder(8, max_iter=3),
        SparseAutoencoder(8, max_iter=3),
        VariationalAutoencoder(3, max_iter=3),
    ],
    ids=str,
)
def test_products_by_entries_train_as_dense_ones(estimator, monkeypatch):
    """For few epochs: rounding grows in training, most where AdamW divides by tiny gradients."""
    n_products = []

    def times(rows, weight):
        n_products.append(1)
        return by_entries(rows, weight)

    by_entries = EntryRows.times
    monkeypatch.setattr(EntryRows, "times", times)
    options = {} if estimator.hidden_layer_sizes == () else {"hidden_layer_sizes": (16,)}
    X = bumps()
    sparse_fit, dense_fit = fit_both(estimator.set_params(random_state=0, **options), X)
    assert n_products
    np.testing.assert_allclose(sparse_fit.loss_curve_, dense_fit.loss_curve_, rtol=1e-4)
    expected = dense_fit.validation_scores_
    np.testing.assert_allclose(sparse_fit.validation_scores_, expected, rtol=1e-4, atol=1e-4)
    assert sparse_fit.selected_ == dense_fit.selected_
    assert_alike(sparse_fit.reconstruct(csr_array(X)), dense_fit.reconstruct(X), 1e-3)


def test_wide_sparse_x_is_never_made_dense(monkeypatch):
    largest = []

    def record(method):
        def recorded(*arguments):
            result = method(*arguments)
            largest.append(int(np.prod(result.shape)))
            return result

        return recorded

    monkeypatch.setattr(CSRRows, "__getitem__", record(CSRRows.__getitem__))
    monkeypatch.setattr(csr_array, "toarray", record(csr_array.toarray))
    monkeypatch.setattr(csc_array, "toarray", record(csc_array.toarray))
    shape = 4000, 5000
    X = csr_array(random_array(shape, density=1e-3, rng=0, dtype=np.float32))
    y = np.arange(shape[0]) / shape[0]
    autoencoder = make_fast(Autoencoder, hidden_layer_sizes=(), max_iter=1)
    fitted = AutoencoderRegressor(autoencoder, max_iter=1, random_state=0).fit(X, y)
    fitted.score(X, y)
    fitted.autoencoder_.score(X)
    assert max(largest) < np.prod(shape) / 4


@pytest.mark.parametrize(
    "score",
    [
        metrics.reconstruction_score,
        metrics.masked_imputation_score,
        partial(metrics.denoising_score, noise="gaussian"),
        partial(metrics.denoising_score, noise="salt_and_pepper"),
        metrics.trustworthiness_score,
        metrics.prior_match_score,
        metrics.interpolation_score,
        metrics.separability_score,
    ],
    ids=lambda score: getattr(score, "__name__", str(getattr(score, "keywords", ""))),
)
def test_scorers(score):
    X, y = sparse_table(), np.arange(200) % 2
    fitted = make_fast(Autoencoder, 4).fit(X)
    assert score(fitted, csr_array(X), y) == pytest.approx(score(fitted, X, y), rel=1e-6)


def test_a_search_over_a_pipeline():
    X = csr_array(sparse_table())
    pipeline = make_pipeline(MaxAbsScaler(), make_fast(Autoencoder))
    grid = {"autoencoder__n_components": [2, 4]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring=metrics.reconstruction_score)
    assert search.fit(X).best_params_ == {"autoencoder__n_components": 4}


def test_inspection_takes_sparse_rows():
    X = sparse_table()
    fitted = make_fast(Autoencoder, 4).fit(X)
    shares = feature_contribution(fitted, csr_array(X))
    assert_alike(shares, feature_contribution(fitted, X), 1e-9)
    assert_alike(activations(fitted, csr_array(X)), activations(fitted, X), 1e-12)


def test_variances_of_a_denoiser_are_those_of_dense_x():
    """Its rows may have missing entries, which sparse rows do not have."""
    X = np.random.default_rng(0).poisson(0.4, size=(60, 12)).astype(float)
    dense, sparse = (
        DenoisingAutoencoder(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(rows)
        for rows in (X, csr_array(X))
    )
    np.testing.assert_allclose(sparse.explained_variance_, dense.explained_variance_, rtol=1e-4)
    total = X.var(axis=0, ddof=1).sum() * dense.explained_variance_ratio_
    np.testing.assert_allclose(dense.explained_variance_, total, rtol=1e-5)

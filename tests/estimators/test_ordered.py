"""The ordered autoencoder: every prefix of the code is a code."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from instances import AUTOENCODERS
from scipy.sparse import csr_array, issparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from skae import OrderedAutoencoder
from skae.core.networks.ordered import prefix_sizes
from skae.core.triangular import triangular_map

N_COMPONENTS = 12


@pytest.fixture(scope="module")
def digits():
    X = load_digits().data
    order = np.random.default_rng(0).permutation(len(X))
    return X[order[:1300]], X[order[1300:]]


@pytest.fixture(scope="module")
def fitted(digits):
    return OrderedAutoencoder(N_COMPONENTS, max_iter=40, random_state=0).fit(digits[0])


def error(X, reconstruction):
    return float(np.square(X - reconstruction).sum())


def clone_with(autoencoder, **params):
    return copy.copy(autoencoder).set_params(**params)


def test_the_error_is_below_that_of_pca_at_every_size(digits, fitted):
    train, test = digits
    code, pca = fitted.transform(test), PCA(N_COMPONENTS).fit(train)
    scores = pca.transform(test)
    for k in range(1, N_COMPONENTS + 1):
        pca_error = error(test, scores[:, :k] @ pca.components_[:k] + pca.mean_)
        assert error(test, fitted.inverse_transform(code[:, :k])) < 0.95 * pca_error
    assert fitted.selected_ == "network"


def test_the_ratios_add_up_to_the_r2_of_each_prefix(digits, fitted):
    train = digits[0]
    code, total = fitted.transform(train), error(train, train.mean(0))
    r2 = [
        1 - error(train, fitted.inverse_transform(code[:, :k])) / total
        for k in range(1, N_COMPONENTS + 1)
    ]
    np.testing.assert_allclose(fitted.explained_variance_ratio_.cumsum(), r2, atol=1e-6)
    variances = fitted.explained_variance_ratio_.clip(0) * train.var(0, ddof=1).sum()
    np.testing.assert_allclose(fitted.explained_variance_, variances, rtol=1e-5, atol=1e-3)


def test_the_columns_are_centred_and_uncorrelated(digits, fitted):
    code = fitted.transform(digits[0])
    correlations = np.corrcoef(code.T) - np.eye(N_COMPONENTS)
    assert abs(code.mean(0)).max() < 1e-5 * code.std()
    assert abs(correlations).max() < 1e-5


def test_components_are_the_best_linear_map_from_any_prefix(digits, fitted):
    train = digits[0]
    code = fitted.transform(train)
    for k in (1, 5, N_COMPONENTS):
        best = np.linalg.lstsq(code[:, :k], train - train.mean(0), rcond=None)[0]
        np.testing.assert_allclose(fitted.components_[:k], best, atol=1e-5)


def objective(autoencoder, X, code):
    """Return the loss of each row that refinement lowers, from the reconstructions alone."""
    network = autoencoder._model.network
    sizes = [*network.prefix_weights, (network.sizes[-1], 1.0)]
    return sum(
        weight * np.square(X - autoencoder.inverse_transform(code[:, :size])).sum(1)
        for size, weight in sizes
    )


def test_refinement_lowers_the_sum_over_sizes_of_every_row(digits, fitted):
    test = digits[1]
    encoded = clone_with(fitted, transform_max_iter=0).transform(test)
    refined, further = fitted.transform(test), clone_with(fitted, transform_max_iter=100)
    before, after = objective(fitted, test, encoded), objective(fitted, test, refined)
    assert (after <= before * (1 + 1e-6)).all()
    assert after.mean() < 0.95 * before.mean()
    assert after.mean() < 1.02 * objective(fitted, test, further.transform(test)).mean()


def test_refined_distances_are_those_of_every_prefix_with_their_gradient(fitted):
    network = fitted._model.network_in(torch.float64)
    random = torch.Generator().manual_seed(0)
    code = torch.randn(7, N_COMPONENTS, generator=random, dtype=torch.float64)
    target = torch.randn(7, 64, generator=random, dtype=torch.float64)
    losses, gradient = network.distances_to(target)(code, slice(None))
    point = code.clone().requires_grad_()
    shares = network.pca_losses / network.pca_losses[-1]
    weights = torch.where(torch.arange(len(shares)) < len(shares) - 1, 1 / (32 * shares), 1.0)
    expected = sum(
        0.5 * weight * (network.decode(point[:, :size]) - target).square().sum(1)
        for weight, size in zip(weights, network.sizes, strict=True)
    )
    torch.testing.assert_close(losses, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), point)[0])


@pytest.mark.parametrize("k", [1, 3, 6, 11])
def test_truncated_refines_for_its_own_columns(digits, fitted, k):
    test = digits[1]
    small, code = fitted.truncated(k), fitted.transform(test)[:, :k]
    assert error(test, small.reconstruct(test)) < error(test, fitted.inverse_transform(code))
    more = clone_with(small, transform_max_iter=100)
    assert error(test, small.reconstruct(test)) < 1.02 * error(test, more.reconstruct(test))
    encoder = clone_with(fitted, transform_max_iter=0)
    np.testing.assert_allclose(
        encoder.truncated(k).transform(test), encoder.transform(test)[:, :k], atol=1e-5
    )


@pytest.mark.parametrize("k", [1, 5, 8, N_COMPONENTS])
def test_truncated_is_a_fit_of_the_first_columns(digits, fitted, k):
    test = digits[1]
    small, code = fitted.truncated(k), fitted.transform(test)
    assert small.n_components == small.n_components_ == k
    assert small.get_params()["max_iter"] == fitted.max_iter
    np.testing.assert_allclose(
        small.inverse_transform(code[:, :k]), fitted.inverse_transform(code[:, :k]), atol=1e-5
    )
    stored = pickle.loads(pickle.dumps(small))
    np.testing.assert_array_equal(stored.transform(test), small.transform(test))
    if k < N_COMPONENTS:
        assert len(pickle.dumps(small)) < 0.9 * len(pickle.dumps(fitted))
    for b in range(1, k + 1):
        reconstruction = fitted.inverse_transform(code[:, :b])
        np.testing.assert_allclose(small.inverse_transform(code[:, :b]), reconstruction, atol=1e-5)
        same = small.truncated(b).inverse_transform(code[:, :b])
        np.testing.assert_allclose(same, reconstruction, atol=1e-5)
    if k == N_COMPONENTS:
        np.testing.assert_allclose(small.transform(test), code, atol=1e-4)
    assert small.components_.shape == (k, test.shape[1])
    assert list(small.get_feature_names_out()) == [f"orderedautoencoder{i}" for i in range(k)]


def test_a_pickle_decodes_every_prefix(digits, fitted):
    stored, code = pickle.loads(pickle.dumps(fitted)), fitted.transform(digits[1])
    for k in range(1, N_COMPONENTS + 1):
        np.testing.assert_array_equal(
            stored.inverse_transform(code[:, :k]), fitted.inverse_transform(code[:, :k])
        )


def test_pca_is_kept_at_every_size_where_rows_are_linear():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 4)) @ random.normal(size=(4, 10)) + random.normal(size=(300, 10))
    autoencoder = OrderedAutoencoder(4, random_state=0).fit(X)
    assert autoencoder.selected_ == "pca"
    pca = PCA(4).fit(X)
    np.testing.assert_allclose(autoencoder.transform(X), pca.transform(X), atol=1e-5)
    for k in range(1, 5):
        linear = pca.transform(X)[:, :k] @ pca.components_[:k] + pca.mean_
        code = autoencoder.transform(X)[:, :k]
        np.testing.assert_allclose(autoencoder.inverse_transform(code), linear, atol=1e-5)
        np.testing.assert_allclose(
            autoencoder.truncated(k).inverse_transform(code), linear, atol=1e-5
        )
    np.testing.assert_allclose(
        autoencoder.explained_variance_ratio_, pca.explained_variance_ratio_, atol=1e-6
    )
    np.testing.assert_allclose(autoencoder.singular_values_, pca.singular_values_, rtol=1e-5)


def test_truncated_goes_on_training_and_is_exact_where_the_fit_is():
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 3)) @ random.normal(size=(3, 8))
    exact = OrderedAutoencoder(3, random_state=0).fit(X)
    np.testing.assert_allclose(exact.truncated(np.int64(3)).reconstruct(X), X, atol=1e-13)
    small = OrderedAutoencoder(5, max_iter=3, random_state=0).fit(X).truncated(2)
    before = small.score(X)
    for _ in range(5):
        small.partial_fit(X)
    assert small.score(X) > before - 0.05
    assert small.transform(X).shape == (60, 2)


def test_constant_rows_explain_nothing():
    autoencoder = OrderedAutoencoder(3, random_state=0).fit(np.ones((30, 5)))
    np.testing.assert_array_equal(autoencoder.explained_variance_ratio_, np.zeros(3))


def test_a_wrong_number_of_columns_is_named(digits, fitted):
    with pytest.raises(ValueError, match="n_components=13 is more than the 12 columns"):
        fitted.truncated(13)
    with pytest.raises(ValueError, match="n_components=0 must be an int of 1 or more"):
        fitted.truncated(0)
    with pytest.raises(ValueError, match="The code has 13 columns"):
        fitted.inverse_transform(np.zeros((2, 13)))


@pytest.mark.parametrize("n_components", [1, 2, 3, 16, 100])
def test_each_prefix_has_a_decoder_of_at_most_one_and_a_half_times_its_size(n_components):
    sizes = [*prefix_sizes(n_components), n_components]
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 1
    for size, following in pairwise(sizes):
        assert following <= 1.5 * size + 1


def test_the_triangular_map_decorrelates_and_scales():
    random = torch.Generator().manual_seed(0)
    codes = torch.randn(200, 5, generator=random, dtype=torch.float64).cumsum(1) + 3
    codes[:, 3] = codes[:, 1] - codes[:, 0]  # a column that the ones before it determine
    jacobian = torch.randn(9, 5, generator=random, dtype=torch.float64)
    forward, inverse, mean = triangular_map(codes, jacobian.T @ jacobian)
    mapped = (codes - mean) @ forward
    assert torch.equal(forward.triu(), forward)
    torch.testing.assert_close(forward @ inverse, torch.eye(5, dtype=torch.float64))
    covariance = mapped.T @ mapped
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), atol=1e-9, rtol=0)
    norms = (jacobian @ inverse.T).square().sum(0)
    torch.testing.assert_close(norms, torch.ones_like(norms))


# -- as many columns as PCA ----------------------------------------------------------------------


def short(n_components=None, **parameters):
    settings = {"max_iter": 3, "random_state": 0} | parameters
    return OrderedAutoencoder(n_components, **settings)


def standardised_wine():
    return scale(load_wine().data)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "X",
    [
        pytest.param(standardised_wine(), id="tall"),
        pytest.param(standardised_wine().astype(np.float32), id="float32"),
        pytest.param(load_digits().data[:30], id="wide, with constant columns"),
        pytest.param(np.c_[load_iris().data, np.ones(150)], id="a constant column"),
        pytest.param(load_iris().data[:, :1], id="one column"),
        pytest.param(load_iris().data[:6], id="few rows"),
        pytest.param(csr_array(load_digits().data[:100]), id="sparse"),
        pytest.param(csr_array(load_digits().data[:30]), id="sparse and wide"),
    ],
)
def test_none_keeps_as_many_columns_as_pca(X):
    dense = X.toarray() if issparse(X) else X
    pca = PCA(svd_solver="full").fit(dense)
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        autoencoder = short(learning_rate_init=1e-9).fit(X)
        code = autoencoder.transform(X)
    assert autoencoder.n_components is None
    assert autoencoder.n_components_ == code.shape[1] == pca.n_components_ == min(X.shape)
    assert autoencoder.selected_ == "pca"
    shares = autoencoder.explained_variance_ratio_
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_, atol=1e-6)
    assert autoencoder.noise_variance_ == pca.noise_variance_ == 0
    expected = pca.transform(dense)
    varies = pca.explained_variance_ratio_ > 1e-6
    np.testing.assert_allclose(code[:, varies], expected[:, varies], atol=1e-4)
    k = min(2, code.shape[1])
    small = autoencoder.truncated(k)
    assert small.n_components == k
    np.testing.assert_allclose(small.transform(X), expected[:, :k], atol=1e-4)
    noise = PCA(k, svd_solver="full").fit(dense).noise_variance_
    np.testing.assert_allclose(small.noise_variance_, noise, rtol=1e-3, atol=1e-6)
    again = pickle.loads(pickle.dumps(autoencoder))
    np.testing.assert_array_equal(again.transform(X), code)
    assert again.partial_fit(X).transform(X).shape == code.shape
    assert clone(autoencoder).n_components is None


def test_none_is_the_fit_of_the_smaller_of_rows_and_columns():
    X = standardised_wine()[:, :6]
    settings = {"early_stopping": False, "random_state": 0}
    one, other = short(**settings).fit(X), short(6, **settings).fit(X)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    again = short(warm_start=True, **settings).fit(X).fit(X[:100])
    assert again.n_components_ == 6
    assert again.n_iter_ == 3


def test_none_in_partial_fit_collects_a_row_for_each_column():
    X, autoencoder = load_digits().data, short()
    autoencoder.partial_fit(X[:60])
    with pytest.raises(NotFittedError, match="needs 64 rows for n_components=None"):
        autoencoder.transform(X)
    for start in (60, 120):
        autoencoder.partial_fit(X[start : start + 60])
        assert autoencoder.n_components_ == 64


def test_none_is_searched_with_numbers():
    X = standardised_wine()
    search = GridSearchCV(short(), {"n_components": [None, 2, 0.9]}, cv=2).fit(X)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_params_ == {"n_components": None}
    assert scores[0] == pytest.approx(1.0)
    assert scores[0] > scores[2] > scores[1]


def test_the_network_may_be_selected_although_pca_is_exact_with_all_columns():
    t = np.random.default_rng(0).uniform(-2, 2, size=(300, 2))
    X = np.c_[t, np.sin(2 * t), t**2, t[:, :1] * t[:, 1:]]
    settings = {"max_iter": 40, "hidden_layer_sizes": (64,)}
    autoencoder = short(**settings).fit(X)
    assert autoencoder.selected_ == "network"
    r2 = autoencoder.explained_variance_ratio_.cumsum()
    expected = PCA().fit(X).explained_variance_ratio_.cumsum()
    assert autoencoder.n_components_ == len(r2) == 7
    assert (r2[:4] > expected[:4]).all()
    assert (r2 > np.minimum(expected, 0.9999)).all()
    assert short(7, **settings).fit(X).selected_ == "pca"  # no error is below 0


@pytest.mark.parametrize("cls", [c for c in AUTOENCODERS if c is not OrderedAutoencoder])
def test_none_is_an_error_that_names_what_takes_it(cls):
    with pytest.raises(ValueError, match=r"'n_components' .* Only OrderedAutoencoder accepts None"):
        cls(None).fit(load_iris().data)

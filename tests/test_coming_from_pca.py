"""Each statement of docs/coming_from_pca.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    Autoencoder,
    OrderedAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from skae.metrics import reconstruction_score

ARRAYS = (
    "mean_",
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
)
PAGE = (Path(__file__).parents[1] / "docs" / "coming_from_pca.md").read_text()


def short(n_components=4, **parameters):
    return Autoencoder(n_components, max_iter=5, random_state=0, **parameters)


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:900]


@pytest.fixture(scope="module")
def both(digits):
    """Return PCA and a network, fitted to the same rows."""
    pca, autoencoder = PCA(4).fit(digits), short().fit(digits)
    assert autoencoder.selected_ == "network"
    return pca, autoencoder


def variance_explained(X, reconstruction):
    return 1.0 - np.square(X - reconstruction).sum() / np.square(X - X.mean(axis=0)).sum()


def test_the_page_names_all_that_pca_has(both):
    """Public attributes, methods and parameters; metadata routing is that of any estimator."""
    pca = both[0]
    public = {name for name in dir(pca) if not name.startswith("_")}
    for name in (public - {"get_metadata_routing", "fit_transform"}) | set(pca.get_params()):
        assert re.search(rf"\b{name}\b", PAGE), name


def test_the_page_names_all_that_the_results_of_a_fit_add(both):
    pca, autoencoder = both
    fitted = {name for name in vars(autoencoder) if name.endswith("_") and name[0] != "_"}
    described = {"best_loss_", "validation_ratio_interval_", "validation_improved_"}
    for name in fitted - set(vars(pca)) - described:
        assert f"`{name}`" in PAGE, name


# -- the code ------------------------------------------------------------------------------------


def test_columns_have_mean_0_and_no_correlation(both, digits):
    for model in both:
        code = model.transform(digits)
        np.testing.assert_allclose(code.mean(axis=0) / code.std(), 0, atol=1e-4)
        np.testing.assert_allclose(np.corrcoef(code.T), np.eye(4), atol=1e-3)


def test_columns_are_sorted_by_the_variance_they_explain(both):
    for model in both:
        assert (np.diff(model.explained_variance_) < 0).all()


def test_the_largest_loading_of_a_component_is_positive(both):
    for model in both:
        largest = np.abs(model.components_).argmax(axis=1)
        assert (model.components_[range(4), largest] > 0).all()


def test_a_step_of_1_moves_the_reconstruction_by_1(both, digits):
    step = 1e-3
    for model in both:
        code = model.transform(digits)
        for column in np.eye(4):
            moved = model.inverse_transform(code + step * column) - model.inverse_transform(code)
            length = np.sqrt(np.square(moved / step).sum(axis=1).mean())
            np.testing.assert_allclose(length, 1, rtol=0.05)


def test_a_smaller_code_is_a_part_of_the_larger_one_only_in_pca(both, digits):
    pca, autoencoder = both
    np.testing.assert_allclose(
        PCA(2).fit_transform(digits), pca.transform(digits)[:, :2], atol=1e-6
    )
    smaller = short(2).fit_transform(digits)
    assert np.abs(smaller - autoencoder.transform(digits)[:, :2]).max() > 1


def test_another_seed_gives_another_code_of_the_same_quality(both, digits):
    autoencoder = both[1]
    other = clone(autoencoder).set_params(random_state=1).fit(digits)
    assert np.abs(other.transform(digits) - autoencoder.transform(digits)).max() > 1
    assert abs(other.score(digits) - autoencoder.score(digits)) < 0.05
    again = clone(autoencoder).fit(digits)
    np.testing.assert_array_equal(again.transform(digits), autoencoder.transform(digits))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_that_of_x(both, digits, dtype):
    for model in both:
        assert clone(model).fit_transform(digits[:100].astype(dtype)).dtype == dtype


# -- parameters ----------------------------------------------------------------------------------


def test_more_components_than_columns_are_an_error_or_a_warning(wine):
    with pytest.raises(ValueError, match="n_components=14"):
        PCA(14).fit(wine)
    with pytest.warns(UserWarning, match="n_components=14 is above"):
        short(14).fit(wine)


def test_a_share_of_the_variance_takes_as_many_components_as_in_pca(digits):
    pca, autoencoder = PCA(0.9).fit(digits), short(0.9).fit(digits)
    assert autoencoder.n_components_ == pca.n_components_
    assert autoencoder.score(digits) > pca.explained_variance_ratio_.sum() >= 0.9


@pytest.mark.parametrize("n_components", [None, "mle"])
def test_no_number_of_components_is_missing(wine, n_components):
    PCA(n_components).fit(wine)
    with pytest.raises(ValueError, match="Only OrderedAutoencoder accepts None"):
        short(n_components).fit(wine)
    assert Autoencoder().n_components == 2


def test_none_is_for_ordered_codes(wine):
    ordered = OrderedAutoencoder(None, max_iter=2, random_state=0).fit(wine)
    assert ordered.n_components_ == PCA().fit(wine).n_components_ == min(wine.shape)
    assert ordered.truncated(2).transform(wine).shape == (len(wine), 2)
    assert ordered.inverse_transform(ordered.transform(wine)[:, :2]).shape == wine.shape


def test_a_scaler_behind_the_autoencoder_whitens(digits):
    white = make_pipeline(short(), StandardScaler()).fit_transform(digits)
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(4), atol=1e-3)


def test_missing_parameters():
    missing = set(PCA().get_params()) - set(Autoencoder().get_params())
    assert missing == {
        *("copy", "whiten", "svd_solver", "iterated_power"),
        *("n_oversamples", "power_iteration_normalizer"),
    }


def test_x_is_not_overwritten(digits):
    X = digits[:200].copy()
    short().fit_transform(X)
    np.testing.assert_array_equal(X, digits[:200])


# -- attributes ----------------------------------------------------------------------------------


def test_components_are_the_least_squares_fit_of_the_rows_to_the_codes(both, digits):
    for model in both:
        code = model.transform(digits)
        fit = np.linalg.lstsq(code, digits - model.mean_, rcond=None)[0]
        assert model.components_.shape == (4, 64)
        np.testing.assert_allclose(model.components_, fit, atol=2e-3)
    pca, autoencoder = both
    np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(4), atol=1e-6)
    assert np.abs(autoencoder.components_ @ autoencoder.components_.T - np.eye(4)).max() > 0.01


def test_explained_variance_is_a_share_of_the_total(both, digits):
    total = digits.var(axis=0, ddof=1).sum()
    for model in both:
        shares = model.explained_variance_ratio_
        reconstruction = model.inverse_transform(model.transform(digits))
        np.testing.assert_allclose(
            shares.sum(), variance_explained(digits, reconstruction), rtol=1e-5
        )
        np.testing.assert_allclose(model.explained_variance_, shares * total, rtol=1e-4)
        singular_values = np.sqrt((model.n_samples_ - 1) * model.explained_variance_)
        np.testing.assert_allclose(model.singular_values_, singular_values, rtol=1e-6)


def test_the_variance_of_a_column_is_the_explained_variance_only_in_pca(both, digits):
    pca, autoencoder = both
    variances = [model.transform(digits).var(axis=0, ddof=1) for model in both]
    np.testing.assert_allclose(variances[0], pca.explained_variance_)
    assert np.abs(variances[1] / autoencoder.explained_variance_ - 1).min() > 0.01


def test_the_same_attributes():
    frame = load_wine(as_frame=True).data
    pca, autoencoder = PCA(2).fit(frame), short(2).fit(frame)
    np.testing.assert_allclose(autoencoder.mean_, pca.mean_)
    for name in ("n_components_", "n_samples_", "n_features_in_"):
        assert getattr(autoencoder, name) == getattr(pca, name)
    np.testing.assert_array_equal(autoencoder.feature_names_in_, pca.feature_names_in_)


def test_noise_variance_is_what_is_left_per_direction(both, digits):
    for model in both:
        reconstruction = model.inverse_transform(model.transform(digits))
        left = np.square(digits - reconstruction).sum() / (len(digits) - 1)
        assert model.noise_variance_ == pytest.approx(left / (64 - 4), rel=1e-5)
    full = PCA(64).fit(digits)
    assert both[0].noise_variance_ == pytest.approx(full.explained_variance_[4:].mean())


def test_noise_variance_is_missing_where_no_direction_is_left_out(iris):
    sparse = SparseAutoencoder(16, max_iter=2, random_state=0).fit(iris)
    assert sparse.selected_ == "network"
    assert not hasattr(sparse, "noise_variance_")


def test_noise_variance_of_a_likelihood_is_that_given_the_code(digits):
    variational = VariationalAutoencoder(2, max_iter=2, random_state=0).fit(digits)
    code = variational.transform(digits[:1])
    rows = variational.sample(2000, random_state=0)
    noise = rows - variational.sample(2000, random_state=0, return_mean=True)
    assert code.shape == (1, 2)
    assert noise.var() == pytest.approx(variational.noise_variance_, rel=0.02)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attributes_have_the_dtype_of_x(both, digits, dtype):
    for model in both:
        fitted = clone(model).fit(digits.astype(dtype))
        for name in (*ARRAYS, "noise_variance_"):
            assert getattr(fitted, name).dtype == dtype, name
        assert clone(model).fit(digits.astype(int)).mean_.dtype == np.float64


def test_if_pca_was_kept_the_attributes_are_those_of_pca(iris):
    pca, autoencoder = PCA(2).fit(iris), short(2).set_params(max_iter=1).fit(iris)
    assert autoencoder.selected_ == "pca"
    for name in (*ARRAYS, "noise_variance_"):
        expected = getattr(pca, name)
        np.testing.assert_allclose(getattr(autoencoder, name), expected, rtol=1e-4, atol=1e-5)
    for name in ("get_covariance", "get_precision"):
        expected = getattr(pca, name)()
        np.testing.assert_allclose(getattr(autoencoder, name)(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(autoencoder.transform(iris), pca.transform(iris), atol=1e-5)


# -- methods -------------------------------------------------------------------------------------


def test_the_encoder_alone_is_another_code(both, digits):
    autoencoder = both[1]
    refined = autoencoder.transform(digits)
    encoder = clone(autoencoder).set_params(transform_max_iter=0).fit(digits)
    assert encoder.score(digits) < autoencoder.score(digits)
    assert np.abs(refined - encoder.transform(digits)).max() > 0.1


def test_the_code_is_a_matrix_product_only_in_pca(both, digits):
    for model, is_linear in zip(both, (True, False), strict=True):
        product = (digits - model.mean_) @ model.components_.T
        assert np.allclose(product, model.transform(digits), atol=1e-4) == is_linear


def test_components_are_the_best_linear_decoder(both, digits):
    autoencoder = both[1]
    code = autoencoder.transform(digits)
    linear = variance_explained(digits, code @ autoencoder.components_ + autoencoder.mean_)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(4, 64))
    moved = code @ (autoencoder.components_ + noise) + autoencoder.mean_
    assert variance_explained(digits, moved) < linear < autoencoder.score(digits)


def test_score_is_r2_and_that_of_pca_a_log_likelihood(both, digits):
    pca, autoencoder = both
    reconstruction = autoencoder.reconstruct(digits)
    np.testing.assert_allclose(
        autoencoder.score(digits), variance_explained(digits, reconstruction), rtol=1e-5
    )
    assert pca.score(digits) < 0
    np.testing.assert_allclose(
        reconstruction_score(pca, digits), pca.explained_variance_ratio_.sum()
    )
    variational = VariationalAutoencoder(4, max_iter=1, random_state=0).fit(digits)
    np.testing.assert_allclose(variational.score(digits), pca.score(digits), rtol=0.1)


def test_scores_of_rows_are_higher_for_typical_rows(both, digits):
    autoencoder = both[1]
    errors = np.square(digits - autoencoder.reconstruct(digits)).sum(axis=1)
    np.testing.assert_allclose(autoencoder.score_samples(digits), -errors, rtol=1e-5)
    np.testing.assert_allclose(autoencoder.reconstruction_error(digits), errors, rtol=1e-5)
    noise = np.random.default_rng(0).permuted(digits[:100], axis=1)
    for model in both:
        assert model.score_samples(noise).mean() < model.score_samples(digits).mean()


def test_a_nonlinear_network_has_no_covariance(both, digits):
    linear = clone(both[1]).set_params(hidden_layer_sizes=(), shortcut=None).fit(digits)
    tied = clone(linear).set_params(tied_weights=True).fit(digits)
    part = clone(linear).partial_fit(digits)
    for name in ("get_covariance", "get_precision"):
        has_it = [hasattr(model, name) for model in (*both, linear, tied, part)]
        assert has_it == [True, False, True, False, False]
    product = linear.get_covariance() @ linear.get_precision()
    np.testing.assert_allclose(product, np.eye(64), atol=1e-8)


def test_names_of_columns(both, digits):
    pca, autoencoder = both
    assert pca.get_feature_names_out()[0] == "pca0"
    assert autoencoder.get_feature_names_out().tolist()[:2] == ["autoencoder0", "autoencoder1"]
    table = clone(autoencoder).set_output(transform="pandas").fit_transform(digits[:100])
    assert table.columns.tolist() == autoencoder.get_feature_names_out().tolist()


def test_fit_transform_is_fit_and_transform(both, digits):
    autoencoder = both[1]
    np.testing.assert_allclose(
        clone(autoencoder).fit_transform(digits), autoencoder.transform(digits), atol=1e-6
    )


def test_partial_fit_is_not_compared_with_pca(digits):
    autoencoder = short()
    for start in range(0, 900, 300):
        autoencoder.partial_fit(digits[start : start + 300])
    assert autoencoder.selected_ == "network"
    assert autoencoder.validation_ratio_ is None


# -- from Autoencoder back to PCA ----------------------------------------------------------------


def test_reconstruct_is_the_inverse_transform_of_transform(both, digits):
    autoencoder = both[1]
    expected = autoencoder.inverse_transform(autoencoder.transform(digits))
    np.testing.assert_allclose(autoencoder.reconstruct(digits), expected)


def test_sample_draws_rows(both, digits):
    assert both[1].sample(3, X=digits, random_state=0).shape == (3, 64)


def test_sparse_x_gives_the_fit_of_dense_x(both, digits):
    autoencoder = both[1]
    sparse = clone(autoencoder).fit(csr_array(digits))
    np.testing.assert_allclose(
        sparse.score(csr_array(digits)), autoencoder.score(digits), atol=1e-3
    )


def test_a_named_scorer_of_scikit_learn_needs_predict(wine):
    search = GridSearchCV(short(2), {"n_components": [1, 2]}, cv=2)
    assert np.isfinite(search.fit(wine).cv_results_["mean_test_score"]).all()
    search.set_params(scoring="neg_mean_squared_error", refit=False)
    with pytest.warns(UserWarning, match="non-finite|Scoring failed"):
        search.fit(wine)
    assert np.isnan(search.cv_results_["mean_test_score"]).all()

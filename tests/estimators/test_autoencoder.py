"""What holds for any fit: types, seeds, invariances, layouts, methods."""

from __future__ import annotations

import pickle
import random
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from instances import make_fast
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, StackedAutoencoder


def fast(*positional, **changes) -> Autoencoder:
    return make_fast(Autoencoder, *positional, **changes)


def flushed() -> bool:
    return bool(torch.tensor(torch.finfo(torch.float32).tiny) * 0.5 == 0)


def global_state() -> list[object]:
    return [
        pickle.dumps(np.random.get_state()),  # noqa: NPY002 (the state that must not change)
        torch.get_rng_state().tolist(),
        random.getstate(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        flushed(),
        list(warnings.filters),
        np.geterr(),
    ]


# -- types and global state ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_type_in_is_data_type_out(iris, dtype):
    X = iris.astype(dtype)
    model = fast()
    assert model.fit_transform(X).dtype == dtype
    code = model.transform(X)
    assert code.dtype == dtype
    assert model.inverse_transform(code).dtype == dtype
    assert model.reconstruct(X).dtype == dtype
    assert model.reconstruction_error(X).dtype == dtype


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, np.float16, ">f8"])
def test_other_numbers_are_read_as_float64(iris, dtype):
    X = iris.astype(int).astype(dtype)
    model = fast().fit(X)
    code = model.transform(X)
    assert code.dtype == np.float64
    np.testing.assert_array_equal(code, model.transform(X.astype(np.float64)))


def test_precision_of_data_barely_changes_the_code(iris):
    model = fast().fit(iris)
    single = model.transform(iris.astype(np.float32))
    np.testing.assert_allclose(single, model.transform(iris), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"dropout": 0.3, "precision": "bfloat16"}])
def test_global_state_is_left_alone(iris, options):
    before = global_state()
    model = fast(**options).fit(iris)
    model.partial_fit(iris)
    model.inverse_transform(model.transform(iris))
    assert global_state() == before


def test_global_state_is_left_alone_by_a_fit_that_raises(iris, monkeypatch):
    def fail(*_args):
        assert flushed()  # during training
        raise RuntimeError("in a step")

    monkeypatch.setattr("skae.core.optimizers.AdamW.step", fail)
    before = global_state()
    with pytest.raises(RuntimeError, match="in a step"):
        fast(precision="bfloat16").fit(iris)
    assert global_state() == before


def test_data_is_not_changed(iris):
    X = iris.copy()
    model = fast().fit(X)
    model.score(X)
    model.partial_fit(X)
    np.testing.assert_array_equal(X, iris)


# -- seeds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [150, 600])  # cross-fitted, split
def test_same_seed_same_bits(digits, n_rows):
    X = digits[:n_rows]
    first, second = (fast(dropout=0.2).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.transform(X), second.transform(X))
    assert first.loss_curve_ == second.loss_curve_


def test_fitting_again_gives_the_same_bits(iris):
    model = fast().fit(iris)
    before = model.transform(iris)
    np.testing.assert_array_equal(model.fit(iris).transform(iris), before)


def test_seeds_matter_little_to_the_leading_columns(wine):
    """Their variances differ by more than a third; columns of equal variance have no order."""
    settings = {"max_iter": 100, "hidden_layer_sizes": (64,), "early_stopping": False}
    codes = [fast(4, **settings, random_state=seed).fit_transform(wine) for seed in (1, 2)]
    pca = PCA(2).fit_transform(wine)
    for column in range(2):
        seeds = np.corrcoef(codes[0][:, column], codes[1][:, column])[0, 1]
        assert 0.95 < seeds < 1 - 1e-9
        # Neither is PCA's.
        assert (
            max(abs(np.corrcoef(code[:, column], pca[:, column])[0, 1]) for code in codes) < 0.999
        )


@pytest.mark.parametrize("seed", [np.random.RandomState(3), None])
def test_random_state_of_any_kind(iris, seed):
    assert np.isfinite(fast(random_state=seed).fit_transform(iris)).all()


def test_transform_is_deterministic_in_spite_of_dropout(iris):
    model = fast(dropout=0.5).fit(iris)
    np.testing.assert_array_equal(model.transform(iris), model.transform(iris))
    np.testing.assert_array_equal(model.reconstruct(iris), model.reconstruct(iris))


def test_fit_transform_is_fit_then_transform(iris):
    np.testing.assert_array_equal(fast().fit_transform(iris), fast().fit(iris).transform(iris))


# -- shift, scale and rotation --------------------------------------------------------------------


def relative_error(X: np.ndarray, **options) -> float:
    model = fast(2, max_iter=15, **options).fit(X)
    return 1 - model.score(X)


@pytest.mark.parametrize("n_rows", [150, 600])
@pytest.mark.parametrize(("factor", "shift"), [(1000, 0), (1e-6, 0), (1, 50), (-3, 7)])
def test_shift_and_scale_leave_the_relative_error(digits, n_rows, factor, shift):
    X = digits[:n_rows]
    assert relative_error(X * factor + shift) == pytest.approx(relative_error(X), rel=0.02)


def test_a_power_of_two_scales_the_code_to_the_bit(digits):
    X = digits[:600]
    code = fast(2).fit_transform(X)
    np.testing.assert_array_equal(fast(2).fit_transform(8 * X), 8 * code)


def test_rotating_data_leaves_the_error_of_the_pca_start(digits, rng):
    X = digits[:600]
    rotation = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    rotated = fast(2).fit(X @ rotation)
    start = fast(2).fit(X)
    assert rotated.validation_scores_[0] == pytest.approx(start.validation_scores_[0], rel=1e-4)


# -- layouts of X -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X[::-1].copy()[::-1],
        lambda X: X[:, ::-1].copy()[:, ::-1],
        pd.DataFrame,
        lambda X: X.tolist(),
    ],
    ids=["fortran", "columns", "rows", "reversed rows", "reversed columns", "frame", "list"],
)
def test_layout_of_data_does_not_matter(iris, layout):
    expected = fast().fit(iris)
    model = fast().fit(layout(iris))
    np.testing.assert_allclose(model.transform(iris), expected.transform(iris), atol=1e-4)
    code = expected.transform(iris)
    np.testing.assert_allclose(expected.transform(layout(iris)), code, atol=1e-12)
    np.testing.assert_allclose(
        expected.inverse_transform(layout(code)), expected.reconstruct(iris), atol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_read_only_memory_map(iris, dtype, tmp_path):
    path = tmp_path / "iris"
    joblib.dump(iris.astype(dtype), path)
    X = joblib.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fast().fit(X)
        code = model.transform(X)
    np.testing.assert_array_equal(code, fast().fit(iris.astype(dtype)).transform(np.array(X)))


# -- methods ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    from sklearn.datasets import load_digits

    X = load_digits().data
    return make_fast(Autoencoder, 4).fit(X[:600]), X[:600], X[600:700]


def test_score_is_r2_about_the_training_mean(fitted):
    model, X, X_new = fitted
    expected = r2_score(X, model.reconstruct(X), multioutput="variance_weighted")
    assert model.score(X) == pytest.approx(expected)
    residual = np.square(X_new - model.reconstruct(X_new)).sum()
    by_hand = 1 - residual / np.square(X_new - X.mean(axis=0)).sum()
    assert model.score(X_new) == pytest.approx(by_hand)


def test_reconstruction_error_is_the_squared_distance(fitted):
    model, _, X = fitted
    errors = model.reconstruction_error(X)
    distances = np.linalg.norm(X - model.reconstruct(X), axis=1)
    np.testing.assert_allclose(errors, distances**2)
    entries = model.reconstruction_error(X, per_feature=True)
    assert entries.shape == X.shape
    np.testing.assert_allclose(entries.sum(axis=1), errors)


def test_score_samples_is_minus_the_error(fitted):
    model, _, X = fitted
    np.testing.assert_array_equal(model.score_samples(X), -model.reconstruction_error(X))


def test_score_samples_finds_what_is_not_a_digit(fitted, rng):
    model, _, X = fitted
    noise = rng.permuted(X, axis=1)
    assert np.median(model.score_samples(noise)) < np.quantile(model.score_samples(X), 0.05)


def test_decoding_the_code_is_the_reconstruction(fitted):
    model, _, X = fitted
    np.testing.assert_array_equal(model.inverse_transform(model.transform(X)), model.reconstruct(X))


def test_rows_are_encoded_one_by_one(fitted):
    model, _, X = fitted
    one_by_one = np.vstack([model.transform(row[None]) for row in X[:20]])
    np.testing.assert_allclose(model.transform(X)[:20], one_by_one, atol=1e-9)


def test_many_rows_are_encoded_as_few(fitted):
    model, _, X = fitted
    many = np.tile(X, (90, 1))  # more than a chunk
    np.testing.assert_allclose(model.transform(many)[-100:], model.transform(X), atol=1e-9)


def test_code_of_the_training_rows_is_canonical(fitted):
    model, X, _ = fitted
    code = model.transform(X)
    scale = code.std()
    assert abs(code.mean(axis=0)).max() < 1e-4 * scale
    assert abs(np.corrcoef(code.T) - np.eye(4)).max() < 1e-3
    assert (np.diff(code.var(axis=0)) < 0).all()
    largest = np.take_along_axis(
        model.components_, abs(model.components_).argmax(axis=1)[:, None], axis=1
    )
    assert (largest > 0).all()


def test_components_are_the_best_linear_map_from_the_code_to_the_rows(fitted):
    model, X, _ = fitted
    assert model.selected_ == "network"
    slopes = np.linalg.lstsq(model.transform(X), X - model.mean_, rcond=None)[0]
    np.testing.assert_allclose(model.components_, slopes, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"loss": "log_loss"}, {"code_activation": "relu"}])
def test_code_that_uses_stored_components_is_served(digits, options):
    """As in biplots: a row of `components_` is the covariance with the column over its variance."""
    X = digits[:600] / 16
    model = Autoencoder(4, max_iter=10, random_state=0, **options).fit(X)
    code = model.transform(X)
    centred = code - code.mean(axis=0)
    linear = np.linalg.lstsq(centred, X - X.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(model.components_, linear, atol=1e-5)


def test_variances_and_singular_values_are_those_of_pca_where_it_was_kept(digits):
    X = digits[:300]
    pca = PCA(4).fit(X)
    model = Autoencoder(4, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(X)
    assert model.selected_ == "pca"
    np.testing.assert_allclose(model.explained_variance_, pca.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(model.singular_values_, pca.singular_values_, rtol=1e-6)
    assert model.n_samples_ == pca.n_samples_


def test_explained_variance_is_the_ratio_times_the_total(fitted):
    model, X, _ = fitted
    total = X.var(axis=0, ddof=1).sum()
    expected = model.explained_variance_ratio_ * total
    np.testing.assert_allclose(model.explained_variance_, expected, rtol=1e-5)
    singular_values = np.sqrt((len(X) - 1) * expected)
    np.testing.assert_allclose(model.singular_values_, singular_values, rtol=1e-5)


def test_variances_of_huge_and_tiny_units(digits):
    X = digits[:50]
    plain, tiny, huge = (
        Autoencoder(2, max_iter=1, random_state=0).fit(X * 2.0**power) for power in (0, -300, 300)
    )
    for model, power in ((tiny, -300), (huge, 300)):
        assert model.singular_values_ == pytest.approx(plain.singular_values_ * 2.0**power)
        assert model.explained_variance_ == pytest.approx(plain.explained_variance_ * 4.0**power)


@pytest.mark.parametrize("options", [{}, {"shortcut": None}, {"tied_weights": True}])
def test_explained_variance_ratios_sum_to_the_training_score(digits, options):
    X = digits[:600]
    model = fast(4, **options).fit(X)
    assert model.explained_variance_ratio_.sum() == pytest.approx(model.score(X), abs=1e-4)


def test_feature_names(iris):
    frame = pd.DataFrame(iris, columns=["a", "b", "c", "d"])
    model = fast(3).fit(frame)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    expected = ["autoencoder0", "autoencoder1", "autoencoder2"]
    assert model.get_feature_names_out().tolist() == expected
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame[["b", "a", "c", "d"]])


def test_set_output_keeps_the_index(iris):
    frame = pd.DataFrame(iris, columns=list("abcd"), index=np.arange(150) * 2)
    pipeline = make_pipeline(StandardScaler(), fast(2)).set_output(transform="pandas")
    code = pipeline.fit_transform(frame)
    assert code.columns.tolist() == ["autoencoder0", "autoencoder1"]
    pd.testing.assert_index_equal(code.index, frame.index)


# -- training and edge cases ---------------------------------------------------------------------


def test_without_early_stopping_every_epoch_runs(digits):
    model = fast(max_iter=7, early_stopping=False, n_iter_no_change=1, tol=0.9).fit(digits[:300])
    assert model.n_iter_ == model.best_iter_ == 7
    assert model.validation_scores_ is None
    assert model.best_loss_ == model.loss_curve_[-1]


def test_early_stopping_stops(digits):
    model = fast(max_iter=50, n_iter_no_change=2, tol=0.9).fit(digits[:600])
    assert model.n_iter_ == 3


def test_a_share_of_variance_asks_for_as_many_components_as_pca_has(digits):
    X = digits[:300]
    models = [make_fast(StackedAutoencoder, 0.9, random_state=seed) for seed in range(5)]
    assert {model.fit(X).n_components_ for model in models} == {PCA(0.9).fit(X).n_components_}


def test_a_nan_reconstruction_has_a_nan_score(iris):
    model = fast(2).fit(iris)
    with torch.no_grad():
        model._model.network.decoder.layers[0].weight.fill_(torch.nan)
    assert np.isnan(model.score(iris))
    assert np.isnan(model.reconstruction_error(iris)).all()


@pytest.mark.parametrize("settings", [{}, {"shortcut": None}, {"tied_weights": True}], ids=str)
def test_a_feature_that_never_varied_has_no_influence(digits, settings):
    """As under PCA; 0.1 has no exact mean."""
    X = np.column_stack([digits, np.full(len(digits), 0.1)])
    model = Autoencoder(4, hidden_layer_sizes=(16,), max_iter=5, random_state=0, **settings).fit(X)
    changed = X.copy()
    changed[:, -1] = 100.0
    assert np.array_equal(model.transform(changed), model.transform(X))


def test_a_training_of_one_step_changes_the_reconstruction(iris):
    model = Autoencoder(2, max_iter=1, batch_size=150, early_stopping=False, random_state=0)
    pca = PCA(2).fit(iris)
    change = model.fit(iris).reconstruct(iris) - pca.inverse_transform(pca.transform(iris))
    assert np.abs(change).max() > 1e-3

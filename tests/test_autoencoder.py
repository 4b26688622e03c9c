"""What holds for any fit: types, seeds, units, memory, methods."""

from __future__ import annotations

import copy
import pickle
import random
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from instances import make_fast
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
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
        assert flushed()  # in the midst of training
        raise RuntimeError("in a step")

    monkeypatch.setattr("skae._core.solvers.AdamW.step", fail)
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
    """Their variances differ by more than a third; columns of one variance have no order."""
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


# -- units --------------------------------------------------------------------------------------


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


def test_turning_data_leaves_the_error_of_the_start(digits, rng):
    X = digits[:600]
    rotation = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    turned = fast(2).fit(X @ rotation)
    start = fast(2).fit(X)
    assert turned.validation_scores_[0] == pytest.approx(start.validation_scores_[0], rel=1e-4)


# -- memory -------------------------------------------------------------------------------------


def n_weights(model: Autoencoder) -> int:
    parameters = model._model.network.named_parameters()
    return sum(p.numel() for name, p in parameters if name.endswith("weight"))


def test_tied_weights_are_one_tensor_and_half_as_many(digits):
    tied, untied = (fast(4, tied_weights=t).fit(digits[:600]) for t in (True, False))
    network = tied._model.network
    for encoding, decoding in zip(
        network.encoder.layers, reversed(network.decoder.layers), strict=True
    ):
        assert encoding.weight.data_ptr() == decoding.weight.data_ptr()
    assert 2 * n_weights(tied) == n_weights(untied)


@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("n_rows", [400, 1797])
def test_pickle_is_small_and_exact(digits, n_rows, tied_weights):
    X = digits[:n_rows]
    model = fast(4, tied_weights=tied_weights).fit(X)
    before = model.transform(X)
    data = pickle.dumps(model)
    # Weights in float32, linear paths and means in float64, some names and histories.
    n_parameters = sum(p.numel() for p in model._model.network.parameters())
    assert len(data) < 4 * n_parameters + 64 * 4 * 8 * 6 + 20_000
    assert len(data) < X.nbytes / 2
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.transform(X), before)
    np.testing.assert_array_equal(again.reconstruct(X), model.reconstruct(X))


def test_pickle_after_partial_fit_is_small_and_goes_on(digits):
    model = fast(4).partial_fit(digits)
    again = pickle.loads(pickle.dumps(model))
    assert len(pickle.dumps(model)) < digits.nbytes / 10
    assert again.partial_fit(digits).n_iter_ == 2


def test_deep_copy_is_independent(iris):
    model = fast().fit(iris)
    before = model.transform(iris)
    copied = copy.deepcopy(model)
    np.testing.assert_array_equal(copied.transform(iris), before)
    copied.set_params(random_state=1).fit(iris[::-1].copy())
    np.testing.assert_array_equal(model.transform(iris), before)


def test_clone_is_unfitted_with_the_same_parameters(iris):
    model = fast(3, dropout=0.1).fit(iris)
    cloned = clone(model)
    assert cloned.get_params() == model.get_params()
    assert not hasattr(cloned, "components_")


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


def test_rows_are_coded_one_by_one(fitted):
    model, _, X = fitted
    one_by_one = np.vstack([model.transform(row[None]) for row in X[:20]])
    np.testing.assert_allclose(model.transform(X)[:20], one_by_one, atol=1e-9)


def test_many_rows_are_coded_as_few(fitted):
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


def test_components_are_the_slopes_of_the_decoder(fitted):
    model, X, _ = fitted
    code = model.transform(X).mean(axis=0)
    steps = 1e-4 * np.eye(4)
    slopes = (model.inverse_transform(code + steps) - model.inverse_transform(code - steps)) / 2e-4
    np.testing.assert_allclose(model.components_, slopes, atol=1e-4)


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


# -- training goes on ---------------------------------------------------------------------------


def test_without_early_stopping_every_epoch_runs(digits):
    model = fast(max_iter=7, early_stopping=False, n_iter_no_change=1, tol=0.9).fit(digits[:300])
    assert model.n_iter_ == model.best_iter_ == 7
    assert model.validation_scores_ is None
    assert model.best_loss_ == model.loss_curve_[-1]


def test_early_stopping_stops(digits):
    model = fast(max_iter=50, n_iter_no_change=2, tol=0.9).fit(digits[:600])
    assert model.n_iter_ == 3


def test_warm_start_goes_on_where_the_last_fit_ended(digits):
    X = digits[:600]
    options = {
        "early_stopping": False,
        "max_iter": 3,
        "weight_decay": 0,
        "hidden_layer_sizes": (32,),
    }
    once = fast(4, **options).fit(X)
    twice = fast(4, warm_start=True, **options).fit(X)
    before = twice.score(X)
    assert before == once.score(X)
    twice.fit(X)
    assert twice.score(X) > before
    assert twice.loss_curve_[0] < once.loss_curve_[0]


def test_warm_start_with_another_shape_begins_anew(iris):
    model = fast(2, warm_start=True).fit(iris)
    model.set_params(n_components=3).fit(iris)
    np.testing.assert_array_equal(model.transform(iris), fast(3).fit(iris).transform(iris))


def test_warm_start_with_another_share_of_variance_begins_anew(digits):
    X = digits[:300]
    model = fast(0.95, warm_start=True).fit(X)
    begun_anew = fast(0.5).fit(X).n_components_
    assert begun_anew < model.n_components_
    assert model.fit(X).n_components_ > begun_anew
    assert model.set_params(n_components=0.5).fit(X).n_components_ == begun_anew


def test_a_linear_code_is_on_its_axes_after_a_warm_start_that_gained_nothing(digits):
    model = fast(6, warm_start=True, hidden_layer_sizes=(32,), learning_rate_init=1e-2)
    for part in np.array_split(digits, 3):
        model.partial_fit(part)
    model.set_params(learning_rate_init=1e-9).fit(digits)
    assert model.best_iter_ == 0
    code = model.transform(digits)
    correlation = np.corrcoef(code.T)
    assert np.abs(code.mean(axis=0) / code.std(axis=0)).max() < 1e-6
    assert np.abs(correlation - np.eye(6)).max() < 1e-6


@pytest.mark.parametrize("n_rows", [2, 9])
def test_a_warm_start_that_nobody_can_judge_changes_nothing(iris, n_rows):
    model = fast(2, warm_start=True).fit(iris)
    before = model.reconstruct(iris)
    assert model.fit(iris[:n_rows]).n_iter_ == 0
    np.testing.assert_allclose(model.reconstruct(iris), before, atol=1e-4)


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "multinomial"])
def test_a_decoder_that_ignores_its_code_reconstructs_the_mean(loss):
    X = (np.random.default_rng(0).random((40, 100)) < 0.5).astype(float)
    model = Autoencoder(2, loss=loss, shortcut=None, random_state=0).fit(X)
    assert model.best_iter_ == 0
    assert np.isfinite(model.transform(X)).all()
    np.testing.assert_allclose(model.reconstruct(X), np.tile(X.mean(axis=0), (40, 1)), rtol=1e-5)


def test_shares_are_those_of_the_mean_total_of_all_rows():
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(0.5, 20, (600, 1)) * rng.gamma(1, 1, 9)).astype(float)
    model = make_fast(StackedAutoencoder, 2, loss="multinomial", max_iter=3)
    totals = model.fit(X).reconstruct(X).sum(axis=1)
    assert len(model.validation_scores_) == 4  # some rows were held out
    np.testing.assert_allclose(totals, X.sum(axis=1).mean())


def test_a_share_of_variance_asks_for_as_many_components_as_pca_has(digits):
    X = digits[:300]
    models = [make_fast(StackedAutoencoder, 0.9, random_state=seed) for seed in range(5)]
    assert {model.fit(X).n_components_ for model in models} == {PCA(0.9).fit(X).n_components_}


def test_a_reconstruction_that_is_no_number_has_no_score(iris):
    model = fast(2).fit(iris)
    with torch.no_grad():
        model._model.network.decoder.layers[0].weight.fill_(torch.nan)
    assert np.isnan(model.score(iris))
    assert np.isnan(model.reconstruction_error(iris)).all()


def test_partial_fit_with_another_solver_begins_with_fresh_moments(digits):
    model = fast(4).partial_fit(digits)
    fresh = pickle.loads(pickle.dumps(model))  # which holds no moments
    for going_on in (model, fresh):
        going_on.set_params(solver="sgd", dropout=0.1).partial_fit(digits)
    assert going_on._model.network.encoder.dropout == 0.1
    np.testing.assert_array_equal(model.transform(digits), fresh.transform(digits))


def test_partial_fit_on_another_device_begins_with_fresh_moments(digits):
    model = fast(4).partial_fit(digits)
    fresh = pickle.loads(pickle.dumps(model))  # which holds no moments
    parameters = model._unfinished[1].parameters
    parameters.values = parameters.values.to("meta")  # as if that had been the device
    for going_on in (model, fresh):
        going_on.partial_fit(digits)
    np.testing.assert_array_equal(model.transform(digits), fresh.transform(digits))


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
@pytest.mark.parametrize("code_activation", ["logistic", "relu"])
def test_a_start_through_a_link_knows_the_mean_of_the_code(digits, loss, code_activation):
    """Codes whose mean is not 0: without an offset, this start is worse than the mean."""
    model = fast(8, loss=loss, code_activation=code_activation, max_iter=1)
    model.set_params(learning_rate_init=1e-12).fit(digits / 16)
    assert model.best_iter_ == 0
    assert model.score(digits / 16) > 0.3


@pytest.mark.parametrize(
    "change", [{"loss": "huber"}, {"hidden_layer_sizes": (3,)}, {"n_components": 3}]
)
def test_partial_fit_refuses_another_network(iris, change):
    model = fast(2).partial_fit(iris)
    with pytest.raises(ValueError, match="must stay as they were"):
        model.set_params(**change).partial_fit(iris)


def test_partial_fit_learns(digits):
    model = fast(4, hidden_layer_sizes=(32,), learning_rate_init=5e-3, max_iter=60)
    for _ in range(15):
        for rows in np.array_split(digits, 3):
            model.partial_fit(rows)
    assert model.n_iter_ == len(model.loss_curve_) == 45
    assert model.loss_curve_[-1] < 0.9 * model.loss_curve_[0]


def test_partial_fit_counts_epochs_on(digits):
    X = digits[:300]
    model = fast(max_iter=5, learning_rate_init=1e-12).fit(X)
    assert (model.n_iter_, model.best_iter_) == (5, 0)
    model.partial_fit(X).partial_fit(X)
    assert (model.n_iter_, model.best_iter_) == (7, 7)
    assert len(model.loss_curve_) == 7


def test_partial_fit_keeps_the_first_units(digits):
    model = fast(4).partial_fit(digits[:300])
    mean = model.mean_
    model.partial_fit(digits[300:310] + 5)
    np.testing.assert_array_equal(model.mean_, mean)


def test_strong_decay_in_few_steps_leaves_partial_fit_at_pca(iris):
    """A step shrinks the weights to 0 at most: it does not turn them round."""
    shuffled = np.random.default_rng(0).permutation(iris)
    model = fast(2, weight_decay=5.0, max_iter=1)
    for rows in np.array_split(np.tile(shuffled, (4, 1)), 40):
        model.partial_fit(rows)
    assert len(model.loss_curve_) == len(model.history_["reconstruction"]) == 40
    assert max(model.loss_curve_) < 1


@pytest.mark.parametrize("first", [10, 300])
def test_batches_and_decay_of_partial_fit_are_those_of_its_part(digits, first):
    model = fast(2, weight_decay=5.0, max_iter=10, batch_size=64)
    model.partial_fit(digits[:first]).partial_fit(digits[:1000])
    run = model._unfinished[1]
    assert run.settings.batch_size == 64
    n_steps = round(1000 / 64)
    assert n_steps * run.settings.learning_rate * run.solver.shrinkage == pytest.approx(5.0 / 10)


def test_partial_fit_recovers_from_a_part_that_diverged(iris):
    shuffled = np.random.default_rng(0).permutation(iris)
    model = fast(2).partial_fit(shuffled[:50])
    astray = shuffled[:50].copy()
    astray[3, 1] = 1e25
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.partial_fit(astray)
    model.partial_fit(shuffled[50:100]).partial_fit(shuffled[100:])
    assert not np.isfinite(model.loss_curve_[1])
    assert max(model.loss_curve_[2:]) < 1


def test_a_single_step_that_diverges_is_taken_back():
    """The loss of a call's only batch is that of before its step."""
    parts = np.random.RandomState(0).poisson(5.0, size=(4, 20, 10)).astype(float)
    model = Autoencoder(3, loss="poisson", solver="sgd", random_state=0)
    scores = []
    for part in parts:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.partial_fit(part)
        scores.append(model.score(parts[0]))
        assert (model.best_iter_ == model.n_iter_) == (not caught)
    assert np.isfinite(model.loss_curve_).all()
    assert min(scores) > -1e5


def test_partial_fit_begins_anew_where_describing_failed(digits, monkeypatch):
    """Not a step ahead of what `transform` knows."""
    model = fast(2).partial_fit(digits[:300])
    expected = pickle.loads(pickle.dumps(model)).partial_fit(digits[300:600])
    with monkeypatch.context() as patch:
        patch.setattr("skae._base.describe", None)
        with pytest.raises(TypeError):
            model.partial_fit(digits[300:600])
    model.partial_fit(digits[300:600])
    np.testing.assert_array_equal(model.components_, expected.components_)


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "multinomial"])
def test_a_step_along_a_column_moves_by_one_also_where_pca_stays(rng, loss):
    X = rng.poisson(np.exp(rng.normal(size=(60, 2)) @ rng.normal(size=(2, 10)))).astype(float)
    X = X / X.max() if loss == "log_loss" else X + 1
    model = fast(2, loss=loss, learning_rate_init=1e-30).fit(X)
    assert model.best_iter_ == 0
    code, h = model.transform(X), 1e-4
    for unit in np.eye(2):
        ahead, behind = (model.inverse_transform(code + s * h * unit) for s in (1, -1))
        slope = (ahead - behind) / (2 * h)
        assert np.square(slope).sum(axis=1).mean() == pytest.approx(1, rel=1e-3)
    assert np.abs(model.components_).max(axis=1) == pytest.approx(model.components_.max(axis=1))


def test_a_deep_copy_and_a_linear_path_stay_on_their_device(iris):
    """As on a GPU; "meta" is a device that every machine has."""
    model = fast().fit(iris)._model
    path = model.network.encoder.shortcut
    model.network.to("meta")
    assert copy.deepcopy(model).device.type == "meta"
    model.network.encoder.set_linear_path(path, None)
    assert model.network.encoder.shortcut.device.type == "meta"


def test_log_loss_bears_the_rounding_of_a_scaler():
    X = np.array([[0.0, 1.0 + 2e-16], [1.0, 0.0], [0.5, 0.5]] * 10)
    assert np.isfinite(fast(1, loss="log_loss").fit(X).transform(X)).all()


def test_partial_fit_takes_a_single_row_later(digits):
    model = fast(2).partial_fit(digits[:100]).partial_fit(digits[:1])
    assert np.isfinite(model.transform(digits)).all()
    assert np.isfinite(model.explained_variance_ratio_).all()


@pytest.mark.parametrize("settings", [{}, {"shortcut": None}, {"tied_weights": True}], ids=str)
def test_a_feature_that_never_varied_has_no_influence(digits, settings):
    """As under PCA; 0.1 has no exact mean."""
    X = np.column_stack([digits, np.full(len(digits), 0.1)])
    model = Autoencoder(4, hidden_layer_sizes=(16,), max_iter=5, random_state=0, **settings).fit(X)
    changed = X.copy()
    changed[:, -1] = 100.0
    assert np.array_equal(model.transform(changed), model.transform(X))


def test_warm_start_goes_on_time_after_time(iris):
    """Also from a copy and from a pickle: a copied loss is the same loss."""
    model = Autoencoder(2, random_state=0, warm_start=True, early_stopping=False, max_iter=3)
    losses = [model.fit(iris).loss_curve_[0] for _ in range(3)]
    model = pickle.loads(pickle.dumps(model))
    losses.append(model.fit(iris).loss_curve_[0])
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 4


def test_a_training_of_one_step_is_one(iris):
    model = Autoencoder(2, max_iter=1, batch_size=150, early_stopping=False, random_state=0)
    pca = PCA(2).fit(iris)
    change = model.fit(iris).reconstruct(iris) - pca.inverse_transform(pca.transform(iris))
    assert np.abs(change).max() > 1e-3

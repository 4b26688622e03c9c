"""`warm_start`: which rows judge the network that another fit left, and what a second fit gains."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from instances import make_fast
from scipy.sparse import csr_matrix, random_array

from skae import Autoencoder, HashingAutoencoder, SparseAutoencoder, VariationalAutoencoder
from skae.fitting.warm_start import hash_rows


def trained_rows(split, model):
    return set(split.training[model].tolist())


def held_out_rows(split, model):
    return set(split.held_out[model][split.mask[model]].tolist())


def generator():
    return torch.Generator().manual_seed(7)


def error(model, X):
    return float(np.square(model.reconstruct(X) - X).sum())


@pytest.fixture(scope="module")
def apart(digits):
    shuffled = np.random.default_rng(0).permutation(digits)
    return shuffled[:700], shuffled[700:]


@pytest.fixture(scope="module")
def warm(apart):
    """A fit whose final model has seen all rows; another one tells when to stop."""
    return Autoencoder(
        4, hidden_layer_sizes=(32,), max_iter=8, warm_start=True, random_state=0
    ).fit(apart[0])


def test_fit_after_fit_lowers_the_error_on_new_rows(apart):
    X, new = apart
    model = Autoencoder(4, hidden_layer_sizes=(32,), max_iter=8, warm_start=True, random_state=0)
    errors = [error(model.fit(X), new)]
    for _ in range(2):
        held_out = model.best_loss_
        errors.append(error(model.fit(X), new))
        assert model.best_iter_ > 0
        # What was the loss at the end of a fit is the loss at the start of the next one.
        assert 1 - model.validation_scores_[0] == pytest.approx(held_out, rel=1e-5)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.93 * errors[0]


def test_fit_after_fit_gains_on_few_rows(iris):
    """All rows are held out once, in folds."""
    shuffled = np.random.default_rng(0).permutation(iris)
    model = Autoencoder(1, max_iter=20, warm_start=True, random_state=0)
    errors = []
    for _ in range(3):
        model.fit(shuffled[:90])
        errors.append(error(model, shuffled[90:]))
    assert errors[-1] < 0.97 * errors[0]


@pytest.mark.parametrize(
    "model",
    [
        SparseAutoencoder(8, alpha=1e-3, learning_rate_init=1e-3),
        VariationalAutoencoder(3, learning_rate_init=6e-3),
        HashingAutoencoder(8, noise_level=1.0),
        Autoencoder(4, loss="absolute_error"),
        Autoencoder(4, shortcut=None, early_stopping=False),
    ],
    ids=lambda model: type(model).__name__,
)
def test_other_objectives_go_on_as_well(apart, model):
    model.set_params(hidden_layer_sizes=(32,), max_iter=6, warm_start=True, random_state=0)
    before = model.fit(apart[0]).best_loss_
    model.fit(apart[0])
    assert model.best_iter_ > 0
    assert model.best_loss_ < before


def test_the_first_fit_is_that_without_warm_start(apart, warm):
    cold = Autoencoder(4, hidden_layer_sizes=(32,), max_iter=8, random_state=0).fit(apart[0])
    np.testing.assert_array_equal(warm.transform(apart[1]), cold.transform(apart[1]))
    assert not hasattr(cold, "_warm_start")


def test_no_row_judges_a_model_that_has_trained_on_it(apart, warm):
    X, new = apart
    left = warm._warm_start
    assert left.models is not None
    same = left.split(X, generator())
    order = np.random.default_rng(1).permutation(len(X))
    again = left.split(X[order], generator())
    assert same.is_resumed
    assert again.is_resumed
    assert held_out_rows(same, 0) == {int(order[row]) for row in held_out_rows(again, 0)}
    # Old rows keep their place among new ones; new rows may be held out or trained on.
    grown = left.split(np.concatenate([new, X]), generator())
    assert not grown.is_resumed
    old = {row - len(new) for row in held_out_rows(grown, 0) if row >= len(new)}
    assert old == held_out_rows(same, 0)
    assert any(row < len(new) for row in held_out_rows(grown, 0))
    assert not held_out_rows(grown, 0) & trained_rows(grown, 0)
    # None of the rows that were trained on is left to judge.
    assert left.split(X[sorted(trained_rows(same, 0))], generator()) is None


def test_folds_stay_together_where_some_are_missing(iris):
    model = make_fast(Autoencoder, 1, max_iter=30, warm_start=True, transform_max_iter=0)
    left = model.fit(iris)._warm_start
    folds = left.split(iris, generator())
    assert len(folds.training) == 6
    one = sorted(held_out_rows(folds, 2))
    split = left.split(iris[one[:15] + sorted(held_out_rows(folds, 4))[:15]], generator())
    assert [len(held_out_rows(split, fold)) for fold in range(6)] == [0, 0, 15, 0, 15, 0]
    # A model without a row to train on could learn nothing.
    assert left.split(iris[one[:12]], generator()).held_out is None
    before = model.reconstruct(iris)
    assert model.fit(iris[one[:12]]).n_iter_ == 0
    np.testing.assert_allclose(model.reconstruct(iris), before, atol=1e-4)
    assert model.fit(iris).n_iter_ > 0


def test_an_untrained_start_begins_anew():
    """PCA of other rows is no better a start than PCA of these."""
    noise = np.random.default_rng(0).normal(size=(2, 80, 6))
    model = make_fast(Autoencoder, 2, warm_start=True).fit(noise[0])
    assert model.best_iter_ == 0
    model.fit(noise[1])
    expected = make_fast(Autoencoder, 2).fit(noise[1])
    np.testing.assert_array_equal(model.transform(noise[0]), expected.transform(noise[0]))


def test_a_fit_without_warm_start_leaves_no_judge_of_its_own_rows(apart):
    """The next fit begins anew on the same rows, and continues on others."""
    X, new = apart
    model = make_fast(Autoencoder, 4, hidden_layer_sizes=(32,), transform_max_iter=0).fit(X)
    trained = model.reconstruct(new)
    again = pickle.loads(pickle.dumps(model)).set_params(warm_start=True).fit(X)
    np.testing.assert_array_equal(again.reconstruct(new), trained)
    other = model.set_params(warm_start=True, learning_rate_init=1e-12).fit(new)
    np.testing.assert_allclose(other.reconstruct(new), trained, atol=1e-4)


def test_pickles_hold_neither_hashes_nor_folds(apart, warm):
    again = pickle.loads(pickle.dumps(warm))
    assert not hasattr(again, "_warm_start")
    assert len(pickle.dumps(warm)) < apart[0].nbytes / 4


def test_a_later_fit_spreads_the_weight_decay_over_all_epochs(warm):
    def decay(n_before):
        split = warm._warm_start.split(np.eye(40), generator())
        return warm._resolve_schedule(warm._model.network, split, 8, None, n_before)[1]

    assert decay(8) == pytest.approx(decay(0) / 2)
    assert decay(24) == pytest.approx(decay(0) / 4)


def test_dense_and_sparse_rows_have_the_same_hashes():
    dense = random_array((50, 12), density=0.3, rng=0).toarray()
    dense[3] = dense[4] = 0.0
    hashes = hash_rows(dense)
    np.testing.assert_array_equal(hash_rows(csr_matrix(dense)), hashes)
    np.testing.assert_array_equal(hash_rows(np.where(dense, dense, -0.0)), hashes)
    assert len(np.unique(hashes)) == 49
    # Counts differ in few bits, and columns do count.
    counts = np.random.default_rng(0).integers(0, 4, size=(3000, 12)).astype(np.float32)
    assert len(np.unique(hash_rows(counts))) == len(np.unique(counts, axis=0))


@pytest.mark.parametrize("n_distinct", [3, 8])
def test_few_distinct_rows_many_times(n_distinct):
    """Duplicates lie in several folds then, and a fold may have none of its own."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_distinct, 4))[rng.integers(n_distinct, size=40)]
    for seed in range(4):
        model = make_fast(Autoencoder, 1, shortcut=None, warm_start=True, random_state=seed)
        for _ in range(3):
            model.fit(X)
        assert np.isfinite(model.score(X))


def test_a_fit_to_other_rows_learns_them():
    """Three standard errors of a few heavy rows would keep a model that does not fit them."""

    def low_rank(n_rows: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        rates = np.exp(0.6 * rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, 20)))
        return rng.poisson(rates).astype(float)

    model = make_fast(Autoencoder, 3, warm_start=True, max_iter=8).fit(low_rank(300, 0))
    other = low_rank(400, 5)
    assert model.fit(other).score(other) > 0.8

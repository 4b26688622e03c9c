"""`partial_fit`: continued training, batches, weight decay and divergence."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from instances import make_fast
from scipy.sparse import csr_matrix
from scipy.stats import kstest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skae import (
    Autoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    VariationalAutoencoder,
)
from skae.fitting.stream import Sample, renew_start


def fast(*positional, **changes) -> Autoencoder:
    return make_fast(Autoencoder, *positional, **changes)


def test_pickle_after_partial_fit_is_small_and_can_continue(digits):
    model = fast(4).partial_fit(digits)
    again = pickle.loads(pickle.dumps(model))
    assert len(pickle.dumps(model)) < digits.nbytes / 10
    assert again.partial_fit(digits).n_iter_ == 2


def test_partial_fit_with_another_solver_starts_with_fresh_moments(digits):
    model = fast(4).partial_fit(digits)
    fresh = pickle.loads(pickle.dumps(model))  # which holds no moments
    for continued in (model, fresh):
        continued.set_params(solver="sgd", dropout=0.1).partial_fit(digits)
    assert continued._model.network.encoder.dropout == 0.1
    np.testing.assert_array_equal(model.transform(digits), fresh.transform(digits))


def test_partial_fit_on_another_device_starts_with_fresh_moments(digits):
    model = fast(4).partial_fit(digits)
    fresh = pickle.loads(pickle.dumps(model))  # which holds no moments
    parameters = model._training.state.parameters
    parameters.values = parameters.values.to("meta")  # as if it had been trained there
    for continued in (model, fresh):
        continued.partial_fit(digits)
    np.testing.assert_array_equal(model.transform(digits), fresh.transform(digits))


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


def test_partial_fit_continues_the_count_of_epochs(digits):
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
    """Decay in one step reduces the weights to 0 at most; it does not change their signs."""
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
    state = model._training.state
    assert state.settings.batch_size == 64
    n_steps = round(2000 / 64)  # as many rows of earlier calls are drawn
    decay = n_steps * state.settings.learning_rate * state.optimizer.weight_decay
    assert decay == pytest.approx(5.0 / 10)


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
    """The loss of a call's only batch is computed before its step."""
    parts = np.random.RandomState(0).poisson(5.0, size=(4, 20, 10)).astype(float)
    model = Autoencoder(3, loss="poisson", solver="sgd", batch_size=100, random_state=0)
    scores = []
    for part in parts:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.partial_fit(part)
        scores.append(model.score(parts[0]))
        assert (model.best_iter_ == model.n_iter_) == (not caught)
    assert np.isfinite(model.loss_curve_).all()
    assert min(scores) > -1e5


def test_partial_fit_discards_a_training_that_could_not_be_described(digits, monkeypatch):
    """The training is not left a step ahead of the model of `transform`."""
    model = fast(2).partial_fit(digits[:300])
    expected = pickle.loads(pickle.dumps(model)).partial_fit(digits[300:600])
    with monkeypatch.context() as patch:
        patch.setattr("skae.fitting.incremental.describe", None)
        with pytest.raises(TypeError):
            model.partial_fit(digits[300:600])
    model.partial_fit(digits[300:600])
    np.testing.assert_array_equal(model.components_, expected.components_)


def test_partial_fit_takes_a_single_row_later(digits):
    model = fast(2).partial_fit(digits[:100]).partial_fit(digits[:1])
    assert np.isfinite(model.transform(digits)).all()
    assert np.isfinite(model.explained_variance_ratio_).all()


# -- the start: units, PCA and linear skip connections --------------------------------------------


def stream(model, X, sizes):
    """Call partial_fit on parts of these sizes; the last one goes on to the end."""
    start = 0
    while start < X.shape[0]:
        size, *sizes = sizes if len(sizes) > 1 else sizes * 2
        model.partial_fit(X[start : start + size])
        start += size
    return model


@pytest.mark.parametrize(
    ("is_sorted", "sizes"), [(False, [5, 400]), (False, [8, 1789]), (True, [200]), (False, [60])]
)
def test_neither_a_small_first_part_nor_sorted_rows_make_it_worse_than_pca(is_sorted, sizes):
    X, y = load_digits(return_X_y=True)
    order = np.argsort(y, kind="stable")
    if not is_sorted:
        order = np.random.default_rng(0).permutation(len(X))
    model = stream(fast(8, hidden_layer_sizes=(32,), max_iter=50), X[order], sizes)
    pca = PCA(8).fit(X).explained_variance_ratio_.sum()
    centred = np.square(X - X.mean(axis=0)).sum()
    assert 1 - model.reconstruction_error(X).sum() / centred > pca - 0.01


@pytest.mark.parametrize(
    "model",
    [
        fast(6, loss="poisson"),
        fast(6, loss="absolute_error", tied_weights=True),
        make_fast(VariationalAutoencoder, 6),
        make_fast(DenoisingAutoencoder, 6),
        make_fast(ConvolutionalAutoencoder, 6, image_shape=(8, 8)),
    ],
    ids=lambda model: f"{type(model).__name__}-{model.loss}",
)
def test_other_estimators_renew_their_start(digits, model):
    X = np.random.default_rng(0).permutation(digits)[:500]
    if type(model).__name__ == "DenoisingAutoencoder":
        X[::7, 20] = np.nan
    few = clone(model).partial_fit(X[:10]).score(X)
    at_once = clone(model).partial_fit(X).score(X)
    later = stream(clone(model), X, [10, 245]).score(X)
    assert later > few + 0.1
    assert later > at_once - 0.05 * abs(at_once)


def test_sparse_and_dense_rows_renew_the_same_units(digits):
    X = np.random.default_rng(0).permutation(digits)[:300]
    dense, sparse = (
        stream(make_fast(HashingAutoencoder, 16), rows, [20, 140]) for rows in (X, csr_matrix(X))
    )
    np.testing.assert_allclose(sparse.mean_, dense.mean_)
    assert not np.allclose(dense.mean_, X[:20].mean(axis=0))


def test_too_few_rows_are_gathered_and_transform_says_so(digits):
    X = np.random.default_rng(0).permutation(digits)
    model = fast(8).partial_fit(X[:3])
    again = pickle.loads(pickle.dumps(model))
    for gathering in (model, again):
        with pytest.raises(NotFittedError, match=r"needs 8 rows for n_components=8.* has seen 3"):
            gathering.transform(X)
    again.partial_fit(X[3:7])
    with pytest.raises(ValueError, match="features"):
        again.partial_fit(X[:, :5])
    again.partial_fit(X[7:30])
    once = fast(8).partial_fit(X[:30])
    np.testing.assert_array_equal(again.transform(X), once.transform(X))
    assert again.n_iter_ == 1
    # No rows are left in the pickle, and a fit forgets those that were gathered.
    assert not hasattr(again, "_gathered")
    assert not hasattr(model.fit(X[:100]), "_gathered")


def test_a_share_of_the_variance_waits_for_as_many_rows_as_features(digits):
    model = fast(0.7).partial_fit(digits[:63])
    with pytest.raises(NotFittedError, match=r"needs 64 rows for n_components=0\.7"):
        model.transform(digits)
    assert model.partial_fit(digits[63:65]).n_components_ > 1


def test_a_start_on_few_rows_is_renewed_after_a_pickle(digits):
    X = np.random.default_rng(0).permutation(digits)
    model = fast(8, hidden_layer_sizes=(32,)).partial_fit(X[:10])
    model = stream(pickle.loads(pickle.dumps(model)), X, [200])
    assert len(pickle.dumps(model)) < X.nbytes / 10
    assert model.score(X) > 0.66


def test_renewed_axes_keep_their_places_and_signs(digits):
    X = np.random.default_rng(0).permutation(digits)
    for estimator in (fast(5), make_fast(VariationalAutoencoder, 5)):
        model = estimator.partial_fit(X[:300])._training.model
        before = model.network.encoder.exact_skip[0][0].clone()
        renew_start(estimator, model, X, 0)
        after = model.network.encoder.exact_skip[0][0]
        cosines = (before * after).sum(0) / before.norm(dim=0) / after.norm(dim=0)
        assert cosines.min() > 0.6
        assert not before.equal(after)


def test_units_of_a_fit_are_kept(digits):
    model = fast(4).fit(digits[:300])
    mean = model._model.mean.clone()
    stream(model, digits[300:] + 5, [800])
    assert model._model.mean.equal(mean)


def test_a_sample_is_uniform_whatever_the_order():
    rows = np.arange(6000.0)[:, None]
    sample = Sample(1, 2, seed=0)
    for part in np.split(rows, [7, 500, 501, 4000]):
        sample.add(part)
    assert sample.rows.shape == (2048, 1)
    assert len(np.unique(sample.rows)) == 2048
    assert kstest(sample.rows[:, 0] / 6000, "uniform").pvalue > 0.01

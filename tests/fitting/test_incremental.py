"""`partial_fit`: continued training, batches, weight decay and divergence."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from instances import make_fast
from sklearn.exceptions import ConvergenceWarning

from skae import Autoencoder


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
    n_steps = round(1000 / 64)
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

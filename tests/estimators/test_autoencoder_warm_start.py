"""With `warm_start`, a fit continues the previous one."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from instances import make_fast

from skae import Autoencoder


def fast(*positional, **changes) -> Autoencoder:
    return make_fast(Autoencoder, *positional, **changes)


def test_warm_start_continues_where_the_last_fit_ended(digits):
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


def test_warm_start_with_another_shape_starts_afresh(iris):
    model = fast(2, warm_start=True).fit(iris)
    model.set_params(n_components=3).fit(iris)
    np.testing.assert_array_equal(model.transform(iris), fast(3).fit(iris).transform(iris))


def test_warm_start_with_another_share_of_variance_starts_afresh(digits):
    X = digits[:300]
    model = fast(0.95, warm_start=True).fit(X)
    afresh = fast(0.5).fit(X).n_components_
    assert afresh < model.n_components_
    assert model.fit(X).n_components_ > afresh
    assert model.set_params(n_components=0.5).fit(X).n_components_ == afresh


def test_a_linear_code_is_canonical_after_a_warm_start_that_gained_nothing(digits):
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
def test_a_warm_start_without_validation_rows_changes_nothing(iris, n_rows):
    model = fast(2, warm_start=True).fit(iris)
    before = model.reconstruct(iris)
    assert model.fit(iris[:n_rows]).n_iter_ == 0
    np.testing.assert_allclose(model.reconstruct(iris), before, atol=1e-4)


def test_warm_start_continues_fit_after_fit(iris):
    """Also from a pickle: an unpickled loss equals the original."""
    model = Autoencoder(2, random_state=0, warm_start=True, early_stopping=False, max_iter=3)
    losses = [model.fit(iris).loss_curve_[0] for _ in range(3)]
    model = pickle.loads(pickle.dumps(model))
    losses.append(model.fit(iris).loss_curve_[0])
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 4

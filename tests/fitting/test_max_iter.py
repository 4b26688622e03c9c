"""The length of a fit: `max_iter="auto"`, and integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine

from skae import Autoencoder, AutoencoderClassifier, SparseAutoencoder, StackedAutoencoder

SMALL: dict[str, Any] = {"hidden_layer_sizes": (16,), "random_state": 0}


def curve(n_rows: int) -> np.ndarray:
    """Return rows on a curved surface, on which longer training pays."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(n_rows, 2))
    return np.tanh(2 * latent @ rng.normal(size=(2, 8))) + 0.02 * rng.normal(size=(n_rows, 8))


def test_auto_begins_with_the_fifty_epochs_of_max_iter_50_and_goes_on_while_they_pay():
    X = curve(600)
    small = SMALL | {"hidden_layer_sizes": (64,)}
    short, long = (Autoencoder(2, max_iter=n, **small).fit(X) for n in (50, "auto"))
    assert short.n_iter_ == 50
    assert short.best_iter_ > 40
    assert long.n_iter_ > 50
    np.testing.assert_array_equal(long.loss_curve_[:50], short.loss_curve_)
    assert max(long.validation_scores_) > max(short.validation_scores_)
    X_new = curve(900)[600:]
    assert long.reconstruction_error(X_new).sum() < short.reconstruction_error(X_new).sum()


@pytest.mark.parametrize(
    ("n_rows", "parameters", "n_epochs"),
    [
        (60, {"early_stopping": False}, 50),
        (60, {"solver": "lbfgs", "n_iter_no_change": 1000}, 50),
        (8, {"shortcut": None}, 50),
        (60, {"max_iter": 120, "early_stopping": False}, 120),
        # Integers have a single cycle.
        (600, {"max_iter": 60, "n_iter_no_change": 1000}, 60),
    ],
)
def test_the_number_of_epochs_without_cycles(n_rows, parameters, n_epochs):
    assert Autoencoder(2, **(SMALL | parameters)).fit(curve(n_rows)).n_iter_ == n_epochs


def test_a_penalty_without_held_out_rows_takes_50_epochs():
    assert SparseAutoencoder(2, **SMALL).fit(load_wine().data[:8]).n_iter_ == 50


@pytest.mark.parametrize("n_epochs", [3, 60])
def test_pretraining_takes_its_own_number_of_epochs(n_epochs):
    model = StackedAutoencoder(2, pretraining_iter=n_epochs, fine_tune=False, **SMALL)
    lengths = {len(curve) for phase in model.fit(curve(60)).phases_ for curve in phase.values()}
    assert lengths == {n_epochs}


def test_an_override_of_the_number_of_epochs_is_one_cycle():
    class Longer(Autoencoder):
        def _n_epochs(self) -> tuple[int, int]:
            return 0, 70

    assert Longer(2, n_iter_no_change=1000, **SMALL).fit(curve(600)).n_iter_ == 70


def test_classifiers_take_an_integer():
    with pytest.raises(ValueError, match="'max_iter' parameter of AutoencoderClassifier"):
        AutoencoderClassifier(max_iter="auto").fit(curve(20), np.arange(20) % 2)

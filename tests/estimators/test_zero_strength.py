"""A method whose strength is 0 is the plain autoencoder with its encoder's code, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from skae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
)

METHODS = [
    (SparseAutoencoder, {"alpha": 0.0}),
    (SparseAutoencoder, {"alpha": 0.0, "penalty": "kl", "code_activation": "logistic"}),
    (DenoisingAutoencoder, {"noise_level": 0.0}),
    (DenoisingAutoencoder, {"noise_level": 0.0, "noise": "salt_and_pepper"}),
    (ContractiveAutoencoder, {"alpha": 0.0}),
    (ContractiveAutoencoder, {"alpha": 0.0, "n_probes": 1}),
]
SETTINGS = [
    {},
    {"shortcut": None, "hidden_layer_sizes": ()},
    {"code_activation": "logistic", "loss": "huber"},
    {"code_activation": "relu", "tied_weights": True, "dropout": 0.2},
    {"early_stopping": False, "solver": "sgd"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("method", "off"), METHODS, ids=str)
def test_weight_zero_is_the_plain_autoencoder(method, off, settings, digits):
    X = digits[:300]
    plain = Autoencoder(
        5, random_state=0, **({"max_iter": 4, "hidden_layer_sizes": (16,)} | settings)
    )
    if "code_activation" in off:
        plain.set_params(code_activation="logistic")
    shared = plain.get_params()
    del shared["transform_max_iter"]
    same = method(**(shared | off))
    plain.set_params(transform_max_iter=0).fit(X)
    same.fit(X)
    assert np.array_equal(same.transform(X), plain.transform(X))
    assert np.array_equal(same.reconstruct(X), plain.reconstruct(X))
    assert same.history_ == plain.history_
    assert same.validation_scores_ == plain.validation_scores_
    assert np.array_equal(same.components_, plain.components_)

"""Fitted models in memory: tied weights, pickles, copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from instances import make_fast
from sklearn.base import clone

from skae import Autoencoder


def fast(*positional, **changes) -> Autoencoder:
    return make_fast(Autoencoder, *positional, **changes)


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
    # Weights in float32, skip connections and means in float64, some names and histories.
    n_parameters = sum(p.numel() for p in model._model.network.parameters())
    assert len(data) < 4 * n_parameters + 64 * 4 * 8 * 6 + 20_000
    assert len(data) < X.nbytes / 2
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.transform(X), before)
    np.testing.assert_array_equal(again.reconstruct(X), model.reconstruct(X))


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


def test_a_deep_copy_and_a_skip_connection_stay_on_their_device(iris):
    """As on a GPU; "meta" is a device that every machine has."""
    model = fast().fit(iris)._model
    skip = model.network.encoder.skip
    model.network.to("meta")
    assert copy.deepcopy(model).device.type == "meta"
    model.network.encoder.set_skip(skip, None)
    assert model.network.encoder.skip.device.type == "meta"

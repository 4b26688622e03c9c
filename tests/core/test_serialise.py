"""Fitted models are saved as plain values: what a check of the file sees is all that is in it."""

from __future__ import annotations

import copy
import io
import os
import pickle

import joblib
import numpy as np
import pytest
import torch
from instances import FAST_INSTANCES, make_fast
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture
from skae.core.serialise import to_plain

X, Y = load_digits(return_X_y=True)
X, Y = X[:80] / 16, Y[:80]
VARIANTS = [
    make_fast(Autoencoder, 3, tied_weights=True, dropout=0.2),
    make_fast(Autoencoder, 3, shortcut=None, loss="log_loss", code_activation="logistic"),
    make_fast(SparseAutoencoder, 20, penalty="topk", n_active=5),
    make_fast(ConvolutionalAutoencoder, image_shape=(8, 8), channels=(3, 5)),
    make_fast(VariationalAutoencoder, likelihood="bernoulli"),
    make_fast(DenoisingAutoencoder, noise="gaussian"),
    make_fast(DenoisingAutoencoder, noise="salt_and_pepper"),
    AutoencoderClassifier(
        make_fast(HashingAutoencoder, 6), hidden_layer_sizes=(7,), max_iter=3, random_state=0
    ),
]
EVERYTHING = [*FAST_INSTANCES, *VARIANTS]
HOSTILE = [VARIANTS[0], *VARIANTS[3:5], *VARIANTS[6:]]


@pytest.fixture(scope="module", params=EVERYTHING, ids=lambda e: type(e).__name__)
def fitted(request):
    return clone(request.param).fit(X, Y)


class PlainUnpickler(pickle.Unpickler):
    """Opens classes of skae, and the three names with which NumPy pickles arrays."""

    ARRAYS = (
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
    )

    def find_class(self, module, name):
        found = super().find_class(module, name)
        if (module, name) in self.ARRAYS:
            return found
        if not (isinstance(found, type) and found.__module__.startswith("skae.")):
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return found


class Hostile:
    """Makes a directory when it is unpickled."""

    directory = ""

    def __reduce__(self):
        return os.mkdir, (self.directory,)


def result(estimator, rows):
    return getattr(estimator, "predict", getattr(estimator, "transform", None))(rows)


def test_a_restricted_unpickler_opens_every_estimator(fitted):
    data = pickle.dumps(fitted)
    opened = PlainUnpickler(io.BytesIO(data)).load()
    for rows in (X, X.astype(np.float32)):
        np.testing.assert_array_equal(result(opened, rows), result(fitted, rows))
    assert pickle.dumps(opened) == data


def test_skops_sees_the_classes_of_this_package_and_nothing_else(fitted):
    skops_io = pytest.importorskip("skops.io")
    data = skops_io.dumps(fitted)
    types = skops_io.get_untrusted_types(data=data)
    assert types
    assert all(name.startswith("skae.") for name in types)
    opened = skops_io.loads(data, trusted=types)
    np.testing.assert_array_equal(result(opened, X), result(fitted, X))


def leaves(state, path=()):
    """Yield the path and the value of everything in a plain state."""
    for name, value in state.items():
        yield (*path, name), value
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))


def replaced(state, path, value):
    state = copy.copy(state)
    name, *rest = path
    state[name] = replaced(state[name], rest, value) if rest else value
    return state


def parts_of(estimator):
    """Return the objects that hold networks or tensors."""
    names = ("_model", "_predictor", "_walkback")
    return [getattr(estimator, name) for name in names if hasattr(estimator, name)]


def assert_refused(part, state, message):
    with pytest.raises(ValueError, match=message):
        object.__new__(type(part)).__setstate__(state)


@pytest.mark.parametrize("estimator", HOSTILE, ids=lambda e: type(e).__name__)
def test_every_value_of_a_state_is_checked(estimator):
    fitted = clone(estimator).fit(X, Y)
    wrong = [Hostile(), b"bytes", np.array([Hostile()], dtype=object), np.zeros((3, 1, 2))]
    for part in parts_of(fitted):
        state = part.__getstate__()

        for number, (path, _) in enumerate(leaves(state)):
            other = wrong[number % len(wrong)]
            assert_refused(part, replaced(state, path, other), r"stored|arrays")
        assert_refused(part, state | {"forward": 1}, "unknown entries: 'forward'")
        for name in state.keys() - {"preconditioner"}:
            less = {other: value for other, value in state.items() if other != name}
            assert_refused(part, less, f"lacks '{name}'")


@pytest.fixture(scope="module")
def state():
    return make_fast(Autoencoder).fit(X)._model.__getstate__()


def opened_from(state) -> Model:
    model = object.__new__(Model)
    model.__setstate__(state)
    return model


def test_packed_bytes_are_not_opened(tmp_path):
    """Earlier versions passed them to `torch.load`, unseen by any check of the file."""
    hostile = Hostile()
    hostile.directory = str(tmp_path / "made")
    buffer = io.BytesIO()
    torch.save({"x": hostile}, buffer)
    with pytest.raises(ValueError, match=r"saved by an earlier version of skae"):
        opened_from({"packed": buffer.getvalue()})
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("network", "architecture", "name"), "os.system", r"'name' of the stored .* one of"),
        (("network", "architecture", "n_components"), 0, "'n_components' .* must be 1 or more"),
        (("network", "architecture", "n_active"), 99, "'n_active' .* at most 2, but it is 99"),
        (("network", "architecture", "dropout"), 1.0, "'dropout' .* from 0 to below 1"),
        (("network", "architecture", "activation"), "exec", "'activation' .* one of"),
        (("network", "architecture", "hidden_layer_sizes"), [10**12], "too small for its sizes"),
        (("mean",), np.zeros(3), r"'mean' .* float64 array of shape \(64,\).* shape \(3,\)"),
        (("mean",), np.zeros(64, np.int64), "must be a float64 array .* is a int64 array"),
        (("scale",), "1.0", "'scale' of the stored Model must be float, but it is 1.0"),
    ],
)
def test_errors_name_what_is_wrong(state, path, value, message):
    with pytest.raises(ValueError, match=message):
        opened_from(replaced(state, path, value))


def test_arrays_of_another_byte_order_and_layout_open(state):
    changed = {
        name: value.astype(value.dtype.newbyteorder(), order="F")
        if isinstance(value, np.ndarray)
        else value
        for name, value in state["network"].items()
    }
    rows = torch.from_numpy(X)
    expected = opened_from(state).transform(rows)
    assert torch.equal(opened_from(state | {"network": changed}).transform(rows), expected)


def test_a_memory_map_of_joblib_opens(state, tmp_path):
    model = opened_from(state)
    joblib.dump(model, tmp_path / "model")
    opened = joblib.load(tmp_path / "model", mmap_mode="r")
    rows = torch.from_numpy(X)
    assert torch.equal(opened.transform(rows), model.transform(rows))


def test_an_opened_model_ignores_the_defaults_of_the_caller(state):
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            model = opened_from(state)
    finally:
        torch.set_default_dtype(dtype)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert model.device.type == "cpu"


def test_what_cannot_be_saved_says_so():
    class CustomArchitecture(Architecture):
        pass

    class CustomAutoencoder(Autoencoder):
        def _network(self, n_features, n_components):
            return CustomArchitecture(**vars(super()._network(n_features, n_components)))

    model = make_fast(CustomAutoencoder, max_iter=1).fit(X)
    with pytest.raises(TypeError, match="custom architecture CustomArchitecture"):
        pickle.dumps(model._model)
    with pytest.raises(TypeError, match="cannot save a complex"):
        to_plain({"x": 1j})


def test_custom_corruptions_say_so():
    class CustomAutoencoder(DenoisingAutoencoder):
        def _corruption(self, model, data):
            return lambda batch, generator: batch

    model = make_fast(CustomAutoencoder).fit(X)
    with pytest.raises(TypeError, match="custom corruption"):
        pickle.dumps(model._walkback)

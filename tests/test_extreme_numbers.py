"""Numbers at the ends of their range: the right result, or an error that names what to change."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
from instances import FAST_AUTOENCODERS, make_fast
from scipy import sparse
from sklearn.base import clone

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderRegressor,
    ContractiveAutoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    PredictiveSparseDecomposition,
    SparseAutoencoder,
    StackedAutoencoder,
    VariationalAutoencoder,
)
from skae.core.numerics import MAX_WEIGHTS

# Five epochs do not make a denoiser.
pytestmark = pytest.mark.filterwarnings("error", "ignore:PCA was kept")

VAST = 10**400  # beyond the largest float


@pytest.fixture(scope="module")
def X():  # noqa: N802
    return np.random.default_rng(0).uniform(-1, 1, (30, 4))


def fast(cls=Autoencoder, *positional, **changes):
    return make_fast(cls, *positional, **({"max_iter": 2, "hidden_layer_sizes": (8,)} | changes))


# -- X ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", FAST_AUTOENCODERS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    ("size", "dtype", "remedy"),
    [
        (1.7e308, np.float64, "Divide X by a constant. If"),
        (3.4e38, np.float32, "Divide X by a constant, or convert it to float64. If"),
    ],
)
def test_values_near_the_largest_number_are_refused(X, estimator, size, dtype, remedy):
    huge = (np.sign(X) * size).astype(dtype)
    message = rf"X contains values as large as {size:.3g}.*overflow in {dtype.__name__}. {remedy}"
    message = message.replace("+", r"\+")
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(huge)
    fitted = clone(estimator).set_params(max_iter=1).fit(X.astype(dtype))
    for method in ("transform", "score", "reconstruction_error", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(fitted, method)(huge)


def test_such_values_in_a_csr_matrix_are_refused(X):
    message = r"X contains values as large as 1e\+308"
    with pytest.raises(ValueError, match=message):
        fast(HashingAutoencoder).fit(sparse.csr_array(np.where(X > 0.5, 1e308, 0.0)))


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (4e307, np.float64),
        (1e-300, np.float64),
        (2.0**-1040, np.float64),  # denormal
        (8e37, np.float32),
        (1e-40, np.float32),
    ],
)
def test_the_scale_of_x_does_not_matter_up_to_the_ends(X, scale, dtype):
    plain = fast(tol=0).fit(X.astype(dtype))
    moved = fast(tol=0).fit((X * scale).astype(dtype))
    codes = moved.transform((X * scale).astype(dtype)).astype(float) / scale
    # Of denormal numbers, few digits are left.
    assert codes == pytest.approx(plain.transform(X.astype(dtype)), abs=1e-4)
    assert moved.score((X * scale).astype(dtype)) == pytest.approx(plain.score(X), abs=1e-4)
    assert moved.explained_variance_ratio_ == pytest.approx(plain.explained_variance_ratio_, 1e-3)


def test_sums_over_many_rows_do_not_overflow(X):
    """Their mean does not either, if the values have one sign."""
    rows = np.tile(1.0 + X, (10, 1))
    scaled = fast().fit(rows * 2.0**1020)
    assert scaled.mean_ / 2.0**1020 == pytest.approx(rows.mean(0))
    bits = fast(HashingAutoencoder, 8), fast(HashingAutoencoder, 8)
    few = np.where(rows > 1, rows, 0.0)
    plain, huge = (
        model.fit_transform(sparse.csr_array(few * scale))
        for model, scale in zip(bits, (1.0, 2.0**1020), strict=True)
    )
    assert np.array_equal(plain, huge)


def test_a_denormal_csr_matrix(X):
    few = sparse.csr_array(np.where(X > 0, 1e-310, 0.0))
    assert set(np.unique(fast(HashingAutoencoder, 8).fit_transform(few))) <= {0.0, 1.0}


def test_the_likelihood_of_a_denormal_x(X):
    """Dividing X by s adds log(s) to the log-density of each feature."""
    scale = 2.0**-1030
    plain, tiny = (fast(VariationalAutoencoder).fit(rows) for rows in (X, X * scale))
    expected = plain.score(X) - X.shape[1] * math.log(scale)
    assert tiny.score(X * scale) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1e150, 1e200, 1e306])
def test_the_score_of_rows_far_from_the_training_data(X, scale):
    """Far away, a PCA explains the share of the squares that lies in its plane."""
    model = Autoencoder(2, early_stopping=True, max_iter=1, random_state=0).fit(X[:9])
    assert model.best_iter_ == 0  # with fewer than 10 rows, PCA is kept
    axes = np.linalg.svd(X[:9] - X[:9].mean(0))[2][:2]
    expected = np.square(X @ axes.T).sum() / np.square(X).sum()
    assert model.score(X * scale) == pytest.approx(expected)
    errors = model.reconstruction_error(X * scale)
    assert np.isinf(errors).all() or scale < 1e151


def test_rows_that_overflow_in_the_units_of_an_earlier_fit(X):
    message = "X has values so far from the data of the earlier fit"
    model = fast(warm_start=True, early_stopping=False).fit(X)
    before = model.transform(X)
    for refit in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            refit(X * 1e50)
    np.testing.assert_array_equal(model.transform(X), before)
    classifier = make_fast(AutoencoderClassifier, autoencoder=model, prefit=True)
    with pytest.raises(ValueError, match=message):
        classifier.fit(X * 1e50, np.arange(30) % 2)
    bits = fast(HashingAutoencoder, 8, warm_start=True, early_stopping=False).fit(
        sparse.csr_array(X)
    )
    with pytest.raises(ValueError, match=message):
        bits.fit(sparse.csr_array(X * 1e50))


def test_targets_and_their_weights(X):
    y = X @ [1.0, 2.0, 3.0, 4.0]
    y /= np.abs(y).max()
    plain, huge, tiny = (
        make_fast(AutoencoderRegressor).fit(X, y * unit).predict(X) / unit
        for unit in (1.0, 2.0**1023, 2.0**-1030)
    )
    assert huge == pytest.approx(plain, rel=1e-5, abs=1e-5)
    assert tiny == pytest.approx(plain, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("weight", [1e308, 1e-310, np.float32(3e38), np.float16(1e-7)])
def test_the_size_of_equal_class_weights_does_not_matter(X, weight):
    y = np.arange(30) % 2
    plain, weighted = (
        make_fast(AutoencoderClassifier, class_weight={0: w, 1: w}, max_iter=5).fit(X, y)
        for w in (1.0, weight)
    )
    assert weighted.predict_proba(X) == pytest.approx(plain.predict_proba(X), abs=1e-6)


def test_a_class_weight_beyond_the_largest_float(X):
    model = make_fast(AutoencoderClassifier, class_weight={0: VAST, 1: 1})
    with pytest.raises(ValueError, match=r"class_weight=.*must have finite numbers"):
        model.fit(X, np.arange(30) % 2)


# -- parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (Autoencoder, "learning_rate_init", 1e308),
        (Autoencoder, "learning_rate_init", 1e-310),
        (Autoencoder, "weight_decay", VAST),
        (Autoencoder, "tol", 1e308),
        (Autoencoder, "max_iter", VAST),
        (Autoencoder, "batch_size", VAST),
        (Autoencoder, "n_components", 10**20),
        (Autoencoder, "random_state", 2**32),
        (Autoencoder, "dropout", VAST),
        (SparseAutoencoder, "alpha", 1e308),
        (ContractiveAutoencoder, "alpha", VAST),
        (ContractiveAutoencoder, "n_probes", 10**20),
        (VariationalAutoencoder, "beta", 1e308),
        (HashingAutoencoder, "noise_level", 1e308),
        (DenoisingAutoencoder, "noise_level", VAST),
        (PredictiveSparseDecomposition, "prediction_weight", 1e308),
        (StackedAutoencoder, "pretraining_iter", VAST),
        (AutoencoderRegressor, "weight_decay", 1e308),
        (AutoencoderClassifier, "freeze", VAST),
    ],
)
def test_a_parameter_beyond_its_range(X, cls, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of {cls.__name__} must be"):
        make_fast(cls, **{name: value}).fit(X, np.arange(30) % 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"tol": np.float32(1e-4)},
        {"tol": np.float16(0)},
        {"tol": 1e30},
        {"weight_decay": np.float16(1.0), "learning_rate_init": np.float16(0.01)},
        {"weight_decay": 1e30},
        {"learning_rate_init": 1e-30},
        {"batch_size": sys.maxsize, "n_iter_no_change": sys.maxsize},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_extreme_parameters_that_work(X, changes):
    model = fast(**changes).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert model.score(X) > 0.5


@pytest.mark.parametrize(
    ("cls", "changes"),
    [
        (Autoencoder, {"hidden_layer_sizes": (10**9,)}),
        (Autoencoder, {"hidden_layer_sizes": (VAST,)}),
        (Autoencoder, {"hidden_layer_sizes": (10**12,), "early_stopping": False}),
        (StackedAutoencoder, {"hidden_layer_sizes": (10**12,)}),
        (SparseAutoencoder, {"n_components": 10**12}),
        (HashingAutoencoder, {"n_components": 10**12}),
        (VariationalAutoencoder, {"n_components": 10**12}),
        (ConvolutionalAutoencoder, {"channels": (10**12,)}),
        (AutoencoderClassifier, {"hidden_layer_sizes": (10**12,)}),
        (AutoencoderRegressor, {"hidden_layer_sizes": (10**12,)}),
    ],
)
def test_a_network_that_does_not_fit_into_memory(X, cls, changes, monkeypatch):
    # Of a machine with 32 GiB.
    for module in ("skae.fitting.pca_init", "skae.core.head"):
        monkeypatch.setattr(f"{module}.MAX_WEIGHTS", 2**31)
    name, value = next(iter(changes.items()))
    stated = str(value).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"{name}={stated}.* weights, .* GiB.*Lower these"):
        make_fast(cls, **changes).fit(X, np.arange(30) % 2)
    if hasattr(cls, "partial_fit"):
        with pytest.raises(ValueError, match=f"{name}=.*Lower these"):
            make_fast(cls, **changes).partial_fit(X)


def test_the_memory_of_this_machine():
    assert 2**26 <= MAX_WEIGHTS <= 2**46  # 1 GiB to 1 PiB


@pytest.mark.parametrize(
    ("level", "scale"), [(1e308, 1.0), (1e39, 1.0), (0.25, 1e-40), (0.25, 1e-310), (1e200, 1e100)]
)
def test_noise_that_overflows_relative_to_x(X, level, scale):
    model = fast(DenoisingAutoencoder, noise="gaussian", noise_level=level)
    message = rf"noise_level={level!r} is too large for X, whose scale".replace("+", r"\+")
    with pytest.raises(ValueError, match=message):
        model.fit(X * scale)


@pytest.mark.parametrize(("level", "scale"), [(1e99, 1e100), (1e-41, 1e-40), (1e-311, 1e-310)])
def test_noise_in_proportion_to_x(X, level, scale):
    plain = fast(DenoisingAutoencoder, noise="gaussian", noise_level=0.1).fit(X)
    model = fast(DenoisingAutoencoder, noise="gaussian", noise_level=level).fit(X * scale)
    assert model.score(X * scale) == pytest.approx(plain.score(X), abs=1e-3)


@pytest.mark.parametrize("device", ["hpu", "xpu", "ipu", "maia", "xla", "privateuseone", "cpu:-1"])
def test_a_device_that_torch_knows_but_has_not(X, device):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch may warn of names to be removed
        with pytest.raises(ValueError, match=f"'device' parameter is '{device}', which is not av"):
            fast(device=device).fit(X)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, X: model.sample(10**30),
        lambda model, X: model.sample(VAST),
        lambda model, X: model.score_samples(X, n_importance=10**30),
    ],
)
def test_counts_beyond_64_bits(X, call):
    with pytest.raises(ValueError, match="must be an int that 64 bits hold"):
        call(fast(VariationalAutoencoder).fit(X), X)

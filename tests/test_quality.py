"""Quality of the reconstructions, compared with PCA and with predicting the mean."""

from __future__ import annotations

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from instances import make_fast
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

from skae import Autoencoder

# What the linear model may differ by from LAPACK's: a float32 fit.
CLOSE = {"rtol": 0.0, "atol": 2e-2}


def pca_error(X: np.ndarray, X_new: np.ndarray, k: int) -> float:
    pca = PCA(k).fit(X)
    return float(np.square(X_new - pca.inverse_transform(pca.transform(X_new))).sum())


def error_over_pca(model: Autoencoder, X: np.ndarray, X_new: np.ndarray) -> float:
    return float(model.reconstruction_error(X_new).sum()) / pca_error(X, X_new, model.n_components_)


# -- never worse than PCA -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "k"),
    [("iris", 1), ("iris", 2), ("wine", 3), ("breast_cancer", 5), ("diabetes", 3), ("digits", 4)],
)
def test_never_worse_than_pca_on_held_out_rows(held_out_split, name, k):
    X, X_new = held_out_split(name)
    model = Autoencoder(k, hidden_layer_sizes=(64,), max_iter=30, random_state=0).fit(X)
    assert error_over_pca(model, X, X_new) <= 1.005


def test_far_better_than_pca_on_digits(held_out_split):
    X, X_new = held_out_split("digits")
    model = Autoencoder(8, random_state=0).fit(X)
    assert error_over_pca(model, X, X_new) < 0.6


def test_finds_a_curve_that_pca_cannot(rng):
    angle = rng.uniform(-2, 2, 800)
    X = np.c_[np.sin(angle), np.cos(angle)] + 0.01 * rng.normal(size=(800, 2))
    model = Autoencoder(1, hidden_layer_sizes=(64,), random_state=0).fit(X[:600])
    assert error_over_pca(model, X[:600], X[600:]) < 0.1
    assert abs(np.corrcoef(np.argsort(np.argsort(model.transform(X)[:, 0])), angle)[0, 1]) > 0.99


# -- PCA as a special case ----------------------------------------------------------------------


def plain_linear(**changes) -> Autoencoder:
    """Return a linear autoencoder that starts from random weights."""
    return Autoencoder(
        3,
        activation="identity",
        shortcut=None,
        hidden_layer_sizes=(),
        weight_decay=0.0,
        solver="lbfgs",
        early_stopping=False,
        random_state=0,
        **changes,
    )


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def linear(request, wine):
    """Return a linear autoencoder, trained from random weights to convergence."""
    model = plain_linear(max_iter=400, tied_weights=request.param)
    return model.fit(wine)


def test_linear_autoencoder_is_pca(linear, wine):
    pca = PCA(3).fit(wine)
    angles = subspace_angles(linear.components_.T, pca.components_.T)
    assert np.rad2deg(angles).max() < 0.5
    np.testing.assert_allclose(linear.transform(wine), pca.transform(wine), **CLOSE)
    np.testing.assert_allclose(linear.components_, pca.components_, **CLOSE)
    np.testing.assert_allclose(
        linear.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-3
    )
    assert linear.score(wine) == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-5)


@pytest.mark.parametrize("name", ["iris", "wine"])
@pytest.mark.parametrize("tied_weights", [False, True])
def test_model_that_stays_at_pca_is_pca(held_out_split, name, tied_weights):
    X, X_new = held_out_split(name)
    model = make_fast(Autoencoder, 2, max_iter=1, tied_weights=tied_weights).fit(X)
    assert model.best_iter_ == 0
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(model.transform(X_new), pca.transform(X_new), atol=1e-9)
    np.testing.assert_allclose(model.components_, pca.components_, atol=1e-9)
    np.testing.assert_allclose(
        model.explained_variance_ratio_, pca.explained_variance_ratio_, rtol=1e-5
    )
    np.testing.assert_allclose(
        model.reconstruct(X_new), pca.inverse_transform(pca.transform(X_new)), atol=1e-9
    )


@pytest.mark.parametrize("share", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("shortcut", ["pca", None])
def test_share_of_variance_chooses_as_many_components_as_pca(wine, share, shortcut):
    model = make_fast(Autoencoder, share, max_iter=1, shortcut=shortcut).fit(wine)
    assert model.n_components_ == PCA(share).fit(wine).n_components_
    assert model.transform(wine).shape == (178, model.n_components_)


def test_heavy_weight_decay_pulls_towards_pca(held_out_split):
    X, _ = held_out_split("digits")
    scores = [
        make_fast(Autoencoder, 4, max_iter=10, early_stopping=False, weight_decay=decay)
        .fit(X)
        .score(X)
        for decay in (0.0, 100.0)
    ]
    start = PCA(4).fit(X).explained_variance_ratio_.sum()
    assert scores[0] > scores[1]
    assert abs(scores[1] - start) < abs(scores[0] - start)


# -- every option learns ------------------------------------------------------------------------


def quality_options():
    for activation in ("gelu", "relu", "silu", "tanh", "logistic", "identity"):
        yield {"activation": activation}
        yield {"code_activation": activation}
    for loss in ("squared_error", "absolute_error", "huber", "log_loss", "poisson"):
        yield {"loss": loss}
        yield {"loss": loss, "shortcut": None}
    for solver in ("adamw", "muon", "sgd", "lbfgs"):
        yield {"solver": solver}
        yield {"solver": solver, "shortcut": None, "tied_weights": True}
    yield {"precision": "bfloat16"}
    yield {"shuffle": False}
    yield {"warm_start": True}
    yield {"tied_weights": True}
    yield {"dropout": 0.1}
    yield {"early_stopping": False}
    yield {"hidden_layer_sizes": ()}
    yield {"hidden_layer_sizes": [64, 32, 16]}
    yield {"batch_size": 1000}
    yield {"validation_fraction": 0.3}


def identify(options: dict) -> str:
    return "-".join(f"{name}={value}" for name, value in options.items())


@pytest.mark.parametrize("options", list(quality_options()), ids=identify)
def test_every_option_explains_held_out_digits(held_out_split, options):
    X, X_new = (rows[:600] / 16.0 for rows in held_out_split("digits"))
    defaults = {"hidden_layer_sizes": (32,), "max_iter": 15, "random_state": 0}
    model = Autoencoder(8, **defaults | options).fit(X)
    floor = 0.35 if options.get("shortcut", "pca") is None else 0.6  # PCA: 0.66
    assert model.score(X_new) > floor
    if model.loss in {"log_loss", "poisson"}:
        reconstruction = model.reconstruct(X_new)
        assert reconstruction.min() >= 0
        assert model.loss == "poisson" or reconstruction.max() <= 1


@pytest.mark.parametrize("code_activation", ["relu", "logistic", "tanh"])
def test_code_is_in_the_range_of_its_activation(held_out_split, code_activation):
    X, X_new = held_out_split("digits")
    code = make_fast(Autoencoder, 4, code_activation=code_activation).fit(X).transform(X_new)
    low, high = {"relu": (0, np.inf), "logistic": (0, 1), "tanh": (-1, 1)}[code_activation]
    assert code.min() >= low
    assert code.max() <= high
    assert code.std(axis=0).min() > 0.01


# -- awkward data -------------------------------------------------------------------------------


def awkward_data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6)) @ rng.normal(size=(6, 6))
    with_constants = X.copy()
    with_constants[:, [1, 4]] = 3.0
    apart = X * np.logspace(-3, 3, 6)
    return {
        "constant columns": (with_constants, 3),
        "duplicated rows": (np.repeat(X[:20], 6, axis=0), 3),
        "fewer rows than columns": (rng.normal(size=(15, 40)), 4),
        "four rows": (X[:4], 2),
        "two rows": (X[:2], 1),
        "more components than columns": (X, 9),
        "more components than rows": (X[:12], 20),
        "all components": (X, 6),
        "one feature": (X[:, :1], 1),
        "one feature, two components": (X[:, :1], 2),
        "heavy tails": (rng.standard_cauchy((200, 6)), 2),
        "columns far apart": (apart, 2),
        "far from zero": (X + 1e6, 3),
        "tiny": (X * 1e-30, 3),
        "huge": (X * 1e15, 3),
        "low rank": (X[:, :2] @ rng.normal(size=(2, 6)), 4),
    }


@pytest.mark.parametrize("kind", list(awkward_data()))
def test_awkward_data_are_explained_as_well_as_pca_explains_them(kind):
    X, k = awkward_data()[kind]
    is_wide = k > min(X.shape)
    warned = (
        pytest.warns(UserWarning, match=f"n_components={k} is above") if is_wide else nullcontext()
    )
    with warned:
        model = make_fast(Autoencoder, k).fit(X)
    code = model.transform(X)
    assert code.shape == (len(X), k)
    assert np.isfinite(code).all()
    assert np.isfinite(model.components_).all()
    expected = PCA(min(k, *X.shape)).fit(X).explained_variance_ratio_.sum()
    assert model.score(X) >= expected - 1e-3
    assert model.explained_variance_ratio_.sum() == pytest.approx(model.score(X), abs=1e-3)


@pytest.mark.parametrize("shortcut", ["pca", None])
@pytest.mark.parametrize("value", [0.0, 7.0, 1e8])
def test_data_without_variance_is_reproduced(value, shortcut):
    X = np.full((30, 4), value)
    model = make_fast(Autoencoder, 2, shortcut=shortcut).fit(X)
    np.testing.assert_allclose(model.reconstruct(X), X, rtol=1e-5, atol=0.7)
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
def test_features_that_are_always_zero_stay_near_zero(digits, loss):
    X = digits[:600] / 16
    model = make_fast(Autoencoder, 4, loss=loss, max_iter=20, hidden_layer_sizes=(64,)).fit(X)
    always_zero = X.max(axis=0) == 0
    assert always_zero.any()
    assert model.reconstruct(X)[:, always_zero].max() < 0.02


def test_noise_is_not_learnt(rng):
    X = rng.normal(size=(300, 8))
    model = Autoencoder(3, hidden_layer_sizes=(64,), max_iter=20, random_state=0).fit(X[:200])
    assert error_over_pca(model, X[:200], X[200:]) <= 1.005


def test_batches_of_any_size_reach_the_floor(held_out_split):
    X, X_new = held_out_split("digits")
    for batch_size in (7, 10**6):
        model = make_fast(Autoencoder, 4, batch_size=batch_size).fit(X[:300])
        assert error_over_pca(model, X[:300], X_new) <= 1.005


def test_poisson_takes_counts_with_many_zeros(rng):
    rates = np.exp(rng.uniform(-2, 2, size=(600, 2)) @ rng.normal(size=(2, 12)) - 1)
    X = rng.poisson(rates).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make_fast(Autoencoder, 2, loss="poisson", max_iter=15).fit(X)
    assert model.best_loss_ < 0.6  # of predicting the mean


def test_lbfgs_never_raises_the_training_loss(wine):
    model = plain_linear(max_iter=30, tied_weights=True).fit(wine)
    assert max(np.diff(model.loss_curve_)) < 1e-6
    assert model.loss_curve_[-1] == pytest.approx(1 - model.score(wine), rel=0.1)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: np.add(X, [0, 0, 0, 1.7e9]),
        lambda X: X + 1e8,
        lambda X: (X + 1e4).astype(np.float32),
        lambda X: (X * 1e-30).astype(np.float32),
        lambda X: (X * 1e18).astype(np.float32),
        lambda X: X * 1e200,
        lambda X: X * 1e-160,
    ],
    ids=["one far column", "far", "far float32", "tiny float32", "huge float32", "huge", "tiny"],
)
@pytest.mark.filterwarnings("error")
def test_neither_offset_nor_scale_spoils_the_start(iris, change):
    """The covariance of such data loses all digits or overflows."""
    expected = PCA(2, svd_solver="full").fit(iris).explained_variance_ratio_.sum()
    model = Autoencoder(2, max_iter=2, hidden_layer_sizes=(8,), random_state=0).fit(change(iris))
    assert model.explained_variance_ratio_.sum() >= expected - 1e-4
    assert model.score(change(iris)) >= expected - 1e-4

"""Contractive autoencoder: its Jacobian, and what the penalty does to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from skae import ContractiveAutoencoder
from skae.core.jacobians import probes


def fit(X, n_components=3, **parameters) -> ContractiveAutoencoder:
    defaults = {"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0}
    return ContractiveAutoencoder(n_components, **(defaults | parameters)).fit(X)


@pytest.fixture(scope="module")
def model(wine):
    return fit(wine, alpha=0.03)


@pytest.fixture
def drawn_probes(monkeypatch):
    """Return the numbers of probes of all estimates so far."""
    numbers = []

    def spy(rows, n_probes, generator):
        numbers.append(n_probes)
        return probes(rows, n_probes, generator)

    monkeypatch.setattr("skae.core.jacobians.probes", spy)
    return numbers


@pytest.mark.parametrize("code_activation", ["identity", "relu", "logistic"])
@pytest.mark.parametrize("tied", [True, False])
def test_jacobian_is_that_of_transform(wine, code_activation, tied):
    """In the units of `transform`: by finite differences of `transform` itself."""
    X = wine[:5] * 7.0 + 3.0
    model = fit(wine * 7.0 + 3.0, code_activation=code_activation, tied_weights=tied)
    jacobian = model.jacobian(X)
    assert jacobian.shape == (5, 3, 13)
    step = 1e-4
    for feature in range(13):
        shift = step * np.eye(13)[feature]
        difference = (model.transform(X + shift) - model.transform(X - shift)) / (2 * step)
        assert jacobian[:, :, feature] == pytest.approx(difference, abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shortcut": None},
        {"hidden_layer_sizes": (), "code_activation": "logistic", "shortcut": None},
        {"hidden_layer_sizes": (32, 16)},  # with probes
    ],
    ids=str,
)
def test_mean_norm_falls_with_alpha(held_out_split, settings, drawn_probes):
    X, fresh = held_out_split("digits")
    alphas = [1e-4, 1e-3, 1e-2] if "code_activation" in settings else [1e-3, 1e-2, 1e-1]
    norms = [
        np.square(fit(X, 8, alpha=alpha, **settings).jacobian(fresh)).sum((1, 2)).mean()
        for alpha in alphas
    ]
    assert norms[1] < 0.97 * norms[0]
    assert norms[2] < 0.8 * norms[1]
    assert set(drawn_probes) == ({2} if settings.get("hidden_layer_sizes") else set())


def test_a_line_search_sees_the_exact_norm(wine, drawn_probes):
    settings = {"hidden_layer_sizes": (16, 8), "max_iter": 3}
    curves = [
        fit(wine, solver="lbfgs", n_probes=n_probes, **settings).loss_curve_
        for n_probes in (1, None)
    ]
    assert curves[0] == curves[1]
    assert not drawn_probes
    fit(wine, n_probes=1, **settings)
    assert set(drawn_probes) == {1}


def test_singular_values_and_tangents_are_those_of_the_jacobian(model, wine):
    jacobian, values = model.jacobian(wine[:6]), model.singular_values(wine[:6])
    assert values == pytest.approx(np.linalg.svd(jacobian, compute_uv=False))
    tangents = model.tangent_directions(wine[:6], 2)
    assert tangents.shape == (6, 2, 13)
    grams = tangents @ tangents.transpose(0, 2, 1)
    assert grams == pytest.approx(np.broadcast_to(np.eye(2), grams.shape), abs=1e-9)
    lengths = np.linalg.norm(jacobian @ tangents.transpose(0, 2, 1), axis=1)
    assert lengths == pytest.approx(values[:, :2])


def test_tangents_follow_a_curve(rng):
    """Points on a circle in five dimensions: the code moves along it and not off it."""
    angle = rng.uniform(0.2, 2.9, 1000)
    plane = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    X = np.column_stack([np.cos(angle), np.sin(angle)]) @ plane
    X += rng.normal(scale=0.01, size=X.shape)
    model = fit(X, 1, hidden_layer_sizes=(32,), max_iter=60, alpha=0.02)
    tangents = np.column_stack([-np.sin(angle), np.cos(angle)]) @ plane
    found = model.tangent_directions(X, 1)[:, 0]
    assert np.abs((found * tangents).sum(axis=1)).mean() > 0.9


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_alpha_means_the_same_on_scaled_data(model, wine, factor):
    scaled = fit(wine * factor, alpha=0.03)
    ours, theirs = (m.history_["contraction"][-1] for m in (model, scaled))
    assert theirs == pytest.approx(ours, rel=0.05)
    # A linear code is in the units of X, so its Jacobian has none.
    norms = np.linalg.norm(scaled.jacobian(wine * factor), axis=(1, 2))
    assert norms == pytest.approx(np.linalg.norm(model.jacobian(wine), axis=(1, 2)), rel=0.1)


def test_alpha_means_the_same_on_more_columns(held_out_split):
    X, _ = held_out_split("digits")
    one, many = (fit(np.tile(X, (1, n)), 8, alpha=1e-2, hidden_layer_sizes=()) for n in (1, 4))
    a, b = (m.history_["contraction"][-1] for m in (one, many))
    assert b == pytest.approx(a, rel=0.15)


@pytest.mark.parametrize("code_activation", ["identity", "relu", "logistic"])
def test_a_scale_of_exactly_1_is_no_special_case(code_activation):
    """Standardised iris has a root mean square of exactly 1."""
    X = StandardScaler().fit_transform(load_iris().data)
    one, two = (
        fit(X * factor, 2, alpha=0.01, code_activation=code_activation, max_iter=5)
        for factor in (1.0, 2.0)
    )
    assert one._model.scale == 1.0
    assert one.history_["contraction"] == pytest.approx(two.history_["contraction"], rel=1e-3)


def test_a_bounded_code_is_penalised_per_total_variance():
    """Four duplicates of each column, each with a quarter of the weight, make the same code."""
    one = ContractiveAutoencoder(3, hidden_layer_sizes=(), code_activation="logistic")
    X = load_wine().data
    penalties = []
    for n in (1, 4):
        model = clone(one).fit(np.tile(X, (1, n)))._model
        network = model.network.float()
        with torch.no_grad():
            weight = torch.linspace(-1, 1, 39).view(13, 3) / n
            network.encoder.layers[0].weight.copy_(weight.tile(n, 1))
            network.encoder.layers[0].bias.zero_()
            network.encoder.set_skip(torch.zeros(13 * n, 3), None)
            z = torch.linspace(-2, 2, 65).view(5, 13).tile(1, n)
            penalties.append(float(one._criterion(model).terms(z, z)["contraction"]))
    assert penalties[1] == pytest.approx(penalties[0], rel=1e-5)


def test_the_jacobian_does_not_depend_on_the_chunk_size(model, wine, monkeypatch):
    whole = model.jacobian(wine)
    monkeypatch.setattr("skae.estimators.contractive._MAX_ENTRIES", 100)
    assert model.jacobian(wine) == pytest.approx(whole, abs=1e-12)


def test_jacobian_keeps_the_data_type(model, wine):
    assert model.jacobian(wine.astype(np.float32)).dtype == np.float32
    assert model.jacobian(wine).dtype == np.float64


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -0.1}, "The 'alpha' parameter"),
        ({"n_probes": 0}, "The 'n_probes' parameter"),
        ({"n_probes": True}, "The 'n_probes' parameter"),
    ],
)
def test_bad_parameters(wine, parameters, message):
    with pytest.raises(ValueError, match=message):
        fit(wine, **parameters)


@pytest.mark.parametrize("n_directions", [0, 4, -1, 1.5, True, "a", None])
def test_bad_number_of_directions(model, wine, n_directions):
    with pytest.raises(ValueError, match="must be an int between 1 and 3, the smaller of"):
        model.tangent_directions(wine, n_directions)


def test_validation_uses_the_same_probes_in_each_epoch(wine):
    """Otherwise luck would decide which epoch is best. At this learning rate no weight moves."""
    model = fit(wine, n_probes=1, alpha=1.0, max_iter=4, learning_rate_init=1e-30, weight_decay=0)
    assert len(set(model.validation_scores_)) == 1


@pytest.mark.parametrize("code_activation", ["identity", "relu", "logistic"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_fitted_network_has_the_loss_it_was_trained_to(wine, code_activation, tied):
    """A warm start after 8 steps begins at the loss with which a ninth step would have begun."""

    def whole(max_iter, **parameters):
        return fit(
            wine,
            alpha=1.0,
            solver="lbfgs",
            early_stopping=False,
            weight_decay=0,
            code_activation=code_activation,
            tied_weights=tied,
            max_iter=max_iter,
            **parameters,
        )

    warm = whole(8, warm_start=True).set_params(max_iter=1).fit(wine)
    assert warm.loss_curve_[0] == pytest.approx(whole(9).loss_curve_[8], rel=1e-3)

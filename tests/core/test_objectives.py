"""The chain rule written out against autograd."""

from __future__ import annotations

import pytest
import torch

from skae._core.losses import LOSSES
from skae._core.model import Model
from skae._core.networks import ACTIVATIONS, Architecture, build_network
from skae._core.objectives import Autograd, Backpropagation
from skae._core.solvers import FlatParameters

N_ROWS, N_FEATURES, N_COMPONENTS = 11, 6, 3


def randn(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def build(
    *,
    activation="tanh",
    code_activation="identity",
    loss="squared_error",
    hidden=(7, 5),
    tied=False,
    shortcut=True,
    n_models=None,
) -> tuple[Model, FlatParameters, torch.Tensor]:
    """Return a model with every parameter away from 0, its flat parameters, and a batch."""
    architecture = Architecture(N_FEATURES, N_COMPONENTS, hidden, activation, code_activation, tied)
    generator = torch.Generator().manual_seed(0)
    network = build_network(architecture, generator=generator, n_models=n_models).double()
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            p.add_(randn(*p.shape, seed=i), alpha=0.3)
    if shortcut:
        network.encoder.set_linear_path(randn(N_FEATURES, N_COMPONENTS, seed=50), None)
        network.decoder.set_linear_path(
            randn(N_COMPONENTS, N_FEATURES, seed=51), randn(N_FEATURES, seed=52)
        )
        network.decoder.scale = 0.3
    mean = torch.full((N_FEATURES,), 0.5, dtype=torch.float64)
    model = Model(network, mean, 0.25, LOSSES[loss], baseline=0.7)
    batch = randn(*(() if n_models is None else (n_models,)), N_ROWS, N_FEATURES, seed=60)
    return model, FlatParameters(network.parameters()), batch.clamp(-1.9, 1.9)


def assert_same_gradients(**changes: object) -> None:
    model, parameters, batch = build(**changes)
    n_models = changes.get("n_models") or 1

    def terms(z):
        return {"reconstruction": model.reconstruction(model.network(z), z)}

    expected_terms = Autograd(parameters, terms, n_models)(batch)
    expected = parameters.gradients.clone()
    assert float(expected.abs().max()) > 1e-3
    parameters.gradients.fill_(7.0)  # nothing may be left over from the step before
    given = Backpropagation(model, n_models)(batch)
    torch.testing.assert_close(given, expected_terms)
    torch.testing.assert_close(parameters.gradients, expected)


@pytest.mark.parametrize("n_models", [None, 3])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, tied, n_models):
    assert_same_gradients(activation=activation, tied=tied, n_models=n_models)


@pytest.mark.parametrize("n_models", [None, 3])
@pytest.mark.parametrize("code_activation", ACTIVATIONS)
def test_code_activations(code_activation, n_models):
    assert_same_gradients(code_activation=code_activation, n_models=n_models)


@pytest.mark.parametrize("n_models", [None, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, n_models):
    assert_same_gradients(loss=loss, n_models=n_models)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_shapes(hidden, shortcut, tied):
    assert_same_gradients(hidden=hidden, shortcut=shortcut, tied=tied)


@pytest.mark.parametrize("n_models", [None, 3])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("code_activation", ["identity", "logistic"])
def test_reduced_precision(code_activation, tied, n_models):
    model, _, batch = build(code_activation=code_activation, tied=tied, n_models=n_models)
    model.network.float()
    parameters = FlatParameters(model.network.parameters())
    model.mean, batch = model.mean.float(), batch.float()

    def terms(z):
        return {"reconstruction": model.reconstruction(model.network(z), z)}

    objectives = [Autograd(parameters, terms, n_models or 1), Backpropagation(model, n_models or 1)]
    gradients = []
    for objective in objectives:
        for enabled in (False, True):
            parameters.gradients.fill_(7.0)
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled, cache_enabled=False):
                objective(batch)
            gradients.append(parameters.gradients.clone())
    exact, *reduced = gradients[0], gradients[1], gradients[3]
    assert not torch.equal(exact, reduced[1])
    for gradient in reduced:
        # bfloat16 has 8 bits.
        assert float((gradient - exact).norm() / exact.norm()) < 0.01

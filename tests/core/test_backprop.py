"""The chain rule written out against autograd."""

from __future__ import annotations

import pytest
import torch

from skae.core.activations import ACTIVATIONS
from skae.core.autograd import Autograd
from skae.core.backprop import Backpropagation
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.optimizers import FlatParameters

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
    skip=True,
    n_models=1,
) -> tuple[Model, FlatParameters, torch.Tensor]:
    """Return a model with every parameter away from 0, its flat parameters, and a batch."""
    architecture = Architecture(N_FEATURES, N_COMPONENTS, hidden, activation, code_activation, tied)
    generator = torch.Generator().manual_seed(0)
    network = build_network(architecture, generator=generator, n_models=n_models).double()
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            p.add_(randn(*p.shape, seed=i), alpha=0.3)
    if skip:
        network.encoder.set_skip(randn(n_models, N_FEATURES, N_COMPONENTS, seed=50), None)
        network.decoder.set_skip(
            randn(n_models, N_COMPONENTS, N_FEATURES, seed=51),
            randn(n_models, 1, N_FEATURES, seed=52),
        )
        network.decoder.scale = 0.3
    mean = torch.full((N_FEATURES,), 0.5, dtype=torch.float64)
    name = "deviance_of_mean" if LOSSES[loss].is_relative else "baseline"
    model = Model(network, mean, 0.25, LOSSES[loss], **{name: 0.7})
    batch = randn(n_models, N_ROWS, N_FEATURES, seed=60)
    return model, FlatParameters(network.parameters()), batch.clamp(-1.9, 1.9)


def assert_same_gradients(noise: float = 0.0, **changes: object) -> None:
    model, parameters, batch = build(**changes)
    inputs = batch + noise * randn(*batch.shape, seed=61)
    n_models = changes.get("n_models", 1)

    def terms(inputs, target):
        return {"reconstruction": model.reconstruction(model.network(inputs), target)}

    expected_terms = Autograd(parameters, terms, n_models)(inputs, batch)
    expected = parameters.gradients.clone()
    assert float(expected.abs().max()) > 1e-3
    parameters.gradients.fill_(7.0)  # nothing may be left over from the step before
    given = Backpropagation(model, n_models)(inputs, batch)
    torch.testing.assert_close(given, expected_terms)
    torch.testing.assert_close(parameters.gradients, expected)


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, tied, n_models):
    assert_same_gradients(activation=activation, tied=tied, n_models=n_models)


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("code_activation", ACTIVATIONS)
def test_code_activations(code_activation, n_models):
    assert_same_gradients(code_activation=code_activation, n_models=n_models)


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, n_models):
    assert_same_gradients(loss=loss, n_models=n_models)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_shapes(hidden, skip, tied):
    assert_same_gradients(hidden=hidden, skip=skip, tied=tied)


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_corrupted_inputs(loss, n_models):
    assert_same_gradients(loss=loss, n_models=n_models, noise=0.5)


@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("code_activation", ["identity", "logistic"])
def test_reduced_precision(code_activation, tied, n_models):
    model, _, batch = build(code_activation=code_activation, tied=tied, n_models=n_models)
    model.network.float()
    parameters = FlatParameters(model.network.parameters())
    model.mean, batch = model.mean.float(), batch.float()

    def terms(inputs, target):
        return {"reconstruction": model.reconstruction(model.network(inputs), target)}

    objectives = [Autograd(parameters, terms, n_models), Backpropagation(model, n_models)]
    gradients = []
    for objective in objectives:
        for enabled in (False, True):
            parameters.gradients.fill_(7.0)
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled, cache_enabled=False):
                objective(batch, batch)
            gradients.append(parameters.gradients.clone())
    exact, *reduced = gradients[0], gradients[1], gradients[3]
    assert not torch.equal(exact, reduced[1])
    for gradient in reduced:
        # bfloat16 has 8 bits.
        assert float((gradient - exact).norm() / exact.norm()) < 0.01

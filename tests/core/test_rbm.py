"""Restricted Boltzmann machines against sums over all their states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM

from skae.core.layerwise import shallow_networks
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.optimizers import AdamW, FlatParameters
from skae.core.rbm import BoltzmannMachine


def phase_of(n_visible, n_hidden, *, loss="squared_error", code_activation="logistic", **changes):
    generator = torch.Generator().manual_seed(0)
    architecture = Architecture(
        n_visible, n_hidden, (), "logistic", code_activation=code_activation, **changes
    )
    network = build_network(architecture, generator=generator).double()
    network.set_generator(generator)
    (shallow,) = shallow_networks(network)
    shallow.set_generator(generator)
    mean = torch.linspace(0.2, 0.7, n_visible, dtype=torch.float64)
    return Model(shallow, mean, 0.4, LOSSES[loss])


def states(n: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def energy(machine, v, h):
    bilinear = torch.einsum("iv,vh,jh->ij", v, machine.coding.weight[0], h)
    biases = (v @ machine.decoding.bias[0, 0])[:, None] + (h @ machine.coding.bias[0, 0])[None]
    return -bilinear - biases


@pytest.fixture
def machine():
    made = BoltzmannMachine(phase_of(4, 3), visible_is_normal=False)
    with torch.no_grad():
        made.coding.bias.copy_(torch.tensor([0.3, -0.2, 0.1]))
        made.decoding.bias.copy_(torch.tensor([0.5, -0.4, 0.2, 0.0]))
    return made


def test_conditional_means_follow_from_the_energy(machine):
    v, h = states(4), states(3)
    joint = (-energy(machine, v, h)).exp()
    given_v = (joint / joint.sum(1, keepdim=True)) @ h
    given_h = (joint / joint.sum(0)).T @ v
    assert machine.hidden_mean(v[None])[0].detach().numpy() == pytest.approx(
        given_v.detach().numpy()
    )
    assert machine.visible_mean(h[None])[0].detach().numpy() == pytest.approx(
        given_h.detach().numpy()
    )


def test_hidden_mean_is_that_of_scikit_learn(machine):
    reference = BernoulliRBM(3, n_iter=1).fit(states(4).numpy())
    reference.components_ = machine.coding.weight[0].detach().numpy().T
    reference.intercept_hidden_ = machine.coding.bias[0, 0].detach().numpy()
    v = states(4)
    expected = reference.transform(v.numpy())
    assert machine.hidden_mean(v[None])[0].detach().numpy() == pytest.approx(expected)


def test_hidden_draws_have_their_mean(machine):
    mean = torch.tensor([[0.1, 0.5, 0.9]], dtype=torch.float64).expand(50_000, 3)
    for is_normal in (False, True):
        machine.hidden_is_normal = is_normal
        drawn = machine.draw_hidden(mean)
        assert drawn.mean(0).numpy() == pytest.approx(mean[0].numpy(), abs=0.02)
        assert set(drawn.unique().tolist()) == {0.0, 1.0} or is_normal


def test_contrastive_divergence_raises_the_likelihood():
    """The exact one, by the sum over all states. CD-1 is biased, so not to the best possible."""
    X = states(4)[[0, 0, 3, 3, 12, 15, 15, 15]].repeat(40, 1)
    phase = phase_of(4, 6)
    parameters = FlatParameters(phase.network.parameters())
    machine = BoltzmannMachine(phase, visible_is_normal=False)

    def log_likelihood() -> float:
        of_all, of_rows = ((-energy(machine, v, states(6))).logsumexp(1) for v in (states(4), X))
        return float((of_rows - of_all.logsumexp(0)).mean().detach())

    before = log_likelihood()
    optimizer = AdamW(parameters, weight_decay=0.0)
    batch = X[None]
    for _ in range(1000):
        optimizer.step(lambda: machine(batch, batch), 0.003)
    shares = np.array([2, 2, 1, 3]) / 8
    best = float((shares * np.log(shares)).sum())
    assert before + 1.0 < log_likelihood() < best


@pytest.mark.parametrize("code_activation", ["identity", "logistic"])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_unrolled_network_is_the_machine(loss, code_activation):
    phase = phase_of(5, 3, loss=loss, code_activation=code_activation)
    if loss == "log_loss":
        offset = torch.logit(phase.mean)[None, None]
        phase.network.decoder.set_skip(None, offset)
    machine = BoltzmannMachine(phase, visible_is_normal=loss == "squared_error")
    z = torch.rand(1, 7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z[..., 0] = 0.7  # as a hidden unit that is the same for all rows: it counts
    visible = machine.visible_units(z)
    hidden = machine.hidden_mean(visible)
    restored = machine.visible_mean(hidden)
    machine.unroll()
    code = phase.network.encode(z)
    assert code.detach().numpy() == pytest.approx(hidden.detach().numpy())
    output = phase.loss.response(phase.network.decode(code))
    assert output.detach().numpy() == pytest.approx(restored.detach().numpy())

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.networks.dense import MLP, Dense, WeightInit
from skae.core.optimizers import LBFGS, OPTIMIZERS, AdamW, FlatParameters, Muon


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(n_in: int, n_out: int) -> Dense:
    """Return a layer with a model axis of length 1, and no parameter at 0."""
    generator = seeded()
    layer = WeightInit(generator).dense(n_in, n_out)
    layer.bias.data.normal_(generator=generator)
    return layer


def small_network() -> MLP:
    return MLP([dense(5, 4), dense(4, 3)], "tanh")


def rows() -> torch.Tensor:
    return torch.randn(1, 20, 5, generator=seeded(1))


def closure_of(network: nn.Module, flat: FlatParameters):
    x = rows()

    def closure():
        flat.gradients.zero_()
        loss = (network(x) - x[..., :3]).square().mean()
        loss.backward()
        return loss

    return closure


def test_parameters_are_views_of_the_flat_values():
    network = small_network()
    flat = FlatParameters(network.parameters())
    flat.values.fill_(2.5)
    assert all((p == 2.5).all() for p in network.parameters())
    network.layers[0].weight.data[0, 1, 2] = 7.0
    assert (flat.values == 7.0).sum() == 1


def test_flattening_changes_no_value():
    network = small_network()
    before = copy.deepcopy(network.state_dict())
    FlatParameters(network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_backward_writes_into_the_flat_gradients():
    network, reference = small_network(), small_network()
    flat = FlatParameters(network.parameters())
    closure_of(network, flat)()
    (reference(rows()) - rows()[..., :3]).square().mean().backward()
    expected = torch.cat([p.grad.ravel() for p in reference.parameters()])
    torch.testing.assert_close(flat.gradients, expected)


def test_a_selected_network_has_memory_of_its_own_for_each_parameter():
    network = build_network(Architecture(5, 2, (4,)), generator=seeded())
    flat = FlatParameters(network.parameters())
    flat.values.normal_(generator=seeded(1))
    values = [p.detach().clone() for p in network.parameters()]
    selected = network.select_model(0)
    flat.values.fill_(0)
    for p, value in zip(selected.parameters(), values, strict=True):
        value = value.reshape(p.shape)
        assert torch.equal(p, value)
        assert p.untyped_storage().nbytes() == p.numel() * p.element_size()
        assert p.grad is None


def test_adamw_is_that_of_torch_step_for_step():
    network, reference = small_network(), small_network()
    flat = FlatParameters(network.parameters())
    optimizer = AdamW(flat, 0.3)
    oracle = torch.optim.AdamW(
        reference.parameters(), lr=1.0, betas=(0.9, 0.99), eps=1e-12, weight_decay=0.3
    )
    closure = closure_of(network, flat)
    for step in range(30):
        rate = 0.02 / (1 + step)
        optimizer.step(closure, rate)
        oracle.param_groups[0]["lr"] = rate
        oracle.zero_grad()
        (reference(rows()) - rows()[..., :3]).square().mean().backward()
        oracle.step()
        expected = torch.cat([p.detach().ravel() for p in reference.parameters()])
        torch.testing.assert_close(flat.values, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_a_weight_without_gradient_shrinks_by_rate_times_weight_decay(name):
    network = small_network()
    flat = FlatParameters(network.parameters())
    before = flat.values.clone()
    optimizer = OPTIMIZERS[name](flat, 0.5)
    optimizer.step(lambda: torch.zeros(()), 0.1)
    torch.testing.assert_close(flat.values, before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize(
    ("name", "rate"), [("adamw", 0.05), ("muon", 0.3), ("sgd", 0.05), ("lbfgs", 1.0)]
)
def test_optimizer_fits_a_linear_map(name, rate):
    linear = dense(5, 3)
    nn.init.zeros_(linear.weight)
    flat = FlatParameters(linear.parameters())
    x = rows()
    y = x @ torch.randn(5, 3, generator=seeded(2))

    def closure():
        flat.gradients.zero_()
        loss = (linear(x) - y).square().mean()
        loss.backward()
        return loss

    start = float(closure().detach())
    optimizer = OPTIMIZERS[name](flat, 0.0)
    for step in range(200):
        optimizer.step(closure, rate * (1 - step / 200))
    assert float(closure().detach()) < 1e-3 * start


def test_lbfgs_reaches_the_closed_form_of_ridge_regression():
    weight = nn.Parameter(dense(5, 1).weight.detach()[0].double())
    flat = FlatParameters([weight])
    x = rows()[0].double()
    y = x.sum(1, keepdim=True) + 1

    def closure():
        flat.gradients.zero_()
        loss = (x @ weight - y).square().mean()
        loss.backward()
        return loss

    optimizer = LBFGS(flat, 0.7)
    for _ in range(50):
        optimizer.step(closure, 1.0)
    penalty = 0.5 * 0.7 / 5  # half the mean squared weight, times the weight decay
    gram = x.T @ x / len(x) + penalty * torch.eye(5, dtype=torch.float64)
    expected = torch.linalg.solve(gram, x.T @ y / len(x))
    torch.testing.assert_close(flat.values, expected[:, 0], rtol=1e-6, atol=1e-8)


def test_first_step_of_muon_is_orthogonal():
    linear = dense(6, 6)
    flat = FlatParameters(linear.parameters())
    before = linear.weight.detach().clone()
    slopes = torch.diag(torch.linspace(1, 20, 6))

    def closure():
        flat.gradients.zero_()
        loss = (linear.weight * slopes).sum() + linear.bias.sum()
        loss.backward()
        return loss

    Muon(flat, 0.0).step(closure, 0.1)
    singular_values = torch.linalg.svdvals(linear.weight.detach() - before)
    assert singular_values.max() / singular_values.min() < 2  # 20 in the gradient


@pytest.mark.parametrize("n_inputs", [1, 6])
def test_muon_moves_each_model_of_an_axis_as_if_alone(n_inputs):
    start = torch.randn(3, n_inputs, 4, generator=seeded(4))
    directions = torch.randn(3, n_inputs, 4, generator=seeded(5))

    def moved(values, slopes):
        holder = nn.Module()
        holder.weight = nn.Parameter(values.clone())
        holder.bias = nn.Parameter(torch.zeros(len(values), 1, 4))
        flat = FlatParameters(holder.parameters())

        def closure():
            flat.gradients.zero_()
            loss = (holder.weight * slopes).sum()
            loss.backward()
            return loss

        Muon(flat, 0.1, len(values)).step(closure, 0.2)
        return holder.weight.detach()

    together = moved(start, directions)
    for i in range(3):
        alone = moved(start[i : i + 1], directions[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


def test_lbfgs_searches_on_where_a_full_step_overshoots():
    holder = nn.Module()
    holder.point = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    flat = FlatParameters(holder.parameters())

    def rosenbrock():
        flat.gradients.zero_()
        x, y = holder.point
        loss = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        loss.backward()
        return loss

    optimizer = LBFGS(flat, 0.0)
    for _ in range(60):
        optimizer.step(rosenbrock, 1.0)
    torch.testing.assert_close(flat.values, torch.ones(2, dtype=torch.float64))


def test_lbfgs_decays_models_side_by_side_as_if_alone():
    """The loss is a mean over models, its gradient that of their sum."""
    models = nn.Parameter(torch.zeros(2, 1, dtype=torch.float64))
    flat = FlatParameters([models])
    goals = torch.tensor([[1.0], [3.0]], dtype=torch.float64)

    def closure():
        flat.gradients.zero_()
        losses = (models - goals).square()
        losses.sum().backward()
        return losses.detach().mean()

    optimizer = LBFGS(flat, 0.7, n_models=2)
    for _ in range(20):
        optimizer.step(closure, 1.0)
    torch.testing.assert_close(models.detach(), 2 * goals / 2.7)

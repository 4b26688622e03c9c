"""Reconstruction losses: values and gradients against formulas, links, and edge cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from sklearn import metrics

from skae.core.backprop import DERIVATIVES
from skae.core.losses import LOSSES

numbers = st.floats(-20, 20)


def example(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(6, 4, generator=generator, dtype=torch.float64) * 2
    target = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    if name == "log_loss":
        target = torch.rand(6, 4, generator=generator, dtype=torch.float64)
    if name in {"poisson", "multinomial"}:
        target = torch.randint(0, 5, (6, 4), generator=generator).double()
    return output, target


def target_of(name: str, uniform: float) -> torch.Tensor:
    """Map a number in (0, 1) to a target that the loss allows."""
    if name == "multinomial":  # of a single column, the share is 1 whatever the output
        return torch.tensor([uniform, 1 - uniform], dtype=torch.float64)
    return tensor({"log_loss": uniform, "poisson": 10 * uniform}.get(name, 20 * uniform - 10))


def output_of(name: str, value: float) -> torch.Tensor:
    """Return an output of the shape of `target_of`."""
    fixed = [0.3] if name == "multinomial" else []
    return torch.tensor([value, *fixed], dtype=torch.float64)


def tensor(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


ORACLES = {
    "squared_error": lambda o, t: metrics.mean_squared_error(t, o),
    "absolute_error": lambda o, t: metrics.mean_absolute_error(t, o),
    "huber": lambda o, t: np.where(np.abs(o - t) < 1, (o - t) ** 2, 2 * np.abs(o - t) - 1).mean(),
    "log_loss": lambda o, t: np.mean(t * np.log1p(np.exp(-o)) + (1 - t) * np.log1p(np.exp(o))),
    "multinomial": lambda o, t: np.mean(
        [
            row.sum() * rel_entr(row / row.sum(), softmax(out)).sum() / len(row)
            for row, out in zip(t, o, strict=True)
        ]
    ),
    "poisson": lambda o, t: 0.5 * metrics.mean_poisson_deviance(t.ravel(), np.exp(o).ravel()),
}
SLOPES = {
    "squared_error": lambda o, t: 2 * (o - t),
    "absolute_error": lambda o, t: torch.sign(o - t),
    "huber": lambda o, t: 2 * (o - t).clamp(-1, 1),
    "log_loss": lambda o, t: torch.sigmoid(o) - t,
    "poisson": lambda o, t: torch.exp(o) - t,
    "multinomial": lambda o, t: t.sum(-1, keepdim=True) * torch.softmax(o, -1) - t,
}


def test_every_loss_has_an_oracle():
    assert set(LOSSES) == set(ORACLES) == set(SLOPES)


@pytest.mark.parametrize("name", LOSSES)
def test_value(name):
    output, target = example(name)
    expected = ORACLES[name](output.numpy(), target.numpy())
    assert float(LOSSES[name].function(output, target)) == pytest.approx(expected, rel=1e-10)


def test_log_loss_of_bits_is_that_of_scikit_learn():
    output = example("log_loss")[0].ravel()
    bits = (torch.arange(len(output)) % 2).double()
    expected = metrics.log_loss(bits.numpy(), torch.sigmoid(output).numpy())
    assert float(LOSSES["log_loss"].function(output, bits)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name):
    output, target = example(name)
    output.requires_grad_()
    LOSSES[name].function(output, target).backward()
    expected = SLOPES[name](output.detach(), target) / output.numel()
    torch.testing.assert_close(output.grad, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_mean_is_the_mean_of_the_entries(name):
    output, target = example(name)
    entries = LOSSES[name].function(output, target, reduction="none")
    assert entries.shape == output.shape
    torch.testing.assert_close(entries.mean(), LOSSES[name].function(output, target))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(uniform=st.floats(0.01, 0.99), a=numbers, b=numbers)
def test_convex_in_the_output(name, uniform, a, b):
    target, loss = target_of(name, uniform), LOSSES[name].function
    middle = float(loss(output_of(name, (a + b) / 2), target))
    chord = float(loss(output_of(name, a), target) + loss(output_of(name, b), target)) / 2
    assert middle <= chord + 1e-9 * (1 + abs(chord))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(uniform=st.floats(0.01, 0.99), other=numbers)
def test_smallest_at_the_perfect_output(name, uniform, other):
    loss = LOSSES[name]
    target = target_of(name, uniform)
    perfect = target if loss.link is None else loss.link(target)
    lowest = float(loss.function(perfect, target))
    assert float(loss.function(output_of(name, other), target)) >= lowest - 1e-12
    if name != "log_loss":  # whose floor is the entropy of the target
        assert lowest == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(uniform=st.floats(0.01, 0.99))
def test_response_undoes_the_link(name, uniform):
    loss = LOSSES[name]
    target = target_of(name, uniform)
    output = target if loss.link is None else loss.link(target)
    torch.testing.assert_close(loss.response(output), target)


@pytest.mark.parametrize("name", ["log_loss", "poisson"])
def test_link_of_a_feature_that_is_always_zero_is_finite(name):
    assert LOSSES[name].link(torch.tensor([0.0, 0.5])).isfinite().all()


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_log_loss_of_a_confident_mistake_is_finite(target):
    loss = LOSSES["log_loss"].function(torch.tensor([1000.0, -1000.0]), torch.full((2,), target))
    assert float(loss) == pytest.approx(500)


def test_poisson_accepts_a_zero_that_rounding_made_negative():
    target = torch.tensor([-1e-9, 0.0])
    loss = LOSSES["poisson"].function(torch.zeros(2), target, reduction="none")
    torch.testing.assert_close(loss, torch.ones(2))


def test_multinomial_accepts_an_empty_row():
    loss = LOSSES["multinomial"]
    output, target = torch.ones(2, 3), torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0]])
    entries = loss.function(output, target, reduction="none")
    assert (entries[0] == 0).all()
    assert entries.isfinite().all()
    assert (DERIVATIVES[loss.function](output, target)[0] == 0).all()


def test_multinomial_does_not_depend_on_the_level_of_the_output():
    output, target = example("multinomial")
    loss = LOSSES["multinomial"].function
    torch.testing.assert_close(loss(output + 3, target), loss(output, target))

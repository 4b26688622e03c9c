"""Reconstruction losses: values and gradients against formulas, links, and edge cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from scipy.special import rel_entr, softmax
from sklearn import metrics

from skae.core.backprop import DERIVATIVES
from skae.core.losses import LOSSES, count_level

numbers = st.floats(-20, 20)
COUNTS = ["poisson", "multinomial"]
LEVEL = torch.tensor([0.3, 2.0, 1.0, 4.0], dtype=torch.float64)


def loss_of(name, output, target, reduction="mean", level=None):
    """Return a loss of outputs on the absolute link scale, and of targets in the units of X."""
    if name not in COUNTS:
        return LOSSES[name].function(output, target, reduction=reduction)
    if level is None:
        level = LEVEL.to(output.dtype)[: output.shape[-1]]
    relative, deviation = output - level.log(), target / level - 1
    return LOSSES[name].function(relative, deviation, level, reduction=reduction)


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
    "log_loss": lambda o, t: np.mean(
        special.kl_div(t, special.expit(o)) + special.kl_div(1 - t, special.expit(-o))
    ),
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
    assert float(loss_of(name, output, target)) == pytest.approx(expected, rel=1e-10)


def test_log_loss_of_bits_is_that_of_scikit_learn():
    output = example("log_loss")[0].ravel()
    bits = (torch.arange(len(output)) % 2).double()
    expected = metrics.log_loss(bits.numpy(), torch.sigmoid(output).numpy())
    assert float(LOSSES["log_loss"].function(output, bits)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name):
    output, target = example(name)
    output.requires_grad_()
    loss_of(name, output, target).backward()
    expected = SLOPES[name](output.detach(), target) / output.numel()
    torch.testing.assert_close(output.grad, expected)


@pytest.mark.parametrize("name", ["log_loss", "poisson", "multinomial"])
@pytest.mark.parametrize("leading", [(700,), (3, 250)])
def test_entries_do_not_depend_on_the_parts_that_they_are_computed_in(name, leading, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(*leading, 333, generator=generator)
    target = torch.rand(*leading, 333, generator=generator)
    level = [torch.rand(333, generator=generator)] if LOSSES[name].is_relative else []
    found = LOSSES[name].function(output, target, *level, reduction="none")
    monkeypatch.setattr("skae.core.losses._PART", 10**9)
    whole = LOSSES[name].function(output, target, *level, reduction="none")
    assert torch.equal(found, whole)


@pytest.mark.parametrize("name", LOSSES)
def test_mean_is_the_mean_of_the_entries(name):
    output, target = example(name)
    entries = loss_of(name, output, target, reduction="none")
    assert entries.shape == output.shape
    torch.testing.assert_close(entries.mean(), loss_of(name, output, target))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(uniform=st.floats(0.01, 0.99), a=numbers, b=numbers)
def test_convex_in_the_output(name, uniform, a, b):
    target = target_of(name, uniform)
    middle = float(loss_of(name, output_of(name, (a + b) / 2), target))
    ends = [float(loss_of(name, output_of(name, end), target)) for end in (a, b)]
    chord = sum(ends) / 2
    assert middle <= chord + 1e-9 * (1 + abs(chord))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(uniform=st.floats(0.01, 0.99), other=numbers)
def test_smallest_at_the_perfect_output(name, uniform, other):
    loss = LOSSES[name]
    target = target_of(name, uniform)
    perfect = target if loss.link is None else loss.link(target)
    assert float(loss_of(name, perfect, target)) == pytest.approx(0, abs=1e-12)
    assert float(loss_of(name, output_of(name, other), target)) >= 0


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(uniform=st.floats(0.01, 0.99))
def test_response_undoes_the_link(name, uniform):
    loss = LOSSES[name]
    target = target_of(name, uniform)
    output = target if loss.link is None else loss.link(target)
    torch.testing.assert_close(loss.response(output), target)


def test_level_of_a_feature_that_is_always_zero_is_small_and_positive():
    level = count_level(torch.tensor([0.0, 0.5, 3.0]))
    assert level.tolist() == pytest.approx([5e-5, 0.5, 3.0])
    assert LOSSES["log_loss"].link(torch.tensor([0.0, 0.5, 1.0])).isfinite().all()


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_log_loss_of_a_confident_mistake_is_finite(target):
    loss = LOSSES["log_loss"].function(torch.tensor([1000.0, -1000.0]), torch.full((2,), target))
    assert float(loss) == pytest.approx(500)


def test_poisson_accepts_a_zero_that_rounding_made_negative():
    target, level = torch.tensor([-1.0 - 1e-7, -1.0]), torch.ones(2)
    loss = LOSSES["poisson"].function(torch.zeros(2), target, level, reduction="none")
    torch.testing.assert_close(loss, torch.ones(2))


def test_multinomial_accepts_an_empty_row():
    loss = LOSSES["multinomial"].function
    output, target = torch.ones(2, 3), torch.tensor([[-1.0, -1.0, -1.0], [1.0, -1.0, 2.0]])
    entries = loss(output, target, torch.ones(3), reduction="none")
    assert entries[0].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert entries.isfinite().all()
    gradient = DERIVATIVES[loss](output, target, torch.ones(3))
    assert gradient[0].tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_multinomial_does_not_depend_on_the_level_of_the_output():
    output, target = example("multinomial")
    torch.testing.assert_close(
        loss_of("multinomial", output + 3, target), loss_of("multinomial", output, target)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("magnitude", [1e-30, 1e-10, 1e-3, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("spread", [1e-4, 1e-2, 1.0])
def test_deviance_of_counts_near_their_mean_has_no_cancellation(spread, magnitude, dtype):
    """As a difference of numbers of the size of the counts, all digits would be lost."""
    rng = np.random.default_rng(0)
    deviation = spread * rng.uniform(-1, 1, (50, 4))
    output = spread * rng.normal(size=(50, 4))
    level = magnitude * np.array([1.0, 0.5, 2.0, 1.0])
    # The oracle in extended precision, where the difference keeps enough digits.
    x, r = np.longdouble(1) + deviation, np.exp(output.astype(np.longdouble))
    expected = (level * (x * (np.log(x) - output) - x + r)).astype(float)
    found = LOSSES["poisson"].function(
        *(torch.tensor(a).to(dtype) for a in (output, deviation, level)), reduction="none"
    )
    assert (found >= 0).all()
    np.testing.assert_allclose(
        found.double().sum(), expected.sum(), rtol=1e-4 if dtype == torch.float32 else 1e-7
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    data=st.lists(st.tuples(st.floats(-1, 1e6), st.floats(-30, 30)), min_size=4, max_size=4),
    magnitude=st.sampled_from([1e-30, 1e-3, 1.0, 1e12]),
)
def test_deviances_of_counts_are_never_negative(data, magnitude):
    target, output = torch.tensor(data, dtype=torch.float32).T
    level = magnitude * LEVEL.float()
    for name in COUNTS:
        entries = LOSSES[name].function(output, target, level, reduction="none")
        assert (entries >= 0).all()


@pytest.mark.parametrize("magnitude", [1e-30, 1e-6, 1.0, 1e6, 1e12])
def test_poisson_deviance_is_that_of_scikit_learn(magnitude):
    rng = np.random.default_rng(0)
    x = magnitude * rng.poisson(3, size=(40, 4))
    rate = magnitude * rng.gamma(3, size=(40, 4))
    output, target = torch.tensor(np.log(rate)), torch.tensor(x)
    found = 2 * float(loss_of("poisson", output, target, level=magnitude * LEVEL))
    expected = metrics.mean_poisson_deviance(x.ravel(), rate.ravel())
    assert found == pytest.approx(expected, rel=1e-10)


def test_deviances_are_twice_the_differences_of_scipys_log_likelihoods():
    rng = np.random.default_rng(0)
    x, rate = rng.poisson(3, size=(1, 4)), rng.gamma(3, size=(1, 4))
    output, target = torch.tensor(np.log(rate)), torch.tensor(x).double()
    found = loss_of("poisson", output, target, "none").numpy()
    best, given_rate = stats.poisson.logpmf(x, np.maximum(x, 1e-300)), stats.poisson.logpmf(x, rate)
    np.testing.assert_allclose(found, best - given_rate)
    shares = rate[0] / rate.sum()
    found = float(loss_of("multinomial", output, target, "none").sum())
    n = x.sum()
    best = stats.multinomial.logpmf(x[0], n, x[0] / n)
    assert found == pytest.approx(best - stats.multinomial.logpmf(x[0], n, shares))


@pytest.mark.parametrize("mean", [1e-30, 1e-12, 1e-3, 0.5, 0.999])
def test_bernoulli_deviance_of_small_probabilities(mean):
    rng = np.random.default_rng(0)
    probabilities = np.minimum(mean * rng.gamma(5, 0.2, size=(40, 4)), 1 - 1e-9)
    target = np.minimum(mean * rng.gamma(5, 0.2, size=(40, 4)), 1.0)
    expected = special.kl_div(target, probabilities)
    if mean > 1e-6:  # otherwise, the other term is smaller by that factor
        expected += special.kl_div(1 - target, 1 - probabilities)
    found = LOSSES["log_loss"].function(
        torch.tensor(special.logit(probabilities)), torch.tensor(target), reduction="none"
    )
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(), expected.sum(), rtol=1e-6)

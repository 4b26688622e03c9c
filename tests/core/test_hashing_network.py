"""Thresholds that halve the rows, and the code in training."""

from __future__ import annotations

import pytest
import torch

from skae._core.hashing import HashingArchitecture, HashingNetwork, balanced_thresholds
from skae._core.networks import build_network


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(**attributes) -> HashingNetwork:
    made = build_network(HashingArchitecture(6, 4, (5,), "tanh"), generator=seeded())
    made.set_generator(seeded(1))
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("n_rows", [2, 3, 10, 11, 1000, 1001])
def test_thresholds_halve_the_rows(n_rows):
    units = torch.randn(n_rows, 7, generator=seeded())
    above = (units > balanced_thresholds(units)).sum(0)
    assert ((above - n_rows / 2).abs() <= max(0.5, 0.01 * n_rows)).all()


@pytest.mark.parametrize("n_rows", [10, 11, 1001])
def test_no_row_lies_at_a_threshold(n_rows):
    units = torch.randn(n_rows, 7, generator=seeded())
    distance = (units - balanced_thresholds(units)).abs().min(0).values
    assert (distance > 1e-5).all()


def test_a_threshold_among_equal_rows_is_at_the_gap_next_to_the_median():
    units = torch.tensor([0.0] * 7 + [1.0, 2.0, 3.0])[:, None]
    assert float(balanced_thresholds(units)) == pytest.approx(0.5)


def test_the_widest_gap_near_the_median_is_taken():
    units = torch.linspace(0, 1, 1000).double()
    units[504:] += 1.0
    assert float(balanced_thresholds(units[:, None])) == pytest.approx(1.0, abs=0.01)


def test_a_unit_that_varies_by_rounding_alone_is_a_bit_of_0():
    units = torch.full((40, 1), 5.0)
    units[::2] += 4 * torch.finfo(units.dtype).eps
    assert not (units > balanced_thresholds(units)).any()


@pytest.mark.parametrize("rows", [1, 5])
def test_a_unit_that_never_varies_is_a_bit_of_0(rows):
    units = torch.full((rows, 2), 3.0)
    assert not (units > balanced_thresholds(units)).any()


def test_code_is_binary_outside_of_training():
    code = network().eval().encode(torch.randn(20, 6, generator=seeded()))
    assert set(code.unique().tolist()) == {0.0, 1.0}


def test_straight_through_is_binary_with_the_gradient_of_the_logistic_code():
    x = torch.randn(20, 6, generator=seeded())
    gradients = []
    for straight_through in (False, True):
        made = network(noise_level=1.0, straight_through=straight_through)
        code = made.encode(x)
        code.sum().backward()
        gradients.append(made.encoder.layers[0].weight.grad)
        assert torch.equal(code.detach().round(), code.detach()) == straight_through
    torch.testing.assert_close(*gradients)
    assert float(gradients[0].abs().max()) > 1e-3


def test_noise_has_its_level():
    made = network(noise_level=3.0)
    x = torch.randn(4000, 6, generator=seeded())
    units = made.encoder(x)
    noise = torch.logit(made.encode(x).double(), eps=1e-9) - (units - units.mean(0))
    usual = noise.abs() < 15  # beyond, the logistic function is 0 or 1 in float32
    assert float(noise[usual].detach().std()) == pytest.approx(3.0, rel=0.03)


def test_thresholds_follow_the_batches_in_training():
    made = network(noise_level=0.0)
    x = torch.randn(50, 6, generator=seeded()) + 2.0
    for _ in range(200):
        made.encode(x)
    torch.testing.assert_close(made.thresholds, made.encoder(x).mean(0).detach())


def test_a_stray_row_leaves_the_threshold_at_the_median():
    units = torch.randn(60_000, 1, generator=torch.Generator().manual_seed(0))
    units[0] = 1000.0
    share = (units > balanced_thresholds(units)).double().mean()
    assert float(share) == pytest.approx(0.5, abs=0.01)

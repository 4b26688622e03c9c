from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from skae.core import refine as module
from skae.core.refine import shrink, with_gradients

K = 4
ONE = torch.eye(K, dtype=torch.float64)


def randn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def refine(losses, *args, **settings):
    return module.refine(with_gradients(losses), *args, **settings)


def quadratic(scale: float):
    """Return losses whose curvatures lie between 0.5 and 2 times `scale`, and their minima."""
    axes = torch.linalg.qr(randn(K, K, seed=0)).Q
    curvature = (axes * torch.tensor([0.5, 0.8, 1.2, 2.0]).double()) @ axes.T * scale
    minima = randn(30, K, seed=1)

    def losses(codes, rows):
        away = codes - minima[rows]
        return 0.5 * ((away @ curvature) * away).sum(1)

    return losses, minima


def test_finds_the_minimum_of_a_quadratic():
    losses, minima = quadratic(1.0)
    found = refine(losses, torch.zeros_like(minima), ONE, 40)
    torch.testing.assert_close(found, minima, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_a_wrong_unit_costs_some_steps_and_no_more(scale):
    losses, minima = quadratic(scale)
    codes, rows = torch.zeros_like(minima), torch.arange(len(minima))
    assert (losses(refine(losses, codes, ONE, 10), rows) < 0.01 * losses(codes, rows)).all()


def wavy(codes, rows):
    """Has many minima, and curvatures of either sign."""
    centres = randn(200, K, seed=2)[rows]
    return (codes - centres).square().sum(1) + torch.cos(2 * codes).sum(1)


@pytest.mark.parametrize("max_steps", [1, 2, 5, 20])
def test_no_loss_rises_and_most_fall(max_steps):
    codes, rows = randn(200, K, seed=3), torch.arange(200)
    before = wavy(codes, rows)
    after = wavy(refine(wavy, codes, ONE, max_steps), rows)
    assert (after <= before).all()
    assert (after < before).double().mean() > 0.7


def test_further_steps_only_gain():
    codes, rows = randn(200, K, seed=3), torch.arange(200)
    losses = [wavy(refine(wavy, codes, ONE, n), rows) for n in range(8)]
    for before, after in pairwise(losses):
        assert (after <= before).all()


def test_each_row_is_moved_by_itself():
    codes, some = randn(200, K, seed=3), torch.arange(0, 200, 7)
    alone = refine(lambda code, rows: wavy(code, some[rows]), codes[some], ONE, 6)
    torch.testing.assert_close(alone, refine(wavy, codes, ONE, 6)[some])


@pytest.mark.parametrize("max_steps", [0, 1, 3, 20])
def test_a_single_row_moves_as_it_does_among_others(max_steps):
    codes = randn(40, K, seed=3)
    together = refine(wavy, codes, ONE, max_steps)
    for row in range(40):
        alone = refine(lambda code, rows, row=row: wavy(code, [row]), codes[[row]], ONE, max_steps)
        torch.testing.assert_close(alone[0], together[row])


def test_a_single_row_may_have_no_curvature():
    start = torch.full((1, 2), 100.0)
    found = refine(lambda codes, rows: codes.sum(1), start, torch.eye(2), 3)
    # Each step is then the longest: ten times the one before.
    assert torch.equal(found, start - (0.5 + 5.0 + 50.0))


def test_no_step_leaves_the_codes_as_they_are():
    codes = randn(200, K, seed=3)
    assert torch.equal(refine(wavy, codes, ONE, 0), codes)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_row_whose_loss_is_no_number_stays_and_stops_no_other(value):
    losses, minima = quadratic(1.0)

    def broken(codes, rows):
        return losses(codes, rows) + torch.where(rows == 3, value, 0.0)

    start = torch.ones_like(minima)
    found = refine(broken, start, ONE, 40)
    assert torch.equal(found[3], start[3])
    alone = refine(lambda code, rows: broken(code, torch.tensor([3])), start[[3]], ONE, 40)
    assert torch.equal(alone, start[[3]])
    others = torch.arange(30) != 3
    torch.testing.assert_close(found[others], minima[others], rtol=0, atol=1e-6)


def test_a_code_at_its_minimum_stays_there():
    losses, minima = quadratic(1.0)
    assert torch.equal(refine(losses, minima, ONE, 10), minima)


def test_leaves_the_given_codes_alone():
    codes = randn(200, K, seed=3)
    before = codes.clone()
    refine(wavy, codes, ONE, 3)
    assert torch.equal(codes, before)


def test_steps_are_the_same_on_any_axes():
    codes, rows = randn(200, K, seed=3), torch.arange(200)
    forward = randn(K, K, seed=5)
    inverse = torch.linalg.inv(forward)
    found = refine(wavy, codes, ONE, 4)
    elsewhere = refine(
        lambda code, rows: wavy(code @ inverse, rows), codes @ forward, forward.T @ forward, 4
    )
    torch.testing.assert_close(elsewhere @ inverse, found)
    assert (wavy(found, rows) < wavy(codes, rows)).any()


def test_a_row_that_is_good_enough_is_not_moved_on():
    """A loss that falls for ever would take its code to infinity."""
    codes = torch.tensor([[0.0], [3.0], [30.0]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)

    def falling(codes, rows):
        return torch.exp(-codes[:, 0])

    found = refine(falling, codes, one, 200, loss_tol=1e-3)
    assert torch.equal(found[2], codes[2])
    assert (falling(found, None) <= 1e-3).all()
    assert (falling(found[:2], None) > 1e-8).all()
    for row, code in enumerate(codes.split(1)):
        torch.testing.assert_close(refine(falling, code, one, 200, loss_tol=1e-3)[0], found[row])


def test_shrink_goes_back_from_where_an_exponential_overflows():
    def losses(codes, rows):
        return (torch.exp(codes) - 2 * codes).sum(1)

    codes = torch.tensor([[900.0], [40.0], [2.0], [math.log(2.0)], [math.nan]]).double()
    found = shrink(losses, codes)
    assert found[:4, 0].tolist() == pytest.approx([0.0, 0.0, 0.5, math.log(2.0)])
    rows = torch.arange(4)
    assert (losses(found[:4], rows) <= losses(codes[:4], rows)).all()

"""Corruptions: their statistics, and that they depend on the generator alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from skae.core.corruption import gaussian, masking, salt_and_pepper

X = torch.linspace(0.5, 2.0, 40_000).view(2000, 20)
LOW, HIGH = torch.full((20,), -7.0), torch.full((20,), 9.0)
CORRUPTIONS = {
    "gaussian": partial(gaussian, standard_deviation=0.5),
    "masking": partial(masking, share=0.3),
    "salt_and_pepper": partial(salt_and_pepper, share=0.3, low=LOW, high=HIGH),
}


def corrupted(name: str, seed: int = 0) -> torch.Tensor:
    return CORRUPTIONS[name](X, torch.Generator().manual_seed(seed))


def test_gaussian_noise_has_the_given_deviation_and_no_mean():
    noise = corrupted("gaussian") - X
    # Five standard errors of 40,000 draws.
    assert float(noise.mean()) == pytest.approx(0, abs=5 * 0.5 / 200)
    assert float(noise.std()) == pytest.approx(0.5, abs=5 * 0.5 / 283)


def test_masking_sets_its_share_to_the_mean_and_leaves_the_rest():
    noisy = corrupted("masking")
    hit = noisy == 0
    assert float(hit.float().mean()) == pytest.approx(0.3, abs=5 * 0.46 / 200)
    assert torch.equal(noisy[~hit], X[~hit])


def test_salt_and_pepper_set_equal_shares_to_both_ends():
    noisy = corrupted("salt_and_pepper")
    for extreme in (LOW, HIGH):
        assert float((noisy == extreme).float().mean()) == pytest.approx(0.15, abs=5 * 0.36 / 200)
    rest = (noisy != LOW) & (noisy != HIGH)
    assert torch.equal(noisy[rest], X[rest])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_generator_decides_and_the_input_stays(name):
    before, state = X.clone(), torch.random.get_rng_state()
    assert torch.equal(corrupted(name), corrupted(name))
    assert not torch.equal(corrupted(name), corrupted(name, seed=1))
    assert torch.equal(X, before)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_model_of_an_axis_gets_noise_of_its_own(name):
    first, second = CORRUPTIONS[name](torch.stack([X, X]), torch.Generator().manual_seed(0))
    assert not torch.equal(first, second)

"""Thresholds that half of the rows exceed, and the criterion that sets them."""

from __future__ import annotations

import pytest
import torch

from skae.core.bits import BitReconstruction, balanced_thresholds
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import build_network
from skae.core.networks.hashing import HashingArchitecture


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n_rows", [2, 3, 10, 11, 1000, 1001])
def test_half_of_the_rows_exceed_a_threshold(n_rows):
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


def test_the_largest_gap_near_the_median_is_taken():
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


def test_an_outlier_leaves_the_threshold_at_the_median():
    units = torch.randn(60_000, 1, generator=seeded())
    units[0] = 1000.0
    share = (units > balanced_thresholds(units)).double().mean()
    assert float(share) == pytest.approx(0.5, abs=0.01)


def test_criterion_trains_the_noisy_code_and_validates_bits():
    network = build_network(HashingArchitecture(6, 4, (5,), "tanh"), generator=seeded())
    model = Model(network, torch.zeros(6, dtype=torch.float64), 1.0, LOSSES["squared_error"])
    criterion = BitReconstruction(model, 2.0, straight_through=False)
    x = torch.randn(1, 20, 6, generator=seeded())
    network.set_generator(seeded(1))
    code = criterion.encode(x)
    network.set_generator(seeded(1))
    assert torch.equal(code, network.noisy_code(x, 2.0, straight_through=False))
    network.eval()
    assert set(criterion.encode(x).unique().tolist()) == {0.0, 1.0}

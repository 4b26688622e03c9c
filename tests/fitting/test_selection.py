from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA

from skae import Autoencoder
from skae.core.criterion import Criterion
from skae.core.loop import History
from skae.core.networks.autoencoder import Architecture, build_network
from skae.fitting.selection import ValidationLoss, improves_significantly, keeps_start
from skae.fitting.split import Split, cross_fit, single_split


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class RowMeans(Criterion):
    """Take the mean of each row for its loss."""

    def measure(self, inputs, target, generator):
        return inputs.mean(-1)


def validation_losses(data: torch.Tensor, split: Split) -> torch.Tensor:
    network = build_network(Architecture(data.shape[1], 1, ()), generator=seeded())
    return ValidationLoss(RowMeans(), network, data, split)()


def test_validation_losses_pool_the_folds():
    split = cross_fit(torch.randperm(12, generator=seeded()).tensor_split(5), 12)
    data = torch.arange(12.0)[:, None].expand(12, 3)
    assert sorted(validation_losses(data, split).tolist()) == list(range(12))


def test_duplicates_are_one_piece_of_evidence_with_the_weight_of_all():
    data = torch.tensor([[3.0], [1.0], [3.0], [5.0], [3.0]])
    rows = torch.arange(5)
    split = replace(single_split(rows[:4], rows[4:]), groups=torch.tensor([0, 1, 0, 2, 0]))
    losses = validation_losses(data, split)
    assert losses.tolist() == [6.0 * 3 / 4, 1.0 * 3 / 4, 5.0 * 3 / 4]
    assert losses.mean() == data[:4].mean()


@pytest.mark.parametrize(("standard_errors", "is_accepted"), [(2.9, False), (3.1, True)])
def test_a_fit_leaves_pca_only_beyond_three_standard_errors(
    standard_errors, is_accepted, monkeypatch, iris
):
    noise = torch.linspace(-1, 1, 50, dtype=torch.float64)
    start = torch.full((50,), 9.0, dtype=torch.float64)
    gain = standard_errors * float(noise.std()) / math.sqrt(50)
    answers = iter([start, start - gain + noise])
    monkeypatch.setattr(ValidationLoss, "__call__", lambda self: next(answers))
    trained = Autoencoder(2, max_iter=1, random_state=0).fit(iris)
    assert trained.best_iter_ == int(is_accepted)
    is_pca = np.allclose(trained.transform(iris), PCA(2).fit_transform(iris), rtol=0, atol=1e-6)
    assert is_pca is not is_accepted


def test_a_significant_gain_is_three_standard_errors_of_the_paired_change():
    start = torch.randn(40, generator=seeded(), dtype=torch.float64)
    noise = torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = noise - noise.mean()
    standard_error = float(noise.std()) / 40**0.5
    for shares, expected in ((2.9, False), (3.1, True)):
        losses = start + noise - shares * standard_error
        statistic = stats.ttest_rel(losses.numpy(), start.numpy()).statistic
        assert statistic == pytest.approx(-shares)
        assert improves_significantly(losses, start) is expected


def heavy_tailed_change(n_rows: int = 200) -> torch.Tensor:
    """Return changes of which one is a gain as large as all others together, and none a loss."""
    change = -torch.rand(n_rows, generator=seeded(), dtype=torch.float64)
    change[7] = change.sum()
    return change


def test_one_large_gain_does_not_hide_the_others():
    change = heavy_tailed_change()
    change[11] = 0.9  # against it stands a loss like any other change
    start = torch.full_like(change, 2.0)
    assert stats.ttest_1samp(change.numpy(), 0.0).statistic > -3
    assert improves_significantly(start + change, start)


def test_one_large_gain_alone_proves_nothing():
    change = torch.randn(200, generator=seeded(), dtype=torch.float64)
    change = change - change.mean()
    change[7] = -200.0
    start = torch.full_like(change, 2.0)
    assert not improves_significantly(start + change, start)


@pytest.mark.parametrize(("times", "expected"), [(0.45, True), (0.55, False)])
def test_a_gain_outlasts_one_more_heavy_row_that_goes_wrong(times, expected):
    """The heaviest row's error may treble on a further row of its weight."""
    change = heavy_tailed_change()
    change[11] = 0.9
    start = torch.full_like(change, 2.0)
    start[7] += times * -float(change.sum())
    assert improves_significantly(start + change, start) is expected


def test_one_more_heavy_row_counts_with_all_of_its_error():
    """Also where no row is much heavier than the others."""
    start = torch.ones(100, dtype=torch.float64)
    start[0] = 1.2
    change = torch.linspace(-0.00101, -0.00099, 100, dtype=torch.float64)
    change[1:20] = 0.0005
    change[0] = -1.15
    assert -float(change.sum()) < 2 * float(start.max())
    assert not improves_significantly(start + change, start)


def test_a_large_loss_outweighs_many_gains():
    change = -heavy_tailed_change()
    start = torch.full_like(change, 2.0)
    change[20:] -= 1.9 * change[20:].mean()
    assert change.median() < 0
    assert not improves_significantly(start + change, start)


@pytest.mark.parametrize("degrees_of_freedom", [1.5, 3.0, 30.0])
def test_chance_is_rarely_taken_for_a_gain(degrees_of_freedom):
    changes = stats.t(degrees_of_freedom).rvs((4000, 100), random_state=0)
    start = torch.full((100,), 1.0, dtype=torch.float64)
    accepted = [
        improves_significantly(start + change, start) for change in torch.from_numpy(changes)
    ]
    # One-sided: 0.13 % of normal means lie three standard errors below 0.
    assert sum(accepted) / len(accepted) < 0.005


@pytest.mark.parametrize(("gain", "expected"), [(0.005, False), (0.02, True)])
def test_a_small_gain_is_not_worth_leaving_the_start(gain, expected):
    start = torch.linspace(0.5, 1.5, 40, dtype=torch.float64)
    assert improves_significantly(start - gain, start) is expected


def test_one_row_proves_nothing():
    assert not improves_significantly(torch.tensor([0.0]), torch.tensor([9.0]))


class TwoLosses(RowMeans):
    """Two losses a row, of which the second is twice the first."""

    def row_losses(self, measured, mask):
        return torch.stack([measured, 2 * measured])


def test_duplicates_are_grouped_under_each_loss():
    data = torch.tensor([[3.0], [1.0], [3.0], [5.0], [3.0]])
    rows = torch.arange(5)
    split = replace(single_split(rows[:4], rows[4:]), groups=torch.tensor([0, 1, 0, 2, 0]))
    network = build_network(Architecture(1, 1, ()), generator=seeded())
    one = ValidationLoss(RowMeans(), network, data, split)()
    two = ValidationLoss(TwoLosses(), network, data, split)()
    assert torch.equal(two, torch.stack([one, 2 * one]))


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_the_start_is_left_only_if_every_loss_improves(gains):
    start = torch.linspace(2, 3, 40, dtype=torch.float64).expand(2, 40)
    best = start - torch.tensor(gains, dtype=torch.float64)[:, None] * start / 10
    history = History(best_epoch=3, start_row_losses=start, best_row_losses=best)
    assert keeps_start(history, None) is (min(gains) == 0.0)

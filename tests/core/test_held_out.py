from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy import stats

from skae._core.held_out import (
    Division,
    Judge,
    cross_fit,
    is_clearly_better,
    no_division,
    single_split,
)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def five_folds(n_rows: int) -> Division:
    folds = torch.randperm(n_rows, generator=seeded()).tensor_split(5)
    return cross_fit(folds, n_rows)


@pytest.mark.parametrize("n_rows", [10, 23, 64])
def test_cross_fit_judges_every_row_once(n_rows):
    division = five_folds(n_rows)
    judging = division.held_out[division.counted]
    assert sorted(judging.tolist()) == list(range(n_rows))


@pytest.mark.parametrize("n_rows", [10, 23, 64])
def test_no_row_judges_a_model_that_trained_on_it(n_rows):
    division = five_folds(n_rows)
    for training, held_out, counted in zip(
        division.training, division.held_out, division.counted, strict=True
    ):
        judging = held_out[counted].tolist()
        assert not set(judging) & set(training.tolist())
        assert len(judging) + len(training) == n_rows


def test_last_model_of_a_cross_fit_trains_on_every_row():
    assert sorted(five_folds(23).training[-1].tolist()) == list(range(23))


def test_one_fold_judges_one_of_two_models():
    fold = torch.tensor([3, 1])
    division = cross_fit([fold], 6)
    assert [rows.tolist() for rows in division.training] == [[0, 2, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert division.held_out[division.counted].tolist() == [3, 1]


def test_single_split_divides_the_rows():
    division = single_split(torch.tensor([4, 1]), torch.tensor([0, 2, 3]))
    assert division.held_out[division.counted].tolist() == [4, 1]
    assert [rows.tolist() for rows in division.training] == [[0, 2, 3]]


def test_without_division_every_row_trains():
    division = no_division(7)
    assert division.training[0].tolist() == list(range(7))
    assert division.held_out is None
    assert division.n_models is None


def test_judge_pools_the_folds():
    division = five_folds(12)
    data = torch.arange(12.0)[:, None].expand(12, 3)
    judge = Judge(lambda z: z.mean(-1), data, division)
    assert sorted(judge().tolist()) == list(range(12))


def test_copies_are_one_piece_of_evidence_with_the_weight_of_all():
    data = torch.tensor([[3.0], [1.0], [3.0], [5.0], [3.0]])
    rows = torch.arange(5)
    division = replace(single_split(rows[:4], rows[4:]), copies=torch.tensor([0, 1, 0, 2, 0]))
    losses = Judge(lambda part: part[:, 0], data, division)()
    assert losses.tolist() == [6.0 * 3 / 4, 1.0 * 3 / 4, 5.0 * 3 / 4]
    assert losses.mean() == data[:4].mean()


def test_clearly_better_is_three_standard_errors_of_the_paired_change():
    start = torch.randn(40, generator=seeded(), dtype=torch.float64)
    noise = torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = noise - noise.mean()
    standard_error = float(noise.std()) / 40**0.5
    for shares, expected in ((2.9, False), (3.1, True)):
        losses = start + noise - shares * standard_error
        statistic = stats.ttest_rel(losses.numpy(), start.numpy()).statistic
        assert statistic == pytest.approx(-shares)
        assert is_clearly_better(losses, start) is expected


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
    assert is_clearly_better(start + change, start)


def test_one_large_gain_alone_proves_nothing():
    change = torch.randn(200, generator=seeded(), dtype=torch.float64)
    change = change - change.mean()
    change[7] = -200.0
    start = torch.full_like(change, 2.0)
    assert not is_clearly_better(start + change, start)


@pytest.mark.parametrize(("times", "expected"), [(0.45, True), (0.55, False)])
def test_a_gain_outlasts_one_more_heavy_row_that_goes_wrong(times, expected):
    """The heaviest row's error may treble on a further row of its weight."""
    change = heavy_tailed_change()
    change[11] = 0.9
    start = torch.full_like(change, 2.0)
    start[7] += times * -float(change.sum())
    assert is_clearly_better(start + change, start) is expected


def test_one_more_heavy_row_counts_with_all_of_its_error():
    """Also where no row is much heavier than the others."""
    start = torch.ones(100, dtype=torch.float64)
    start[0] = 1.2
    change = torch.linspace(-0.00101, -0.00099, 100, dtype=torch.float64)
    change[1:20] = 0.0005
    change[0] = -1.15
    assert -float(change.sum()) < 2 * float(start.max())
    assert not is_clearly_better(start + change, start)


def test_a_large_loss_outweighs_many_gains():
    change = -heavy_tailed_change()
    start = torch.full_like(change, 2.0)
    change[20:] -= 1.9 * change[20:].mean()
    assert change.median() < 0
    assert not is_clearly_better(start + change, start)


@pytest.mark.parametrize("degrees_of_freedom", [1.5, 3.0, 30.0])
def test_chance_is_rarely_taken_for_a_gain(degrees_of_freedom):
    changes = stats.t(degrees_of_freedom).rvs((4000, 100), random_state=0)
    start = torch.full((100,), 1.0, dtype=torch.float64)
    accepted = [is_clearly_better(start + change, start) for change in torch.from_numpy(changes)]
    # One-sided: 0.13 % of normal means lie three standard errors below 0.
    assert sum(accepted) / len(accepted) < 0.005


@pytest.mark.parametrize(("gain", "expected"), [(0.005, False), (0.02, True)])
def test_a_small_gain_is_not_worth_leaving_the_start(gain, expected):
    start = torch.linspace(0.5, 1.5, 40, dtype=torch.float64)
    assert is_clearly_better(start - gain, start) is expected


def test_one_row_proves_nothing():
    assert not is_clearly_better(torch.tensor([0.0]), torch.tensor([9.0]))

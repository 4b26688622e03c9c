"""Which rows are held out: duplicates stay together, and rare large rows are on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from skae import Autoencoder
from skae.fitting.split import (
    Split,
    cross_fit,
    no_split,
    single_split,
    split_rows,
    squared_distances,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n_rows: int, n_features: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(n_rows, n_features)


def five_folds(n_rows: int) -> Split:
    folds = torch.randperm(n_rows, generator=seeded()).tensor_split(5)
    return cross_fit(folds, n_rows)


@pytest.mark.parametrize("n_rows", [10, 23, 64])
def test_cross_fit_holds_out_every_row_once(n_rows):
    split = five_folds(n_rows)
    assert sorted(split.held_out[split.mask].tolist()) == list(range(n_rows))


@pytest.mark.parametrize("n_rows", [10, 23, 64])
def test_no_row_validates_a_model_that_trained_on_it(n_rows):
    split = five_folds(n_rows)
    for training, rows, mask in zip(split.training, split.held_out, split.mask, strict=True):
        held_out = rows[mask].tolist()
        assert not set(held_out) & set(training.tolist())
        assert len(held_out) + len(training) == n_rows


def test_last_model_of_a_cross_fit_trains_on_every_row():
    assert sorted(five_folds(23).training[-1].tolist()) == list(range(23))


@pytest.mark.parametrize("n_rows", [60, 61, 62])
def test_masked_rows_are_rows_of_a_fold(n_rows):
    folds = list(torch.randperm(n_rows, generator=seeded()).tensor_split(5))
    split = cross_fit(folds, n_rows)
    for fold, held_out in zip([*folds, folds[0]], split.held_out, strict=True):
        assert set(held_out.tolist()) == set(fold.tolist())


def test_one_fold_validates_one_of_two_models():
    fold = torch.tensor([3, 1])
    split = cross_fit([fold], 6)
    assert [rows.tolist() for rows in split.training] == [[0, 2, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert split.held_out[split.mask].tolist() == [3, 1]


def test_single_split_divides_the_rows():
    split = single_split(torch.tensor([4, 1]), torch.tensor([0, 2, 3]))
    assert split.held_out[split.mask].tolist() == [4, 1]
    assert split.held_out.shape == split.mask.shape == (1, 2)
    assert [rows.tolist() for rows in split.training] == [[0, 2, 3]]


def test_without_a_split_every_row_trains():
    split = no_split(7)
    assert split.training[0].tolist() == list(range(7))
    assert split.held_out is None
    assert len(split.training) == 1


@pytest.mark.parametrize("may_cross_fit", [True, False])
@pytest.mark.parametrize("n_rows", [120, 1500, 6000])
def test_no_row_validates_a_model_that_trained_on_a_duplicate(n_rows, may_cross_fit):
    X = drawn(n_rows)[np.random.RandomState(1).randint(n_rows, size=n_rows)]
    split = split_rows(X, n_rows, 0.1, may_cross_fit=may_cross_fit, generator=seeded())
    for training, held_out, mask in zip(
        split.training, split.held_out.numpy(), split.mask.numpy(), strict=True
    ):
        seen = set(map(tuple, X[training.numpy()]))
        assert not any(tuple(row) in seen for row in X[held_out[mask]])
        # Nothing is lost: a row is held out, or it trains.
        assert len(training) + mask.sum() == n_rows


@pytest.mark.parametrize("n_rows", [1500, 6000])
def test_distinct_rows_that_are_alike_are_split_as_if_nobody_had_looked(n_rows):
    looked, not_looked = (
        split_rows(X, n_rows, 0.1, may_cross_fit=True, generator=seeded())
        for X in (drawn(n_rows), None)
    )
    assert looked.groups is None
    assert torch.equal(looked.held_out, not_looked.held_out)
    for one, other in zip(looked.training, not_looked.training, strict=True):
        assert torch.equal(one, other)


def test_fewer_than_ten_distinct_rows_are_taken_as_they_are():
    for n_distinct in (9, 10):
        X = np.tile(drawn(n_distinct), (30, 1))
        split = split_rows(X, len(X), 0.1, may_cross_fit=True, generator=seeded())
        assert (split.groups is None) is (n_distinct < 10)


@pytest.mark.parametrize("n_rows", [700, 6000])
def test_held_out_rows_have_their_share_of_the_large_ones(n_rows):
    X = drawn(n_rows)
    X[: n_rows // 50] *= 30
    for seed in range(20):
        split = split_rows(X, n_rows, 0.1, may_cross_fit=False, generator=seeded(seed))
        share = squared_distances(X)[split.held_out[0].numpy()].sum() / squared_distances(X).sum()
        assert 0.05 <= share <= 0.2


@pytest.mark.parametrize(("n_large", "holds_out_all"), [(0, False), (20, True), (400, False)])
def test_every_row_is_held_out_where_few_carry_the_variance(n_large, holds_out_all):
    X = drawn(2000)
    X[:n_large] *= 30
    split = split_rows(X, 2000, 0.1, may_cross_fit=True, generator=seeded())
    assert len(split.training) == (6 if holds_out_all else 2)
    assert split.mask.sum() == (2000 if holds_out_all else 200)
    # From here on a second model, let alone six, would take too long.
    X = np.tile(X, (3, 1)) + 1e-3 * drawn(6000)
    assert len(split_rows(X, 6000, 0.1, may_cross_fit=True, generator=seeded()).training) == 1


@pytest.mark.parametrize("n_rows", [10, 60, 63, 499])
def test_each_fold_has_its_share_of_the_large_rows(n_rows):
    X = np.random.RandomState(0).standard_t(1.0, (n_rows, 4))  # no variance
    distances = squared_distances(X)
    largest_first = np.sort(distances)[::-1]
    n_complete = n_rows // 5
    for seed in range(20):
        split = split_rows(X, n_rows, 0.1, may_cross_fit=True, generator=seeded(seed))
        for rows, mask in zip(split.held_out[:5], split.mask[:5], strict=True):
            # One of every five rows, from the largest down, up to a tenth.
            of_fold = np.sort(distances[rows[mask].numpy()])[::-1][:n_complete]
            assert (of_fold <= 1.1 * largest_first[::5][:n_complete]).all()
            assert (of_fold >= largest_first[4::5] / 1.1).all()


def test_rounding_does_not_change_the_folds():
    X = np.random.RandomState(0).poisson(1.0, (200, 5)).astype(np.float64)  # many equal distances
    splits = [
        split_rows(rows, 200, 0.1, may_cross_fit=True, generator=seeded())
        for rows in (X, csr_matrix(X), (X * 0.1 + 0.3), (X * 0.1).astype(np.float32))
    ]
    for split in splits[1:]:
        assert torch.equal(split.held_out, splits[0].held_out)


def test_each_row_is_as_likely_in_one_fold_as_in_another():
    X = np.arange(40.0)[:, None] ** 3
    n_seeds, counts, together = 300, np.zeros((40, 5)), 0
    for seed in range(n_seeds):
        split = split_rows(X, 40, 0.1, may_cross_fit=True, generator=seeded(seed))
        for fold, rows in enumerate(split.held_out[:5].tolist()):
            counts[rows, fold] += 1
            together += {0, 39} <= set(rows)
    margin = 5 * (0.2 * 0.8 / n_seeds) ** 0.5  # standard errors of a share of 0.2
    assert np.abs(counts / n_seeds - 0.2).max() < margin
    assert abs(together / n_seeds - 0.2) < margin


def test_copies_of_a_row_far_from_the_mean_lie_in_one_fold():
    X = drawn(100)
    X[:10] = 50.0
    for seed in range(10):
        split = split_rows(X, 100, 0.1, may_cross_fit=True, generator=seeded(seed))
        folds = zip(split.held_out, split.mask, strict=True)
        assert sorted(int((rows[mask] < 10).sum()) for rows, mask in folds) == [0, 0, 0, 0, 0, 10]


def test_one_row_that_carries_the_variance_is_no_hindrance():
    X = drawn(700)
    X[3] *= 1e6
    split = split_rows(X, 700, 0.1, may_cross_fit=False, generator=seeded())
    assert split.held_out.shape == (1, 70)


def test_a_row_that_half_of_the_rows_duplicate_trains():
    X = drawn(1000)
    X[:500] = X[0]
    for seed in range(20):
        split = split_rows(X, 1000, 0.1, may_cross_fit=False, generator=seeded(seed))
        assert len(split.training[0]) > 900


def test_fewer_models_are_trained_side_by_side_where_they_are_large():
    """Up to 2 ** 25 weights in all; held-out rows are then those of fewer folds."""
    X = drawn(100)
    for n_weights, n_models in ((2**20, 6), (2**23, 4), (2**30, 2)):
        split = split_rows(X, 100, 0.1, may_cross_fit=True, generator=seeded(), n_weights=n_weights)
        assert len(split.training) == n_models
        assert split.held_out.shape == (n_models, 20)
        assert len(split.training[-1]) == 100


def test_few_folds_have_their_share_of_the_large_rows():
    X = drawn(100)
    X[:3] *= 100.0
    for seed in range(50):
        split = split_rows(X, 100, 0.1, may_cross_fit=True, generator=seeded(seed), n_weights=2**30)
        assert (split.held_out[split.mask] < 3).any()


def test_a_fit_of_large_networks_has_fewer_folds(monkeypatch):
    X = drawn(60)
    monkeypatch.setattr("skae.fitting.split._MAX_WEIGHTS", 400)
    found = []

    def spy(*args, **settings):
        found.append(len(split_rows(*args, **settings).training))
        return split_rows(*args, **settings)

    monkeypatch.setattr("skae.fitting.split.split_rows", spy)
    for hidden in ((2,), (16,)):
        Autoencoder(2, hidden_layer_sizes=hidden, max_iter=1).fit(X)
    assert found == [6, 2]


def test_squared_distances():
    X = drawn(50)
    X[X < 0] = 0.0
    expected = np.square(X - X.mean(axis=0)).sum(axis=1)
    for distances in (squared_distances(X), squared_distances(csr_matrix(X))):
        np.testing.assert_allclose(distances, expected / X.max() ** 2, rtol=1e-12)
    np.testing.assert_allclose(squared_distances(X * 1e300), squared_distances(X), rtol=1e-12)
    X[4, 1] = np.nan
    centred = X - np.nanmean(X, axis=0)
    centred[4, 1] = 0.0
    np.testing.assert_allclose(
        squared_distances(X), np.square(centred).sum(axis=1) / np.nanmax(X) ** 2, rtol=1e-12
    )

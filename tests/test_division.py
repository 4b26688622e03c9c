"""Which rows judge: copies stay together, and rare large rows are on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from skae import Autoencoder
from skae._copies import number_of_distinct_row, number_of_rounded_row
from skae._division import divide, squared_distances, stratified_split


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n_rows: int, n_features: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(n_rows, n_features)


@pytest.mark.parametrize("may_cross_fit", [True, False])
@pytest.mark.parametrize("n_rows", [120, 1500, 6000])
def test_no_row_judges_a_model_that_trained_on_a_copy(n_rows, may_cross_fit):
    X = drawn(n_rows)[np.random.RandomState(1).randint(n_rows, size=n_rows)]
    division = divide(n_rows, 0.1, may_cross_fit=may_cross_fit, generator=seeded(), X=X)
    held_out, counted = np.atleast_2d(division.held_out), np.atleast_2d(division.counted)
    for training, judging, counts in zip(division.training, held_out, counted, strict=True):
        seen = set(map(tuple, X[training.numpy()]))
        assert not any(tuple(row) in seen for row in X[judging[counts]])
        # Nothing is lost: a row judges, or it trains.
        assert len(training) + counts.sum() == n_rows


@pytest.mark.parametrize("n_rows", [120, 1500, 6000])
def test_distinct_rows_that_are_alike_are_divided_as_if_nobody_had_looked(n_rows):
    looked, not_looked = (
        divide(n_rows, 0.1, may_cross_fit=True, generator=seeded(), X=X)
        for X in (drawn(n_rows), None)
    )
    assert looked.copies is None
    assert torch.equal(looked.held_out, not_looked.held_out)
    for one, other in zip(looked.training, not_looked.training, strict=True):
        assert torch.equal(one, other)


def test_fewer_than_ten_distinct_rows_are_taken_as_they_are():
    for n_distinct in (9, 10):
        X = np.tile(drawn(n_distinct), (30, 1))
        division = divide(len(X), 0.1, may_cross_fit=True, generator=seeded(), X=X)
        assert (division.copies is None) is (n_distinct < 10)


@pytest.mark.parametrize("n_rows", [700, 6000])
def test_a_jury_holds_its_share_of_the_large_rows(n_rows):
    X = drawn(n_rows)
    X[: n_rows // 50] *= 30
    for seed in range(20):
        held_out = divide(n_rows, 0.1, may_cross_fit=False, generator=seeded(seed), X=X).held_out
        share = squared_distances(X)[held_out.numpy()].sum() / squared_distances(X).sum()
        assert 0.05 <= share <= 0.2


@pytest.mark.parametrize(("n_large", "every_row_judges"), [(0, False), (20, True), (400, False)])
def test_every_row_judges_where_few_carry_the_variance(n_large, every_row_judges):
    X = drawn(2000)
    X[:n_large] *= 30
    division = divide(2000, 0.1, may_cross_fit=True, generator=seeded(), X=X)
    assert len(division.training) == (6 if every_row_judges else 2)
    assert division.counted.sum() == (2000 if every_row_judges else 200)
    # From here on a second model, let alone six, would take too long.
    X = np.tile(X, (3, 1)) + 1e-3 * drawn(6000)
    assert len(divide(6000, 0.1, may_cross_fit=True, generator=seeded(), X=X).training) == 1


def test_one_row_that_carries_the_variance_is_no_hindrance():
    X = drawn(700)
    X[3] *= 1e6
    assert len(divide(700, 0.1, may_cross_fit=False, generator=seeded(), X=X).held_out) == 70


def test_a_row_that_half_of_the_rows_are_copies_of_trains():
    X = drawn(1000)
    X[:500] = X[0]
    for seed in range(20):
        division = divide(1000, 0.1, may_cross_fit=False, generator=seeded(seed), X=X)
        assert len(division.training[0]) > 900


def test_distinct_rows_are_numbered_as_they_appear():
    X = np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [1.0, 0.0], [np.nan, 0.0]])
    assert number_of_distinct_row(X).tolist() == [0, 1, 0, 2, 1, 3]
    assert number_of_distinct_row(csr_matrix(X)).tolist() == [0, 1, 0, 2, 1, 3]
    assert number_of_distinct_row(np.array([[0.0, 1.0], [-0.0, 1.0]])).tolist() == [0, 0]


@pytest.mark.parametrize("container", [np.array, csr_matrix])
def test_rows_that_differ_by_rounding_are_copies(container, rng):
    X = drawn(300, 20)
    X[X < 0] = 0.0
    as_text = np.array([[float(f"{value:.8g}") for value in row] for row in X])
    together = np.concatenate([X, X.astype(np.float32), np.nextafter(X, 9.0), as_text])
    order = rng.permutation(len(together))
    numbers = number_of_rounded_row(container(together[order]))
    assert numbers.max() == 299
    for row in range(300):
        assert len(set(numbers[order % 300 == row])) == 1
    # What rounding does not explain makes another row.
    X[:, 0] += 1e-4
    assert number_of_rounded_row(container(np.concatenate([together, X]))).max() == 599


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e306])
def test_rounded_rows_of_any_size(scale):
    X = drawn(50) * scale
    X[3:6, 1] = np.nan
    X[5] = X[4] * (1 + 1e-9)
    assert number_of_rounded_row(X).tolist() == [0, 1, 2, 3, 4, 4, *range(5, 49)]


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e7])
def test_rows_far_from_0_stay_distinct(offset, rng):
    """Where rounding would be as large as structure, and where many small steps lead far."""
    line = np.sort(rng.random(1000))
    X = np.column_stack([line, line**2, np.sin(3 * line)]) + 1e-3 * rng.standard_normal((1000, 3))
    assert number_of_rounded_row(X + offset).max() == 999
    steps = np.linspace(0, 1, 10**5)[:, None] * np.ones(2)
    # Rows are one with the first of a chain up to what rounding explains, and not beyond it.
    numbers = number_of_rounded_row(steps)
    width = max(np.ptp(steps[numbers == number, 0]) for number in range(0, numbers.max(), 5000))
    assert width < 1e-5


def test_fewer_models_are_trained_side_by_side_where_they_are_large():
    """Up to 2 ** 25 weights in all; rows that judge are then those of fewer folds."""
    X = drawn(100)
    for n_weights, n_models in ((2**20, 6), (2**23, 4), (2**30, 2)):
        division = divide(
            100, 0.1, may_cross_fit=True, generator=seeded(), X=X, n_weights=n_weights
        )
        assert division.n_models == n_models
        assert division.held_out.shape == (n_models, 20)
        assert len(division.training[-1]) == 100


def test_few_folds_have_their_share_of_the_large_rows():
    X = drawn(100)
    X[:3] *= 100.0
    for seed in range(50):
        division = divide(
            100, 0.1, may_cross_fit=True, generator=seeded(seed), X=X, n_weights=2**30
        )
        assert (division.held_out[division.counted] < 3).any()


def test_a_fit_of_large_networks_has_fewer_folds(monkeypatch):
    X = drawn(60)
    monkeypatch.setattr("skae._division._MOST_WEIGHTS", 400)
    found = []
    divided = divide

    def spy(*args, **settings):
        found.append(divided(*args, **settings).n_models)
        return divided(*args, **settings)

    monkeypatch.setattr("skae._base.divide", spy)
    for hidden in ((2,), (16,)):
        Autoencoder(2, hidden_layer_sizes=hidden, max_iter=1).fit(X)
    assert found == [6, 2]


def test_a_stratified_split_holds_out_of_each_class_alike():
    labels = torch.arange(1000) % 4
    division = stratified_split(labels, 0.1, seeded())
    assert labels[division.held_out].bincount().tolist() == [25, 25, 25, 25]
    assert sorted([*division.held_out.tolist(), *division.training[0].tolist()]) == [*range(1000)]
    assert not torch.equal(stratified_split(labels, 0.1, seeded(1)).held_out, division.held_out)


def test_a_stratified_split_leaves_a_row_of_each_class_to_train():
    labels = torch.tensor([0] * 30 + [1, 1, 2])
    for seed in range(30):
        division = stratified_split(labels, 0.1, seeded(seed))
        assert len(division.held_out) == 3
        assert labels[division.training[0]].unique().tolist() == [0, 1, 2]
    assert stratified_split(torch.arange(20), 0.1, seeded()).held_out is None
    assert stratified_split(labels[:9], 0.1, seeded()).held_out is None


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


@pytest.mark.parametrize("rounding", [0.0, 1e-9])
def test_copies_of_noise_do_not_pass_for_structure(rounding):
    """With copies on both sides, a network that learns rows by heart would look like one."""
    X = np.repeat(drawn(200, 20), 3, axis=0) + rounding * drawn(600, 20, seed=1)
    autoencoder = Autoencoder(2, random_state=0).fit(X)
    assert autoencoder.best_iter_ == 0

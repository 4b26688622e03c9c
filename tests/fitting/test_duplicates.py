"""Rows that are equal up to rounding are duplicates, and no others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from skae import Autoencoder
from skae.fitting.duplicates import duplicate_groups, exact_groups, merge_duplicates


def drawn(n_rows: int, n_features: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(n_rows, n_features)


def test_distinct_rows_are_numbered_as_they_appear():
    X = np.array([[0.0, 2.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [1.0, 0.0], [np.nan, 0.0]])
    assert exact_groups(X).tolist() == [0, 1, 0, 2, 1, 3]
    assert exact_groups(csr_matrix(X)).tolist() == [0, 1, 0, 2, 1, 3]
    assert exact_groups(np.array([[0.0, 1.0], [-0.0, 1.0]])).tolist() == [0, 0]


@pytest.mark.parametrize("container", [np.array, csr_matrix])
def test_rows_that_differ_by_rounding_are_duplicates(container, rng):
    X = drawn(300, 20)
    X[X < 0] = 0.0
    as_text = np.array([[float(f"{value:.8g}") for value in row] for row in X])
    together = np.concatenate([X, X.astype(np.float32), np.nextafter(X, 9.0), as_text])
    order = rng.permutation(len(together))
    numbers = duplicate_groups(container(together[order]))
    assert numbers.max() == 299
    for row in range(300):
        assert len(set(numbers[order % 300 == row])) == 1
    # What rounding does not explain makes another row.
    X[:, 0] += 1e-4
    assert duplicate_groups(container(np.concatenate([together, X]))).max() == 599


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e306])
def test_rounded_rows_of_any_size(scale):
    X = drawn(50) * scale
    X[3:6, 1] = np.nan
    X[5] = X[4] * (1 + 1e-9)
    assert duplicate_groups(X).tolist() == [0, 1, 2, 3, 4, 4, *range(5, 49)]


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e7])
def test_rows_far_from_0_stay_distinct(offset, rng):
    """Where rounding would be as large as structure, and where many small steps lead far."""
    line = np.sort(rng.random(1000))
    X = np.column_stack([line, line**2, np.sin(3 * line)]) + 1e-3 * rng.standard_normal((1000, 3))
    assert duplicate_groups(X + offset).max() == 999
    steps = np.linspace(0, 1, 10**5)[:, None] * np.ones(2)
    # Rows are one with the first of a chain up to what rounding explains, and not beyond it.
    numbers = duplicate_groups(steps)
    width = max(np.ptp(steps[numbers == number, 0]) for number in range(0, numbers.max(), 5000))
    assert width < 1e-5


@pytest.mark.parametrize("rounding", [0.0, 1e-9])
def test_duplicates_of_noise_do_not_pass_for_structure(rounding):
    """With duplicates on both sides, a network that learns rows by heart would look like one."""
    X = np.repeat(drawn(200, 20), 3, axis=0) + rounding * drawn(600, 20, seed=1)
    autoencoder = Autoencoder(2, random_state=0).fit(X)
    assert autoencoder.best_iter_ == 0


@pytest.mark.parametrize("n_columns", [1, 3, 10])
def test_distinct_sparse_rows_are_numbered_as_dense_ones(n_columns, monkeypatch):
    monkeypatch.setattr("skae.fitting.duplicates.chunk_size", lambda most, width: 2)
    X = np.random.default_rng(0).integers(-1, 2, (60, n_columns)).astype(float)
    X[20:40] = X[:20]
    weights = np.ones(len(X))
    targets = np.zeros((len(X), 1))
    dense, sparse = (merge_duplicates(rows, targets, weights) for rows in (X, csr_matrix(X)))
    np.testing.assert_array_equal(sparse.X.toarray(), dense.X)
    np.testing.assert_array_equal(sparse.weights, dense.weights)

"""CSR rows answer as the dense tensor would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from skae.core.csr_rows import CSRRows
from skae.core.numerics import chunk_size


def example(default: float = 0.0) -> tuple[CSRRows, torch.Tensor]:
    """Return sparse rows, one of them empty, and the same as a tensor."""
    rng = np.random.default_rng(0)
    X = rng.poisson(0.6, (9, 5)).astype(np.float32)
    X[3] = 0
    X[:, 4] = 0
    sparse = csr_array(X)
    parts = (torch.from_numpy(a.astype(np.int64)) for a in (sparse.indptr, sparse.indices))
    defaults = torch.full((5,), default)
    rows = CSRRows(*parts, torch.from_numpy(sparse.data), defaults)
    dense = torch.from_numpy(X)
    return rows, torch.where(dense == 0, defaults, dense)


@pytest.mark.parametrize("default", [0.0, -0.5])
@pytest.mark.parametrize(
    "rows", [torch.tensor([3]), torch.tensor([8, 0, 0, 3]), torch.tensor([[1, 2, 3], [3, 7, 1]])]
)
def test_rows_by_number(rows, default):
    sparse, dense = example(default)
    assert torch.equal(sparse[rows], dense[rows])


@pytest.mark.parametrize("size", [1, 4, 9, 100])
def test_split(size):
    sparse, dense = example(-0.5)
    parts = list(sparse.split(size))
    assert torch.equal(torch.cat(parts), dense)
    assert max(map(len, parts)) <= size


def test_wide_rows_are_made_dense_a_few_at_a_time():
    assert chunk_size(4096, 784) == 4096
    assert chunk_size(4096, 2**21) == 2
    assert chunk_size(4096, 2**30) == 1


@pytest.mark.parametrize("default", [0.0, -0.5])
def test_sums_and_columns_that_are_not_zero(default):
    sparse, dense = example(default)
    torch.testing.assert_close(sparse.nansum(0), dense.double().sum(0))
    assert torch.equal(sparse.any(0), (dense != 0).any(0))


def test_columns_extremes_and_variances():
    sparse, dense = example(-0.5)
    columns = torch.tensor([4, 0, 2])
    assert torch.equal(sparse[:, columns], dense[:, columns])
    mask = torch.tensor([True, False, False, True, False])
    assert torch.equal(sparse[:, mask], dense[:, mask])
    assert torch.equal(sparse.amin(0), dense.amin(0))
    assert torch.equal(sparse.amax(0), dense.amax(0))
    torch.testing.assert_close(sparse.var(0, correction=0), dense.var(0, correction=0))
    every_row = torch.arange(len(dense))
    assert torch.equal(sparse.scaled(2.0, dense[0])[every_row], 2 * dense + dense[0])


def test_chosen_repeated_and_longer_rows():
    sparse, dense = example(-0.5)
    numbers = torch.tensor([8, 3, 3, 0])
    assert torch.equal(sparse.select(numbers)[torch.arange(4)], dense[numbers])
    assert torch.equal(sparse.repeat(3, 1)[torch.arange(27)], dense.repeat(3, 1))
    more = torch.arange(18.0).view(9, 2)
    longer = sparse.with_columns(more)
    assert torch.equal(longer[torch.arange(9)], torch.cat([dense, more], 1))


def test_a_column_of_stored_zeros_has_no_value():
    starts, columns = torch.tensor([0, 1, 2]), torch.tensor([0, 0])
    full = CSRRows(starts, columns, torch.zeros(2), torch.tensor([7.0]))
    assert not full.any(0)
    assert float(full.nansum(0)) == 0.0

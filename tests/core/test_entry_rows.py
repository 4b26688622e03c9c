"""Rows that know their entries give the results of dense rows."""

from __future__ import annotations

import pytest
import torch
from scipy.sparse import csr_array, random_array
from torch.testing import assert_close

from skae.core.csr_rows import CSRRows
from skae.core.entry_rows import EntryRows
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.networks.dense import MLP, Dense

N_COLUMNS = 1000


def csr_rows(density: float = 0.02, n_columns: int = N_COLUMNS) -> CSRRows:
    """Return standardised counts, with an empty row, an empty column and a column without zeros."""
    counts = random_array((60, n_columns), density=density, rng=0).toarray().round(1) * 10
    counts[3] = counts[:, 5] = 0
    counts[:, 7] = 900
    counts[::2, 7] = 901
    counts[3, 7] = 0
    sparse = csr_array(counts)
    mean = torch.from_numpy(counts.mean(0))
    starts, columns = (torch.from_numpy(a).long() for a in (sparse.indptr, sparse.indices))
    values = (torch.from_numpy(sparse.data) - mean[columns]) / 9.0
    return CSRRows(starts, columns, values, -mean / 9.0)


def batch(*shape: int) -> tuple[EntryRows, torch.Tensor]:
    """Return drawn rows, in float64, and the same ones as an ordinary tensor."""
    numbers = torch.randint(60, shape, generator=torch.Generator().manual_seed(0))
    numbers.view(-1)[1] = 3  # the empty row
    rows = csr_rows()[numbers]
    assert isinstance(rows, EntryRows)
    return rows, rows.clone()


@pytest.mark.parametrize("shape", [(8,), (2, 8)])
def test_a_product_and_its_gradient_are_those_of_dense_rows(shape):
    rows, dense = batch(*shape)
    weight = torch.randn(*shape[:-1], N_COLUMNS, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(*shape, 5, dtype=torch.float64)
    products, gradients = [rows.times(weight), dense @ weight], []
    for product in products:
        gradients += torch.autograd.grad(product, weight, upstream)
    assert_close(*products)
    assert_close(*gradients)


@pytest.mark.parametrize("shape", [(8,), (2, 8)])
def test_a_network_treats_them_as_dense_rows(shape):
    rows, dense = batch(*shape)
    leading = len(shape) == 2

    def weights(*sizes: int) -> torch.Tensor:
        weight = torch.randn(2, *sizes, dtype=torch.float64)
        return weight if leading else weight[0]

    mlp = MLP([Dense(weights(N_COLUMNS, 6)), Dense(weights(6, 3))], "tanh").double()
    if not leading:
        for layer in mlp.layers:
            layer.bias.data = layer.bias.data[0, 0]
    mlp.scale = 0.5
    mlp.set_skip(weights(N_COLUMNS, 3), None)
    assert_close(mlp(rows), mlp(dense))


def test_a_column_far_from_zero_keeps_its_digits():
    """Its values differ by 1e-7 of its distance from 0."""
    full = CSRRows(
        torch.tensor([0, 1, 2, 3]),
        torch.tensor([7, 7, 7]),
        torch.tensor([-1.0, 0.0, 1.0]),
        torch.where(torch.arange(N_COLUMNS) == 7, -1e7, 0.0),
    )
    weight = torch.randn(N_COLUMNS, 4)
    rows = full[torch.arange(3)]
    assert_close(rows.times(weight), torch.tensor([-1.0, 0.0, 1.0])[:, None] * weight[7])


@pytest.mark.parametrize("shape", [(8,), (2, 8)])
def test_the_multinomial_loss_and_its_gradient_are_those_of_dense_rows(shape):
    rows, dense = batch(*shape)
    mean = -csr_rows().default * 9.0
    network = build_network(Architecture(N_COLUMNS, 2, ()), generator=None)
    model = Model(network, mean, 9.0, LOSSES["multinomial"], deviance_of_mean=3.0)
    output = torch.randn(*shape, N_COLUMNS, dtype=torch.float64, requires_grad=True)
    losses = [model.row_losses(output, z) for z in (rows, dense)]
    assert_close(*losses, rtol=1e-9, atol=1e-12)
    means = [model.reconstruction(output, z) for z in (rows, dense)]
    assert_close(*means, rtol=1e-9, atol=1e-12)
    gradients = [torch.autograd.grad(mean, output)[0] for mean in means]
    assert_close(*gradients, rtol=1e-6, atol=1e-12)


def test_what_torch_makes_of_them_is_an_ordinary_tensor():
    rows, dense = batch(8)
    for made in (rows + 1, rows.clone(), rows[:2], rows.float(), rows.split(4)[0]):
        assert type(made) is torch.Tensor
    assert rows.double() is rows
    assert torch.equal(rows * 2, dense * 2)


@pytest.mark.parametrize(("density", "n_columns"), [(0.2, N_COLUMNS), (0.02, 100)])
def test_narrow_rows_and_those_of_many_entries_are_dense(density, n_columns):
    rows = csr_rows(density, n_columns)
    assert type(rows[torch.arange(4)]) is torch.Tensor

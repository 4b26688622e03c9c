"""The encoder's Jacobian against autograd, finite differences and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

from skae.core.activations import ACTIVATIONS
from skae.core.criterion import Penalty, Reconstruction
from skae.core.jacobians import (
    ChainReconstruction,
    EncoderChain,
    contraction,
    encoder_jacobians,
    probes,
    relative_contraction,
)
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork, build_network

D, N = 6, 5


def build(
    hidden=(7, 4),
    k=3,
    activation="tanh",
    code="logistic",
    *,
    skip=True,
    n_models=None,
):
    architecture = Architecture(D, k, hidden, activation, code)
    generator = torch.Generator().manual_seed(0)
    network = build_network(architecture, generator=generator, n_models=n_models or 1).double()
    if n_models is None:
        network = network.select_model(0)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    batch = () if n_models is None else (n_models,)
    if skip:
        weight = torch.randn(*batch, D, k, generator=generator, dtype=torch.float64)
        network.encoder.set_skip(weight, None)
    return network, torch.randn(*batch, N, D, generator=generator, dtype=torch.float64)


def by_autograd(network, z):
    rows = [torch.autograd.functional.jacobian(network.encode, row[None])[0, :, 0] for row in z]
    return torch.stack(rows)


SHAPES = [
    {"hidden": ()},
    {"hidden": (), "skip": False},
    {"hidden": (7,)},
    {"hidden": (7, 4), "skip": False},
    {"hidden": (7, 4), "k": 9},
    {"hidden": (7,), "code": "identity"},  # quadratic in the slopes
    {"hidden": (2,), "k": 2, "code": "identity", "skip": False},
    {"hidden": (2,), "k": 2},  # narrow enough for the trace of the Gram matrix
    {"hidden": (2, 3), "k": 2, "skip": False},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_jacobian_and_its_norm_agree_with_autograd(shape):
    network, z = build(**shape)
    expected = by_autograd(network, z)
    assert torch.allclose(encoder_jacobians(network, z), expected, atol=1e-5, rtol=0)
    norm = float(expected.square().sum((1, 2)).mean())
    assert float(contraction(network, z).detach()) == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_its_slope(activation):
    x = torch.linspace(-3, 3, 50, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(ACTIVATIONS[activation].function(x).sum(), x)
    assert torch.allclose(ACTIVATIONS[activation].slope(x), expected, atol=1e-9)
    network, z = build(activation=activation, code=activation)
    assert torch.allclose(encoder_jacobians(network, z), by_autograd(network, z), atol=1e-9)


def test_jacobian_agrees_with_finite_differences():
    network, z = build()
    step = 1e-4
    columns = []
    for feature in range(D):
        shift = torch.zeros(D, dtype=torch.float64)
        shift[feature] = step
        columns.append((network.encode(z + shift) - network.encode(z - shift)) / (2 * step))
    differences = torch.stack(columns, -1).detach()
    assert torch.allclose(encoder_jacobians(network, z).detach(), differences, atol=1e-3, rtol=0)


@pytest.mark.parametrize("shape", SHAPES[:-1], ids=str)
def test_both_modes_agree(shape):
    network, z = build(**shape)
    chain = EncoderChain(network, z)
    reverse = chain.jacobians()
    assert torch.allclose(chain.push_forward().mT, reverse)


@pytest.mark.parametrize("shape", SHAPES[:8], ids=str)
def test_gradient_of_the_norm_agrees_with_autograd_twice(shape):
    network, z = build(**shape)
    parameters = list(network.encoder.parameters())
    ours = torch.autograd.grad(contraction(network, z), parameters, allow_unused=True)

    def norm_by_autograd():
        rows = [
            torch.autograd.functional.jacobian(network.encode, row[None], create_graph=True)
            for row in z
        ]
        return torch.stack(rows).square().sum() / N

    theirs = torch.autograd.grad(norm_by_autograd(), parameters, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        if a is None or b is None:
            assert a is b is None or float((a if b is None else b).abs().max()) == 0
        else:
            assert torch.allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("shape", [{"hidden": ()}, {"hidden": (7,)}, {"hidden": (7,), "k": 9}])
def test_a_model_axis_gives_one_number_a_model(shape):
    network, z = build(**shape, n_models=2)
    separate = []
    for i in range(2):
        single, _ = build(**shape)
        with torch.no_grad():
            for p, q in zip(single.parameters(), network.parameters(), strict=True):
                p.copy_(q[i].view(p.shape))
        single.encoder.set_skip(network.encoder.skip[i], None)
        separate.append(float(contraction(single, z[i]).detach()))
    assert contraction(network, z).tolist() == pytest.approx(separate)


def test_probes_estimate_the_norm():
    """Each row has probes of its own, and the mean over many draws is the norm."""
    network, z = build(k=3)
    exact = float(contraction(network, z).detach())
    generator = torch.Generator().manual_seed(0)
    draws = [float(contraction(network, z, 2, generator).detach()) for _ in range(3000)]
    assert np.std(draws) > 0.01 * exact
    assert np.mean(draws) == pytest.approx(exact, abs=4 * np.std(draws) / np.sqrt(len(draws)))
    # More than the columns of the code would cost more than all of its Jacobian.
    assert float(contraction(network, z, n_probes=3, generator=generator).detach()) == exact


@pytest.mark.parametrize("n_probes", [1, 2])
@pytest.mark.parametrize("shape", [{"hidden": (2,)}, {"hidden": (2, 3), "skip": False}, {}])
@pytest.mark.parametrize("n_models", [None, 2])
def test_what_all_rows_have_in_common_is_measured_without_error(shape, n_probes, n_models):
    """The probes of successive rows are orthogonal: equal rows have the exact norm."""
    network, z = build(**shape, k=4, n_models=n_models)
    z = z[..., :1, :].expand(*z.shape[:-2], 8, D)
    exact = contraction(network, z)
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(contraction(network, z, n_probes, generator), exact)


def test_probes_need_not_divide_the_rows():
    """Nor do the components need to be a power of 2: every direction has entries 1 and -1."""
    network, z = build(k=5)
    chain = EncoderChain(network, z.repeat(3, 1))
    directions = probes(chain.code, 2, torch.Generator().manual_seed(0))
    assert directions.shape == (15, 2, 5)
    assert (directions.abs() == 1).all()
    flat = directions.flatten(0, 1)
    gram = flat[:24].T @ flat[:24]
    assert torch.equal(gram, 24 * torch.eye(5, dtype=gram.dtype))


@pytest.mark.parametrize("k", [1, 2, 32, 37])
def test_probes_are_rows_of_a_hadamard_matrix(k):
    matrix = torch.from_numpy(hadamard(2 ** (k - 1).bit_length())).double()
    rows = torch.zeros(2, 40, k, dtype=torch.float64)
    directions = probes(rows, 3, torch.Generator().manual_seed(0)).flatten(1, 2)
    for of_model in directions:
        # The first row of the matrix has no signs but those that were drawn.
        expected = matrix[torch.arange(120) % len(matrix), :k] * of_model[0]
        assert torch.equal(of_model, expected)
    if k > 2:
        assert not torch.equal(directions[0, 0], directions[1, 0])


def test_probes_of_a_wide_code_need_no_square_matrix():
    """That of 2^20 components would have 2^40 entries."""
    directions = probes(torch.zeros(3, 2**20), 1, torch.Generator().manual_seed(0))
    assert directions.shape == (3, 1, 2**20)
    assert not (directions[0] @ directions[1].mT).any()


def model_of(network):
    return Model(network, torch.zeros(D).double(), 1.0, LOSSES["squared_error"])


def test_the_shared_pass_imputes_once():
    network, z = build()
    z[0, 0] = torch.nan
    network.imputes_missing = True
    calls, impute = [], network.impute
    network.impute = lambda x: calls.append(x) or impute(x)
    batch = ChainReconstruction(model_of(network)).forward(z, z, None)
    assert len(calls) == 1
    assert torch.equal(batch.inputs, z.nan_to_num(0.0))
    torch.testing.assert_close(batch.code, network.encode(z))
    torch.testing.assert_close(encoder_jacobians(network, z), by_autograd(network, batch.inputs))


def test_the_shared_pass_takes_the_code_of_the_network():
    network, z = build(k=4)
    network.n_active = 2
    batch = ChainReconstruction(model_of(network)).forward(z, z, None)
    assert (batch.code != 0).sum(-1).tolist() == [2] * N
    network.n_active = None

    class Doubled(AutoencoderNetwork):
        def encode(self, x):
            return 2.0 * super().encode(x)

    code = network.encode(z)
    network.__class__ = Doubled
    batch = ChainReconstruction(model_of(network)).forward(z, z, None)
    torch.testing.assert_close(batch.code, 2.0 * code)


def test_the_shared_pass_has_the_terms_of_two_passes():
    network, z = build(code="identity", n_models=2)
    model = model_of(network)
    penalty = Penalty("contraction", 0.1, lambda model, b: relative_contraction(network, b, 1.0))
    one, two = (
        kind(model, [penalty]).terms(z, z) for kind in (ChainReconstruction, Reconstruction)
    )
    assert one.keys() == two.keys()
    for name, term in one.items():
        torch.testing.assert_close(term, two[name])


def test_rows_in_chunks_give_the_same_norm(monkeypatch):
    network, z = build()
    whole = float(contraction(network, z).detach())
    monkeypatch.setattr("skae.core.jacobians._MAX_ENTRIES", 50)
    assert float(contraction(network, z).detach()) == pytest.approx(whole)

"""Proximal steps against coordinate descent, and the dictionary's network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode

from skae.core.networks.autoencoder import build_network
from skae.core.networks.dictionary import DictionaryArchitecture
from skae.core.sparse_coding import shrink, sparse_codes


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def atoms_of(n_components: int, n_features: int) -> torch.Tensor:
    return torch.nn.functional.normalize(randn(n_components, n_features, seed=1), dim=-1)


def unpredicted(z: torch.Tensor, atoms: torch.Tensor, alpha: float, n_steps=5000) -> torch.Tensor:
    start = torch.zeros_like(z @ atoms.mT)
    return sparse_codes(z, atoms, alpha, prediction=start, prediction_weight=0.0, n_steps=n_steps)


@pytest.mark.parametrize("n_components", [3, 8, 20])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 4.0])
def test_agrees_with_sparse_encode(n_components, alpha):
    z, atoms = randn(30, 8), atoms_of(n_components, 8)
    codes = unpredicted(z, atoms, alpha)
    expected = sparse_encode(
        z.numpy(), atoms.numpy(), alpha=alpha / 2, algorithm="lasso_cd", max_iter=100_000
    )
    np.testing.assert_allclose(codes.numpy(), expected, atol=5e-3)
    cost = [
        float((z - c @ atoms).square().sum() + alpha * c.abs().sum())
        for c in (codes, torch.from_numpy(expected))
    ]
    assert cost[0] <= cost[1] * (1 + 1e-9)


def test_a_heavy_prediction_is_kept_up_to_the_threshold():
    z, atoms, prediction = randn(5, 8), atoms_of(6, 8), randn(5, 6, seed=2)
    weight = 1e9
    options = {"prediction": prediction, "prediction_weight": weight, "n_steps": 100}
    torch.testing.assert_close(sparse_codes(z, atoms, 0.1, **options), prediction)
    shrunk = sparse_codes(z, atoms, 0.4 * weight, **options)
    torch.testing.assert_close(shrunk, shrink(prediction, 0.2))


def test_prediction_is_one_more_observation():
    """The quadratic terms together are a lasso with rows added to the dictionary."""
    z, atoms, prediction, weight = randn(6, 8), atoms_of(10, 8), randn(6, 10, seed=2), 0.3
    codes = sparse_codes(
        z, atoms, 0.5, prediction=prediction, prediction_weight=weight, n_steps=5000
    )
    wide_atoms = torch.cat([atoms, weight**0.5 * torch.eye(10, dtype=z.dtype)], 1)
    wide_z = torch.cat([z, weight**0.5 * prediction], 1)
    torch.testing.assert_close(codes, unpredicted(wide_z, wide_atoms, 0.5))


@pytest.mark.parametrize("n_steps", [5, 20, 3000])
def test_models_side_by_side(n_steps):
    z, atoms = torch.stack([randn(5, 8), randn(5, 8, seed=3)]), atoms_of(6, 8)
    both = torch.stack([atoms, 1.5 * atoms.flip(0)])
    together = unpredicted(z, both, 0.5, n_steps)
    for i in range(2):
        alone = unpredicted(z[i], both[i], 0.5, n_steps)
        torch.testing.assert_close(together[i], alone, atol=1e-9, rtol=0)


def test_atoms_have_norm_1_and_one_model_can_be_kept():
    architecture = DictionaryArchitecture(8, 6, (5,), "tanh")
    generator = torch.Generator().manual_seed(0)
    network = build_network(architecture, generator=generator, n_models=2)
    with torch.no_grad():
        network.decoder.layers[0].weight.mul_(7.0)
        network.thresholds[1].fill_(0.2)
    x = randn(4, 8).float()
    expected = network(x.expand(2, 4, 8))[1]
    kept = network.select_model(1)
    torch.testing.assert_close(kept.atoms().norm(dim=-1), torch.ones(6))
    assert kept.thresholds.shape == (6,)
    torch.testing.assert_close(kept(x), expected)

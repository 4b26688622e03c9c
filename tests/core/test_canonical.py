"""Canonical codes: the map, the summary of the code, and linear codes against PCA."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skae.core.canonical import (
    canonical_map,
    canonicalise,
    decoder_jacobians,
    largest_loading_signs,
    sensitivity,
)
from skae.core.criterion import CodeSymmetry
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.networks.conv import ConvolutionalArchitecture

X = StandardScaler().fit_transform(load_wine().data)
Z = torch.from_numpy(X)
D, K = X.shape[1], 3


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def random_model(*, tied=False, skip=True, hidden=(8,), seed=0) -> Model:
    """Return a model whose every parameter is away from zero."""
    architecture = Architecture(D, K, hidden, "tanh", tied_weights=tied)
    network = build_network(architecture, generator=seeded(seed)).select_model(0).double()
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            p.add_(randn(*p.shape, seed=100 + i), alpha=0.1)
    if skip:
        axes = torch.linalg.qr(randn(D, K, seed=7)).Q
        network.encoder.set_skip(axes, None)
        network.decoder.set_skip(axes.T.contiguous(), randn(D, seed=9))
        network.decoder.scale = 0.3
    return Model(network.eval(), torch.zeros(D).double(), 1.0, LOSSES["squared_error"])


def factors_of(decode):
    """Return the factors of any decoder's Jacobian, by autograd."""
    return lambda codes: (decoder_jacobians(decode, codes), None)


def linear_model(*, tied: bool) -> Model:
    """PCA as two layers, its code rotated at random, and sheared where nothing is tied."""
    components = torch.from_numpy(PCA(K).fit(X).components_)
    mix = torch.linalg.qr(randn(K, K, seed=1)).Q
    if not tied:
        mix = mix @ torch.diag(torch.tensor([0.2, 1.0, 5.0], dtype=torch.float64))
    model = random_model(tied=tied, skip=False, hidden=())
    with torch.no_grad():
        encoding, decoding = model.network.encoder.layers[0], model.network.decoder.layers[0]
        decoding.bias.zero_()
        encoding.bias.zero_()
        encoding.weight.copy_(components.T @ mix)
        if not tied:
            decoding.weight.copy_(torch.linalg.inv(mix) @ components)
            encoding.bias.fill_(3.0)
            decoding.bias.copy_(-encoding.bias @ decoding.weight)
    return model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)])
def test_any_map_leaves_reconstructions_as_they_are(tied, skip, hidden):
    network = random_model(tied=tied, skip=skip, hidden=hidden).network
    code, reconstruction = network.encode(Z), network(Z)
    forward = randn(K, K, seed=3)
    if tied:
        forward = torch.linalg.qr(forward).Q
    mean = randn(K, seed=4)
    network.map_code(forward, torch.linalg.inv(forward), mean)
    torch.testing.assert_close(network.encode(Z), (code - mean) @ forward)
    torch.testing.assert_close(network(Z), reconstruction)


def test_canonical_code_is_uncorrelated_and_ordered_with_unit_metric():
    codes = randn(200, K, seed=5) @ randn(K, K, seed=6) + 4
    factor = randn(K, K, seed=7)
    metric = factor @ factor.T
    forward, inverse, mean = canonical_map(codes, metric)
    mapped = (codes - mean) @ forward
    covariance = torch.cov(mapped.T)
    torch.testing.assert_close(forward @ inverse, torch.eye(K, dtype=torch.float64))
    torch.testing.assert_close(inverse @ metric @ inverse.T, torch.eye(K, dtype=torch.float64))
    torch.testing.assert_close(
        covariance, torch.diag(covariance.diagonal()), rtol=0, atol=1e-9 * float(covariance.max())
    )
    assert (covariance.diagonal().diff() < 0).all()
    torch.testing.assert_close(mapped.mean(0), torch.zeros(K, dtype=torch.float64))


def test_without_a_metric_the_map_is_a_rotation():
    forward, inverse, _ = canonical_map(randn(200, K, seed=5) @ randn(K, K, seed=6), None)
    torch.testing.assert_close(forward @ forward.T, torch.eye(K, dtype=torch.float64))
    torch.testing.assert_close(inverse, forward.T)


def test_a_direction_without_metric_or_variance_stays_finite():
    codes = torch.cat([randn(50, 2, seed=5), torch.zeros(50, 1, dtype=torch.float64)], dim=1)
    metric = torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    forward, inverse, _ = canonical_map(codes, metric)
    torch.testing.assert_close(forward @ inverse, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("n_components", [2, 9])  # forward mode, reverse mode
def test_jacobians_are_the_slopes(n_components):
    weight = randn(n_components, 5, seed=1)

    def decode(code):
        return torch.tanh(code @ weight)

    codes = randn(4, n_components, seed=2)
    slopes = 1 - torch.tanh(codes @ weight).square()
    expected = slopes[:, :, None] * weight.T
    torch.testing.assert_close(decoder_jacobians(decode, codes), expected.mT)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)])
def test_factors_of_a_dense_decoder_are_its_jacobians(tied, skip, hidden):
    decoder = random_model(tied=tied, skip=skip, hidden=hidden).network.decoder
    codes = randn(4, K, seed=2)
    factor, base = decoder.push_forward(codes)
    torch.testing.assert_close(factor @ base, decoder_jacobians(decoder, codes))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_factors_of_a_convolutional_decoder_are_its_jacobians(channels_last, skip, hidden):
    architecture = ConvolutionalArchitecture(
        60, K, hidden, image_shape=(2, 5, 6), channels=(3, 4), channels_last=channels_last
    )
    decoder = build_network(architecture, generator=seeded(0)).select_model(0).double().decoder
    if skip:
        decoder.set_skip(randn(K, 60, seed=7), randn(60, seed=9))
        decoder.scale = 0.3
    codes = randn(4, K, seed=2)
    factor, base = decoder.push_forward(codes)
    assert base is None
    torch.testing.assert_close(factor, decoder_jacobians(decoder, codes))


def test_sensitivity_from_factors_is_that_from_jacobians():
    decoder, codes = random_model(hidden=(8, 5)).network.decoder, randn(40, K, seed=2)
    expected = sensitivity(factors_of(decoder), codes, D)
    torch.testing.assert_close(sensitivity(decoder.push_forward, codes, D), expected)


def test_sensitivity_of_a_linear_decoder_is_its_gram_matrix():
    weight = randn(K, 5, seed=1)
    for max_rows in (256, 1):
        factors = factors_of(lambda code: code @ weight)
        result = sensitivity(factors, randn(40, K, seed=2), 5, max_rows=max_rows)
        torch.testing.assert_close(result, weight @ weight.T)


@pytest.mark.parametrize("n_components", [2, 9])
def test_sensitivity_a_few_rows_at_a_time_is_the_mean_over_all(n_components, monkeypatch):
    weight, codes = randn(n_components, 5, seed=1), randn(16, n_components, seed=2)

    def decode(code):
        return torch.tanh(code @ weight)

    jacobians = decoder_jacobians(decode, codes)
    monkeypatch.setattr("skae.core.canonical._PART_ENTRIES", 3 * 5 * n_components)
    expected = (jacobians @ jacobians.mT).mean(0)
    torch.testing.assert_close(sensitivity(factors_of(decode), codes, 5), expected)


def test_signs_make_the_largest_loading_positive():
    components = torch.tensor([[1.0, -3.0], [2.0, -1.0], [0.0, 0.0]])
    assert largest_loading_signs(components).tolist() == [-1, 1, 1]


@pytest.mark.parametrize("tied", [False, True])
def test_linear_code_becomes_that_of_pca(tied):
    model, pca = linear_model(tied=tied), PCA(K).fit(X)
    summary = canonicalise(model, Z, CodeSymmetry.LINEAR)
    np.testing.assert_allclose(summary.components, pca.components_, atol=1e-6)
    np.testing.assert_allclose(summary.component_variance, pca.explained_variance_, rtol=1e-6)
    assert summary.r2 == pytest.approx(pca.explained_variance_ratio_.sum())
    np.testing.assert_allclose(
        model.network.double().encode(Z).detach(), pca.transform(X), atol=1e-5
    )


@pytest.mark.parametrize("tied", [False, True])
def test_canonicalising_keeps_reconstructions_and_orders_the_code(tied):
    model = random_model(tied=tied)
    before = model.network(Z).detach()
    summary = canonicalise(model, Z, CodeSymmetry.LINEAR)
    network = model.network.double()
    torch.testing.assert_close(network(Z).detach(), before, rtol=0, atol=1e-5)
    mapped = network.encode(Z).detach()
    correlations = np.corrcoef(mapped.numpy().T) - np.eye(K)
    assert abs(correlations).max() < 1e-5
    assert mapped.mean(0).abs().max() < 1e-5
    assert (mapped.var(0).diff() < 0).all()
    largest = summary.components.gather(1, summary.components.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_untied_code_has_the_unit_of_the_reconstruction():
    model = random_model()
    canonicalise(model, Z, CodeSymmetry.LINEAR)
    network = model.network.double()
    metric = sensitivity(factors_of(network.decode), network.encode(Z).detach(), D)
    torch.testing.assert_close(
        metric.detach(), torch.eye(K, dtype=torch.float64), rtol=0, atol=1e-4
    )


def test_r2_is_that_of_the_reconstruction():
    model = random_model()
    residual = (model.network(Z) - Z).square().sum() / Z.square().sum()
    assert canonicalise(model, Z, CodeSymmetry.NONE).r2 == pytest.approx(
        1 - float(residual.detach())
    )


@pytest.mark.parametrize("noise", [0.0, 1e-17])
def test_r2_of_rows_that_do_not_vary_is_0(noise):
    """The network errs on them; by the formula it would explain minus infinity."""
    z = noise * torch.randn(50, D, generator=torch.Generator().manual_seed(0)).double()
    assert canonicalise(random_model(), z, CodeSymmetry.NONE).r2 == 0.0


def test_sensitivity_does_not_depend_on_the_order_of_the_rows():
    """The decoder's slope at z is 2 z; every second row has the same code."""
    codes = torch.tensor([0.1, 2.0], dtype=torch.float64).repeat(250)[:, None]
    found = sensitivity(factors_of(torch.square), codes, 1)
    assert found.item() == pytest.approx(4 * float(codes.square().mean()), rel=0.15)

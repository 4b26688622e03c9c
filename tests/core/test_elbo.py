"""Parts of the evidence lower bound against closed forms and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from skae.core.elbo import (
    NegativeELBO,
    bounds,
    divergence_from_prior,
    draw_codes,
    entry_errors,
    fitted_noise_variance,
    log_weights,
    negative_log_likelihood,
)
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import build_network
from skae.core.networks.variational import VariationalArchitecture, VariationalNetwork


@pytest.fixture
def posterior():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    return mean, 0.5 * torch.randn(3, 4, generator=generator, dtype=torch.float64) - 1.0


def test_divergence_is_that_of_normal_distributions(posterior):
    """Against torch's own, and against the mean of log q - log p over draws."""
    mean, log_variance = posterior
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    p = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    exact = torch.distributions.kl_divergence(q, p).sum(-1)
    assert divergence_from_prior(mean, log_variance).numpy() == pytest.approx(exact.numpy())
    generator = torch.Generator().manual_seed(1)
    many = [tensor.expand(100_000, 3, 4) for tensor in posterior]
    codes = draw_codes(*many, generator)
    differences = (q.log_prob(codes) - p.log_prob(codes)).sum(-1)
    errors = differences.std(0) / len(codes) ** 0.5
    assert (differences.mean(0) - exact).abs().numpy() == pytest.approx(
        0.0, abs=4 * float(errors.max())
    )


def test_divergence_from_the_prior_itself_is_zero():
    assert divergence_from_prior(torch.zeros(2, 5), torch.zeros(2, 5)).tolist() == [0.0, 0.0]


def test_draws_have_the_posterior_moments(posterior):
    mean, log_variance = (tensor[:1].expand(200_000, 4) for tensor in posterior)
    codes = draw_codes(mean, log_variance, torch.Generator().manual_seed(0))
    assert codes.mean(0).numpy() == pytest.approx(mean[0].numpy(), abs=0.01)
    assert codes.var(0).numpy() == pytest.approx(log_variance[0].exp().numpy(), rel=0.02)


def test_normal_likelihood_is_scipys(rng):
    x, output = rng.normal(size=(2, 6, 5))
    squares = torch.from_numpy(np.square(x - output))
    expected = -stats.norm.logpdf(x, output, np.sqrt(0.3)).sum(1)
    found = negative_log_likelihood(squares.sum(-1), 5, torch.tensor([0.3]))
    assert found.numpy() == pytest.approx(expected)


def test_bernoulli_likelihood_is_scipys(rng):
    x, logits = rng.integers(0, 2, size=(6, 5)), rng.normal(size=(6, 5))
    architecture = VariationalArchitecture(5, 2, ())
    network = build_network(architecture, generator=torch.Generator().manual_seed(0))
    model = Model(network, torch.zeros(5).double(), 1.0, LOSSES["log_loss"])
    entries = entry_errors(model, torch.from_numpy(logits), torch.from_numpy(x).double())
    expected = -stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(1)
    assert negative_log_likelihood(entries.sum(-1), 5, None).numpy() == pytest.approx(expected)


def test_fitted_noise_variance_is_at_the_minimum():
    errors = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = fitted_noise_variance(errors)
    assert noise.shape == (2, 1)
    sums = errors.sum(-1)
    least = negative_log_likelihood(sums, 3, noise).mean(-1)
    for factor in (0.9, 1.1):
        assert (negative_log_likelihood(sums, 3, factor * noise).mean(-1) > least).all()


def linear_model(n_features: int, n_components: int) -> tuple[Model, VariationalNetwork]:
    architecture = VariationalArchitecture(n_features, n_components, ())
    generator = torch.Generator().manual_seed(0)
    network = build_network(architecture, generator=generator).select_model(0).double()
    model = Model(network, torch.zeros(n_features), 1.0, LOSSES["squared_error"])
    return model, network


def test_weights_of_the_exact_posterior_are_the_likelihood(rng):
    """p(x, c) / q(c|x) is p(x) for every c where q is the posterior."""
    model, network = linear_model(5, 1)
    loadings, noise_variance = rng.normal(size=(1, 5)), 0.4
    posterior_variance = 1 / (1 + np.square(loadings).sum() / noise_variance)
    with torch.no_grad():
        network.decoder.layers[0].weight.copy_(torch.from_numpy(loadings))
        network.encoder.layers[0].weight.copy_(
            torch.from_numpy(loadings.T * posterior_variance / noise_variance)
        )
        network.log_variance.layers[0].bias.fill_(float(np.log(posterior_variance)))
    z = torch.from_numpy(rng.normal(size=(4, 5)))
    draws = torch.from_numpy(rng.normal(size=(6, 1)))
    weights = log_weights(model, network, z, draws, torch.tensor([noise_variance]))
    covariance = loadings.T @ loadings + noise_variance * np.eye(5)
    expected = stats.multivariate_normal.logpdf(z.numpy(), cov=covariance)
    assert weights.detach().numpy() == pytest.approx(np.broadcast_to(expected, (6, 4)))


def test_lower_bound_never_exceeds_the_weighted_one(rng):
    model, network = linear_model(5, 2)
    z, draws = torch.from_numpy(rng.normal(size=(20, 5))), torch.from_numpy(rng.normal(size=(9, 2)))
    lower, weighted = bounds(model, network, z, draws, torch.tensor([0.5]))
    assert (lower < weighted).all()
    one_lower, one_weighted = bounds(model, network, z, draws[:1], torch.tensor([0.5]))
    assert one_lower.numpy() == pytest.approx(one_weighted.numpy())


def test_chunks_change_nothing(rng, monkeypatch):
    model, network = linear_model(5, 2)
    z, draws = torch.from_numpy(rng.normal(size=(20, 5))), torch.from_numpy(rng.normal(size=(9, 2)))
    whole = bounds(model, network, z, draws, torch.tensor([0.5]))
    for entries in (12, 230):  # few rows at a time; few draws at a time
        monkeypatch.setattr("skae.core.elbo._MAX_ENTRIES", entries)
        for one, other in zip(
            whole, bounds(model, network, z, draws, torch.tensor([0.5])), strict=True
        ):
            assert other.numpy() == pytest.approx(one.numpy(), rel=1e-12)


# -- held-out rows ------------------------------------------------------------------------------

FEATURES = 5


@pytest.fixture
def held_out(rng):
    """Two folds, the shorter one padded with a huge row, and a last model without held-out rows."""
    errors, divergence = rng.gamma(0.5, size=(2, 3, 8))
    mask = np.ones((3, 8), dtype=bool)
    mask[1, 6:] = mask[2] = False
    errors[~mask] = 1e9
    return torch.from_numpy(np.stack([errors, divergence])), torch.from_numpy(mask)


def test_held_out_rows_are_compared_under_two_noise_variances(held_out):
    """That of their own fold, and that of all folds, whose likelihood is then the greatest."""
    (errors, divergence), mask = (tensor.numpy() for tensor in held_out)
    model, _ = linear_model(FEATURES, 2)
    losses = NegativeELBO(model, beta=0.7).row_losses(*held_out).numpy()
    own = [errors[i, mask[i]].mean() / FEATURES for i in range(2)]
    common = errors[mask].mean() / FEATURES
    for found, noises in zip(losses, ([*own], [common, common]), strict=True):
        for i, noise in enumerate(noises):
            # The density of a row at this squared distance from the output.
            x = np.zeros((8, FEATURES))
            x[:, 0] = np.sqrt(errors[i])
            density = stats.norm.logpdf(x, 0.0, np.sqrt(noise)).sum(1)
            expected = 0.7 * divergence[i] - density
            assert found[i, mask[i]] == pytest.approx(expected[mask[i]])


@pytest.mark.parametrize("previous", [0.001, 0.15, 50.0])
def test_noise_of_ppca_is_left_only_as_far_as_held_out_rows_show(held_out, previous):
    model, network = linear_model(FEATURES, 2)
    network.noise_variance = torch.tensor([previous], dtype=torch.float64)
    (errors, _), mask = (tensor.numpy() for tensor in held_out)
    squares = errors[mask] / FEATURES
    mean, error = squares.mean(), stats.sem(squares)
    criterion = NegativeELBO(model, beta=1.0)
    found = criterion.finish(torch.zeros(0), held_out=held_out)["noise_variance"]
    assert found.tolist() == pytest.approx([mean])  # not initialised at PPCA
    network.decoder.set_skip(torch.zeros(2, FEATURES), None)
    found = criterion.finish(torch.zeros(0), held_out=held_out)["noise_variance"]
    assert found.tolist() == pytest.approx([np.clip(previous, mean - 3 * error, mean + 3 * error)])


def test_noise_of_one_held_out_row_is_finite():
    model, network = linear_model(FEATURES, 2)
    network.decoder.set_skip(torch.zeros(2, FEATURES), None)
    held_out = torch.full((2, 1, 1), 2.0), torch.ones(1, 1, dtype=torch.bool)
    found = NegativeELBO(model, beta=1.0).finish(torch.zeros(0), held_out=held_out)
    assert found["noise_variance"].tolist() == pytest.approx([2.0 / FEATURES])

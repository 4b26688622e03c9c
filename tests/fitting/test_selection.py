from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skae.core.criterion import Criterion
from skae.core.networks.autoencoder import Architecture, build_network
from skae.fitting.selection import ValidationLoss, compare
from skae.fitting.split import Split, cross_fit, single_split


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


class RowMeans(Criterion):
    """Take the mean of each row for its loss."""

    def measure(self, inputs, target, generator):
        return inputs.mean(-1)


def validation_losses(data: torch.Tensor, split: Split) -> torch.Tensor:
    network = build_network(Architecture(data.shape[1], 1, ()), generator=seeded())
    return ValidationLoss(RowMeans(), network, data, split)()


def test_validation_losses_pool_the_folds():
    split = cross_fit(torch.randperm(12, generator=seeded()).tensor_split(5), 12)
    data = torch.arange(12.0)[:, None].expand(12, 3)
    assert sorted(validation_losses(data, split).tolist()) == list(range(12))


def test_duplicates_are_one_piece_of_evidence_with_the_weight_of_all():
    data = torch.tensor([[3.0], [1.0], [3.0], [5.0], [3.0]])
    rows = torch.arange(5)
    split = replace(single_split(rows[:4], rows[4:]), groups=torch.tensor([0, 1, 0, 2, 0]))
    losses = validation_losses(data, split)
    assert losses.tolist() == [6.0 * 3 / 4, 1.0 * 3 / 4, 5.0 * 3 / 4]
    assert losses.mean() == data[:4].mean()


def sample(n_rows: int = 60, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return positive losses of a network and of PCA that go up and down together."""
    rng = np.random.default_rng(seed)
    pca = rng.lognormal(size=n_rows)
    network = 0.7 * pca * rng.lognormal(sigma=0.2, size=n_rows)
    return torch.from_numpy(network), torch.from_numpy(pca)


@pytest.mark.parametrize(("margin", "expected"), [(0.9, False), (1.1, True)])
def test_the_ratio_is_below_one_by_two_standard_errors_of_the_paired_change(margin, expected):
    network, pca = sample()
    noise = network - pca
    noise -= noise.mean()
    error = float(noise.std()) / len(pca) ** 0.5
    network = pca + noise - margin * 2 * error
    compared = compare(network, pca)
    statistic = stats.ttest_rel(network.numpy(), pca.numpy()).statistic
    assert statistic == pytest.approx(-2 * margin)
    assert compared.ratio == pytest.approx(float(network.sum() / pca.sum()))
    low, high = compared.interval
    unit = 2 * error / float(pca.mean())
    assert (compared.ratio - low, high - compared.ratio) == pytest.approx((unit, unit))
    assert compared.improved == np.mean(network.numpy() < pca.numpy())
    assert (high < 1) is expected


@pytest.mark.parametrize(("share", "expected"), [(0.985, True), (0.995, False)])
def test_a_small_gain_is_not_worth_leaving_pca(share, expected):
    _, pca = sample()
    assert compare(share * pca, pca).is_better is expected


@pytest.mark.parametrize(("n_better", "expected"), [(62, False), (63, True)])
def test_most_rows_improve_by_two_and_a_half_standard_errors(n_better, expected):
    """Of 100 tosses of a coin, heads minus tails has a standard error of 10."""
    pca = torch.ones(100, dtype=torch.float64)
    network = torch.full_like(pca, 1.01)
    network[:n_better] = 0.5
    compared = compare(network, pca)
    assert compared.interval[1] < 1
    assert compared.is_better is expected


def test_one_large_gain_alone_proves_nothing():
    network, pca = sample()
    network = network / 0.7  # no gain
    pca[7] = network[7] + 10 * pca.sum()
    compared = compare(network, pca)
    assert compared.ratio < 0.2
    assert not compared.is_better


def test_many_small_gains_do_not_make_up_for_one_row():
    """Where one row has most of PCA's loss, the mean gain is as uncertain as it is large."""
    network, pca = sample()
    pca[7] = 10 * pca.sum()
    network[7] = 0.5 * pca[7]
    compared = compare(network, pca)
    assert compared.improved > 0.9
    assert compared.ratio < 0.6
    assert not compared.is_better


def test_a_large_loss_outweighs_many_gains():
    network, pca = sample()
    network[7] += pca.sum()
    compared = compare(network, pca)
    assert compared.improved > 0.9
    assert not compared.is_better


@pytest.mark.parametrize("degrees_of_freedom", [2.0, 30.0])
def test_chance_is_rarely_taken_for_a_gain(degrees_of_freedom):
    rng = np.random.default_rng(0)
    weights = np.abs(stats.t(degrees_of_freedom).rvs((2000, 100), random_state=1))
    pairs = torch.from_numpy(weights[:, None] * rng.lognormal(sigma=0.3, size=(2000, 2, 100)))
    accepted = [compare(network, pca).is_better for network, pca in pairs]
    # A normal mean lies two standard errors below its expectation in 2 of 100 samples; that most
    # rows improve, too, is rarer.
    assert np.mean(accepted) < 0.01


@pytest.mark.parametrize(("share", "expected"), [(0.9, False), (1.1, True)])
def test_a_likelihood_gains_by_three_standard_errors_of_the_paired_change(share, expected):
    """Its losses have no zero, and the gain is relative to the reference."""
    noise = torch.randn(80, generator=seeded(), dtype=torch.float64)
    noise -= noise.mean()
    pca = 100.0 * torch.randn(80, generator=seeded(), dtype=torch.float64)
    error = float(noise.std()) / 80**0.5
    gain = share * 3.0 * error
    network = pca + noise - gain
    statistic = stats.ttest_rel(network.numpy(), pca.numpy()).statistic
    assert statistic == pytest.approx(-gain / error)
    compared = compare(network, pca, reference=5.0)
    assert compared.ratio == pytest.approx(1.0 - gain / 5.0)
    assert compared.interval[1] == pytest.approx(compared.ratio + 3.0 * error / 5.0)
    assert (compared.interval[1] < 1) is expected


def test_one_row_proves_nothing():
    assert not compare(torch.tensor([0.0]), torch.tensor([9.0])).is_better


@pytest.mark.parametrize("value", [0.0, 1.0, math.inf, math.nan])
def test_nothing_improves_on_an_exact_pca(value):
    pca = torch.zeros(20, dtype=torch.float64)
    assert not compare(torch.full_like(pca, value), pca).is_better
    assert not compare(torch.full_like(pca, math.nan), pca + 1).is_better


@pytest.mark.parametrize(("share", "selected"), [(0.985, "pca"), (0.95, "network")])
def test_a_fit_tells_what_it_selected_and_why(share, selected, monkeypatch, iris, capsys):
    pca = torch.linspace(1, 2, 150, dtype=torch.float64)
    noise = 1 + 0.1 * torch.randn(150, generator=seeded(), dtype=torch.float64)
    network = share * pca * noise / noise.mean()
    compared = compare(network, pca)
    monkeypatch.setattr(
        ValidationLoss, "__call__", lambda self, n_steps=None: network if n_steps else pca
    )
    model = Autoencoder(2, max_iter=1, random_state=0, verbose=True).fit(iris)
    assert model.selected_ == selected
    assert model.validation_ratio_ == compared.ratio
    assert tuple(model.validation_ratio_interval_) == compared.interval
    assert model.validation_improved_ == compared.improved
    assert model.best_iter_ == int(selected == "network")
    is_pca = np.allclose(model.transform(iris), PCA(2).fit_transform(iris), rtol=0, atol=1e-6)
    assert is_pca is (selected == "pca")
    said = capsys.readouterr().out.strip().splitlines()[-1]
    assert said.startswith("Kept PCA." if is_pca else "Selected the network of epoch 1.")
    assert f"{compared.ratio:.3f} of PCA's" in said
    assert ("pass more rows" in said) is is_pca
    assert "selected_" in model._repr_html_()


def test_a_fit_that_compares_nothing_says_so(iris, capsys):
    few = Autoencoder(2, verbose=True).fit(iris[:9])
    assert (few.selected_, few.validation_ratio_, few.validation_improved_) == ("pca", None, None)
    assert "no held-out row" in capsys.readouterr().out
    plain = Autoencoder(2, shortcut=None, max_iter=20, random_state=0, verbose=True).fit(iris)
    assert (plain.selected_, plain.validation_ratio_interval_) == ("network", None)
    assert f"Kept the network of epoch {plain.best_iter_}." in capsys.readouterr().out
    few.partial_fit(iris)
    assert few.selected_ == "network"


def test_a_network_far_worse_than_pca_is_no_candidate(wine, capsys):
    """A restart after divergence is then from PCA."""
    X = (wine - wine.mean(0)) / wine.std(0)
    model = Autoencoder(
        3,
        hidden_layer_sizes=(32,),
        solver="sgd",
        learning_rate_init=1.0,
        max_iter=30,
        random_state=0,
        verbose=True,
    )
    with pytest.warns(ConvergenceWarning, match="went on"):
        model.fit(X)
    assert model.selected_ == "network"
    assert model.validation_ratio_ < 0.95
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.set_params(learning_rate_init=1e6, max_iter=3).fit(X)
    assert (model.selected_, model.validation_ratio_) == ("pca", None)
    assert "no epoch had less than twice" in capsys.readouterr().out


def validation_of(model: Autoencoder, X: np.ndarray, split: Split) -> ValidationLoss:
    """Return the validation loss of a fitted model, one copy for each of the split's."""
    trained = model._model.with_model_axis()
    network = trained.network.float()
    for parameter in network.parameters():
        parameter.data = parameter.data.repeat(len(split.training), *[1] * (parameter.ndim - 1))
    for mlp in network.mlps:
        weight, bias = mlp.exact_skip
        parts = [
            part if part is None else part.repeat(len(split.training), 1, 1)
            for part in (weight, bias)
        ]
        mlp.set_skip(*parts, torch.float32)
    data = torch.from_numpy((X - model.mean_) / trained.scale).float()
    return ValidationLoss(model._criterion(trained), network, data, split)


@pytest.mark.parametrize("n_folds", [1, 5])
def test_the_compared_losses_are_those_of_transform(digits, n_folds):
    model = Autoencoder(2, hidden_layer_sizes=(64,), max_iter=10, random_state=0).fit(digits)
    assert model.selected_ == "network"
    rows = torch.arange(0, 1797, 3)
    unit = digits.shape[1] * model._model.scale**2
    split = single_split(rows, torch.arange(len(digits)))
    if n_folds > 1:
        split = cross_fit(rows.tensor_split(n_folds), len(digits))
    validate = validation_of(model, digits, split)
    errors = model.reconstruction_error(digits[rows]) / unit
    assert errors.mean() < 0.99 * float(validate().mean())
    assert float(validate(10).mean()) == pytest.approx(errors.mean(), rel=2e-3)
    # Each two of these rows are copies: their losses are summed, in the unit of a row's.
    grouped = replace(split, groups=torch.arange(len(digits)) // 6)
    sums = np.add.reduceat(validate(10).numpy(), np.arange(0, len(rows), 2))
    means = sums * len(sums) / len(rows)
    np.testing.assert_allclose(validation_of(model, digits, grouped)(10), means, rtol=1e-4)
    model.set_params(transform_max_iter=0)
    errors = model.reconstruction_error(digits[rows]) / unit
    np.testing.assert_allclose(validate(), errors, rtol=1e-4)
    np.testing.assert_allclose(validate(0), errors, rtol=1e-4)


def test_codes_that_transform_does_not_refine_are_compared_as_they_are(iris):
    model = Autoencoder(2, code_activation="tanh", max_iter=2, random_state=0).fit(iris)
    split = single_split(torch.arange(50), torch.arange(150))
    validate = validation_of(model, iris, split)
    assert torch.equal(validate(10), validate())


@pytest.mark.parametrize("estimator", [DenoisingAutoencoder(), ContractiveAutoencoder()])
def test_a_method_that_is_pca_warns_where_it_has_a_purpose_of_its_own(estimator, iris):
    with pytest.warns(UserWarning, match="PCA was kept"):
        estimator.set_params(max_iter=1, learning_rate_init=1e-9).fit(iris)
    assert estimator.selected_ == "pca"
    with pytest.warns(UserWarning, match="Pass at least 10 rows"):
        estimator.fit(iris[:9])
    without = {"noise_level": 0.0} if hasattr(estimator, "noise_level") else {"alpha": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.set_params(**without).fit(iris)
        Autoencoder(max_iter=1, learning_rate_init=1e-9).fit(iris)


class TwoLosses(RowMeans):
    """Two losses a row, of which the second is twice the first."""

    def row_losses(self, measured, mask):
        return torch.stack([measured, 2 * measured])


def test_duplicates_are_grouped_under_each_loss():
    data = torch.tensor([[3.0], [1.0], [3.0], [5.0], [3.0]])
    rows = torch.arange(5)
    split = replace(single_split(rows[:4], rows[4:]), groups=torch.tensor([0, 1, 0, 2, 0]))
    network = build_network(Architecture(1, 1, ()), generator=seeded())
    one = ValidationLoss(RowMeans(), network, data, split)()
    two = ValidationLoss(TwoLosses(), network, data, split)()
    assert torch.equal(two, torch.stack([one, 2 * one]))


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_the_start_is_left_only_if_every_loss_improves(gains):
    start = torch.linspace(2, 3, 40, dtype=torch.float64).expand(2, 40)
    best = start - torch.tensor(gains, dtype=torch.float64)[:, None] * start / 10
    compared = compare(best, start)
    assert compared.is_better is (min(gains) == 1.0)
    assert compared.ratio == pytest.approx(1.0 - min(gains) / 10)


def test_constant_rows_with_holes_need_no_advice(rng):
    holes = np.where(rng.random((30, 4)) < 0.2, np.nan, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DenoisingAutoencoder(1, max_iter=2, random_state=0).fit(holes)


def test_losses_of_several_sizes_are_compared_in_sum_and_each_must_be_lower():
    random = torch.Generator().manual_seed(0)
    start = torch.rand(2, 400, generator=random).double() + 1
    noise = torch.randn(400, generator=random).double()
    clear, unsure = start[0] * 0.5, start[1] * 0.97 + noise
    assert compare(torch.stack([clear, unsure]), start, None, True).is_better
    assert not compare(torch.stack([clear, unsure]), start).is_better
    worse = torch.stack([clear, start[1] * 1.01])
    assert not compare(worse, start, None, True).is_better
    # The reason for PCA is told: the second loss, though most rows and the sum improve.
    assert compare(worse, start, None, True).ratio == pytest.approx(1.01)
    better = compare(torch.stack([clear, unsure]), start, None, True)
    assert better.ratio == pytest.approx(float((clear + unsure).sum() / start.sum()))


def test_of_losses_that_are_summed_a_negligible_one_need_not_be_lower():
    network, pca = sample()
    exact = torch.zeros_like(pca)
    losses, start = torch.stack([network, exact + 0.05]), torch.stack([pca, exact])
    assert not compare(losses, start, has_prefixes=True).is_better
    assert compare(losses, start, has_prefixes=True, tolerance=0.1).is_better
    assert not compare(losses, start, has_prefixes=True, tolerance=0.04).is_better

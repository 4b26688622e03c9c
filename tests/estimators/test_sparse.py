"""Sparse autoencoder: sparsity, its price, and the units of its code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import SparseAutoencoder

MORE_UNITS = 100


def fit(X, n_components=MORE_UNITS, **parameters) -> SparseAutoencoder:
    return SparseAutoencoder(n_components, random_state=0, **parameters).fit(X)


@pytest.fixture(scope="module")
def default(digits):
    return fit(digits, max_iter=20)


def test_zeros_rise_with_alpha_and_reconstruction_falls(digits):
    models = [fit(digits, alpha=alpha, max_iter=20) for alpha in (0, 0.01, 0.1, 1.0)]
    zeros = [model.zero_fraction_ for model in models]
    errors = [1 - model.score(digits) for model in models]
    assert (np.diff(zeros) > 0.03).all()
    assert (np.diff(errors) > 0).all()
    assert zeros[-1] > 0.75


def test_fitted_attributes_describe_the_code(default, digits):
    code = default.transform(digits)
    assert default.zero_fraction_ == pytest.approx((code == 0).mean(), abs=1e-4)
    assert default.activity_ == pytest.approx(code.mean(axis=0), rel=1e-4, abs=1e-6)
    assert default.dead_units_.tolist() == np.flatnonzero((code == 0).all(axis=0)).tolist()


def test_dead_units_are_found(digits):
    model = fit(digits[:, :2], 20, alpha=10.0, max_iter=5)  # almost constant pixels
    code = model.transform(digits[:, :2])
    assert len(model.dead_units_) == (code == 0).all(axis=0).sum() > 0


def test_rates_may_start_at_pca(wine):
    X = StandardScaler().fit_transform(wine)
    from_pca = fit(X, 8, penalty="kl", shortcut="pca", max_iter=30)
    assert from_pca.validation_scores_[0] > 0.5
    assert from_pca.score(X) > fit(X, 8, penalty="kl", max_iter=30).score(X)


def test_warns_if_no_unit_is_active(digits):
    with pytest.warns(UserWarning, match=r"No unit .* active .*Lower alpha \(now 10\)"):
        model = fit(digits, 8, alpha=10.0, max_iter=40)
    assert not model.transform(digits).any()


def test_atoms_have_norm_one_and_the_code_is_in_the_units_of_x(default, digits):
    assert np.linalg.norm(default.components_, axis=1) == pytest.approx(np.ones(MORE_UNITS))
    assert (default.transform(digits) >= 0).all()
    # The reconstruction is a sum of atoms: no network is needed to decode.
    constant = default.inverse_transform(np.zeros((1, MORE_UNITS)))
    by_hand = default.transform(digits) @ default.components_ + constant
    assert default.reconstruct(digits) == pytest.approx(by_hand, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_alpha_means_the_same_on_scaled_data(default, digits, factor):
    scaled = fit(digits * factor, max_iter=20)
    assert scaled.zero_fraction_ == pytest.approx(default.zero_fraction_, abs=0.01)
    assert scaled.score(digits * factor) == pytest.approx(default.score(digits), abs=0.01)
    assert scaled.activity_.sum() == pytest.approx(factor * default.activity_.sum(), rel=0.02)


@pytest.mark.parametrize("factor", [2.0**-500, 2.0**500])
def test_fitted_attributes_in_units_beyond_the_range_of_float32(digits, factor):
    model, scaled = (fit(X, max_iter=3) for X in (digits, digits * factor))
    np.testing.assert_array_equal(scaled.dead_units_, model.dead_units_)
    assert scaled.zero_fraction_ == model.zero_fraction_
    np.testing.assert_allclose(scaled.activity_ / factor, model.activity_, rtol=1e-6)


def test_alpha_means_the_same_on_more_columns(digits):
    one, many = (fit(np.tile(digits, (1, n)), max_iter=20, alpha=0.1) for n in (1, 8))
    assert many.zero_fraction_ == pytest.approx(one.zero_fraction_, abs=0.06)
    assert many.history_["sparsity"][-1] == pytest.approx(one.history_["sparsity"][-1], rel=0.15)


@pytest.mark.parametrize("penalty", ["l1", "l2", "student_t"])
def test_the_network_does_not_escape_by_a_small_code(digits, penalty):
    """A decoder that grows as the code shrinks must not lower the penalty."""
    alpha = {"l1": 0.1, "l2": 1.0, "student_t": 1.0}[penalty]
    weak, strong = (fit(digits, penalty=penalty, alpha=a, max_iter=20) for a in (alpha / 10, alpha))
    size_weak, size_strong = (
        np.abs(m.transform(digits)).sum(axis=1).mean() for m in (weak, strong)
    )
    assert size_strong < 0.8 * size_weak  # atoms have norm 1, so this is independent of units


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_kl_reaches_its_target_rate(digits, rate):
    model = fit(digits, penalty="kl", sparsity=rate, alpha=0.2, max_iter=50)
    assert model.activity_.mean() == pytest.approx(rate, rel=0.2)
    assert np.abs(model.activity_ - rate).max() < 0.5 * rate
    code = model.transform(digits)
    assert code.min() >= 0
    assert code.max() <= 1


@pytest.mark.parametrize("hidden", [(), (32,)])
@pytest.mark.parametrize("n_active", [1, 5])
def test_top_k_has_exactly_n_active_non_zeros(digits, hidden, n_active):
    model = fit(digits, penalty="topk", n_active=n_active, hidden_layer_sizes=hidden, max_iter=5)
    assert ((model.transform(digits) != 0).sum(axis=1) == n_active).all()
    assert model.zero_fraction_ == pytest.approx(1 - n_active / MORE_UNITS)


def test_top_k_revives_its_units(digits):
    model = fit(digits, penalty="topk", n_active=8, max_iter=50)
    assert len(model.dead_units_) < 0.05 * MORE_UNITS
    assert "revival" in model.history_


def test_a_sparse_code_is_useful_to_a_classifier():
    X, y = load_digits(return_X_y=True)
    code = make_pipeline(
        SparseAutoencoder(200, penalty="topk", n_active=15, max_iter=20, random_state=0),
        StandardScaler(),
        LogisticRegression(max_iter=500),
    )
    assert code.fit(X[:1300], y[:1300]).score(X[1300:], y[1300:]) > 0.9


def test_sparse_output_is_csr_and_decodes(default, digits):
    dense = default.transform(digits)
    default.set_params(sparse_output=True)
    code = default.transform(digits.astype(np.float32))
    assert sparse.issparse(code)
    assert code.format == "csr"
    assert code.dtype == np.float32
    assert code.nnz == (code.toarray() != 0).sum()
    assert code.toarray() == pytest.approx(dense, abs=1e-4)
    assert default.inverse_transform(code) == pytest.approx(
        default.inverse_transform(code.toarray())
    )
    default.set_params(sparse_output=False)


def test_codes_do_not_depend_on_the_chunk_size(default, digits, monkeypatch):
    dense = default.transform(digits)
    for module in ("estimators.sparse", "utils.csr"):  # of transform and inverse_transform
        monkeypatch.setattr(f"skae.{module}._MAX_ROWS", 100)
    default.set_params(sparse_output=True)
    code = default.transform(digits)
    assert code.toarray() == pytest.approx(dense, abs=1e-9)
    assert default.inverse_transform(code) == pytest.approx(default.reconstruct(digits), abs=1e-9)
    default.set_params(sparse_output=False)


def test_penalised_fits_with_the_same_seed_are_identical(digits):
    for penalty in ("l1", "kl", "topk"):
        first, second = (fit(digits[:300], penalty=penalty, max_iter=3) for _ in range(2))
        assert np.array_equal(first.transform(digits), second.transform(digits))


@pytest.mark.parametrize("penalty", ["l1", "kl", "topk"])
def test_defaults_are_compatible(digits, penalty):
    assert SparseAutoencoder(penalty=penalty, max_iter=1).fit(digits[:50]).n_components_ == 64


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("penalty", ["l1", "l2", "student_t", "kl", "topk"])
def test_a_wide_code_beside_a_skip_connection_learns(digits, penalty):
    """Columns beyond the rank of the data start at 0."""
    model = fit(
        digits[:400],
        80,
        penalty=penalty,
        shortcut="pca",
        hidden_layer_sizes=(32,),
        max_iter=50,
        early_stopping=False,
    )
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.filterwarnings("error")
def test_a_strong_penalty_is_not_taken_for_divergence(digits):
    model = fit(digits, alpha=1e5, max_iter=5, early_stopping=False)
    assert model.n_iter_ == 5
    assert model.loss_curve_[-1] < model.loss_curve_[0]


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"penalty": "l0"}, "The 'penalty' parameter"),
        ({"alpha": -1}, "The 'alpha' parameter"),
        ({"penalty": "kl", "sparsity": 0.0}, "The 'sparsity' parameter"),
        ({"penalty": "kl", "sparsity": 1.0}, "The 'sparsity' parameter"),
        ({"penalty": "topk", "n_active": 0}, "The 'n_active' parameter"),
        (
            {"penalty": "topk", "n_active": 101},
            "n_active=101 units cannot be active in a code of 100. Lower n_active or raise",
        ),
        (
            {"penalty": "kl", "code_activation": "relu"},
            "needs a code between 0 and 1, but code_activation='relu'. Use code_activation='auto'",
        ),
        ({"penalty": "kl", "code_activation": "identity"}, "penalty='kl' takes activations for"),
        ({"sparse_output": 1.5}, "The 'sparse_output' parameter"),
    ],
)
def test_bad_parameters(digits, parameters, message):
    model = SparseAutoencoder(MORE_UNITS, **parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(digits)
    assert not hasattr(model, "n_features_in_")


def test_a_sparse_code_of_the_wrong_width(default):
    with pytest.raises(ValueError, match="The code has 7 columns"):
        default.inverse_transform(sparse.csr_array((3, 7)))


def test_largest_entries_are_not_those_of_rounding_noise(rng):
    """Rank 5 in 20 columns: PCA's other directions hold nothing but noise of 1e-7."""
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 20))
    model = fit(X, 20, penalty="topk", n_active=8, shortcut="pca", max_iter=5)
    assert model.n_iter_ == 5
    assert model.explained_variance_ratio_.sum() == pytest.approx(model.score(X), abs=1e-5)


def test_history_has_an_entry_per_partial_fit_whatever_alpha(digits):
    model = SparseAutoencoder(20, alpha=0, random_state=0)
    for alpha in (0.0, 0.0, 0.01, 0.0):
        model.set_params(alpha=alpha).partial_fit(digits[:200])
    assert [value > 0 for value in model.history_["sparsity"]] == [False, False, True, False]
    sums = np.sum(list(model.history_.values()), axis=0)
    np.testing.assert_allclose(sums, model.loss_curve_, rtol=1e-12)

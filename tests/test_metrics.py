"""Scores that choose a strength: closed forms, and an optimum inside the grid."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skae import Autoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.metrics import (
    denoising_score,
    interpolation_score,
    masked_imputation_score,
    prior_match_score,
    reconstruction_score,
    separability_score,
    trustworthiness_score,
)

IDENTITY = FunctionTransformer(check_inverse=False).fit(np.zeros((2, 2)))


class Mean:
    """Reconstructs every row as the mean of what it is given."""

    def transform(self, X):
        return X

    def inverse_transform(self, X):
        return np.broadcast_to(X.mean(axis=0), X.shape)


def test_the_identity_imputes_nothing_masked_and_the_mean_scores_zero(digits):
    assert masked_imputation_score(IDENTITY, digits) == 0
    assert denoising_score(Mean(), digits) == pytest.approx(0, abs=1e-2)


def test_the_identity_keeps_all_of_the_noise(rng):
    X = rng.normal(size=(20_000, 3)) * 2.0 + 5.0
    assert denoising_score(IDENTITY, X, noise="gaussian", noise_level=1.0) == pytest.approx(
        1 - 1 / 4, abs=0.01
    )
    assert denoising_score(IDENTITY, X, noise_level=0.3) == pytest.approx(1 - 0.3, abs=0.01)
    low, high = X.min(axis=0), X.max(axis=0)
    extremes = (np.square(low - X).mean() + np.square(high - X).mean()) / 2
    expected = 1 - 0.2 * extremes / X.var(axis=0).mean()
    salted = denoising_score(IDENTITY, X, noise="salt_and_pepper", noise_level=0.2)
    assert salted == pytest.approx(expected, abs=0.1)


def test_a_masked_entry_that_the_others_determine_is_imputed():
    """Rank one: each column follows from the others, and PCA(1) models it."""
    factor = np.random.default_rng(0).normal(size=(500, 1))
    X = factor @ np.ones((1, 20))
    assert masked_imputation_score(PCA(1).fit(X), X, share=0.05) > 0.98


def test_trustworthiness_is_that_of_scikit_learn(digits):
    pca = PCA(3).fit(digits[:200])
    expected = trustworthiness(digits[:200], pca.transform(digits[:200]), n_neighbors=7)
    assert trustworthiness_score(pca, digits[:200], n_neighbors=7) == pytest.approx(expected)


@pytest.mark.parametrize("score", [masked_imputation_score, denoising_score])
def test_the_seed_decides(digits, score):
    pca = PCA(5).fit(digits)
    assert score(pca, digits) == score(pca, digits)
    assert score(pca, digits) != score(pca, digits, random_state=1)


@pytest.mark.parametrize("score", [masked_imputation_score, denoising_score, trustworthiness_score])
@pytest.mark.parametrize("table", [pd.DataFrame, pl.DataFrame, np.asarray])
def test_tables_stay_tables(iris, score, table, recwarn):
    names = {} if table is np.asarray else {"columns": list("abcd")}
    if table is pl.DataFrame:
        names = {"schema": list("abcd")}
    X = table(iris, **names)
    pipeline = make_pipeline(StandardScaler(), PCA(2)).fit(X)
    assert np.isfinite(score(pipeline, X))
    assert not recwarn.list


def test_float32_stays_float32(digits):
    seen = []

    class Spy(Mean):
        def transform(self, X):
            seen.append(X.dtype)
            return X

    masked_imputation_score(Spy(), digits.astype(np.float32))
    denoising_score(Spy(), digits)
    assert seen == [np.float32, np.float64]


@pytest.mark.parametrize(
    ("estimator", "grid", "score"),
    [
        (
            SparseAutoencoder(100, max_iter=30, random_state=0),
            {"alpha": [0.0, 0.1, 3.0]},
            masked_imputation_score,
        ),
        (
            SparseAutoencoder(100, max_iter=30, random_state=0),
            {"alpha": [0.0, 0.1, 3.0]},
            partial(denoising_score, noise="gaussian", noise_level=4.0),
        ),
        (
            DenoisingAutoencoder(64, hidden_layer_sizes=(64,), max_iter=20, random_state=0),
            {"noise_level": [0.0, 0.3, 0.95]},
            denoising_score,
        ),
    ],
    ids=["masked imputation", "denoising", "noise level"],
)
def test_a_wide_code_has_an_optimum_inside_the_grid(digits, estimator, grid, score):
    X = np.random.default_rng(0).permutation(digits)[:900]
    scores = {"asked": score, "plain": lambda fitted, X, y=None: fitted.score(X)}
    search = GridSearchCV(estimator, grid, scoring=scores, cv=2, refit=False).fit(X)
    low, middle, high = search.cv_results_["mean_test_asked"]
    assert middle > low + 0.02
    assert middle > high + 0.02
    # Plain reconstruction would choose no regularisation.
    assert search.cv_results_["mean_test_plain"].argmax() == 0


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (partial(masked_imputation_score, share=0.0), r"share=0\.0 is a share of entries"),
        (partial(denoising_score, noise_level=1.0), r"noise_level=1\.0 is a share of entries"),
        (partial(denoising_score, noise="gaussian", noise_level=0), "must be above 0"),
        (partial(denoising_score, noise="pink"), "noise='pink' must be 'masking'"),
    ],
)
def test_bad_parameters(digits, score, message):
    with pytest.raises(ValueError, match=message):
        score(IDENTITY, digits)


@pytest.mark.parametrize("noise", ["masking", "gaussian", "salt_and_pepper"])
def test_the_memory_layout_of_the_data_does_not_matter(digits, noise):
    pca = PCA(5).fit(digits)
    score = partial(denoising_score, noise=noise)
    assert score(pca, np.asfortranarray(digits)) == pytest.approx(score(pca, digits))


@pytest.mark.parametrize("noise", [None, "masking", "gaussian", "salt_and_pepper"])
def test_missing_entries_go_to_the_estimator_and_are_not_scored(digits, noise):
    X = np.where(np.random.default_rng(0).random(digits.shape) < 0.2, np.nan, digits)
    score = masked_imputation_score if noise is None else partial(denoising_score, noise=noise)
    model = DenoisingAutoencoder(8, hidden_layer_sizes=(16,), max_iter=5, random_state=0).fit(X)
    assert 0 < score(model, X) < 1
    with pytest.raises(ValueError, match="PCA does not accept missing values"):
        score(PCA(2).fit(digits), X)


def test_holes_made_by_the_same_seed_do_not_matter(digits):
    holes = np.random.RandomState(0).random_sample(digits.shape) < 0.2
    X = np.where(holes, np.nan, digits)
    model = DenoisingAutoencoder(8, hidden_layer_sizes=(16,), max_iter=5, random_state=0).fit(X)
    few, many = (masked_imputation_score(model, X, share=share) for share in (0.1, 0.3))
    assert few == pytest.approx(many, abs=0.1)


@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_scales_whose_squares_overflow_or_underflow(iris, scale):
    model = Autoencoder(2, hidden_layer_sizes=(16,), max_iter=3, random_state=0)
    expected = masked_imputation_score(model.fit(iris), iris)
    extreme = masked_imputation_score(model.fit(scale * iris), scale * iris)
    assert extreme == pytest.approx(expected, abs=1e-3)


def test_masking_nothing_is_an_error(iris):
    with pytest.raises(ValueError, match=r"share=1e-06 of the 20 entries of X hides none"):
        masked_imputation_score(IDENTITY, iris[:5], share=1e-6)


# -- what a code is like ------------------------------------------------------------------------


class Drawn:
    """A code of posteriors: mean 0, and a deviation of 1."""

    def transform(self, X):
        return 0 * X

    def encode_distribution(self, X):
        return 0 * X, np.ones_like(X)


def test_prior_match_has_a_closed_form_in_one_dimension(rng):
    """Between normal distributions, W2 squared is (m - 0)^2 + (s - 1)^2."""
    z = rng.normal(size=(20_000, 1))
    assert prior_match_score(IDENTITY, z) == pytest.approx(0.0, abs=0.02)
    assert prior_match_score(IDENTITY, 3 * z + 1) == pytest.approx(-np.sqrt(1 + 4), abs=0.05)
    assert prior_match_score(IDENTITY, 3 * z + 1, standardise=True) == pytest.approx(0.0, abs=0.02)


def test_prior_match_sees_shape_and_posteriors(rng):
    two_peaks = rng.choice([-1.0, 1.0], size=(5000, 1)) + rng.normal(scale=0.1, size=(5000, 1))
    assert prior_match_score(IDENTITY, two_peaks, standardise=True) < -0.3
    zeros = np.zeros((5000, 3))
    assert prior_match_score(IDENTITY, zeros) == pytest.approx(-1.0, abs=0.01)
    assert prior_match_score(Drawn(), zeros) == pytest.approx(0.0, abs=0.03)
    in_pipeline = make_pipeline(FunctionTransformer(), Drawn())
    assert prior_match_score(in_pipeline, zeros) == pytest.approx(0.0, abs=0.03)


def test_interpolation_sees_the_hole_in_a_ring(rng):
    angle, radius = rng.uniform(0, 2 * np.pi, 2000), np.sqrt(rng.uniform(size=2000))
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    disk = ring * radius[:, None]
    assert interpolation_score(IDENTITY, disk) == pytest.approx(1.0, abs=0.3)
    assert interpolation_score(IDENTITY, ring) < 0.05
    assert interpolation_score(IDENTITY, ring) == interpolation_score(IDENTITY, ring)


def test_separability_is_the_accuracy_of_neighbours(rng):
    y = np.repeat([0, 1], 300)
    X = rng.normal(size=(600, 4)) + 10 * y[:, None]
    assert separability_score(IDENTITY, X, y) == 1.0
    assert separability_score(IDENTITY, X, rng.permutation(y)) == pytest.approx(0.5, abs=0.1)


def test_separability_leaves_rows_without_a_label_out(rng):
    y = np.repeat([0, 1, -1], 100)
    X = rng.normal(size=(300, 4)) + 10 * y[:, None].clip(0)
    names = np.where(y == -1, None, np.where(y == 0, "a", "b").astype(object))
    for labels in (y, names):
        assert separability_score(IDENTITY, X, labels) == 1.0


def test_reconstruction_is_compared_in_the_units_of_x(digits):
    """The `score` of a pipeline is in the units of its last step."""
    X, cv = digits[:300, 10:30], KFold(3)
    pipeline = make_pipeline(StandardScaler(), Autoencoder(3, max_iter=2, random_state=0))
    by_hand = []
    for train, test in cv.split(X):
        fitted = clone(pipeline).fit(X[train])
        rest = X[test] - fitted.inverse_transform(fitted.transform(X[test]))
        by_hand.append(1 - np.square(rest).sum() / (X[test].var(axis=0).sum() * len(test)))
    scores = cross_val_score(pipeline, X, cv=cv, scoring=reconstruction_score)
    assert scores == pytest.approx(np.array(by_hand))
    assert reconstruction_score(IDENTITY, X) == 1.0
    assert reconstruction_score(Mean(), X) == 0.0
    plain = Autoencoder(3, max_iter=2, random_state=0).fit(X)
    assert reconstruction_score(plain, X) == pytest.approx(plain.score(X))


def test_reconstruction_score_ignores_missing_entries(digits):
    X = np.where(np.random.default_rng(0).random(digits[:300].shape) < 0.2, np.nan, digits[:300])
    model = DenoisingAutoencoder(8, max_iter=3, random_state=0).fit(X)
    assert reconstruction_score(model, X) == pytest.approx(model.score(X))


@pytest.mark.parametrize("wrap", [lambda a: a, make_pipeline, lambda a: GridSearchCV(a, {})])
def test_who_asks_for_predict_is_told_of_the_scorers(wrap):
    model = wrap(Autoencoder())
    assert not hasattr(model, "predict")
    with pytest.raises(AttributeError) as caught:
        _ = model.predict
    error = caught.value.__cause__ or caught.value
    assert "Call reconstruct(X)" in str(error)
    assert all(name in str(error) for name in ("scoring=None", "skae.metrics"))


def test_scores_of_a_code_take_sparse_codes_and_searches(digits):
    X = digits[:300]
    sparse = SparseAutoencoder(20, max_iter=2, random_state=0, sparse_output=True).fit(X)
    dense = SparseAutoencoder(20, max_iter=2, random_state=0).fit(X)
    for score in (prior_match_score, interpolation_score):
        assert score(sparse, X) == pytest.approx(score(dense, X))
    search = GridSearchCV(make_pipeline(PCA()), {"pca__n_components": [2]}, cv=2).fit(X)
    assert prior_match_score(search, X) == prior_match_score(search.best_estimator_, X)


def test_columns_of_rounding_are_not_blown_up(rng):
    code = rng.normal(size=(500, 3)) * [1.0, 1.0, 1e-14]
    expected = prior_match_score(IDENTITY, code * [1, 1, 0], standardise=True)
    assert prior_match_score(IDENTITY, code, standardise=True) == pytest.approx(expected)

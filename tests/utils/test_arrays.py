"""Masked arrays, tensors and other containers mean in every estimator what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from instances import ESTIMATORS, FAST_INSTANCES, make_fast
from sklearn.base import clone
from sklearn.datasets import load_iris

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderRegressor,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    HashingAutoencoder,
    VariationalAutoencoder,
)
from skae.metrics import masked_imputation_score
from skae.utils.arrays import plain_array

X, Y = load_iris(return_X_y=True)
X, Y = X[::3], Y[::3]
MASK = np.random.default_rng(0).random(X.shape) < 0.2
HOLES = np.where(MASK, np.nan, X)
# The values below a mask are to have no effect.
MASKED = np.ma.masked_array(np.where(MASK, 1e6, X), mask=MASK)


def result(estimator, rows):
    return getattr(estimator, "predict", getattr(estimator, "transform", None))(rows)


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_masked_entries_are_missing_or_refused(estimator):
    if isinstance(estimator, AutoencoderImputer):
        expected, fitted = (clone(estimator).fit_transform(rows) for rows in (HOLES, MASKED))
        np.testing.assert_array_equal(fitted, expected)
        return
    if isinstance(estimator, DenoisingAutoencoder):
        expected, fitted = (clone(estimator).fit(rows) for rows in (HOLES, MASKED))
        np.testing.assert_array_equal(fitted.mean_, np.nanmean(HOLES, axis=0))
        for method in ("transform", "impute", "reconstruct", "score", "score_samples"):
            found = getattr(fitted, method)(MASKED)
            np.testing.assert_array_equal(found, getattr(expected, method)(HOLES))
        by_parts = [clone(estimator).partial_fit(rows) for rows in (HOLES, MASKED)]
        np.testing.assert_array_equal(by_parts[0].transform(HOLES), by_parts[1].transform(MASKED))
        return
    message = rf"masked array with {MASK.sum()} masked entries.*use DenoisingAutoencoder"
    with pytest.raises(ValueError, match=message):
        clone(estimator).fit(MASKED, Y)
    fitted = clone(estimator).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        result(fitted, MASKED)
    if hasattr(fitted, "partial_fit"):
        with pytest.raises(ValueError, match=message):
            fitted.partial_fit(MASKED)
    # Nothing is masked, so these are plain arrays.
    plain = np.ma.masked_array(X, mask=np.zeros_like(MASK))
    np.testing.assert_array_equal(result(fitted, plain), result(fitted, X))
    refitted = clone(estimator).fit(plain, Y)
    np.testing.assert_array_equal(result(refitted, X), result(fitted, X))


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_tensors_are_read_by_their_values(estimator):
    fitted = clone(estimator).fit(X, Y)
    tensor = torch.tensor(X, requires_grad=True)
    from_tensor = clone(estimator).fit(tensor, torch.from_numpy(Y))
    np.testing.assert_array_equal(result(from_tensor, X), result(fitted, X))
    rounded = X.astype(np.float32)
    short = torch.tensor(X).bfloat16()
    for rows, same in (
        (tensor * 1.0, X),
        (list(tensor), X),
        (torch.tensor(rounded, requires_grad=True), rounded),
        (short, short.double().numpy()),
        (torch.complex(torch.tensor(X), -torch.tensor(X)).conj().imag, X),  # a lazy negation
    ):
        found = result(fitted, rows)
        np.testing.assert_array_equal(found, result(fitted, same))
        assert isinstance(found, np.ndarray)


@pytest.mark.parametrize(
    "rows",
    [torch.tensor(X).to_sparse(), torch.tensor(X, device="meta")],
    ids=["sparse", "meta"],
)
def test_tensors_without_an_array_are_refused(rows):
    for cls in (Autoencoder, ConvolutionalAutoencoder, HashingAutoencoder):
        with pytest.raises(ValueError, match="X is a tensor that is no array of numbers"):
            make_fast(cls).fit(rows)


@pytest.mark.parametrize("cls", [AutoencoderClassifier, AutoencoderRegressor])
def test_masked_targets_and_weights_are_refused(cls):
    rows_without = np.ma.masked_array(Y, mask=np.arange(len(Y)) < 3)
    with pytest.raises(ValueError, match="y is a masked array with 3 masked entries"):
        make_fast(cls).fit(X, rows_without)
    weights = np.ma.masked_array(np.ones(len(Y)), mask=np.arange(len(Y)) < 3)
    with pytest.raises(ValueError, match=r"sample_weight is a masked array.*the weight 0"):
        make_fast(cls).fit(X, Y, sample_weight=weights)


def test_a_head_on_a_denoising_encoder_takes_masked_entries():
    models = [
        AutoencoderClassifier(
            make_fast(DenoisingAutoencoder), max_iter=3, learning_rate_init=0.01, random_state=0
        ).fit(rows, Y)
        for rows in (HOLES, MASKED)
    ]
    expected = models[0].predict_proba(HOLES)
    np.testing.assert_array_equal(models[1].predict_proba(MASKED), expected)


def test_codes_rows_and_scores():
    fitted = make_fast(VariationalAutoencoder).fit(X)
    code = torch.tensor(fitted.transform(X), requires_grad=True)
    expected = fitted.inverse_transform(code.detach().numpy())
    np.testing.assert_array_equal(fitted.inverse_transform(code), expected)
    with pytest.raises(ValueError, match="code is a masked array with 1 masked entries"):
        fitted.inverse_transform(np.ma.masked_array([[0.0, 1.0]], mask=[[True, False]]))
    with pytest.raises(ValueError, match="a is a masked array"):
        fitted.interpolate(np.ma.masked_array(X[0], mask=[1, 0, 0, 0]), X[1])
    tensor = torch.tensor(X, requires_grad=True)
    np.testing.assert_array_equal(
        fitted.interpolate(tensor[0], tensor[1]), fitted.interpolate(X[0], X[1])
    )
    denoising = make_fast(DenoisingAutoencoder).fit(HOLES)
    scores = [masked_imputation_score(denoising, rows, random_state=0) for rows in (HOLES, MASKED)]
    assert scores[0] == scores[1]


def test_masks_in_lists_integers_and_float32():
    np.testing.assert_array_equal(plain_array(list(MASKED), allows_missing=True), HOLES)
    integers = np.ma.masked_array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    found = plain_array(integers, allows_missing=True)
    np.testing.assert_array_equal(found, [[1, np.nan], [3, 4]])
    assert plain_array(MASKED.astype(np.float32), allows_missing=True).dtype == np.float32
    assert not isinstance(plain_array(np.ma.masked_array(X)), np.ma.MaskedArray)
    assert plain_array(X) is X


def test_other_containers_mean_the_same_as_arrays():
    """Nullable, sparse and polars frames; memory views; COO matrices."""
    fitted = make_fast(DenoisingAutoencoder).fit(HOLES)
    nullable = pd.DataFrame(X).astype("Float64").mask(MASK)
    names = list("abcd")
    nulls = pl.DataFrame(
        {name: [None if np.isnan(v) else v for v in HOLES[:, i]] for i, name in enumerate(names)}
    )
    for rows in (nullable, nullable.set_axis(names, axis=1), nulls):
        again = make_fast(DenoisingAutoencoder).fit(rows)
        # NumPy sums frames in another order.
        np.testing.assert_allclose(again.mean_, fitted.mean_, rtol=1e-14)
        plain = pd.DataFrame(HOLES, columns=rows.columns)
        np.testing.assert_array_equal(again.transform(rows), again.transform(plain))
    np.testing.assert_array_equal(fitted.transform(memoryview(HOLES)), fitted.transform(HOLES))
    hashing = make_fast(HashingAutoencoder).fit(X)
    coo = scipy.sparse.coo_array(X)
    frame = pd.DataFrame.sparse.from_spmatrix(scipy.sparse.csr_matrix(X))
    expected = make_fast(Autoencoder).fit(coo.tocsr()).transform(X)
    for rows in (coo, frame):
        np.testing.assert_array_equal(hashing.transform(rows), hashing.transform(X))
        np.testing.assert_array_equal(make_fast(Autoencoder).fit(rows).transform(X), expected)


def test_every_estimator_is_here():
    assert len(FAST_INSTANCES) == len(ESTIMATORS)

"""Models that train side by side are each judged by their own penalty."""

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae import ContractiveAutoencoder, PredictiveSparseDecomposition, SparseAutoencoder
from skae._core.held_out import cross_fit
from skae._core.networks import select_model
from skae._preparation import training_rows

N_ROWS = 60
METHODS = [
    *(
        SparseAutoencoder(8, penalty=penalty, alpha=0.5)
        for penalty in ("kl", "l1", "l2", "student_t")
    ),
    SparseAutoencoder(40, penalty="topk", n_active=2),
    ContractiveAutoencoder(3, hidden_layer_sizes=(7,), alpha=0.5),
    PredictiveSparseDecomposition(8),
]


def two_models(estimator, X):
    """Return the models of a cross-fit after a random step that tells them apart."""
    generator = torch.Generator().manual_seed(0)
    division = cross_fit([torch.arange(20)], len(X))
    model, _ = estimator._new_model(X, division, generator)
    with torch.no_grad():
        for p in model.network.parameters():
            p.add_(torch.empty_like(p).normal_(std=0.1, generator=generator))
    return model, division


@pytest.mark.parametrize("method", METHODS)
def test_a_model_beside_others_is_judged_as_if_it_were_alone(method):
    X = load_digits().data[:N_ROWS]
    estimator = clone(method)
    model, division = two_models(estimator, X)
    z = training_rows(X, model.mean.numpy(), model.scale)
    with torch.no_grad():
        together = estimator._held_out_losses(model, z[division.held_out])
        for i in range(2):
            alone = copy.copy(model)
            alone.network = select_model(copy.deepcopy(model.network), i)
            expected = estimator._held_out_losses(alone, z[division.held_out[i]])
            torch.testing.assert_close(together[i], expected)


@pytest.mark.parametrize("n_rows", [60, 61, 62])
def test_rows_that_do_not_count_are_rows_of_a_fold(n_rows):
    folds = list(torch.randperm(n_rows).tensor_split(5))
    division = cross_fit(folds, n_rows)
    for fold, held_out in zip([*folds, folds[0]], division.held_out, strict=True):
        assert set(held_out.tolist()) == set(fold.tolist())

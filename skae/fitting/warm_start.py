"""`fit` with `warm_start`: which rows may judge the network that another fit left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from skae.core.history import History
from skae.core.model import Model
from skae.fitting.data import feature_means, mean_and_scale, training_rows
from skae.fitting.duplicates import duplicate_groups
from skae.fitting.incremental import model_to_continue
from skae.fitting.pca_init import fit_pca, pca_rows
from skae.fitting.split import MIN_ROWS, Split, cross_fit, no_split, single_split
from skae.utils.csr import Array

_MAX_ROWS = 4096
# In place of a fold: all models have trained on the row, or none has.
_TRAINED, _NEW = -1, -2


@dataclass(frozen=True)
class WarmStart:
    """What a fit leaves for the next one with `warm_start`.

    Attributes
    ----------
    n_epochs : int
        Number of epochs that led to the fitted model, over all fits; 0 if it is an untrained start.
    hashes : ndarray of uint64 of shape (n_seen,)
        Ascending hashes of the distinct rows of these fits.
    folds : ndarray of int8 of shape (n_seen,), or None
        Number of the model that has not trained on the row; -1 if every model has. None if no row
        was held out.
    models : Model or None
        All models on the model axis, if there are several: the fitted model has trained on all
        rows, so only the others can tell whether more epochs help.
    """

    n_epochs: int
    hashes: NDArray[np.uint64] | None = None
    folds: NDArray[np.int8] | None = None
    models: Model | None = None

    def split(self, X: Array, generator: torch.Generator) -> Split | None:
        """Hold the rows of each fold out again, and the same share of the new rows.

        Returns None if every row has been trained on. Nothing is held out of few rows, or if a
        model would then have no rows to train on.
        """
        n_rows = X.shape[0]
        if n_rows < MIN_ROWS:
            return no_split(n_rows)
        groups = duplicate_groups(X)
        if groups.max() + 1 < MIN_ROWS:
            groups = np.arange(n_rows)
        n_groups = int(groups.max()) + 1
        folds, known = np.full(n_groups, _NEW), self._folds_of(X)
        folds[groups[known != _NEW]] = known[known != _NEW]
        new = np.flatnonzero(folds == _NEW)
        new = new[torch.randperm(len(new), generator=generator).numpy()]
        folds[new] = _TRAINED
        assert self.folds is not None
        share = float(np.mean(self.folds != _TRAINED))
        n_folds = 1
        if self.models is not None:  # all but the last model, which has no fold
            n_folds = len(self.models.network.encoder.layers[-1].bias) - 1
        held_out = new[: round(share * len(new))]
        folds[held_out] = np.arange(len(held_out)) % n_folds
        rows = torch.from_numpy(folds[groups])
        parts = [(rows == fold).nonzero()[:, 0] for fold in range(n_folds)]
        longest = max(map(len, parts))
        if longest == 0:
            return None
        if longest == n_rows:
            return no_split(n_rows)
        if self.models is None:
            split = single_split(parts[0], (rows != 0).nonzero()[:, 0])
        else:
            split = cross_fit(parts, n_rows)
        return replace(
            split,
            groups=None if n_groups == n_rows else torch.from_numpy(groups),
            is_resumed=len(held_out) == 0,
        )

    def _folds_of(self, X: Array) -> NDArray[np.int64]:
        assert self.hashes is not None
        assert self.folds is not None
        hashes = hash_rows(X)
        places = self.hashes.searchsorted(hashes).clip(max=len(self.hashes) - 1)
        return np.where(self.hashes[places] == hashes, self.folds[places], _NEW)


def resume(
    estimator: Any, X: Array, generator: torch.Generator
) -> tuple[Model | None, Split | None, int]:
    """Return the model to continue, the split of the rows, and the number of epochs so far.

    The model is None for a new start. The split is None if the usual one is to be made.
    """
    previous = model_to_continue(estimator, X)
    if previous is None:
        return None, None, 0
    left: WarmStart = getattr(estimator, "_warm_start", WarmStart(estimator.best_iter_))
    if not estimator.early_stopping or X.shape[0] < MIN_ROWS:
        return previous, None, left.n_epochs
    if left.n_epochs == 0:  # an untrained start, and another X has another one
        return None, None, 0
    if left.folds is not None:
        split = left.split(X, generator)
        if split is None:
            return None, None, 0
        has_new_judges = split.held_out is not None and not split.is_resumed
        if has_new_judges and _is_worse_than_pca(estimator, X, generator):
            return None, None, 0
        return previous, split, left.n_epochs
    # Which rows it has trained on is not known. If they are these, none of them could judge it.
    is_same = np.array_equal(estimator._mean, feature_means(X))
    return (None, None, 0) if is_same else (previous, None, left.n_epochs)


def _is_worse_than_pca(estimator: Any, X: Array, generator: torch.Generator) -> bool:
    """Return whether the fitted model reconstructs other rows worse than their own PCA does."""
    model: Model = estimator._model
    if estimator.shortcut != "pca" or estimator.loss != "squared_error":
        return False
    mean, scale = mean_and_scale(X)
    n_components = model.network.architecture.n_components
    residual = fit_pca(pca_rows(X, mean, scale, None), n_components, generator).residual
    z = training_rows(X, model.mean.numpy(), model.scale)
    network, squares, n_values = model.network_in(z.dtype), 0.0, 0
    with torch.no_grad():
        for part, code in zip(z.split(model.chunk_size), model.encoder_codes(z), strict=True):
            squares += float((network.decode(code.to(model.device)).cpu() - part).square().nansum())
            n_values += int(part.isfinite().sum())
    error = squares / n_values * model.scale**2
    return error > residual * scale**2


def models_to_continue(estimator: Any, previous: Model, split: Split) -> Model:
    """Return a copy of the previous models on the model axis, one for each model of the split."""
    if len(split.training) == 1:
        return previous.with_model_axis()
    models: Model = estimator._warm_start.models
    return replace(models, network=models.network.copy())


def leave_warm_start(
    estimator: Any,
    X: Array,
    split: Split,
    model: Model,
    history: History,
    n_epochs_before: int,
) -> dict[str, Any]:
    """Return the attribute `_warm_start` for the next fit, if there is one.

    Parameters
    ----------
    estimator : BaseAutoencoder
    X : array or CSR matrix of shape (n_samples, n_features)
    split : Split
    model : Model
        All models on the model axis, after training.
    history : History
        With the best epoch 0 if the start was kept.
    n_epochs_before : int
        As `resume` returned it; 0 for a new start.
    """
    before: WarmStart = getattr(estimator, "_warm_start", WarmStart(n_epochs_before))
    if not n_epochs_before:
        before = WarmStart(0)
    if not history.best_epoch:
        return {"_warm_start": before}
    n_epochs = n_epochs_before + history.best_epoch
    if split.held_out is None or split.mask is None:
        return {"_warm_start": WarmStart(n_epochs)}
    hashes = hash_rows(X)
    folds = np.full(len(hashes), _TRAINED, dtype=np.int8)
    for fold, (rows, mask) in enumerate(zip(split.held_out, split.mask, strict=True)):
        folds[rows[mask].numpy()] = fold
    if before.hashes is not None and before.folds is not None:
        hashes = np.concatenate([before.hashes, hashes])
        folds = np.concatenate([before.folds, folds])
    hashes, first = np.unique(hashes, return_index=True)
    models = None
    if len(split.training) > 1:
        models = replace(model, network=model.network.copy().cpu())
    return {"_warm_start": WarmStart(n_epochs, hashes, folds[first], models)}


def hash_rows(X: Any) -> NDArray[np.uint64]:
    """Return a hash of each row, the same for dense and sparse X: a sum of hashes of its entries.

    It is a multilinear hash modulo 2^64, so it does not depend on the process, as Python's does.
    """
    factors = np.random.RandomState(0).randint(0, 2**64, X.shape[1], dtype=np.uint64) | np.uint64(1)
    result = np.empty(X.shape[0], dtype=np.uint64)
    if issparse(X):
        sums = np.zeros(X.nnz + 1, dtype=np.uint64)
        np.cumsum(_bits(X.data) * factors[X.indices], out=sums[1:])
        return sums[X.indptr[1:]] - sums[X.indptr[:-1]]  # modulo 2^64
    for rows in gen_batches(len(X), _MAX_ROWS):
        result[rows] = (_bits(X[rows]) * factors).sum(axis=1, dtype=np.uint64)
    return result


def _bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the bits of the values in float64, mixed, since those of small integers end in 0."""
    bits: NDArray[np.uint64] = (values.astype(np.float64) + 0.0).view(np.uint64)  # no -0.0
    return bits ^ (bits >> np.uint64(32))

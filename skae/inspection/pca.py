"""PCA of the same size as an autoencoder, read from its skip connections."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse

from skae.core.model import Model
from skae.fitting.pca_init import fit_pca, pca_rows
from skae.utils.csr import Array


def pca_axes(model: Model) -> NDArray[np.float64] | None:
    """Return orthonormal axes that span the PCA subspace of the training rows: ``(rank, d)``.

    The skip connection of the encoder is PCA, followed by an invertible map of the code: that of
    the canonical code, or a scaling. Its column space is therefore PCA's. None without a skip
    connection, and for losses of counts, whose encoder takes logarithms.
    """
    encoder = model.network.encoder
    if encoder.skip is None or encoder.input_map is not None:
        return None
    left, sizes, _ = np.linalg.svd(encoder.skip.double().cpu().numpy(), full_matrices=False)
    # A code may be wider than the rank of the data, and columns of the skip connection are then 0.
    n_axes = int((sizes > 1e-9 * sizes[0]).sum()) if sizes.size else 0
    return left[:, :n_axes].T


@torch.no_grad()
def pca_reconstruction(model: Model, rows: Array) -> NDArray[np.float64] | None:
    """Return the PCA reconstruction of rows, or None if the model does not hold PCA.

    Missing entries (NaN) are taken to be at the mean, as in training.
    """
    axes = pca_axes(model)
    if axes is None:
        return None
    mean = model.mean.numpy()
    centred = np.nan_to_num(np.asarray(rows, dtype=np.float64) - mean)
    return centred @ axes.T @ axes + mean


def pca_shares(model: Model, rows: Array, n_components: int) -> NDArray[np.float64] | None:
    """Return the share of the variance of rows that each principal component explains: ``(k,)``.

    Missing entries (NaN) are taken to be at the mean. None for sparse rows, which may be too wide.
    """
    if issparse(rows):
        return None
    z = pca_rows(rows, model.mean.numpy(), model.scale, None)
    start = fit_pca(z, n_components, torch.Generator().manual_seed(0))
    variances = np.square(start.standard_deviations)
    explained = variances.sum()
    return variances * ((1.0 - start.residual) / explained) if explained > 0 else variances

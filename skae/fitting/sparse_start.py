"""The start at PCA for sparse X: PCA with implicit centring, and least squares over parts of rows.

Centred rows have no zeros, so they are never formed: a row is its sparse part plus an offset that
all rows share. The decompositions are those of dense X, from a part of the rows or of the columns
at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator
from sklearn.utils.sparsefuncs import min_max_axis
from torch import Tensor

from skae.core.csr_rows import CSRRows
from skae.core.numerics import chunk_size, row_slices

Array = NDArray[Any]

_MAX_ROWS = 4096
_OVERSAMPLES = 10


class SparseRows(LinearOperator):
    """Sparse rows in training units, ``(X - mean) / scale``, as a sum of two parts in float64.

    Attributes
    ----------
    varying : csr_array of shape (n_samples, n_features)
        The entries of X that are stored.
    offset : ndarray of shape (n_features,)
        What all rows have in common. It is 0 for a feature without zeros, whose mean is subtracted
        from its entries themselves: far from 0, their sum with an offset would lose digits.

    Parameters
    ----------
    X : CSR matrix
    mean : ndarray of shape (n_features,)
    scale : float
    """

    def __init__(self, X: Any, mean: NDArray[np.float64], scale: float) -> None:
        super().__init__(np.dtype(np.float64), X.shape)
        self.n_stored = np.bincount(X.indices, minlength=X.shape[1])
        self.is_full = self.n_stored == X.shape[0]
        self.offset = np.where(self.is_full, 0.0, -mean / scale)
        values = (X.data - np.where(self.is_full, mean, 0.0)[X.indices]) / scale
        self.varying = csr_array((values, X.indices, X.indptr), shape=X.shape)

    @property
    def size(self) -> int:
        """Number of entries, stored or not."""
        return int(np.prod(self.shape))

    def __getitem__(self, row: int) -> Array:
        """Return a dense row."""
        return np.asarray(self.varying[[row]].toarray()[0] + self.offset)

    def ranges(self) -> Array:
        """Return the range of each feature."""
        low, high = min_max_axis(self.varying, axis=0)
        return np.asarray(high - low)

    def mean(self, axis: int) -> Array:
        """Return the mean of each feature."""
        return np.asarray(self.varying.sum(axis=axis)) / self.shape[0] + self.offset

    def _matmat(self, X: Array) -> Array:
        return np.asarray(self.varying @ X + self.offset @ X)

    def _rmatmat(self, X: Array) -> Array:
        return np.asarray(self.varying.T @ X + self.offset[:, None] * X.sum(axis=0))

    def _centre(self) -> None:
        """Subtract the mean of these rows, which may be some of those that set the units."""
        centre = self.mean(axis=0)
        self.varying.data -= np.where(self.is_full, centre, 0.0)[self.varying.indices]
        self.offset -= np.where(self.is_full, 0.0, centre)

    def _parts(self, *, transposed: bool = False) -> Iterator[Array]:
        """Yield rows, or columns as rows, a part at a time; at least as many as they are long."""
        table = self.varying.T.tocsr() if transposed else self.varying
        n_rows, width = table.shape
        for part in row_slices(n_rows, max(width, chunk_size(_MAX_ROWS, width))):
            offset = self.offset[part, None] if transposed else self.offset
            yield table[part].toarray() + offset

    def decompose(
        self, n_found: int, exact_up_to: int, seed: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return the variances and the axes of PCA, and the total variance; rows become centred.

        The method is that for dense rows, with the same random numbers.

        Parameters
        ----------
        n_found : int
            Number of axes that are needed.
        exact_up_to : int
            Number of rows or columns up to which the decomposition is exact.
        seed : int
        """
        (n_rows, n_features), rank = self.shape, min(self.shape)
        self._centre()
        values: Array
        if n_rows >= 10 * n_features and n_features <= exact_up_to:
            covariance = sum(part.T @ part for part in self._parts()) / (n_rows - 1)
            variances, vectors = np.linalg.eigh(covariance)
            variances = np.maximum(variances[::-1], 0.0)
            return variances, vectors[:, ::-1].T, float(variances.sum())
        if rank <= exact_up_to or n_found >= 0.8 * rank:
            # From the triangle of a QR decomposition, which is as small as the shorter side.
            triangle = np.zeros((0, rank))
            for part in self._parts(transposed=n_rows < n_features):
                stacked = np.concatenate([triangle, part])
                triangle = scipy.linalg.qr(stacked, overwrite_a=True, mode="r")[0][:rank]
            _, values, axes = scipy.linalg.svd(triangle)
            if n_rows < n_features:
                # The triangle is that of the columns, so its axes are those of the rows.
                rows = axes[:n_found] @ self
                axes = scipy.linalg.qr(rows.T, overwrite_a=True, mode="economic")[0].T
            variances = values**2 / (n_rows - 1)
            return variances, axes, float(variances.sum())
        values, axes = self._randomised(n_found, seed)
        stored = self.varying.data + self.offset[self.varying.indices]
        total = stored @ stored + (n_rows - self.n_stored) @ self.offset**2
        return values**2 / (n_rows - 1), axes, float(total) / (n_rows - 1)

    def _randomised(self, n_found: int, seed: int) -> tuple[Array, Array]:
        """Return singular values and axes by the randomised SVD of scikit-learn, step by step.

        That takes arrays and sparse matrices, but not a sum of the two.
        """
        is_wide = self.shape[0] < self.shape[1]
        table = self.T if is_wide else self
        normal = np.random.RandomState(seed).normal
        basis = normal(size=(table.shape[1], n_found + _OVERSAMPLES))
        for _ in range(7 if n_found < 0.1 * min(self.shape) else 4):
            basis = scipy.linalg.lu(table @ basis, permute_l=True, check_finite=False)[0]
            basis = scipy.linalg.lu(table.T @ basis, permute_l=True, check_finite=False)[0]
        basis = scipy.linalg.qr(table @ basis, mode="economic", check_finite=False)[0]
        left, values, right = scipy.linalg.svd((table.T @ basis).T, full_matrices=False)
        axes = (basis @ left[:, :n_found]).T if is_wide else right[:n_found]
        return values[:n_found], axes


class Parts:
    """Rows as the encoder sees them: all at once, or a part of sparse rows at a time.

    Parameters
    ----------
    z : Tensor of shape (n_samples, n_features)
        In training units.
    rows : Tensor or None
        Some of the rows; None is all.
    input_map : callable or None
        What the encoder applies to its inputs first.
    """

    def __init__(
        self, z: Tensor, rows: Tensor | None, input_map: Callable[[Tensor], Tensor] | None
    ) -> None:
        self.z, self.rows, self.input_map = z, rows, input_map

    def __iter__(self) -> Iterator[Tensor]:
        for part in self._rows():
            yield part if self.input_map is None else self.input_map(part).float()

    def _rows(self) -> Iterator[Tensor]:
        if not isinstance(self.z, CSRRows):
            yield self.z if self.rows is None else self.z[self.rows]
            return
        if self.rows is None:
            yield from self.z.split(_MAX_ROWS)
            return
        for rows in self.rows.split(chunk_size(_MAX_ROWS, self.z.shape[1])):
            yield self.z[rows]


def fit_decoder(
    parts: Parts, encode: Callable[[Tensor], Tensor], decode: Tensor | None
) -> tuple[Tensor, Tensor, float]:
    """Return the least-squares map from codes to rows, its bias, and the share it leaves over.

    Parameters
    ----------
    parts : Parts
    encode : callable
        Returns the codes of a part.
    decode : Tensor or None
        A map that is given, whose bias is 0.
    """
    codes = [encode(part) for part in parts]
    if decode is None:
        inputs = torch.cat([torch.cat(codes), codes[0].new_ones(sum(map(len, codes)), 1)], 1)
        inputs = inputs.double()
        # Both allow collinear codes, which occur if there are more components than the rank.
        if len(codes) == 1:
            solutions = [torch.linalg.lstsq(inputs, z.double(), driver="gelsd")[0] for z in parts]
        else:
            inverses = torch.linalg.pinv(inputs).split([len(code) for code in codes], 1)
            solutions = [own @ z.double() for own, z in zip(inverses, parts, strict=True)]
        solution = sum(solutions[1:], start=solutions[0])
        decode, bias = solution[:-1], solution[-1]
    else:
        bias = decode.new_zeros(decode.shape[1])
    rest, total = torch.zeros(()), torch.zeros(())
    for code, z in zip(codes, parts, strict=True):
        rest += (z - torch.addmm(bias.float(), code, decode.float())).square().sum()
        total += z.square().sum()
    return decode, bias, float(rest / total.clamp_min(1e-30))

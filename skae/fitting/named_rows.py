"""Groups and splits that the user passes, where a fit merges duplicates first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from skae.fitting.duplicates import duplicate_groups, in_order_of_appearance
from skae.fitting.held_out import group_numbers, joined_groups, read_splits
from skae.fitting.split import MIN_ROWS, Split, single_split
from skae.utils.csr import Array
from skae.utils.validation import Splitter

_TRAINING, _HELD_OUT = 1, 2


@dataclass(frozen=True)
class PredefinedSplits:
    """A splitter with given splits, each of training and held-out rows.

    Attributes
    ----------
    parts : ndarray of int of shape (n_rows, n_splits)
        For each split, 1 for a training row, 2 for a held-out row, 0 for a row that is neither.
    """

    parts: NDArray[np.int64]

    @classmethod
    def of(cls, n_rows: int, splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Self:
        """Return a splitter with the splits of another one."""
        parts = np.zeros((n_rows, len(splits)), dtype=np.int64)
        for part, (training, held_out) in zip(parts.T, splits, strict=True):
            part[training], part[held_out] = _TRAINING, _HELD_OUT
        return cls(parts)

    def split(
        self, X: object = None, y: object = None, groups: object = None
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Return the training and the held-out rows of each split."""
        codes = (_TRAINING, _HELD_OUT)
        pairs = [[np.flatnonzero(part == code) for code in codes] for part in self.parts.T]
        return [(training, held_out) for training, held_out in pairs]

    def of_head(self) -> Split:
        """Return the only split of the rows with a label."""
        ((training, held_out),) = self.split()
        if not len(training) or not len(held_out):
            raise ValueError(
                f"In the split of validation_fraction, {len(training)} labelled rows train and "
                f"{len(held_out)} are held out; at least one of each is needed."
            )
        return single_split(torch.from_numpy(held_out), torch.from_numpy(training))


@dataclass(frozen=True)
class NamedRows:
    """Groups and splits of rows, from what the user passes.

    Attributes
    ----------
    groups : ndarray of int of shape (n_rows,), or None
        Groups of rows that belong together. Groups that share duplicate rows are one.
    head : PredefinedSplits or None
        The split for the head.
    autoencoder : PredefinedSplits or None
        The splits for the autoencoder.
    """

    groups: NDArray[np.int64] | None
    head: PredefinedSplits | None
    autoencoder: PredefinedSplits | None

    def __getitem__(self, rows: NDArray[np.int64]) -> NamedRows:
        """Return the groups and splits of some of the rows."""
        groups, head, autoencoder = self.groups, self.head, self.autoencoder
        return NamedRows(
            None if groups is None else in_order_of_appearance(groups[rows]),
            None if head is None else PredefinedSplits(head.parts[rows]),
            None if autoencoder is None else PredefinedSplits(autoencoder.parts[rows]),
        )

    def keys(self, n_rows: int) -> NDArray[np.int64]:
        """Return columns of numbers in which rows must agree to be merged."""
        columns = [np.empty((n_rows, 0), dtype=np.int64)]
        splitters = (self.head, self.autoencoder)
        columns += [splitter.parts for splitter in splitters if splitter is not None]
        if self.groups is not None:
            columns.append(self.groups[:, None])
        return np.hstack(columns)


def name_rows(
    X: Array,
    y: NDArray[Any],
    weights: NDArray[np.float64],
    groups: ArrayLike | None,
    head: Any,
    autoencoder: Any,
) -> NamedRows:
    """Read groups and splitters, which see all rows that the user passed.

    Parameters
    ----------
    X : array or CSR matrix of shape (n_rows, n_features)
    y : ndarray
        For the splitters.
    weights : ndarray of shape (n_rows,)
        Rows of weight 0 do not link groups.
    groups : array-like of shape (n_rows,), or None
    head, autoencoder : splitter or any other object
        Of the first, only one split is used.
    """
    n_rows = X.shape[0]
    given = None if groups is None else group_numbers(n_rows, groups)
    linked = None
    if given is not None:
        kept = np.flatnonzero(weights)
        duplicates = duplicate_groups(X if len(kept) == n_rows else X[kept])
        # As in `skae.fitting.split.split_rows`.
        if duplicates.max() + 1 < MIN_ROWS:
            duplicates = np.arange(len(kept))
        linked = np.zeros(n_rows, dtype=np.int64)
        linked[kept] = joined_groups(duplicates, given[kept])
        if not linked.any():
            raise ValueError(
                "All rows with positive weight belong to one group (groups that share duplicate "
                "rows count as one), so none can be held out. Drop the duplicates, or pass more "
                "groups."
            )
    predefined = []
    for prefix, splitter, used in (("", head, 1), ("autoencoder__", autoencoder, None)):
        splits = None
        if Splitter().is_satisfied_by(splitter):
            name = f"{prefix}validation_fraction"
            found = read_splits(splitter, X, y, given, name=name, used=used)
            splits = PredefinedSplits.of(n_rows, found)
        predefined.append(splits)
    return NamedRows(linked, *predefined)

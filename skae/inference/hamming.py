"""Nearest neighbours of binary codes by Hamming distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Packed = NDArray[np.uint8]


def pack(bits: NDArray[Any]) -> Packed:
    """Pack rows of bits into bytes, the first bit highest, the last byte padded with 0."""
    return np.packbits(bits.astype(bool), axis=1)


def nearest(
    queries: Packed, stored: Packed, n_neighbors: int, *, leave_out_self: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return distances and row numbers of the nearest stored codes; the first row wins a tie.

    With `leave_out_self`, stored row i is not a neighbour of query i.
    """
    distances = np.empty((len(queries), n_neighbors), dtype=np.int64)
    indices = np.empty_like(distances)
    # Word by word, so that each pass reads contiguous memory.
    words = np.ascontiguousarray(_words(stored).T)
    n_bits = 8 * stored.shape[1]
    differing = np.empty_like(words[0])
    counts = np.empty(len(stored), dtype=np.uint8 if n_bits < 256 else np.int64)
    for i, query in enumerate(_words(queries)):
        counts.fill(0)
        for word, stored_words in zip(query, words, strict=True):
            np.bitwise_xor(stored_words, word, out=differing)
            np.add(counts, np.bitwise_count(differing), out=counts)
        histogram = np.bincount(counts, minlength=n_bits + 1)
        if leave_out_self:
            histogram[counts[i]] -= 1
        radius = np.searchsorted(histogram.cumsum(), n_neighbors)
        candidates = np.flatnonzero(counts <= radius)
        if leave_out_self:
            candidates = candidates[candidates != i]
        found = counts[candidates]
        order = np.argsort(found, kind="stable")[:n_neighbors]
        distances[i], indices[i] = found[order], candidates[order]
    return distances, indices


def _words(packed: Packed) -> NDArray[Any]:
    """View bytes as words that are as wide as possible, padded to whole words."""
    n_bytes = packed.shape[1]
    size = next((size for size in (1, 2, 4) if n_bytes <= size), 8)
    padded = np.pad(packed, ((0, 0), (0, -n_bytes % size)))
    return np.ascontiguousarray(padded).view(f"u{size}")

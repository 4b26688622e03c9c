"""Hamming search against a sort by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from skae.inference.hamming import nearest, pack


@pytest.mark.parametrize("n_bits", [1, 8, 12, 32, 33, 64, 100, 300])
@pytest.mark.parametrize("leave_out_self", [False, True])
def test_nearest_is_a_sort_by_hamming_distance(n_bits, leave_out_self):
    rng = np.random.default_rng(0)
    stored = rng.random((40, n_bits)) < 0.5
    queries = stored if leave_out_self else rng.random((15, n_bits)) < 0.5
    distances, indices = nearest(pack(queries), pack(stored), 7, leave_out_self=leave_out_self)
    every = (queries[:, None] != stored[None]).sum(axis=2)
    if leave_out_self:
        np.fill_diagonal(every, n_bits + 1)
    expected = np.argsort(every, axis=1, kind="stable")[:, :7]
    assert np.array_equal(indices, expected)
    assert np.array_equal(distances, np.take_along_axis(every, expected, axis=1))

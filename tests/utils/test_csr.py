"""Computations on CSR matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from skae.utils.csr import unit_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_unit_rows_have_length_1(dtype, scale):
    X = np.array([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0], [0.0, 5.0, 0.0]], dtype=dtype) * dtype(scale)
    expected = [[0.6, 0.0, 0.8], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    before = X.copy()
    sparse = csr_array(X)
    for rows in (unit_rows(X), unit_rows(sparse).toarray()):
        assert rows.dtype == dtype
        np.testing.assert_allclose(rows, expected, rtol=1e-6)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(sparse.toarray(), before)


def test_rows_with_negative_values_are_left_to_the_check_of_the_loss():
    X = np.array([[3.0, -4.0], [1.0, 1.0]])
    assert unit_rows(X) is X

"""Which rows have a label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skae.utils.labels import read_labels


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, -1, 2], [0, 2]),
        ([0.0, np.nan, 2.0, -1.0], [0, 2]),
        (["a", None, "b"], ["a", "b"]),
        ([None, "a", -1, np.nan, "b", pd.NA], ["a", "b"]),
        ([None, 0, 2, None], [0, 2]),
        ([None, True, False], [True, False]),
        (pd.Series(["a", None, "b"], dtype="string"), ["a", "b"]),
        (pd.Series(["a", None, "b"], dtype="category"), ["a", "b"]),
        (pd.Series([0, None, 2], dtype="Int64"), [0, 2]),
        ([-1, 1, 1, -1], [-1, 1, 1, -1]),  # two classes of an older convention
        ([None, 1, -1], [1, -1]),
        ([-1, -1], []),
        (["-1", "1"], ["-1", "1"]),
    ],
    ids=str,
)
def test_labels(y, expected):
    values = y if isinstance(y, pd.Series) or None not in y else np.array(y, dtype=object)
    known, labels = read_labels(values)
    assert labels.tolist() == expected
    assert len(known) == len(y)
    assert known.sum() == len(expected)


def test_the_classes_tell_whether_minus_one_is_a_class():
    y = np.array([1, -1, 1])
    assert read_labels(y, np.array([-1, 1]))[0].all()
    assert read_labels(y, np.array([0, 1]))[0].tolist() == [True, False, True]
    assert read_labels(np.array([0, -1, 2]), np.array([-1, 0, 2]))[0].all()


def test_numbers_among_none_get_a_type_that_scikit_learn_takes_for_classes():
    assert read_labels(np.array([None, 3], dtype=object))[1].dtype.kind == "i"
    assert read_labels(np.array([None, "3"], dtype=object))[1].dtype.kind == "O"

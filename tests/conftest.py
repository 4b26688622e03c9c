"""Data that scikit-learn carries, split into training and held-out rows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parent))

# Worker processes share the cores, and OpenMP threads that wait for one another spin.
torch.set_num_threads(1)


def _load(name: str) -> np.ndarray:
    X = getattr(datasets, f"load_{name}")().data
    return X if name in {"digits", "iris"} else StandardScaler().fit_transform(X)


@pytest.fixture(scope="session")
def held_out_split():
    """Return a function from a data set's name to shuffled training and held-out rows."""

    def split(name: str) -> tuple[np.ndarray, np.ndarray]:
        X = _load(name)
        order = np.random.default_rng(0).permutation(len(X))
        n_training = int(0.8 * len(X))
        return X[order[:n_training]], X[order[n_training:]]

    return split


@pytest.fixture(scope="session")
def digits():
    return datasets.load_digits().data


@pytest.fixture(scope="session")
def iris():
    return datasets.load_iris().data


@pytest.fixture(scope="session")
def wine():
    return _load("wine")


@pytest.fixture(scope="session")
def factor_model():
    """Training and held-out rows of three factors and noise of variance 0.25."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(3, 10)) * np.array([[2.0], [1.5], [1.0]])
    X = rng.normal(size=(3000, 3)) @ loadings + rng.normal(scale=0.5, size=(3000, 10)) + 3.0
    return X[:2000], X[2000:]


@pytest.fixture
def rng():
    return np.random.default_rng(0)

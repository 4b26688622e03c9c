"""The reducers that benchmarks compare, each declared once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.decomposition import PCA

from skae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)

# Name to a function of the number of components and the seed.
REDUCERS: dict[str, Callable[[int, int], Any]] = {
    "PCA": lambda k, seed: PCA(k, random_state=seed),
    "Autoencoder": lambda k, seed: Autoencoder(k, random_state=seed),
    "DenoisingAutoencoder": lambda k, seed: DenoisingAutoencoder(k, random_state=seed),
    "SparseAutoencoder": lambda k, seed: SparseAutoencoder(
        k, hidden_layer_sizes=(256, 128), random_state=seed
    ),
    "ContractiveAutoencoder": lambda k, seed: ContractiveAutoencoder(
        k, n_probes=1, random_state=seed
    ),
    "VariationalAutoencoder": lambda k, seed: VariationalAutoencoder(k, random_state=seed),
}


def reducer(name: str, n_components: int, seed: int) -> Any:
    """Make a reducer by its name."""
    return REDUCERS[name](n_components, seed)

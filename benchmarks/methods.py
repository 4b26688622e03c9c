"""The reducers that benchmarks compare, each declared once, with the strengths to search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sklearn.base import clone
from sklearn.decomposition import PCA, KernelPCA

from skae import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)


@dataclass(frozen=True)
class Reducer:
    """An estimator without its size, and what a search may set besides the size."""

    estimator: Any
    grid: dict[str, Sequence[float]] = field(default_factory=dict)


REDUCERS: dict[str, Reducer] = {
    "PCA": Reducer(PCA()),
    "KernelPCA": Reducer(KernelPCA(kernel="rbf"), {"gamma": [0.001]}),
    "Autoencoder": Reducer(Autoencoder(), {"weight_decay": [15.0, 150.0]}),
    "DenoisingAutoencoder": Reducer(DenoisingAutoencoder(), {"noise_level": [0.5]}),
    # The default alpha is for codes of hundreds of units: it leaves none of eight at work.
    "SparseAutoencoder": Reducer(
        SparseAutoencoder(hidden_layer_sizes=(256, 128), alpha=0.003), {"alpha": [0.03]}
    ),
    # One hidden layer and one probe: the product of Jacobians is what its step costs.
    "ContractiveAutoencoder": Reducer(
        ContractiveAutoencoder(hidden_layer_sizes=(128,), n_probes=1), {"alpha": [0.1]}
    ),
    "VariationalAutoencoder": Reducer(VariationalAutoencoder(), {"beta": [0.2]}),
    # For words and counts, before t-SNE: docs/before_tsne.md.
    "half masked": Reducer(DenoisingAutoencoder(noise_level=0.5)),
}


def reducer(name: str, n_components: int, seed: int) -> Any:
    """Make a reducer by its name."""
    made = clone(REDUCERS[name].estimator)
    return made.set_params(n_components=n_components, random_state=seed)

"""The reducers that the benchmarks compare, with their search grids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """An estimator, and the search grid of its parameters other than the code size."""

    estimator: Any
    grid: dict[str, Sequence[float]] = field(default_factory=dict)


REDUCERS: dict[str, Reducer] = {
    "PCA": Reducer(PCA()),
    "KernelPCA": Reducer(KernelPCA(kernel="rbf"), {"gamma": [0.001]}),
    "Autoencoder": Reducer(Autoencoder(), {"weight_decay": [15.0, 150.0]}),
    "DenoisingAutoencoder": Reducer(DenoisingAutoencoder(), {"noise_level": [0.5]}),
    # The default alpha suits codes of hundreds of units; a code of eight would be all zeros.
    "SparseAutoencoder": Reducer(
        SparseAutoencoder(hidden_layer_sizes=(256, 128), alpha=0.003), {"alpha": [0.03]}
    ),
    "ContractiveAutoencoder": Reducer(
        ContractiveAutoencoder(hidden_layer_sizes=(128,)), {"alpha": [0.1]}
    ),
    "VariationalAutoencoder": Reducer(VariationalAutoencoder(), {"beta": [0.2]}),
    # Recommended for words and counts in docs/before_tsne.md.
    "half masked": Reducer(DenoisingAutoencoder(noise_level=0.5)),
}


def make_reducer(name: str, n_components: int, seed: int) -> Any:
    """Return an unfitted reducer."""
    estimator = clone(REDUCERS[name].estimator)
    return estimator.set_params(n_components=n_components, random_state=seed)


def declared_order(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sort rows by method, in the order of `REDUCERS`, and by code size.

    The rows of a resumed run are in the order of their measurement. Unknown methods come last.
    """
    position = {method: i for i, method in enumerate(("raw", *REDUCERS))}
    return sorted(
        rows, key=lambda row: (position.get(row["method"], len(position)), row.get("k") or 0)
    )

"""skae: autoencoders where PCA stands today."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skae._autoencoder import Autoencoder as Autoencoder
    from skae._classifier import AutoencoderClassifier as AutoencoderClassifier
    from skae._contractive import ContractiveAutoencoder as ContractiveAutoencoder
    from skae._convolutional import ConvolutionalAutoencoder as ConvolutionalAutoencoder
    from skae._denoising import DenoisingAutoencoder as DenoisingAutoencoder
    from skae._hashing import HashingAutoencoder as HashingAutoencoder
    from skae._predictive import (
        PredictiveSparseDecomposition as PredictiveSparseDecomposition,
    )
    from skae._regressor import AutoencoderRegressor as AutoencoderRegressor
    from skae._sparse import SparseAutoencoder as SparseAutoencoder
    from skae._stacked import StackedAutoencoder as StackedAutoencoder
    from skae._variational import VariationalAutoencoder as VariationalAutoencoder

__version__ = "0.1.0"

# Loaded on first use, so that `skae._core` can be imported without scikit-learn.
_HOMES = {
    "Autoencoder": "skae._autoencoder",
    "AutoencoderClassifier": "skae._classifier",
    "AutoencoderRegressor": "skae._regressor",
    "ContractiveAutoencoder": "skae._contractive",
    "ConvolutionalAutoencoder": "skae._convolutional",
    "DenoisingAutoencoder": "skae._denoising",
    "HashingAutoencoder": "skae._hashing",
    "PredictiveSparseDecomposition": "skae._predictive",
    "SparseAutoencoder": "skae._sparse",
    "StackedAutoencoder": "skae._stacked",
    "VariationalAutoencoder": "skae._variational",
}

__all__ = [
    "Autoencoder",
    "AutoencoderClassifier",
    "AutoencoderRegressor",
    "ContractiveAutoencoder",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "HashingAutoencoder",
    "PredictiveSparseDecomposition",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "VariationalAutoencoder",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'skae' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""The estimators that `skae` exports: a new one is named here."""

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

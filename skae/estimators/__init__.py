"""The estimators that `skae` exports: a new one is named here, twice."""

from skae.estimators.autoencoder import Autoencoder
from skae.estimators.classifier import AutoencoderClassifier
from skae.estimators.contractive import ContractiveAutoencoder
from skae.estimators.convolutional import ConvolutionalAutoencoder
from skae.estimators.denoising import DenoisingAutoencoder
from skae.estimators.hashing import HashingAutoencoder
from skae.estimators.imputer import AutoencoderImputer
from skae.estimators.ordered import OrderedAutoencoder
from skae.estimators.predictive import PredictiveSparseDecomposition
from skae.estimators.regressor import AutoencoderRegressor
from skae.estimators.sparse import SparseAutoencoder
from skae.estimators.stacked import StackedAutoencoder
from skae.estimators.variational import VariationalAutoencoder

__all__ = [
    "Autoencoder",
    "AutoencoderClassifier",
    "AutoencoderImputer",
    "AutoencoderRegressor",
    "ContractiveAutoencoder",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "HashingAutoencoder",
    "OrderedAutoencoder",
    "PredictiveSparseDecomposition",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "VariationalAutoencoder",
]

"""skae: autoencoders where PCA stands today."""

from skae import estimators
from skae import inspection as inspection
from skae import metrics as metrics
from skae.estimators import *  # noqa: F403

__version__ = "0.1.0"

__all__ = [*estimators.__all__, "__version__"]

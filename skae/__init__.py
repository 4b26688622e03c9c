"""skae: autoencoders with the interface of scikit-learn's PCA.

Every autoencoder has `fit`, `transform`, `inverse_transform`, `reconstruct` and `score`. By task:

- `Autoencoder`: dimensionality reduction in place of PCA; `ConvolutionalAutoencoder` for images,
  `StackedAutoencoder` for deep networks that are pretrained layer by layer.
- `OrderedAutoencoder`: a code whose first columns can be used alone, as in PCA.
- `DenoisingAutoencoder`: removes noise and fills missing entries; `AutoencoderImputer` does the
  latter as a step of a pipeline.
- `SparseAutoencoder`, `PredictiveSparseDecomposition`: wide codes with few active units.
- `ContractiveAutoencoder`: codes that small changes of a row hardly change.
- `HashingAutoencoder`: binary codes for similarity search.
- `VariationalAutoencoder`: log-likelihoods and sampling.
- `AutoencoderClassifier`, `AutoencoderRegressor`: a head on the encoder, for data with few labels.

`skae.metrics` has scores for model selection, `skae.inspection` functions and displays that look
into a fitted estimator. The documentation is at https://skae.readthedocs.io/en/stable.
"""

from skae import estimators
from skae import inspection as inspection
from skae import metrics as metrics
from skae.estimators import *  # noqa: F403

__version__ = "0.1.0"

__all__ = [*estimators.__all__, "__version__"]

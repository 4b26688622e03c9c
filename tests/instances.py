"""One list of all exported estimators: a new one gets into every common test by being exported."""

from __future__ import annotations

from sklearn.base import BaseEstimator

import skae
from skae.base import BaseAutoencoder

ESTIMATORS: list[type] = [
    exported
    for exported in (getattr(skae, name) for name in skae.__all__)
    if isinstance(exported, type) and issubclass(exported, BaseEstimator)
]

AUTOENCODERS = [cls for cls in ESTIMATORS if issubclass(cls, BaseAutoencoder)]

_FAST = {"hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0}


def make_fast(estimator_class: type, *positional: object, **changes: object) -> BaseEstimator:
    """Return an instance that fits in a moment."""
    names = estimator_class().get_params()
    fast = {name: value for name, value in _FAST.items() if name in names}
    if "autoencoder" in names:
        inner = type(estimator_class._default_autoencoder())(**_FAST)
        fast = {"autoencoder": inner, "random_state": 0}
        if "max_iter" in names:
            fast |= {"learning_rate_init": 0.01, "max_iter": 30}
    return estimator_class(*positional, **(fast | changes))


FAST_AUTOENCODERS = [make_fast(estimator_class) for estimator_class in AUTOENCODERS]
FAST_TRANSFORMERS = [make_fast(cls) for cls in ESTIMATORS if hasattr(cls, "transform")]
FAST_INSTANCES = [make_fast(estimator_class) for estimator_class in ESTIMATORS]
DEFAULT_INSTANCES = [estimator_class() for estimator_class in ESTIMATORS]

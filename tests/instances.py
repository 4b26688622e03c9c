"""One list of all exported estimators: a new one gets into every common test by being exported."""

from __future__ import annotations

import pytest
from sklearn.base import BaseEstimator

import skae
from skae.base import BaseAutoencoder

ESTIMATORS: list[type] = [
    exported
    for exported in (getattr(skae, name) for name in skae.__all__)
    if isinstance(exported, type) and issubclass(exported, BaseEstimator)
]

AUTOENCODERS = [cls for cls in ESTIMATORS if issubclass(cls, BaseAutoencoder)]

_FAST = {"hidden_layer_sizes": (16,), "channels": (4, 8), "max_iter": 5, "random_state": 0}


def make_fast(estimator_class: type, *positional: object, **changes: object) -> BaseEstimator:
    """Return an instance that fits in a moment."""
    names = estimator_class().get_params()
    fast = {name: value for name, value in _FAST.items() if name in names}
    if "autoencoder" in names:
        inner = make_fast(type(estimator_class._default_autoencoder()))
        fast = {"autoencoder": inner, "random_state": 0}
        if "max_iter" in names:
            fast |= {"learning_rate_init": 0.01, "max_iter": 30}
    return estimator_class(*positional, **(fast | changes))


FAST_AUTOENCODERS = [make_fast(estimator_class) for estimator_class in AUTOENCODERS]
FAST_TRANSFORMERS = [make_fast(cls) for cls in ESTIMATORS if hasattr(cls, "transform")]
FAST_INSTANCES = [make_fast(estimator_class) for estimator_class in ESTIMATORS]


def make_default(estimator_class: type) -> BaseEstimator:
    """Return an instance whose parameters are the defaults, except for a few epochs.

    As scikit-learn's own checks shorten its estimators: what they check does not need convergence.
    The autoencoder of a head stays None; `shorten_fits` shortens what it stands for as well.
    """
    parameters = estimator_class().get_params(deep=False)
    names = {name for name in ("max_iter", "pretraining_iter") if name in parameters}
    return estimator_class(**dict.fromkeys(names, 20 if "autoencoder" in parameters else 5))


def shorten_fits(monkeypatch: pytest.MonkeyPatch, max_iter: int) -> None:
    """Make `max_iter` the default number of epochs of every estimator."""
    for estimator_class in ESTIMATORS:
        defaults = estimator_class.__init__.__kwdefaults__
        if "max_iter" in defaults:
            monkeypatch.setitem(defaults, "max_iter", max_iter)


DEFAULT_INSTANCES = [make_default(estimator_class) for estimator_class in ESTIMATORS]

"""skae: autoencoders where PCA stands today."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from skae import metrics as metrics
    from skae._estimators import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        # Loaded on first use, so that `skae._core` can be imported without scikit-learn.
        if name == "metrics":
            return importlib.import_module("skae.metrics")
        if name == "__all__" or not name.startswith("_"):
            estimators = importlib.import_module("skae._estimators")
            public = {key: value for key, value in vars(estimators).items() if key[0] != "_"}
            if name == "__all__":
                return sorted([*public, "__version__"])
            if name in public:
                return public[name]
        raise AttributeError(f"module 'skae' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return __getattr__("__all__")

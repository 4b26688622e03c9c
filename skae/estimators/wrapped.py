"""What the estimators share that wrap an autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

from sklearn.base import MetaEstimatorMixin

from skae.base import BaseAutoencoder
from skae.estimators.autoencoder import Autoencoder
from skae.utils.representation import BaseRepresented


class BaseWrapper(MetaEstimatorMixin, BaseRepresented):
    """Has a parameter `autoencoder`, which may be None for a default."""

    autoencoder: Any
    _default_autoencoder: ClassVar[Callable[[], BaseAutoencoder]] = partial(Autoencoder, 32)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, and those of the autoencoder as ``autoencoder__<parameter>``.

        Where `autoencoder` is None, the default that it stands for takes its place first, so that a
        search can reach its parameters.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        reaches_default = params.get("autoencoder", self.autoencoder) is None
        if reaches_default and any(name.startswith("autoencoder__") for name in params):
            params = {**params, "autoencoder": type(self)._default_autoencoder()}
        super().set_params(**params)
        return self

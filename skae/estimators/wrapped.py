"""What the estimators share that wrap an autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

from sklearn.base import MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

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


class BasePrefitWrapper(BaseWrapper):
    """Has a parameter `prefit`, and may get a fitted autoencoder in a `FrozenEstimator`, too."""

    prefit: bool

    def _given_autoencoder(self) -> BaseAutoencoder:
        if self.autoencoder is None:
            if self.prefit:
                raise ValueError(
                    "prefit=True needs a fitted autoencoder, but autoencoder is None. Pass one, or "
                    "set prefit=False."
                )
            return type(self)._default_autoencoder()
        autoencoder: BaseAutoencoder = self.autoencoder
        if isinstance(self.autoencoder, FrozenEstimator):
            autoencoder = self.autoencoder.estimator
            if not isinstance(autoencoder, BaseAutoencoder):
                raise TypeError(
                    "autoencoder must be an autoencoder of skae, but it is a FrozenEstimator of "
                    f"{type(autoencoder).__name__}."
                )
        unfitted = "needs a fitted autoencoder, but this %(name)s is not fitted. Call its fit first"
        if isinstance(self.autoencoder, FrozenEstimator):
            check_is_fitted(
                autoencoder, msg=f"FrozenEstimator {unfitted}, or pass it without FrozenEstimator."
            )
        elif self.prefit:
            check_is_fitted(
                autoencoder,
                msg=f"prefit=True {unfitted}, or set prefit=False. Where a search or a "
                "cross-validation clones the estimator, pass autoencoder=FrozenEstimator(...): a "
                "clone is not fitted.",
            )
        return autoencoder

    def _is_prefit(self) -> bool:
        return self.prefit or isinstance(self.autoencoder, FrozenEstimator)

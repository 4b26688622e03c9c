"""The common base of the classifier and the regressor on an autoencoder's encoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skae.base import BaseAutoencoder
from skae.core.activations import ACTIVATIONS
from skae.core.autograd import Autograd
from skae.core.csr_rows import append_columns, select_rows
from skae.core.head import EncoderWithHead, HeadCriterion, Predictor, build_head
from skae.core.history import History
from skae.core.model import Model
from skae.core.numerics import torch_defaults
from skae.estimators.wrapped import BaseWrapper
from skae.fitting.data import check_range, training_rows
from skae.fitting.duplicates import WeightedRows, merge_duplicates
from skae.fitting.selection import ValidationLoss
from skae.fitting.split import Split, no_split, split_rows
from skae.fitting.trainer import TRAINING_CONSTRAINTS, Trainer
from skae.inference.predictor import HeadPredictor
from skae.inference.transformer import DTYPES
from skae.utils.arrays import plain_arrays
from skae.utils.callbacks import EpochCallbacks
from skae.utils.csr import canonical
from skae.utils.validation import (
    StrOptions,
    WrappedAutoencoder,
    check_data,
    check_sample_weight,
    computed,
    fit_context,
    integer,
    resolve_device,
    restore_on_error,
    widths,
)
from skae.utils.warnings import warn


@dataclass(eq=False, repr=False)
class BaseSupervised(HeadPredictor, Trainer, BaseWrapper, CallbackSupportMixin, BaseEstimator):
    """Fits an autoencoder to all rows, then its encoder with a head to the labelled rows."""

    autoencoder: Any = None
    _: KW_ONLY
    prefit: bool = False
    freeze: bool | int = False
    hidden_layer_sizes: Sequence[int] = ()
    activation: str = "gelu"
    weight_decay: float = 1.5
    solver: str = "adamw"
    learning_rate_init: float | str = "auto"
    batch_size: int | str = "auto"
    max_iter: int = 100
    tol: float = 1e-4
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    shuffle: bool = True
    random_state: int | np.random.RandomState | None = None
    verbose: bool | int = False
    precision: str = computed(lambda self: getattr(self.autoencoder, "precision", "float32"))

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **(TRAINING_CONSTRAINTS | {"max_iter": [integer(1)]}),
        "autoencoder": [WrappedAutoencoder(BaseAutoencoder, FrozenEstimator), None],
        "prefit": ["boolean"],
        "freeze": ["boolean", integer(0)],
        "hidden_layer_sizes": ["array-like", tuple],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    _loss_name: ClassVar[str]
    _perfect_score: ClassVar[float] = 1.0  # the score at a loss of 0
    # Whether the gradient of the loss with respect to the head's output is bounded.
    _has_bounded_slope: ClassVar[bool] = True

    # -- hooks -----------------------------------------------------------------------------------

    @abstractmethod
    def _read_targets(self, y: ArrayLike) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Return the targets (NaN for unlabelled rows) and the attributes that describe them."""

    @abstractmethod
    def _finish_targets(
        self, rows: WeightedRows, described: dict[str, Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Return targets and weights of the labelled rows, and the number of outputs."""

    def _split(self, known: Tensor, generator: torch.Generator) -> Split:
        """Hold labelled rows out; `known` has the targets and weights of the labelled rows."""
        return split_rows(
            None, len(known), self.validation_fraction, may_cross_fit=False, generator=generator
        )

    @staticmethod
    @abstractmethod
    def _losses(output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row."""

    # -- fit -------------------------------------------------------------------------------------

    # The given autoencoder validates its own parameters.
    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit autoencoder and head.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or targets, see the class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. Rows of weight 0 are left out, but their class is still in
            `classes_`. The autoencoder ignores all other weights.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If a parameter, X or y is not as documented.
        """
        with torch_defaults(), restore_on_error(self):
            return self._fit(X, y, sample_weight)

    def _fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> Self:
        given = self._given_autoencoder()
        rows, described = self._read_rows(X, y, sample_weight, self._finite(given))
        if self._is_prefit():
            given._validate_rows(X)  # checks that it was fitted to these features
        targets, weights, n_outputs = self._finish_targets(rows, described)
        random = check_random_state(self.random_state)
        if not self._is_prefit():
            given = clone(given)
            if self.autoencoder is None:
                given.n_components = min(given.n_components, *rows.X.shape)
            if given.random_state is None:
                given.set_params(random_state=random.randint(2**31 - 1))
        generator = torch.Generator().manual_seed(int(random.randint(2**31 - 1)))
        callbacks = EpochCallbacks(self, lambda history: {}, X, y, self._perfect_score)
        if not self._is_prefit():
            # All rows may be duplicates of one row, but an autoencoder needs two.
            callbacks.fit_part(given, rows.X if rows.X.shape[0] > 1 else rows.X[[0, 0]])
            if hasattr(self, "feature_names_in_"):
                given.feature_names_in_ = self.feature_names_in_
        fitted, model = {"autoencoder_": given, **described}, given._model
        z = training_rows(given._in_unit_rows(rows.X), model.mean.numpy(), model.scale)
        check_range(z)
        codes = torch.cat(list(model.encoder_codes(z)))
        network = self._new_network(model, codes, n_outputs, generator)
        labelled = torch.from_numpy(np.flatnonzero(rows.is_labelled))
        codes, z = codes[labelled], select_rows(z, labelled)
        known = torch.from_numpy(np.column_stack([targets, weights / weights.mean()])).float()
        del rows  # the unlabelled rows are no longer needed
        # Callbacks get the fitted attributes as if the fit had stopped at their epoch.
        callbacks.attributes = lambda history: {
            **fitted,
            "_predictor": Predictor.of(network, model),
        }
        n_layers = len(network.network.encoder.stages())
        n_frozen = self._n_frozen(n_layers)
        # The head is trained first: gradients of an untrained head would spoil the encoder.
        phases = [(n_layers, codes)] if n_frozen == n_layers else [(n_layers, codes), (n_frozen, z)]
        if not self._is_prefit() and given._was_interrupted:
            warn(
                "The autoencoder's training was interrupted, so the head was not trained.",
                ConvergenceWarning,
            )
            phases = []
        known = known.to(resolve_device(given.device))
        fitted |= self._train_phases(network, phases, known, generator, callbacks)
        fitted["_predictor"] = Predictor.of(network, model)
        callbacks.end_fit(fitted)
        # All fitted attributes are set at once, so that a failed fit leaves no partial state.
        self.__dict__.update(fitted)
        return self

    def _read_rows(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        ensure_all_finite: bool | str,
    ) -> tuple[WeightedRows, dict[str, Any]]:
        """Validate the data; return its distinct rows and the attributes that describe y."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        X, y, sample_weight = plain_arrays(X, y, sample_weight, ensure_all_finite is not True)
        rows, labels = check_data(
            self,
            X,
            y,
            validate_separately=(
                {"accept_sparse": "csr", "dtype": DTYPES, "ensure_all_finite": ensure_all_finite},
                {"ensure_2d": False, "dtype": None, "ensure_all_finite": False},
            ),
        )
        rows, (targets, described) = canonical(rows), self._read_targets(labels)
        n, n_targets = rows.shape[0], len(targets)
        if n != n_targets:
            raise ValueError(f"X and y have inconsistent numbers of samples: {n} and {n_targets}.")
        weights = check_sample_weight(sample_weight, rows)
        # Keep the sum of the weights finite; dividing by a power of two is exact.
        weights = np.ldexp(weights, -np.frexp(weights.max())[1])
        return merge_duplicates(rows, targets, weights), described

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = getattr(self.autoencoder, "_allows_missing", False)
        tags.input_tags.sparse = getattr(self.autoencoder, "_allows_sparse", True)
        return tags

    def _n_epochs(self) -> tuple[int, int]:
        trains_head_alone = isinstance(self.freeze, bool | np.bool_) and self.freeze
        n_phases = 1 if trains_head_alone else 2
        return int(not self._is_prefit()), n_phases * int(self.max_iter)

    def _n_frozen(self, n_layers: int) -> int:
        if isinstance(self.freeze, bool | np.bool_):
            return n_layers if self.freeze else 0
        if self.freeze > n_layers:
            raise ValueError(
                f"freeze={self.freeze!r} layers, but the encoder has {n_layers}. Lower it, or use "
                "freeze=True to train the head alone."
            )
        return int(self.freeze)

    def _new_network(
        self, model: Model, codes: Tensor, n_outputs: int, generator: torch.Generator
    ) -> EncoderWithHead:
        """Return a copy of the encoder with a new head."""
        head_sizes = widths("hidden_layer_sizes", self.hidden_layer_sizes)
        return EncoderWithHead(
            model.network.with_model_axis(),
            build_head([codes.shape[1], *head_sizes, n_outputs], self.activation, generator),
            codes,
            has_bounded_gradient=self._has_bounded_slope and not head_sizes,
        )

    def _train_phases(
        self,
        network: EncoderWithHead,
        phases: list[tuple[int, Tensor]],
        known: Tensor,
        generator: torch.Generator,
        callbacks: EpochCallbacks,
    ) -> dict[str, Any]:
        """Train in phases; return the fitted attributes of the training.

        A phase is the number of frozen layers and the inputs of the other layers; `known` are the
        targets and weights of the labelled rows.
        """
        split = no_split(len(known))
        if self.early_stopping:
            split = self._split(known.cpu(), generator)
            if split.held_out is not None and not known[split.held_out, -1].any():
                split = no_split(len(known))  # all held-out rows have weight 0
        losses: list[float] = []
        validation: list[float] = []
        best = 0
        for n_frozen, inputs in phases:
            network.train()
            network.freeze(n_frozen)
            history = self._train_phase(network, inputs, known, split, generator, callbacks)
            best = len(losses) + history.best_epoch if history.best_epoch else best
            losses += history.losses
            validation += history.validation[1:] if validation else history.validation
            if history.was_cancelled:
                break
        return {
            "n_iter_": len(losses),
            "best_iter_": best,
            "loss_curve_": losses,
            "validation_scores_": [self._perfect_score - loss for loss in validation] or None,
        }

    def _train_phase(
        self,
        network: EncoderWithHead,
        inputs: Tensor,
        known: Tensor,
        split: Split,
        generator: torch.Generator,
        callbacks: EpochCallbacks,
    ) -> History:
        """Train the layers that are not frozen."""
        data = append_columns(inputs.to(known.device), known)
        criterion = HeadCriterion(
            network, self._loss_name, self._losses, inputs.shape[1], self._perfect_score
        )
        validate = None
        if split.held_out is not None:
            criterion.mean_weight = known[split.held_out.to(known.device), -1].mean()
            validate = ValidationLoss(criterion, network, data, split)
        state = self._init_training(network, split, generator, data.device, self.max_iter)
        evaluate = Autograd(state.parameters, criterion.terms)
        return self._train(state, evaluate, data, split, validate=validate, callbacks=callbacks)

"""What classifier and regressor on an autoencoder's encoder share."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from skae._autoencoder import Autoencoder
from skae._base import BaseAutoencoder
from skae._callbacks import EpochCallbacks
from skae._core.held_out import Division, Judge, no_division
from skae._core.model import Model
from skae._core.networks import ACTIVATIONS, Network
from skae._core.numerics import defaults_of_torch
from skae._core.objectives import Autograd
from skae._core.supervised import EncoderWithHead, Predictor, build_head
from skae._core.training import History
from skae._division import divide
from skae._fitted import DTYPES, Array, as_tensor
from skae._preparation import standardise
from skae._runs import TRAINING_CONSTRAINTS, TrainingRuns
from skae._validation import (
    StrOptions,
    check_sample_weight,
    computed,
    features_as_found_on_error,
    fit_context,
    integer,
    resolve_device,
    widths,
)
from skae._warnings import warn

_DEFAULT_COMPONENTS = 32
# Of the learning rate from random weights: what was learned without labels is to be kept; a head
# alone begins at 0, far from its end, and can take long steps.
_FINE, _ALONE = 1 / 3, 10.0


@dataclass(frozen=True)
class LabelledRows:
    """Distinct rows with their targets and weights.

    Attributes
    ----------
    X : ndarray of shape (n, n_features)
    targets : ndarray of shape (n, n_targets), float64
        NaN in rows without a label.
    weights : ndarray of shape (n,)
    """

    X: Array
    targets: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Rows that have a label."""
        return ~np.isnan(self.targets[:, 0])


def merge_equal_rows(
    X: Array, targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> LabelledRows:
    """Leave out rows of weight 0, and merge rows that are equal, labels included.

    A row of weight 3 is then the same as three rows, and the order of the rows does not matter, to
    the last bit but for the rounding of sums of weights.
    """
    kept = weights > 0
    if not kept.all():
        X, targets, weights = X[kept], targets[kept], weights[kept]
    # Bytes compare fast, and NaN equals itself. Adding 0 makes a zero of -0.0.
    rows = np.add(X, X.dtype.type(0), order="C")
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    by_row = np.unique(keys, return_inverse=True)[1]
    labels = np.nan_to_num(targets, nan=np.inf)
    table = np.column_stack([by_row, labels])
    _, first, by_pair = np.unique(table, axis=0, return_index=True, return_inverse=True)
    summed = np.bincount(by_pair.ravel(), weights).astype(np.float64)
    return LabelledRows(X[first], targets[first], summed)


class FittedPredictor:
    """What only reads the attributes that `fit` leaves."""

    autoencoder_: BaseAutoencoder
    _predictor: Predictor

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_predictor")

    @staticmethod
    def _finite(autoencoder: BaseAutoencoder) -> bool | str:
        return "allow-nan" if autoencoder._allows_missing else True

    def _outputs(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        rows: Array = validate_data(
            self,
            X,
            dtype=DTYPES,
            reset=False,
            ensure_all_finite=self._finite(self.autoencoder_),
        )
        return self._predictor.outputs(as_tensor(rows)).numpy()


@dataclass(eq=False, repr=False)
class BaseSupervised(
    FittedPredictor, TrainingRuns, MetaEstimatorMixin, CallbackSupportMixin, BaseEstimator
):
    """An autoencoder is fitted to all rows, then its encoder under a head to those with labels."""

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
        **TRAINING_CONSTRAINTS,
        "autoencoder": [BaseAutoencoder, FrozenEstimator, None],
        "prefit": ["boolean"],
        "freeze": ["boolean", integer(0)],
        "hidden_layer_sizes": ["array-like", tuple],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    _loss_name: ClassVar[str]
    # Whether the loss grows no faster than the head's output.
    _has_bounded_slope: ClassVar[bool] = True

    # -- what classifier and regressor say -------------------------------------------------------

    @abstractmethod
    def _read_targets(self, y: ArrayLike) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Return targets, NaN where there is no label, and the attributes that describe them."""

    @abstractmethod
    def _finish_targets(
        self, rows: LabelledRows, described: dict[str, Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Return targets and weights of the labelled rows, and the number of outputs."""

    def _divide(self, known: Tensor, generator: torch.Generator) -> Division:
        """Hold labelled rows out; known has their targets and weights."""
        return divide(
            len(known), self.validation_fraction, may_cross_fit=False, generator=generator
        )

    @staticmethod
    @abstractmethod
    def _losses(output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row."""

    # -- fit -------------------------------------------------------------------------------------

    # The given autoencoder validates itself.
    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit autoencoder and head.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            See the class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. One of weight 0 is left out, but for a class that no other row
            names; the autoencoder takes no account of the others.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If a parameter, X or y is not as documented.
        """
        with defaults_of_torch(), features_as_found_on_error(self):
            return self._fit(X, y, sample_weight)

    def _fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> Self:
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        given = self._given_autoencoder()
        checked = {"dtype": DTYPES, "ensure_all_finite": self._finite(given)}
        X_checked, y_checked = validate_data(
            self,
            X,
            y,
            validate_separately=(
                checked,
                {"ensure_2d": False, "dtype": None, "ensure_all_finite": False},
            ),
        )
        targets, described = self._read_targets(y_checked)
        if len(targets) != len(X_checked):
            raise ValueError(
                f"X and y have inconsistent numbers of samples: {len(X_checked)} and "
                f"{len(targets)}."
            )
        weights = check_sample_weight(sample_weight, X_checked)
        # By a power of two, which changes no digit: their sum must be finite.
        weights = np.ldexp(weights, -np.frexp(weights.max())[1])
        rows = merge_equal_rows(X_checked, targets, weights)
        if self._is_prefit():
            given._validate_rows(X)  # it must be given the features that it was fitted to
        targets, weights, n_outputs = self._finish_targets(rows, described)
        random = check_random_state(self.random_state)
        if not self._is_prefit():
            given = clone(given)
            if given.random_state is None:
                given.set_params(random_state=random.randint(2**31 - 1))
        generator = torch.Generator().manual_seed(int(random.randint(2**31 - 1)))
        callbacks = EpochCallbacks(self, lambda history: {}, X, y)
        if not self._is_prefit():
            # A single row may stand for many that are equal; an autoencoder asks for two.
            callbacks.fit_part(given, rows.X if len(rows.X) > 1 else np.repeat(rows.X, 2, axis=0))
            if hasattr(self, "feature_names_in_"):
                given.feature_names_in_ = self.feature_names_in_
        fitted = {"autoencoder_": given, **described}
        model = given._model
        z = torch.from_numpy(standardise(rows.X, model.mean.numpy(), model.scale))
        codes = torch.cat(list(model.encoded_chunks(z)))
        network = self._new_network(model, codes, n_outputs, generator)
        labelled = torch.from_numpy(rows.labelled)
        codes, z = codes[labelled], z[labelled]
        known = torch.from_numpy(np.column_stack([targets, weights / weights.mean()])).float()
        del rows  # those without a label are not needed any more
        # Where a callback asks: the fitted attributes as if the fit had stopped there.
        callbacks.attributes = lambda history: {
            **fitted,
            "_predictor": Predictor.of(copy.deepcopy(network), model),
        }
        device = resolve_device(given.device)
        n_layers = len(network.network.encoder.all_layers())
        n_frozen = self._n_frozen(n_layers)
        # The head first: its first steps, from 0, would spoil what the encoder has learned.
        phases = [(n_layers, codes)] if n_frozen == n_layers else [(n_layers, codes), (n_frozen, z)]
        if not self._is_prefit() and given._was_interrupted:
            warn(
                "The autoencoder's training was interrupted, so the head was not trained.",
                ConvergenceWarning,
            )
            phases = []
        fitted |= self._train_phases(network, phases, known.to(device), generator, callbacks)
        fitted["_predictor"] = Predictor.of(network, model)
        callbacks.end_fit(fitted)
        # All at once: nothing half-fitted looks fitted.
        self.__dict__.update(fitted)
        return self

    def _given_autoencoder(self) -> BaseAutoencoder:
        if self.autoencoder is None:
            if self.prefit:
                raise ValueError(
                    "prefit=True needs a fitted autoencoder, but autoencoder is None. Pass one, or "
                    "set prefit=False."
                )
            return Autoencoder(_DEFAULT_COMPONENTS)
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
        return tags

    def _default_learning_rate(self, network: Network) -> float:
        assert isinstance(network, EncoderWithHead)
        rate = super()._default_learning_rate(network)
        rate *= _ALONE if network.head_alone else _FINE
        has_bounded_gradient = self._has_bounded_slope and len(network.head.layers) == 1
        if self.solver == "sgd" and not has_bounded_gradient:
            # Rows far out would throw long steps astray.
            return min(rate, 0.005)
        return rate

    def _n_epochs(self) -> int:
        trains_head_alone = isinstance(self.freeze, bool | np.bool_) and self.freeze
        n_phases = 1 if trains_head_alone else 2
        return n_phases * self.max_iter + (not self._is_prefit())

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
        """Return a copy of the encoder under a fresh head."""
        head_sizes = widths("hidden_layer_sizes", self.hidden_layer_sizes)
        head = build_head([codes.shape[1], *head_sizes, n_outputs], self.activation, generator)
        return EncoderWithHead(copy.deepcopy(model.network).float(), head, codes)

    def _train_phases(
        self,
        network: EncoderWithHead,
        phases: list[tuple[int, Tensor]],
        known: Tensor,
        generator: torch.Generator,
        callbacks: EpochCallbacks,
    ) -> dict[str, Any]:
        """Train what is not frozen in each phase; return the attributes that this leaves.

        A phase is the number of layers that are frozen and what is then the input of the others;
        `known` are targets and weights.
        """
        division = no_division(len(known))
        if self.early_stopping:
            division = self._divide(known.cpu(), generator)
            if division.held_out is not None and not known[division.held_out, -1].any():
                division = no_division(len(known))  # rows of weight 0 judge nothing
        losses: list[float] = []
        scores: list[float] = []
        best = 0
        for frozen, seen in phases:
            network.train()
            network.freeze(frozen)
            history = self._train_phase(network, seen, known, division, generator, callbacks)
            best = len(losses) + history.best_epoch if history.best_epoch else best
            losses += history.losses
            phase_scores = [self._as_score(loss) for loss in history.validation]
            scores += phase_scores[1:] if scores else phase_scores
            if history.was_cancelled:
                break
        return {
            "n_iter_": len(losses),
            "best_iter_": best,
            "loss_curve_": losses,
            "validation_scores_": scores or None,
        }

    def _train_phase(
        self,
        network: EncoderWithHead,
        seen: Tensor,
        known: Tensor,
        division: Division,
        generator: torch.Generator,
        callbacks: EpochCallbacks,
    ) -> History:
        """Train what is not frozen."""
        # One tensor, so that a batch is one gather.
        data = torch.column_stack([seen.float().to(known.device), known])
        n_inputs = seen.shape[1]

        def row_losses(batch: Tensor) -> Tensor:
            output = network(batch[:, :n_inputs])
            return self._losses(output, batch[:, n_inputs:-1]) * batch[:, -1]

        def held_out_losses(batch: Tensor) -> Tensor:
            network.eval()
            losses = row_losses(batch)
            network.train()
            return losses

        run = self._open_run(network, division, generator, data.device, self.max_iter)
        objective = Autograd(run.parameters, lambda b: {self._loss_name: row_losses(b).mean()}, 1)
        judge = None
        if division.held_out is not None:
            # Weights have mean 1 over all rows, not over those that judge.
            mean_weight = known[division.held_out.to(known.device), -1].mean()
            judge = Judge(
                lambda rows: held_out_losses(rows) / mean_weight,
                data,
                division,
                widest=network.widest(),
            )
        history = self._train(run, objective, data, division, judge, callbacks)
        run.parameters.release()
        return history

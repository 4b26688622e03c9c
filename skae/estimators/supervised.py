"""The common base of the classifier and the regressor on an autoencoder's encoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from torch import Tensor

from skae.base import BaseAutoencoder
from skae.core.activations import ACTIVATIONS
from skae.core.csr_rows import select_rows
from skae.core.head import Predictor
from skae.core.numerics import torch_defaults
from skae.estimators.wrapped import BasePrefitWrapper
from skae.fitting.data import check_range, training_rows
from skae.fitting.duplicates import WeightedRows, merge_duplicates
from skae.fitting.head_trainer import HeadTrainer
from skae.fitting.named_rows import NamedRows, name_rows
from skae.fitting.split import MIN_ROWS, Split, no_split, split_rows
from skae.fitting.stratified import warn_of_absent_classes
from skae.fitting.trainer import TRAINING_CONSTRAINTS
from skae.inference.predictor import HeadPredictor
from skae.inference.transformer import DTYPES
from skae.utils.arrays import plain_arrays
from skae.utils.callbacks import EpochCallbacks
from skae.utils.csr import canonical
from skae.utils.labels import UNLABELLED
from skae.utils.validation import (
    Splitter,
    StrOptions,
    WrappedAutoencoder,
    check_data,
    check_sample_weight,
    computed,
    fit_context,
    fraction,
    integer,
    resolve_device,
    restore_on_error,
)
from skae.utils.warnings import warn


@dataclass(eq=False, repr=False)
class BaseSupervised(
    HeadPredictor, HeadTrainer, BasePrefitWrapper, CallbackSupportMixin, BaseEstimator
):
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
    validation_fraction: Any = 0.1
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
        "validation_fraction": [fraction(), Splitter()],
    }

    # -- hooks -----------------------------------------------------------------------------------

    @abstractmethod
    def _read_targets(self, y: ArrayLike) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Return the targets (NaN for unlabelled rows) and the attributes that describe them."""

    @abstractmethod
    def _finish_targets(
        self, rows: WeightedRows, described: dict[str, Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Return targets and weights of the labelled rows, and the number of outputs."""

    def _split(
        self, known: Tensor, groups: NDArray[np.int64] | None, generator: torch.Generator
    ) -> Split:
        """Hold a share of the labelled rows, or of their groups, out.

        `known` has the targets and weights of the labelled rows.
        """
        return split_rows(
            None,
            len(known),
            self.validation_fraction,
            may_cross_fit=False,
            generator=generator,
            given=groups,
            least_groups=1,  # they need not show that most of them improve
        )

    # -- fit -------------------------------------------------------------------------------------

    # The given autoencoder validates its own parameters.
    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Fit autoencoder and head.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Labels or targets, see the class.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. Rows of weight 0 are left out, of the autoencoder's fit, too, but
            their class is still in `classes_`. The autoencoder ignores all other weights.
        groups : array-like of shape (n_samples,), default=None
            Groups of rows that belong together, labelled or not, such as the rows of a patient.
            Where rows are held out, by the autoencoder or for the head (`early_stopping`), a group
            is held out as a whole, and groups that share duplicate rows are held out together. A
            splitter as `validation_fraction` decides this itself.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            If a parameter, X, y or `groups` is not as documented, or `groups` has no use.
        """
        with torch_defaults(), restore_on_error(self):
            return self._fit(X, y, sample_weight, groups)

    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None,
    ) -> Self:
        given = self._given_autoencoder()
        self._check_holds_out(given, groups)
        rows, named, described = self._read_rows(X, y, sample_weight, groups, given)
        if self._is_prefit():
            given._validate_rows(X)  # checks that it was fitted to these features
        targets, weights, n_outputs = self._finish_targets(rows, described)
        known = torch.from_numpy(np.column_stack([targets, weights / weights.mean()])).float()
        labelled = torch.from_numpy(np.flatnonzero(rows.is_labelled))
        named_known = named[labelled.numpy()]
        # Its errors and warnings come before a long fit.
        split = self._split_labelled(known, named_known, torch.Generator())
        if named.head is not None and is_classifier(self):
            warn_of_absent_classes(known, split.training[0], described["classes_"])
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
            self._fit_autoencoder(given, rows, named, callbacks)
            if hasattr(self, "feature_names_in_"):
                given.feature_names_in_ = self.feature_names_in_
        fitted, model = {"autoencoder_": given, **described}, given._model
        z = training_rows(given._in_unit_rows(rows.X), model.mean.numpy(), model.scale)
        check_range(z)
        codes = torch.cat(list(model.encoder_codes(z)))
        network = self._new_network(model, codes, n_outputs, generator)
        codes, z = codes[labelled], select_rows(z, labelled)
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
        split = self._split_labelled(known, named_known, generator)
        known = known.to(resolve_device(given.device))
        fitted |= self._train_phases(network, phases, known, split, generator, callbacks)
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
        groups: ArrayLike | None,
        given: BaseAutoencoder,
    ) -> tuple[WeightedRows, NamedRows, dict[str, Any]]:
        """Validate the data.

        Returns the distinct rows, their groups and splits, and attributes that describe y.
        """
        ensure_all_finite = self._finite(given)
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
        if is_classifier(self):
            # Splitters that stratify take no missing label, such as None among strings.
            labels = np.nan_to_num(targets[:, 0], nan=UNLABELLED).astype(np.int64)
        splitter = None if self._is_prefit() else given.validation_fraction
        named = name_rows(rows, labels, weights, groups, self.validation_fraction, splitter)
        merged = merge_duplicates(rows, targets, weights, named.keys(n))
        return merged, named[merged.numbers], described

    def _fit_autoencoder(
        self,
        given: BaseAutoencoder,
        rows: WeightedRows,
        named: NamedRows,
        callbacks: EpochCallbacks,
    ) -> None:
        splitter = given.validation_fraction
        if named.autoencoder is not None:
            given.validation_fraction = named.autoencoder  # the same splits, of the distinct rows
        # If it holds no rows out, groups concern the head alone.
        groups = named.groups if given.early_stopping else None
        # All rows may be duplicates of one row, but an autoencoder needs two.
        X = rows.X if rows.X.shape[0] > 1 else rows.X[[0, 0]]
        callbacks.fit_part(given, X, groups)
        given.validation_fraction = splitter

    def _check_holds_out(self, given: BaseAutoencoder, groups: ArrayLike | None) -> None:
        """Raise a ValueError if groups or a splitter are given, but no rows are held out."""
        if self.early_stopping:
            return
        if not isinstance(self.validation_fraction, Real):
            raise ValueError(
                "A splitter as validation_fraction decides which rows are held out, but "
                "early_stopping=False. Set early_stopping=True."
            )
        if groups is None or (given.early_stopping and not self._is_prefit()):
            return
        reason = " here and in the autoencoder. Set early_stopping=True in one of them."
        if self._is_prefit():
            reason = ", and the autoencoder is already fitted. Set early_stopping=True."
        raise ValueError(
            f"groups was passed, but no rows are held out: early_stopping=False{reason}"
        )

    def _split_labelled(self, known: Tensor, named: NamedRows, generator: torch.Generator) -> Split:
        """Choose the rows that are held out for the head; `known` is as in `_split`."""
        if not self.early_stopping:
            return no_split(len(known))
        if named.head is not None:
            split = named.head.of_head()
        else:
            split = self._split(known, named.groups, generator)
        if split.held_out is None:
            if named.groups is not None and len(known) >= MIN_ROWS:
                n_groups = int(named.groups.max()) + 1
                needed = "Each class needs a group that is not held out. "
                raise ValueError(
                    "No group can be held out for the head: the labelled rows form only "
                    f"{n_groups} {'group' if n_groups == 1 else 'groups'}, counting groups that "
                    f"share duplicate rows as one. {needed if is_classifier(self) else ''}"
                    "Set early_stopping=False, or label rows of more groups."
                )
        elif not known[split.held_out, -1].any():
            if named.head is not None:
                raise ValueError(
                    "validation_fraction holds out only rows whose class has weight 0. Hold out "
                    "others, or change class_weight."
                )
            return no_split(len(known))
        return replace(split, groups=None)  # the validation loss is a mean over the rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = getattr(self.autoencoder, "_allows_missing", False)
        tags.input_tags.sparse = getattr(self.autoencoder, "_allows_sparse", True)
        return tags

    def _n_epochs(self) -> tuple[int, int]:
        trains_head_alone = isinstance(self.freeze, bool | np.bool_) and self.freeze
        n_phases = 1 if trains_head_alone else 2
        return int(not self._is_prefit()), n_phases * int(self.max_iter)

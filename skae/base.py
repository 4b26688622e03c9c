"""`BaseAutoencoder`: the shared parameters, the steps of `fit`, and the hooks of a method.

A method is a subclass. It adds parameters and overrides some of eight hooks, documented below:

- `_criterion`: what training minimises, such as one more penalty;
- `_corruption`: changes to a batch before it enters the encoder;
- `_network`: the architecture;
- `_initialise`: changes to a new network before training;
- `_n_epochs`: the numbers of epochs of pretraining and training (in `skae.fitting.trainer`);
- `_check_values`: checks of X against the parameters;
- `_fitted_attributes`: further fitted attributes;
- `_advice`: a warning if the result misses the method's purpose, such as a constant code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.callback import CallbackSupportMixin
from torch import Tensor

from skae.core.activations import ACTIVATIONS
from skae.core.criterion import Criterion, Reconstruction
from skae.core.history import History
from skae.core.loop import Corruption
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture
from skae.core.numerics import torch_defaults
from skae.fitting.data import feature_means, training_data
from skae.fitting.describe import describe
from skae.fitting.held_out import check_holds_out
from skae.fitting.incremental import IncrementalTraining, adapt_model, copy_model
from skae.fitting.pca_init import new_model
from skae.fitting.selection import ValidationLoss, compare, explain
from skae.fitting.span import find_span
from skae.fitting.split import Split, choose_split, no_split
from skae.fitting.trainer import TRAINING_CONSTRAINTS, Trainer, loss_and_gradient_of
from skae.fitting.warm_start import leave_warm_start, models_to_continue, resume
from skae.inference.transformer import AutoencoderTransformer
from skae.utils.callbacks import EpochCallbacks
from skae.utils.csr import Array, values_of, varies
from skae.utils.representation import BaseRepresented
from skae.utils.validation import (
    Splitter,
    StrOptions,
    check_loss_domain,
    fit_context,
    fraction,
    real,
    resolve_device,
    restore_on_error,
    size_of_code,
    widths,
)
from skae.utils.warnings import warn, warn_of_wide_code

# Unexplained share of the variance that float32 cannot distinguish from 0.
_MIN_UNEXPLAINED = 1e-10
# Attributes for continued training.
_NOT_SAVED = ("_training", "_warm_start")
CONTINUED = (*_NOT_SAVED, "_gathered", "_too_few_rows", "_renews_start")


@dataclass(eq=False, repr=False)
class BaseAutoencoder(
    Trainer, IncrementalTraining, AutoencoderTransformer, CallbackSupportMixin, BaseRepresented
):
    """Base class of all autoencoders."""

    n_components: int | float = 2
    _: KW_ONLY
    hidden_layer_sizes: Sequence[int] = (256, 128)
    activation: str = "gelu"
    code_activation: str = "identity"
    loss: str = "squared_error"
    shortcut: str | None = "pca"
    tied_weights: bool = False
    dropout: float = 0.0
    weight_decay: float = 1.5
    solver: str = "adamw"
    learning_rate_init: float | str = "auto"
    batch_size: int | str = "auto"
    max_iter: int | str = "auto"
    tol: float = 1e-4
    early_stopping: bool = True
    validation_fraction: Any = 0.1
    n_iter_no_change: int = 20
    warm_start: bool = False
    shuffle: bool = True
    random_state: int | np.random.RandomState | None = None
    device: str | torch.device = "auto"
    precision: str = "float32"
    verbose: bool | int = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **TRAINING_CONSTRAINTS,
        "n_components": size_of_code(),
        "hidden_layer_sizes": ["array-like", tuple],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "code_activation": [StrOptions(set(ACTIVATIONS))],
        "loss": [StrOptions(set(LOSSES))],
        "shortcut": [StrOptions({"pca"}), None],
        "tied_weights": ["boolean"],
        "dropout": [real(0, high=1, closed="left")],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "warm_start": ["boolean"],
        "validation_fraction": [fraction(), Splitter()],
    }

    # Whether several models may be trained together, for cross-validation folds.
    _may_cross_fit: ClassVar[bool] = True
    # Whether the hooks of this class treat rotated rows alike: none acts on single features.
    _is_rotation_invariant: ClassVar[bool] = False

    # -- hooks -----------------------------------------------------------------------------------

    def _criterion(self, model: Model) -> Criterion:
        """Return what training minimises.

        A method that adds a penalty returns ``super()._criterion(model).with_penalty(...)``. A
        method whose objective is of another form returns its own `Criterion`.
        """
        return Reconstruction(model)

    def _corruption(self, model: Model, data: Tensor) -> Corruption | None:
        """Return the corruption of a batch, ``(batch, generator) -> inputs``, or None.

        The clean batch remains the target. `data` holds all training rows, in training units.
        """
        return None

    def _network(self, n_features: int, n_components: int) -> Architecture:
        """Return the architecture of the network."""
        return Architecture(
            n_features,
            n_components,
            widths("hidden_layer_sizes", self.hidden_layer_sizes),
            self.activation,
            self.code_activation,
            self.tied_weights,
            self.dropout,
        )

    def _initialise(
        self,
        model: Model,
        data: Tensor,
        split: Split,
        generator: torch.Generator,
        callbacks: EpochCallbacks | None,
    ) -> tuple[dict[str, Any], str | None]:
        """Change a new network before training, for example by layer-wise pretraining.

        Returns fitted attributes, and the reason to stop the fit: "callback", "interrupt" or None.
        """
        return {}, None

    def _check_values(self, X: Array) -> None:
        """Raise a ValueError if the values of X do not fit the parameters."""
        if self.loss != "squared_error":
            check_loss_domain(self.loss, values_of(X))

    def _fitted_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        """Return the method's own fitted attributes; `data` is as in `_corruption`."""
        return {}

    def _advice(self) -> str | None:
        """Return a warning text if the fit misses the method's purpose, otherwise None.

        For example, if the code is the same for every row, or if a denoiser is PCA.
        """
        return None

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: object = None, *, groups: ArrayLike | None = None) -> Self:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, float32 or float64; other numbers become float64.
        y : Ignored, except by a splitter in `validation_fraction`.
        groups : array-like of shape (n_samples,), default=None
            Groups of rows that belong together, such as the rows of a patient. A group is never
            divided between training and validation, and counts as one in the comparison with PCA.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter, X or `groups` is not as documented.

        Warns
        -----
        ConvergenceWarning
            If training diverged or was interrupted; the best state so far is final. In a search or
            a cross-validation, an interrupt raises KeyboardInterrupt instead.
        """
        with torch_defaults(), restore_on_error(self):
            rows = self._validate_input(X, reset=True, ensure_min_samples=2)
            self._check_values(rows)
            with self._threads_for(rows):
                self._fit(rows, X, y, groups)
        return self

    def _fit(self, rows: Array, X: ArrayLike, y: object, groups: ArrayLike | None) -> None:
        device, generator = resolve_device(self.device), self._new_generator()
        # Wide rows are trained on in coordinates of the space that they span.
        span = find_span(self, rows) if rows.shape[0] < rows.shape[1] else None
        inputs, mean = (span.coordinates, span.mean) if span else (rows, feature_means(rows))
        # Split, and start at PCA or at the previous fit.
        split, previous, n_before = self._split(rows, inputs.shape[1], y, groups, generator)
        # PCA is final unless the network is clearly better.
        must_beat_start = self.shortcut == "pca" and self.early_stopping and not split.is_resumed
        model, data, unexplained = self._start(inputs, split, generator, device, previous)
        criterion, corruption = self._criterion(model), self._corruption(model, data)
        validate = start = comparison = held_out = None
        if split.held_out is not None:
            validate = ValidationLoss(criterion, model.network, data, split, corruption)
        dtype = torch.float32 if rows.dtype == np.float32 else torch.float64
        summarise = partial(describe, self, dtype=dtype, mean=mean, span=span, is_new=not previous)

        def describe_epoch(history: History) -> dict[str, Any]:
            held_out = None if validate is None else validate.measure()
            return summarise(model.select_model(-1), history, data, held_out)

        # Pretrain.
        callbacks = EpochCallbacks(self, describe_epoch, X, y, criterion.perfect_score)
        pretrained: dict[str, Any] = {}
        stopped_by: str | None = None
        if previous is None:
            pretrained, stopped_by = self._initialise(model, data, split, generator, callbacks)

        # Train.
        max_epochs = 0 if stopped_by else self._n_epochs()[1]
        if validate is None and isinstance(self.max_iter, str):
            max_epochs = min(max_epochs, self._cycle)
        has_penalty = not criterion.is_reconstruction_alone
        pca_is_exact = unexplained < _MIN_UNEXPLAINED and corruption is None and not has_penalty
        if must_beat_start and (pca_is_exact or validate is None):
            max_epochs = 0  # training cannot improve on PCA, or nothing could show that it did
        state = self._init_training(
            model.network, split, generator, device, max_epochs, criterion.reference_loss, n_before
        )
        if must_beat_start and previous is None and max_epochs and validate is not None:
            # PCA's codes already have the nearest reconstruction, so they are not refined.
            start = validate(None if self.loss == "squared_error" else self.transform_max_iter)
            state.settings = replace(state.settings, may_keep_start=False)
        evaluate = loss_and_gradient_of(criterion, state.parameters, self.dropout, data)
        history = self._train(
            state, evaluate, data, split, corruption, validate, callbacks, has_penalty=has_penalty
        )
        del state, evaluate  # gradients and moments, three times the memory of the weights

        # Select.
        if start is not None and validate is not None and history.best_epoch:
            losses = validate(self.transform_max_iter)
            comparison = compare(
                losses, start, criterion.reference_loss, criterion.has_prefixes, criterion.tolerance
            )
            if not comparison.is_better:
                history.best_epoch = 0
        if history.best_epoch or (previous is None and not must_beat_start):
            final = model.select_model(-1)
            held_out = None if validate is None else validate.measure()
        elif previous is not None:
            final = copy_model(previous, device)
        else:
            del data, validate  # their memory is that of the new data
            # PCA of all rows, including the held-out ones.
            model, data, _ = self._start(inputs, no_split(rows.shape[0]), generator, device, None)
            final = model.select_model(0)

        # Canonicalise and describe.
        fitted = summarise(final, history, data, held_out, comparison=comparison) | pretrained
        fitted["_was_interrupted"] = "interrupt" in (stopped_by, history.stopped_by)
        if self.warm_start:
            fitted |= leave_warm_start(self, rows, split, model, history, n_before)
        callbacks.end_fit(fitted)
        self._finish(fitted, rows)

    def _finish(self, fitted: dict[str, Any], rows: Array) -> None:
        """Set the fitted attributes, and tell the user what deserves attention."""
        # All at once, so that a failed fit does not look fitted.
        for name in CONTINUED:
            self.__dict__.pop(name, None)
        self.__dict__.update(fitted)
        if self.verbose:
            print(explain(fitted))
        if self._refines_codes and (self.n_components or 0) > min(rows.shape):
            warn_of_wide_code(self.n_components, *rows.shape)
        advice = self._advice()
        if advice is not None and varies(rows):
            warn(advice, UserWarning)

    def _start(
        self,
        rows: Array,
        split: Split,
        generator: torch.Generator,
        device: torch.device,
        previous: Model | None,
    ) -> tuple[Model, Tensor, float]:
        """Return the initial model, all rows in its units, and its unexplained share."""
        unexplained = 1.0
        if previous is None:
            model, unexplained = new_model(self, rows, split, generator)
        else:
            model = models_to_continue(self, previous, split)
        data = training_data(rows, model, device, allows_missing=self._allows_missing)
        if previous is not None:
            adapt_model(model, data, self.dropout)
        return model, data, unexplained

    def _split(
        self,
        rows: Array,
        width: int,
        y: object,
        groups: ArrayLike | None,
        generator: torch.Generator,
    ) -> tuple[Split, Model | None, int]:
        """Return the split of the rows, the model to continue, and its number of epochs."""
        if groups is not None or not isinstance(self.validation_fraction, Real):
            check_holds_out(self)
        new = None, None, 0
        previous, split, n_epochs = resume(self, rows, generator) if self.warm_start else new
        if split is None and not self.early_stopping:
            split = no_split(rows.shape[0])
        if split is None:
            # With a warm start, folds would start from a fit to the rows that validate them.
            is_free = previous is None and self._may_cross_fit
            split = choose_split(self, rows, width, y, groups, generator, may_cross_fit=is_free)
        return split, previous, n_epochs

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in _NOT_SAVED}

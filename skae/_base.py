"""The scikit-learn face of every autoencoder: validate, prepare, train, describe."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from torch import Tensor

from skae._callbacks import EpochCallbacks
from skae._core.canonical import Axes, describe
from skae._core.held_out import Division, Judge, no_division
from skae._core.losses import LOSSES
from skae._core.model import Model
from skae._core.networks import (
    ACTIVATIONS,
    Architecture,
    AutoencoderNetwork,
    Corruption,
    build_network,
    select_model,
)
from skae._core.numerics import defaults_of_torch, resting_place
from skae._core.objectives import Autograd, Backpropagation
from skae._core.solvers import SOLVERS
from skae._core.training import History, Objective
from skae._division import divide
from skae._fitted import Array, FittedMethods, as_dtype
from skae._preparation import (
    PrincipalStart,
    anchor,
    feature_means,
    fit_pca,
    link_start,
    loss_of_mean,
    mean_and_scale,
    standardise,
    training_rows,
)
from skae._runs import TRAINING_CONSTRAINTS, Run, TrainingRuns
from skae._sparse_input import entries
from skae._validation import (
    NOTED_OF_X,
    StrOptions,
    check_probabilities,
    features_as_found_on_error,
    fit_context,
    fraction,
    integer,
    real,
    resolve_device,
    widths,
)
from skae._warnings import warn

# What float32 cannot tell from 0, as a share of the variance.
_NOTHING_LEFT = 1e-10


@dataclass(eq=False, repr=False)
class BaseAutoencoder(TrainingRuns, FittedMethods, CallbackSupportMixin, BaseEstimator):
    """What all autoencoders share. A variant adds fields and overrides `_terms`."""

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
    max_iter: int = 50
    tol: float = 1e-4
    early_stopping: bool = True
    validation_fraction: float = 0.1
    n_iter_no_change: int = 20
    warm_start: bool = False
    shuffle: bool = True
    random_state: int | np.random.RandomState | None = None
    device: str | torch.device = "auto"
    precision: str = "float32"
    verbose: bool | int = False

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **TRAINING_CONSTRAINTS,
        "n_components": [integer(1), fraction()],
        "hidden_layer_sizes": ["array-like", tuple],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "code_activation": [StrOptions(set(ACTIVATIONS))],
        "loss": [StrOptions(set(LOSSES))],
        "shortcut": [StrOptions({"pca"}), None],
        "tied_weights": ["boolean"],
        "dropout": [real(0, high=1)],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "warm_start": ["boolean"],
    }

    # The kind of network.
    _kind: ClassVar[type[Architecture]] = Architecture
    # What `fit` leaves of X before anything else, and takes back where it fails.
    _noted: ClassVar[tuple[str, ...]] = NOTED_OF_X

    # -- what a variant may override -------------------------------------------------------------

    def _terms(self, model: Model, z: Tensor) -> dict[str, Tensor]:
        """Return the named terms of the objective on a batch, each a mean over its rows.

        With a model axis, a term is a number a model; only the reconstruction may be their mean,
        as rows are judged by its `row_losses`.
        """
        return {"reconstruction": model.reconstruction(model.network(z), z)}

    def _is_plain(self) -> bool:
        """Whether the objective is the reconstruction alone.

        Training then takes the fast path, and a penalty of weight 0 changes no bit.
        """
        return type(self)._terms is BaseAutoencoder._terms

    def _corruption(self, model: Model, z: Tensor) -> Corruption | None:
        """Return what training does to a batch before the network sees it; z is all rows."""
        return None

    def _pretrain(
        self,
        model: Model,
        data: Tensor,
        division: Division,
        generator: torch.Generator,
        callbacks: EpochCallbacks | None,
    ) -> tuple[dict[str, Any], str | None]:
        """Prepare a fresh network for its training.

        Returns fitted attributes, and what asked for the end of the fit ("callback" or
        "interrupt"), if anything did.
        """
        return {}, None

    def _may_cross_fit(self) -> bool:
        """Whether models may be trained side by side, on a model axis."""
        return True

    def _held_out_losses(self, model: Model, z: Tensor) -> Tensor:
        """Loss of each held-out row: its reconstruction, and the other terms' mean."""
        network = model.network.eval()
        losses = model.row_losses(network(z), z)
        if not self._is_plain():
            drawing = network.generator
            # Terms that draw draw the same in each epoch, and nothing of the training's.
            network.generator = torch.Generator(z.device).manual_seed(0)
            terms = self._terms(model, z)
            network.generator = drawing
            losses = losses + sum(
                term[..., None] for name, term in terms.items() if name != "reconstruction"
            )
        network.train()
        return losses

    def _concluded_losses(self, model: Model, measured: Tensor, counted: Tensor) -> Tensor:
        """Losses of the held-out rows, where all rows together decide about them.

        measured is what `_held_out_losses` returned; counted is False where a row does not judge.
        """
        return measured

    def _settle(self, judge: Judge) -> None:
        """Do what is to be done once the best parameters are back in place."""

    def _settle_unjudged(self, model: Model, data: Tensor, *, is_part: bool) -> None:
        """Do the same by the training rows, where there was no judge; of all, or of a part."""

    def _calibrate(self, model: Model, data: Tensor | None) -> None:
        """Set what training leaves open, on the one network to keep.

        data is all rows; None where only a part of them is at hand (`partial_fit`).
        """

    def _of_silent_code(self) -> str | None:
        """Say what is to be done if the fitted code is the same for every row; None if not."""
        return None

    def _centre(self, model: Model, X: Any) -> NDArray[np.float64]:
        """Return `mean_`."""
        return feature_means(X)

    def _loss_of_start(self, model: Model, data: Tensor, r2: float) -> float:
        """Return the training loss before the first epoch."""
        return 1.0 - r2

    def _further_attributes(self, model: Model, data: Tensor) -> dict[str, Any]:
        """Return a method's own fitted attributes; data is all rows, in training units."""
        return {}

    def _max_epochs(self) -> int:
        """Return the most epochs of the whole network's training."""
        return self.max_iter

    def _architecture(self, n_features: int, n_components: int) -> Architecture:
        """Return the shape of the network."""
        return self._kind(
            n_features,
            n_components,
            widths("hidden_layer_sizes", self.hidden_layer_sizes),
            self._activation(),
            self._activation_of_code(),
            self.tied_weights,
            self.dropout,
        )

    def _activation(self) -> str:
        return self.activation

    def _activation_of_code(self) -> str:
        return self.code_activation

    def _axes(self) -> Axes:
        """Say what may be done to the code without changing a reconstruction or the objective."""
        return {"identity": Axes.PRINCIPAL, "relu": Axes.SCALED}.get(
            self._activation_of_code(), Axes.AS_TRAINED
        )

    def _check_values(self, X: Array) -> None:
        """Check X against the parameters."""
        values = entries(X)
        if self.loss == "log_loss":
            remedy = "Scale X with MinMaxScaler(clip=True), or use another loss."
            check_probabilities(values, "loss='log_loss'", remedy)
        if self.loss in ("poisson", "multinomial"):
            if (low := np.fmin.reduce(values, axis=None)) < 0:
                raise ValueError(
                    f"loss={self.loss!r} needs counts, X >= 0, but the smallest value is {low:g}. "
                    "Pass the counts without centring or scaling, or use another loss."
                )
            if self.loss == "multinomial" and np.isnan(values).any():
                raise ValueError(
                    "loss='multinomial' compares shares of a row's total, which a row with "
                    "missing entries (NaN) has not. Impute them, or use another loss."
                )

    # -- fit -------------------------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, float32 or float64 (other numbers become float64).
        y : Ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter or X is not as documented.

        Warns
        -----
        ConvergenceWarning
            If training diverged or was interrupted; the best state so far is kept.
        """
        with defaults_of_torch(), features_as_found_on_error(self, self._noted):
            return self._fit(X, y)

    def _fit(self, X: ArrayLike, y: object) -> Self:
        continued = self._model if self.warm_start and hasattr(self, "_model") else None
        rows = self._validate_training_rows(X, reset=True)
        device = resolve_device(self.device)
        generator = self._new_generator()
        if continued is not None and not self._continues(continued, rows):
            continued = None
        division = no_division(rows.shape[0])
        if self.early_stopping:
            division = divide(
                rows.shape[0],
                self.validation_fraction,
                # The folds' models would have to start from rows that are to judge them.
                may_cross_fit=continued is None and self._may_cross_fit(),
                n_weights=self._n_weights(rows),
                generator=generator,
                X=rows,
            )
        anchored = self.shortcut == "pca" and self.early_stopping
        left_over = 1.0
        if continued is None:
            model, left_over = self._new_model(rows, division, generator)
        else:
            model = copy.deepcopy(continued)
        starts_at_pca = continued is None and self.shortcut == "pca"
        data = self._training_data(rows, model, device)
        if continued is not None:
            self._adapt(model, data)
        mean = self._centre(model, rows)
        callbacks = EpochCallbacks(
            self,
            lambda history: {
                **self._describe(
                    copy.deepcopy(model),
                    history,
                    division,
                    data,
                    dtype=as_dtype(rows),
                    started_at_pca=starts_at_pca,
                ),
                "mean_": mean,
            },
            X,
            y,
        )
        pretrained: dict[str, Any] = {}
        ended_by: str | None = None
        if continued is None:
            pretrained, ended_by = self._pretrain(model, data, division, generator, callbacks)
        corruption = self._corruption(model, data)
        max_epochs = 0 if ended_by else self._max_epochs()
        if anchored:
            nothing_to_gain = left_over < _NOTHING_LEFT and corruption is None and self._is_plain()
            if nothing_to_gain or division.held_out is None:
                max_epochs = 0  # nothing to gain, or nobody to tell whether anything was gained
        run = self._open_run(model.network, division, generator, device, max_epochs)
        model.network.corruption = corruption
        judge = None
        if division.held_out is not None:
            judge = Judge(
                partial(self._held_out_losses, model),
                data,
                division,
                partial(self._concluded_losses, model),
                widest=model.network.widest(),
            )
        objective = self._objective(model, run, division.n_models)
        history = self._train(
            run, objective, data, division, judge, callbacks, must_beat_start=anchored
        )
        run.parameters.release()
        if continued is not None and history.best_epoch == 0:
            # With all that training updates besides the weights.
            model = self._copy_on(continued, device)
        elif judge is not None:
            self._settle(judge)
        if anchored and starts_at_pca and history.best_epoch == 0:
            # PCA stays: that of all rows, the held-out ones too.
            everything = no_division(rows.shape[0])
            model, _ = self._new_model(rows, everything, generator)
            division, data = everything, self._in_training_units(rows, model)
        fitted = self._describe(
            model,
            history,
            division,
            data,
            dtype=as_dtype(rows),
            started_at_pca=starts_at_pca,
        )
        fitted["mean_"] = mean
        fitted["_was_interrupted"] = "interrupt" in (ended_by, history.stopped_by)
        fitted |= pretrained
        callbacks.end_fit(fitted)
        # All fitted attributes appear at once: nothing half-fitted looks fitted.
        self.__dict__.pop("_unfinished", None)
        self.__dict__.update(fitted)
        advice = self._of_silent_code()
        if advice is not None and np.ptp(rows, axis=0).any():
            warn(advice, UserWarning)
        return self

    def _validate_training_rows(self, X: ArrayLike, *, reset: bool) -> Array:
        fewest = 2 if reset else 1
        rows = self._validate_input(X, reset=reset, ensure_min_samples=fewest)
        self._check_values(rows)
        return rows

    @staticmethod
    def _in_training_units(rows: Array, model: Model) -> Tensor:
        return training_rows(rows, model.mean.numpy(), model.scale)

    def _training_data(self, rows: Array, model: Model, device: torch.device) -> Tensor:
        data = self._in_training_units(rows, model).to(device)
        # A step need not look for what is not there.
        model.network.fills_missing = self._allows_missing and bool(data.isnan().any())
        return data

    def _new_generator(self) -> torch.Generator:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return torch.Generator().manual_seed(seed)

    def _adapt(self, model: Model, data: Tensor) -> None:
        """Let a model that was trained before learn from what is new."""
        for perceptron in model.network.perceptrons:
            perceptron.dropout = self.dropout
        model.network.encoder.heed(data.any(0))

    @staticmethod
    def _copy_on(model: Model, device: torch.device) -> Model:
        """Copy a model that is to be described, to the device of the data."""
        copied = copy.deepcopy(model)
        copied.network.float().to(device)
        return copied

    def _continues(self, model: Model, X: Array) -> bool:
        """Whether a training can go on from this model."""
        network, n_components = model.network, self.n_components
        if isinstance(n_components, float):
            if n_components != self._components_asked_for:
                return False
            n_components = network.architecture.n_components
        wanted = self._architecture(X.shape[1], n_components)
        return (
            replace(network.architecture, dropout=self.dropout) == wanted
            and model.loss == LOSSES[self.loss]
            and (network.encoder.shortcut is None) == (self.shortcut is None)
        )

    def _new_model(
        self, X: Array, division: Division, generator: torch.Generator
    ) -> tuple[Model, float]:
        """Build the model at its start; also tell the share of variance that PCA leaves over.

        Rows that judge a model are kept from its PCA too. PCA fits an outlier that it has seen,
        and no network that has not seen it could then win.
        """
        loss = LOSSES[self.loss]
        seed = generator.initial_seed()
        # The last model is the one to keep; X gives it its units.
        everything = len(division.training[-1]) == X.shape[0]
        X_kept = X if everything else X[division.training[-1].numpy()]
        may_lack_values = self._allows_missing and not everything
        if may_lack_values and np.isnan(np.fmax.reduce(X_kept, axis=0)).any():
            X_kept = X  # a feature whose few values are all held out has its units from them
        mean, scale = mean_and_scale(X_kept)
        z = training_rows(X_kept, mean, scale)
        missing = None
        if self._allows_missing and bool(z.isnan().any()):
            missing = z.isnan()
            z.nan_to_num_(nan=0.0)
        n_components = self.n_components
        if isinstance(n_components, float) and not everything:
            # PCA's number, which does not depend on the draw of the rows that judge.
            all_rows = np.nan_to_num(standardise(X, mean, scale, X.dtype.type), copy=False)
            n_components = len(fit_pca(all_rows, n_components, seed).components)
            del all_rows
        starts: list[PrincipalStart] = []
        if self.shortcut == "pca" or isinstance(n_components, float):
            # In the precision of X, where PCA works too; z itself if that is float32.
            exact = (
                z.numpy()
                if X.dtype == z.numpy().dtype
                else np.nan_to_num(standardise(X_kept, mean, scale, np.float64), copy=False)
            )
            starts = [fit_pca(exact, n_components, seed)]
            n_components = len(starts[0].components)
        network = build_network(
            self._architecture(X.shape[1], int(n_components)),
            generator=generator,
            n_models=division.n_models,
            start_at_zero=self.shortcut == "pca",
        )
        # A feature that never varies teaches its weights nothing: random ones would let its first
        # change through. PCA has no loading there either.
        network.encoder.ignore(~z.any(0))
        code_unit = scale if network.code_scales_with_data else 1.0
        model = Model(network, torch.from_numpy(mean), scale, loss, code_unit=code_unit)
        if loss.shares:
            model.total = float(feature_means(X).sum())
        if self.shortcut == "pca":
            parts = [z]
            for fold in division.training[-2::-1]:
                starts.insert(0, fit_pca(exact[fold.numpy()], n_components, seed))
                parts.insert(0, z[fold])
            anchor(network, starts, parts)
        link_start(model, float(np.fmax.reduce(entries(X_kept), axis=None)))
        if self.loss != "squared_error" or missing is not None:
            model.baseline = loss_of_mean(model, z, missing) or 1.0
        network.float()
        linear = network.code_activation == "identity" and network.n_active is None
        judged_by_pca = self.shortcut == "pca" and linear and self.loss == "squared_error"
        return model, starts[-1].residual if judged_by_pca else 1.0

    def _n_weights(self, X: Array) -> int:
        """Return the most weights that a network for X may have."""
        is_share = isinstance(self.n_components, float)
        n_components = min(X.shape) if is_share else int(self.n_components)
        return self._architecture(X.shape[1], n_components).n_weights()

    def _objective(self, model: Model, run: Run, n_models: int | None) -> Objective:
        plain = self._is_plain()
        # The gradient written out is that of perceptrons.
        if plain and not self.dropout and type(model.network) is AutoencoderNetwork:
            return Backpropagation(model, n_models or 1)
        terms = partial(BaseAutoencoder._terms, self) if plain else self._terms
        return Autograd(run.parameters, partial(terms, model), n_models or 1)

    def _has_penalty(self) -> bool:
        return not self._is_plain()

    def _describe(
        self,
        model: Model,
        history: History,
        division: Division,
        data: Tensor,
        *,
        dtype: torch.dtype,
        started_at_pca: bool = False,
        turn: bool = True,
    ) -> dict[str, Any]:
        """Turn the code to its axes and describe it: the fitted attributes."""
        network, device = model.network, data.device
        if division.n_models is not None:
            select_model(network, division.n_models - 1)
        network.set_generator(None)
        network.corruption = None
        network.fills_missing = self._allows_missing
        if turn and history.best_epoch and division.held_out is None:
            self._settle_unjudged(model, data, is_part=False)
        self._calibrate(model, data if turn else None)
        axes = self._axes() if turn else Axes.AS_TRAINED
        is_pca = started_at_pca and history.best_epoch == 0
        is_pca &= model.loss == LOSSES["squared_error"]
        if axes is Axes.PRINCIPAL and is_pca:
            axes = Axes.AS_TRAINED  # it is on its principal axes already
        # PCA's code is the nearest, and a step may take others out of the values they can have.
        may_move = network.code_activation == "identity" and not is_pca
        n_refinements = self._n_refinements() if may_move else None
        code = describe(model, data, axes, n_refinements, dtype)
        network.to(resting_place(device))
        carried = code.carried / code.carried.sum().clamp_min(1e-30)
        fitted: dict[str, Any] = {
            "_model": model,
            "_components_asked_for": self.n_components,
            "n_components_": len(carried),
            "mean_": model.mean.numpy(),
            "components_": code.components.numpy() * (model.scale / model.code_unit),
            "explained_variance_ratio_": (code.r2 * carried).numpy(),
            "n_iter_": history.n_epochs,
            "best_iter_": history.best_epoch,
            "loss_curve_": history.losses,
            "validation_scores_": None,
            "history_": {name: list(values) for name, values in history.terms.items()},
        }
        if history.validation:
            fitted["validation_scores_"] = [self._as_score(loss) for loss in history.validation]
            fitted["best_loss_"] = history.validation[history.best_epoch]
        elif history.best_epoch:
            fitted["best_loss_"] = history.losses[history.best_epoch - 1]
        else:
            fitted["best_loss_"] = self._loss_of_start(model, data, code.r2_of_encoder)
        return fitted | self._further_attributes(model, data)

    # -- partial_fit -----------------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train for one pass over X, a part of the data.

        The first call sets the units, the PCA start and the network, so give it a part that is like
        the whole and has at least as many rows as the code has columns. Parameters that do not
        shape the network or its loss may be set anew between calls. The learning rate is
        `learning_rate_init` throughout; nothing is printed, and callbacks are not called; nothing
        is held out, so nothing is promised against PCA. The fitted attributes describe the last
        part, and the code's axes stay those of the first. `weight_decay` counts a call as one of
        `max_iter` epochs. The solver's moments are not pickled: a copy goes on from the same
        weights with fresh ones.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter or X is not as documented, or the network would be another one.
        """
        with defaults_of_torch(), features_as_found_on_error(self, self._noted):
            return self._partial_fit(X)

    def _partial_fit(self, X: ArrayLike) -> Self:
        first = not hasattr(self, "_model")
        self._validate_params()  # which scikit-learn leaves out from the second call on
        rows = self._validate_training_rows(X, reset=first)
        device = resolve_device(self.device)
        division = no_division(rows.shape[0])
        if not first and not self._continues(self._model, rows):
            raise ValueError(
                "partial_fit goes on with the network of its first call, so parameters that shape "
                "it or its loss (n_components, hidden_layer_sizes, activation, code_activation, "
                "tied_weights, shortcut, loss and the like) must stay as they were. Set them back, "
                "or begin anew with a clone."
            )
        unfinished: tuple[Model, Run] | None = getattr(self, "_unfinished", None)
        if unfinished is not None and not unfinished[1].goes_on(SOLVERS[self.solver], device):
            unfinished = None  # another solver has moments of its own, another device none
        pretrained: dict[str, Any] = {}
        ended_by: str | None = None
        if unfinished is not None:
            model, run = unfinished
            data = self._training_data(rows, model, device)
            # Parts differ in their rows, and a caller may have a schedule of the learning rate.
            run.settings, run.solver.shrinkage, run.operations = self._pace(
                model.network,
                division,
                1,
                constant_learning_rate=True,
                first_rate=run.first_rate,
            )
        else:
            generator = self._new_generator()
            if first:
                model = self._new_model(rows, division, generator)[0]
            else:
                model = copy.deepcopy(self._model)
            data = self._training_data(rows, model, device)
            if first:
                pretrained, ended_by = self._pretrain(model, data, division, generator, None)
            max_epochs = 0 if ended_by else 1
            run = self._open_run(
                model.network, division, generator, device, max_epochs, constant_learning_rate=True
            )
        if not first:
            self._adapt(model, data)
        model.network.corruption = self._corruption(model, data)
        model.network.train()
        objective = self._objective(model, run, None)
        start = copy.deepcopy(model) if first else self._model  # with all that training updates
        # Whatever fails from here on leaves it a step ahead of `_model`.
        self.__dict__.pop("_unfinished", None)
        history = self._train(run, objective, data, division)
        kept = model if history.best_epoch else start
        if history.best_epoch:
            self._settle_unjudged(model, data, is_part=True)
        # The axes stay as they are: codes of before and after a call must be comparable.
        fitted = self._describe(
            self._copy_on(kept, device), history, division, data, dtype=as_dtype(rows), turn=False
        )
        if rows.shape[0] == 1 and not first:  # one row has no variance to explain
            del fitted["explained_variance_ratio_"]
        n_before = getattr(self, "n_iter_", 0)
        fitted["best_iter_"] = (
            n_before + history.best_epoch if history.best_epoch else getattr(self, "best_iter_", 0)
        )
        fitted["n_iter_"] += n_before
        fitted["loss_curve_"] = getattr(self, "loss_curve_", []) + fitted["loss_curve_"]
        before, after = getattr(self, "history_", {}), fitted["history_"]
        # A term of weight 0 is not recorded.
        not_before, not_after = [0.0] * n_before, [0.0] * history.n_epochs
        fitted["history_"] = {
            name: before.get(name, not_before) + after.get(name, not_after)
            for name in before | after
        }
        self.__dict__.update(fitted | pretrained)
        if history.stopped_by != "divergence" and not ended_by:
            self._unfinished = (model, run)  # else the next call begins anew
        return self

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_unfinished"}

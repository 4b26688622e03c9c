"""Continued training: `partial_fit`, and `fit` with `warm_start`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from skae.core.history import History
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.numerics import torch_defaults
from skae.core.optimizers import OPTIMIZERS
from skae.fitting.data import check_range, torch_dtype, training_data
from skae.fitting.describe import describe
from skae.fitting.pca_init import new_model
from skae.fitting.split import no_split
from skae.fitting.stream import Sample, join_rows, min_rows
from skae.fitting.trainer import TrainState, loss_and_gradient_of
from skae.utils.csr import Array
from skae.utils.validation import fit_context, resolve_device, restore_on_error


@dataclass
class PartialFitState:
    """State of training between two calls of `partial_fit`.

    Attributes
    ----------
    model : Model
    state : TrainState
    sample : Sample or None
        Sample of the rows of all calls. None after a `fit`, whose start and units remain.
    """

    model: Model
    state: TrainState
    sample: Sample | None = None


def model_to_continue(estimator: Any, X: Array) -> Model | None:
    """Return the fitted model if training can start from it, otherwise None."""
    model: Model | None = getattr(estimator, "_model", None)
    if model is None:
        return None
    network, n_components = model.network, estimator.n_components
    if not isinstance(n_components, Integral):
        if n_components != estimator._requested_components:
            return None
        n_components = network.architecture.n_components
    wanted = estimator._network(X.shape[1], n_components)
    can_continue = (
        replace(network.architecture, dropout=estimator.dropout) == wanted
        and model.loss == LOSSES[estimator.loss]
        and (network.encoder.skip is None) == (estimator.shortcut is None)
    )
    return model if can_continue else None


def adapt_model(model: Model, data: Tensor, dropout: float) -> None:
    """Prepare a previously trained model for new rows and a new dropout."""
    check_range(data)
    for mlp in model.network.mlps:
        mlp.dropout = dropout
    model.network.encoder.unmask_inputs(data.any(0))


def copy_model(model: Model, device: torch.device) -> Model:
    """Return a copy of a fitted model, which `describe` may change."""
    model = copy.deepcopy(model)
    model.network.float().to(device)
    return model


class IncrementalTraining:
    """Mixin of `partial_fit`."""

    _validate_params: Callable[[], None]  # of scikit-learn's BaseEstimator

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train for one pass over X, a part of the data.

        If `fit` was not called, the first calls only collect rows: `n_components` of them, or up to
        1000 if it is a share of the variance or None. Then, a random sample of 2048 rows of all
        calls is kept. Training uses it next to X, and units and PCA are computed again if they fit
        it badly, so parts may be small or sorted. The learning rate is constant, there are no
        callbacks and no held-out rows: the result may be worse than PCA. Attributes describe the
        last part. A call counts as one of `max_iter` epochs (50 if "auto") for `weight_decay`.
        Pickles lose the sample and the optimizer's moments. Parameters that do not shape the
        network may change between calls.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter or X is not as documented, or the network would have to change.
        """
        with torch_defaults(), restore_on_error(self):
            self._validate_params()  # scikit-learn skips this from the second call on
            self.__dict__.update(_partial_fit(self, X))
        return self


def _partial_fit(estimator: Any, X: Any) -> dict[str, Any]:
    """Train for one pass over X, and return the fitted attributes.

    They include `_training`, from which the next call continues.
    """
    is_first = not hasattr(estimator, "_model")
    gathered = vars(estimator).get("_gathered") if is_first else None
    rows = estimator._validate_input(X, reset=is_first and gathered is None)
    if gathered is not None:
        rows = join_rows([gathered, rows])
    estimator._check_values(rows)
    if is_first:
        least = min_rows(estimator.n_components, rows.shape[1])
        if rows.shape[0] < least:
            message = (
                f"partial_fit needs {least} rows for n_components={estimator.n_components!r}, but "
                f"it has seen {rows.shape[0]}. Call it with more rows."
            )
            return {"_gathered": rows, "_too_few_rows": message}
    with estimator._threads_for(rows):
        return _train_part(estimator, rows, is_first=is_first)


def _train_part(estimator: Any, rows: Array, *, is_first: bool) -> dict[str, Any]:
    device = resolve_device(estimator.device)
    previous = None if is_first else model_to_continue(estimator, rows)
    if previous is None and not is_first:
        raise ValueError(
            "partial_fit goes on with the network of its first call, so parameters that shape "
            "it or its loss (n_components, hidden_layer_sizes, activation, code_activation, "
            "tied_weights, shortcut, loss and the like) must stay as they were. Set them back, "
            "or begin anew with a clone."
        )
    training, data, pretrained, stopped_by = _open_training(estimator, rows, previous, device)
    model, state = training.model, training.state
    start = model.select_model(0) if previous is None else previous
    criterion = estimator._criterion(model)
    evaluate = loss_and_gradient_of(criterion, state.parameters, estimator.dropout, data)
    corruption = estimator._corruption(model, data)
    model.network.train()
    history = estimator._train(
        state,
        evaluate,
        data,
        no_split(data.shape[0]),
        corruption,
        has_penalty=not criterion.is_reconstruction_alone,
    )
    kept = model.select_model(0) if history.best_epoch else copy_model(start, device)
    part = training_data(rows, kept, device, allows_missing=estimator._allows_missing)
    dtype, mean = torch_dtype(rows), kept.mean.numpy()
    fitted = describe(estimator, kept, history, part, dtype=dtype, mean=mean, is_part=True)
    if rows.shape[0] == 1 and not is_first:  # one row has no variance to explain
        del fitted["explained_variance_ratio_"]
    if history.stopped_by != "divergence" and not stopped_by:
        model.network.copy_buffers_from(kept.network)
        fitted["_training"] = training
    for name in ("_gathered", "_too_few_rows", "_warm_start"):  # they belong to the state before
        estimator.__dict__.pop(name, None)
    fitted["_renews_start"] = training.sample is not None
    return _append_history(estimator, fitted, history) | pretrained


def _open_training(
    estimator: Any, rows: Array, previous: Model | None, device: torch.device
) -> tuple[PartialFitState, Tensor, dict[str, Any], str | None]:
    """Return the previous or a new training state, its data, and the results of pretraining."""
    training: PartialFitState | None = getattr(estimator, "_training", None)
    # A failure from here on would leave this training ahead of `_model`.
    estimator.__dict__.pop("_training", None)
    optimizer = OPTIMIZERS[estimator.solver]
    if training is not None and not training.state.continues_with(optimizer, device):
        training = None  # its moments belong to another optimizer or device
    generator = estimator._new_generator() if training is None else training.state.generator
    if training is not None:
        model = training.model
    elif previous is None:
        model, _ = new_model(estimator, rows, no_split(rows.shape[0]), generator)
    else:
        model = previous.with_model_axis()
    sample = training.sample if training is not None else None
    if sample is None and (previous is None or getattr(estimator, "_renews_start", False)):
        n_features, n_components = rows.shape[1], model.network.architecture.n_components
        sample = Sample(n_features, min_rows(n_components, n_features), generator.initial_seed())
    passes = rows
    if sample is not None:
        passes = sample.let_pass(estimator, model, rows, is_first=previous is None)
    data = training_data(passes, model, device, allows_missing=estimator._allows_missing)
    if previous is not None:
        adapt_model(model, data, estimator.dropout)
    reference = estimator._criterion(model).reference_loss
    split = no_split(passes.shape[0])
    pretrained: dict[str, Any] = {}
    stopped_by: str | None = None
    if previous is None:
        pretrained, stopped_by = estimator._initialise(model, data, split, generator, None)
    max_epochs = 0 if stopped_by else 1
    if training is None:
        state = estimator._init_training(
            model.network,
            split,
            generator,
            device,
            max_epochs,
            reference,
            constant_learning_rate=True,
        )
        training = PartialFitState(model, state, sample)
    else:
        state = training.state
        state.settings, state.optimizer.weight_decay = estimator._resolve_schedule(
            model.network,
            split,
            max_epochs,
            reference,
            constant_learning_rate=True,
            initial_rate=state.initial_rate,
        )
    return training, data, pretrained, stopped_by


def _append_history(estimator: Any, fitted: dict[str, Any], history: History) -> dict[str, Any]:
    """Append the history of this call to that of earlier calls."""
    n_before, n_epochs = getattr(estimator, "n_iter_", 0), len(history.losses)
    best_before = getattr(estimator, "best_iter_", 0)
    before, after = getattr(estimator, "history_", {}), fitted["history_"]
    # A term of weight 0 is not recorded.
    not_before, not_after = [0.0] * n_before, [0.0] * n_epochs
    return fitted | {
        "n_iter_": n_before + n_epochs,
        "best_iter_": n_before + history.best_epoch if history.best_epoch else best_before,
        "loss_curve_": getattr(estimator, "loss_curve_", []) + fitted["loss_curve_"],
        "history_": {
            name: before.get(name, not_before) + after.get(name, not_after)
            for name in before | after
        },
    }

"""The fitted attributes of a trained model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skae.core.canonical import canonicalise
from skae.core.criterion import CodeSymmetry
from skae.core.history import History
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.numerics import inference_device
from skae.fitting.selection import Comparison
from skae.fitting.span import Span

# Fitted attributes in the dtype of X, as those of PCA are.
_IN_DTYPE_OF_X = (
    "mean_",
    "components_",
    "explained_variance_ratio_",
    "explained_variance_",
    "singular_values_",
)


def describe(
    estimator: Any,
    model: Model,
    history: History,
    data: Tensor,
    held_out: tuple[Tensor, Tensor] | None = None,
    *,
    dtype: torch.dtype,
    mean: NDArray[np.float64],
    span: Span | None = None,
    is_new: bool = False,
    is_part: bool = False,
    comparison: Comparison | None = None,
) -> dict[str, Any]:
    """Finish a model, convert its code to canonical form, and return the fitted attributes.

    Parameters
    ----------
    estimator : BaseAutoencoder
    model : Model
        Model without a model axis. It becomes the fitted model and is changed in place.
    history : History
    data : Tensor
        All training rows, in training units.
    held_out : (measured, mask) or None
        See `Criterion.finish`.
    dtype : torch.dtype
        Precision of X.
    mean : ndarray of shape (n_features,)
        `mean_`.
    span : Span or None
        If given, `data` and `model` are in its coordinates; the returned model is in features.
    is_new : bool
        Whether training started with a new model.
    is_part : bool
        Whether `data` is only a part of the data. The axes of the code are then kept, because codes
        before and after a `partial_fit` must be comparable.
    comparison : Comparison or None
        Comparison of the trained network with PCA, if there was one.
    """
    network, device = model.network, data.device
    network.imputes_missing = estimator._allows_missing
    criterion = estimator._criterion(model)
    is_trained = history.best_epoch > 0
    trained = criterion.finish(data, held_out=held_out, is_trained=is_trained, is_part=is_part)
    for name, value in trained.items():
        setattr(network, name, value)
    keeps_pca = is_new and estimator.shortcut == "pca" and history.best_epoch == 0
    is_pca = keeps_pca and model.loss == LOSSES["squared_error"]
    symmetry = CodeSymmetry.NONE if is_part else criterion.symmetry
    if is_pca and CodeSymmetry.TRIANGULAR in symmetry:
        symmetry = CodeSymmetry.NONE  # it is on its principal axes already
    # PCA's code is already optimal, and a step may leave the range of another code activation.
    refines = not is_pca and network.code_activation == "identity"
    n_steps = estimator.transform_max_iter if refines else None
    is_start = not history.validation and not history.best_epoch
    in_features = None if span is None else span.in_features
    flags = {"scores_encoder": is_start, "has_pca_axes": is_pca, "is_part": is_part}
    code = canonicalise(model, data, symmetry, n_steps, dtype, in_features, **flags)
    network.to(inference_device(device))
    shares = code.component_variance / code.component_variance.sum().clamp_min(1e-30)
    ratio = (code.r2 * shares).double().numpy()
    with np.errstate(over="ignore"):  # beyond the largest number, they are infinite
        singular_values = np.sqrt(ratio.clip(min=0.0) * code.total) * model.scale
        variances = np.square(singular_values / math.sqrt(max(1, len(data) - 1)))
    best = criterion.perfect_score
    fitted: dict[str, Any] = {
        "_model": model,
        "_requested_components": estimator.n_components,
        "n_components_": len(shares),
        "mean_": mean,
        "components_": code.components.numpy() * (model.scale / model.code_unit),
        "explained_variance_ratio_": ratio,
        "explained_variance_": variances,
        "singular_values_": singular_values,
        "n_samples_": len(data),
        "_total_deviation": math.sqrt(code.total / max(1, len(data) - 1)) * model.scale,
        "_is_part": is_part,
        "n_iter_": len(history.losses),
        "best_iter_": history.best_epoch,
        "selected_": "pca" if keeps_pca else "network",
        "validation_ratio_": comparison and comparison.ratio,
        "validation_ratio_interval_": comparison and np.array(comparison.interval),
        "validation_improved_": comparison and comparison.improved,
        "loss_curve_": list(history.losses),
        "validation_scores_": [best - loss for loss in history.validation] or None,
        "history_": {name: list(values) for name, values in history.terms.items()},
    }
    if history.validation:
        fitted["best_loss_"] = history.validation[history.best_epoch]
    elif history.best_epoch:
        fitted["best_loss_"] = history.losses[history.best_epoch - 1]
    else:
        fitted["best_loss_"] = criterion.start_loss(data, code.encoder_r2)
    fitted |= estimator._fitted_attributes(model, data)
    fitted["_mean"] = fitted["mean_"]  # in float64, for computations
    if dtype == torch.float32:
        fitted |= _in_float32(fitted)
    if span is not None:
        fitted["_model"] = span.model_of_features(model)
    return fitted


def _in_float32(fitted: dict[str, Any]) -> dict[str, Any]:
    """Return in float32 what PCA has in the dtype of X."""
    with np.errstate(over="ignore"):  # beyond the largest number, they are infinite
        return {name: fitted[name].astype(np.float32) for name in _IN_DTYPE_OF_X}

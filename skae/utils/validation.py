"""Validation of parameters and data. Only this module imports private helpers of scikit-learn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import _fit_context
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._param_validation import HasMethods, Interval, RealNotInt, StrOptions
from sklearn.utils.validation import _check_sample_weight, validate_data

__all__ = [
    "Splitter",
    "StrOptions",
    "WrappedAutoencoder",
    "check_count",
    "check_data",
    "check_loss_domain",
    "check_probabilities",
    "check_sample_weight",
    "computed",
    "explained",
    "fit_context",
    "fraction",
    "integer",
    "is_missing",
    "missing_in_sparse",
    "not_finite",
    "real",
    "refuses_sparse",
    "resolve_device",
    "restore_on_error",
    "size_of_code",
    "too_large",
    "widths",
    "without",
]


# "log_loss" is refused if all of X lies below this, as it would be 0 in float32.
_SMALLEST_PROBABILITY = 1e-30

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def fit_context(
    *, prefer_skip_nested_validation: bool
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return scikit-learn's decorator of `fit`, typed so that it preserves the signature."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)


class _Number(Interval):
    """An interval that rejects booleans."""

    def is_satisfied_by(self, val: Any) -> bool:
        if isinstance(val, bool | np.bool_):
            return False
        if self.type is Real:
            if not isinstance(val, Integral | float | np.floating):
                return False  # such as a fraction, with which torch does not compute
            if isinstance(val, np.floating):
                val = float(val)  # half precision has no value for the bounds
        return super().is_satisfied_by(val)


class _NotNone(_Number):
    """The last constraint of `n_components`, for those who pass None as to PCA."""

    def __str__(self) -> str:
        accepts = "Only OrderedAutoencoder accepts None (as many components as PCA)"
        return f"{super().__str__()}. {accepts}"


def size_of_code(*, may_be_share: bool = True) -> list[Interval]:
    """Return the constraints of `n_components`."""
    if may_be_share:
        return [integer(1), _NotNone(RealNotInt, 0, 1, closed="neither")]
    return [_NotNone(Integral, 1, sys.maxsize, closed="both")]


def integer(low: int) -> Interval:
    """Return the constraint for an int of at least `low` that 64 bits hold."""
    return _Number(Integral, low, sys.maxsize, closed="both")


# Beyond it, products with it overflow in float32, in which training computes.
_LARGEST = 1e30


def real(low: float, *, closed: str = "both", high: float = _LARGEST) -> Interval:
    """Return the constraint for a number between `low` and `high`."""
    return _Number(Real, low, high, closed=closed)


def fraction(*, closed: str = "neither") -> Interval:
    """Return the constraint for a float between 0 and 1."""
    return _Number(RealNotInt, 0, 1, closed=closed)


def computed(function: Callable[[Any], Any]) -> Any:
    """Return a dataclass field that is computed from the parameters and is not one itself."""
    return field(init=False, default=property(function))


def without(constraints: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the constraints without those of the named parameters, which a class computes."""
    return {name: found for name, found in constraints.items() if name not in names}


# Attributes set by the validation of X.
SET_BY_VALIDATION = (
    "n_features_in_",
    "feature_names_in_",
    "image_shape_",
    "_has_channels_last",
)


@contextmanager
def restore_on_error(estimator: object) -> Iterator[None]:
    """Restore the attributes set by validation if the fit fails afterwards."""
    names = SET_BY_VALIDATION
    before = {name: vars(estimator)[name] for name in names if name in vars(estimator)}
    try:
        yield
    except BaseException:
        for name in names:
            estimator.__dict__.pop(name, None)
        estimator.__dict__.update(before)
        raise


def widths(
    name: str, value: Sequence[int], examples: str = "(256, 128), or () for one layer"
) -> tuple[int, ...]:
    """Check a sequence of layer widths or other sizes."""
    try:
        checked = tuple(value)
    except TypeError:
        checked = (value,)  # type: ignore[assignment]
    for width in checked:
        if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
            raise ValueError(
                f"The {name!r} parameter must be a sequence of ints of 1 or more, such as "
                f"{examples}. Got {value!r} instead."
            )
    return tuple(int(width) for width in checked)


def check_count(name: str, value: Any, *, lowest: int = 1) -> None:
    """Check an int passed to a method."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or value < lowest:
        raise ValueError(f"{name}={value!r} must be an int of {lowest} or more.")
    if int(value) > sys.maxsize:
        raise ValueError(f"{name}={value!r} must be an int that 64 bits hold. Lower it.")


def explained(error: ValueError, estimator: object) -> ValueError:
    """Return scikit-learn's error about X, with what to do in terms of this package."""
    text, name = str(error), type(estimator).__name__
    if "Input X contains NaN" in text:
        # scikit-learn points to its classifiers and regressors on gradient boosting.
        takes = "DenoisingAutoencoder, which accepts missing entries and has impute to fill them"
        if hasattr(estimator, "autoencoder"):
            takes = "autoencoder=DenoisingAutoencoder(), which accepts missing entries"
        return ValueError(
            f"Input X contains NaN, which {name} does not accept. Use {takes}, or fill them "
            "before, for example with sklearn.impute.SimpleImputer."
        )
    if "Found array with dim" in text:
        return ValueError(
            f"{text} Flatten each sample to a row, X.reshape(len(X), -1). For images, use "
            "ConvolutionalAutoencoder."
        )
    return error


def refuses_sparse(estimator: object) -> TypeError:
    """Return the error of sparse X where X must be dense."""
    return TypeError(
        f"Sparse data was passed to {type(estimator).__name__}, which takes dense X only. Pass "
        "X.toarray(), or use an autoencoder that takes sparse X, such as Autoencoder."
    )


def missing_in_sparse(estimator: object) -> ValueError:
    """Return the error of missing entries in sparse X."""
    return ValueError(
        f"Input X is sparse and contains NaN. {type(estimator).__name__} takes missing entries in "
        "dense X only. Fill them, or pass a dense array."
    )


def check_data(estimator: object, X: object, *args: object, **settings: Any) -> Any:
    """Validate data as scikit-learn does, with errors in terms of this package."""
    try:
        # Where huge values cancel, the sum by which scikit-learn looks for NaN overflows.
        with np.errstate(over="ignore", invalid="ignore"):
            return validate_data(estimator, X, *args, **settings)
    except ValueError as error:
        raise explained(error, estimator) from None


class WrappedAutoencoder(HasMethods):
    """The constraint of an autoencoder in another estimator: an instance of one of the classes."""

    def __init__(self, *classes: type) -> None:
        super().__init__([])
        self.classes = classes

    def is_satisfied_by(self, val: object) -> bool:
        """Return whether a value is an instance."""
        return isinstance(val, self.classes)

    def __str__(self) -> str:
        return "an instance of an autoencoder of skae, such as Autoencoder(32), or FrozenEstimator"


class Splitter(HasMethods):
    """The constraint of what names the held-out rows: a splitter, or pairs of rows."""

    def __init__(self) -> None:
        super().__init__("split")

    def is_satisfied_by(self, val: object) -> bool:
        """Return whether a value is an instance of a splitter, or a list of pairs."""
        if isinstance(val, list | tuple):
            return all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in val)
        # These have another `split`, and that of a class needs an instance.
        return not isinstance(val, str | bytes | type | torch.Tensor) and super().is_satisfied_by(
            val
        )

    def __str__(self) -> str:
        pairs = "a list of pairs of training and held-out rows"
        return f"an instance of a splitter, such as GroupKFold(5), or {pairs}"


# MinMaxScaler may exceed [0, 1] by this much, which does not affect a loss.
_ROUNDING = 1e-6


def check_probabilities(X: NDArray[Any], wanting: str, remedy: str) -> None:
    """Check that X is in [0, 1], as `wanting` requires; missing entries (NaN) are ignored."""
    low, high = np.fmin.reduce(X, axis=None), np.fmax.reduce(X, axis=None)
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"{wanting} needs X in [0, 1], but X has values from {low:.7g} to {high:.7g}. {remedy}"
        )


def check_loss_domain(loss: str, X: NDArray[Any]) -> None:
    """Check that the loss is defined for X, or for an array of its values."""
    if loss == "log_loss":
        remedy = "Scale X with MinMaxScaler(clip=True), or use another loss."
        check_probabilities(X, "loss='log_loss'", remedy)
        if 0 < (high := np.fmax.reduce(X, axis=None)) < _SMALLEST_PROBABILITY:
            raise ValueError(
                f"loss='log_loss' needs probabilities, but the largest value of X is {high:g}, "
                f"which is 0 in float32. {remedy}"
            )
    if loss in ("poisson", "multinomial"):
        if (low := np.fmin.reduce(X, axis=None)) < 0:
            raise ValueError(
                f"loss={loss!r} needs counts, X >= 0, but the smallest value is {low:g}. "
                "Pass the counts without centring or scaling, or use another loss."
            )
        if loss == "multinomial" and np.isnan(X).any():
            raise ValueError(
                "loss='multinomial' compares shares of a row's total, which are unknown "
                "if entries are missing (NaN). Impute them, or use another loss."
            )


def is_missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values of a column are NaN, NaT, None or pandas.NA."""
    if values.dtype.kind in "fmM":
        return np.isnan(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    return np.array([_is_missing(value) for value in values], dtype=bool)


def _is_missing(value: object) -> bool:
    if value is None or is_pandas_na(value):
        return True
    # NaN and NaT are unlike themselves. Arrays, which are compared entry by entry, have no hash.
    return isinstance(value, Hashable) and bool(value != value)


def check_sample_weight(weights: Any, X: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of the rows: none is negative, at least one is positive."""
    checked: NDArray[np.float64] = _check_sample_weight(
        weights, X, dtype=np.float64, ensure_non_negative=True
    )
    return checked


def too_large(name: str, largest: float, dtype: np.dtype[Any]) -> ValueError:
    """Return the error of data near the largest number of their dtype."""
    remedy = f"Divide {name} by a constant"
    if dtype == np.float32:
        remedy += ", or convert it to float64"
    return ValueError(
        f"{name} contains values as large as {largest:.3g}, whose sums and differences overflow in "
        f"{dtype}. {remedy}. If such a value marks missing entries, replace it by NaN and use "
        "DenoisingAutoencoder."
    )


def not_finite(result: str, X: NDArray[Any], scale: float) -> ValueError:
    """Return the error of rows whose result is not finite."""
    largest = float(max(np.fmax.reduce(X, axis=None), -np.fmin.reduce(X, axis=None)))
    return ValueError(
        f"The {result} of X overflows in {X.dtype}: X contains values as large as {largest:.3g}, "
        f"and the standard deviation of the training data is {scale:.3g}. Clip or remove these "
        "values."
    )


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device to train on; "auto" is CUDA if available, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved).add_(1)
    # Which error it is depends on the device: for some, a module of torch is missing.
    except (RuntimeError, AssertionError, ImportError, AttributeError) as error:
        raise ValueError(
            f"The 'device' parameter is {str(device)!r}, which is not available here. "
            "Use 'auto', 'cpu', or a device that this machine and this build of torch have."
        ) from error
    if resolved.type == "meta":
        raise ValueError("The 'device' parameter is 'meta', which holds no data. Use 'cpu'.")
    return resolved

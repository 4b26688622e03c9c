"""What `FeatureDisplay` shows: the techniques that apply, and the units that are worth a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skae.core.networks.conv import ConvolutionalMLP
from skae.inspection.ascent import ascend
from skae.inspection.fitted import Fitted
from skae.inspection.layers import check_unit, follows_bits, most_active
from skae.utils.validation import check_count

TECHNIQUES = ("weights", "samples", "optimized")
_MOST_UNITS = 30


def choose_techniques(
    techniques: Sequence[str] | None,
    fitted: Fitted,
    layer: int,
    *,
    has_rows: bool,
    shape: tuple[int, int, int] | None,
) -> list[str]:
    """Return the techniques to show, which must be known; None is all that apply."""
    encoder = fitted.network(fitted.dtype).encoder
    is_convolution = isinstance(encoder, ConvolutionalMLP)
    if techniques is None:
        applies = {
            "weights": layer < fitted.n_encoder_layers
            and not (is_convolution and (layer or shape is None)),
            "samples": has_rows,
            "optimized": not follows_bits(fitted, layer),
        }
        return [name for name in TECHNIQUES if applies[name]]
    if not techniques or isinstance(techniques, str) or not {*techniques} <= {*TECHNIQUES}:
        raise ValueError(f"techniques={techniques!r} must be some of {TECHNIQUES}.")
    if "samples" in techniques and not has_rows:
        raise ValueError(f"techniques={techniques!r} has 'samples', which need X.")
    if "weights" in techniques and is_convolution and shape is None:
        raise ValueError(
            f"techniques={techniques!r} has 'weights', and kernels are drawn as images. Pass "
            "image_shape."
        )
    return list(techniques)


def choose_units(
    units: Any,
    values: NDArray[Any],
    weights: NDArray[Any] | None,
    layer: int | str,
    *,
    has_rows: bool,
) -> list[int]:
    """Return the numbers of the units to draw.

    A number of units are those that vary most, or have the largest weights; otherwise the first.
    """
    n_units = values.shape[1]
    if isinstance(units, int | np.integer):
        check_count("units", units)
        sizes = np.zeros(n_units)
        if has_rows:
            sizes = values.std(axis=0, dtype=np.float64)
        elif weights is not None:
            sizes = np.square(weights.reshape(len(weights), -1)).sum(axis=1)
        order = np.argsort(-sizes, kind="stable")
        chosen = [int(unit) for unit in order[: int(units)]]
    elif isinstance(units, str) or np.ndim(units) != 1:
        raise ValueError(f"units={units!r} must be a number of units or a list of unit numbers.")
    else:
        chosen = [check_unit(unit, n_units, layer, "units") for unit in units]
    if not chosen:
        raise ValueError(f"units={units!r} names no unit.")
    if len({*chosen}) < len(chosen):
        raise ValueError(f"units={units!r} names a unit twice.")
    if len(chosen) > _MOST_UNITS:
        raise ValueError(
            f"units={units!r} are {len(chosen)} units, and a figure has room for {_MOST_UNITS}. "
            "Pass fewer, or draw them in several figures."
        )
    return chosen


def data_limits(fitted: Fitted) -> dict[str, Any]:
    """Return the range of each feature, and the root mean squared distance of training rows."""
    mean, radius = fitted.units.mean.numpy(), fitted.units.scale * np.sqrt(len(fitted.names))
    if issparse(fitted.rows):
        return {"radius": radius}
    low, high = np.fmin.reduce(fitted.rows, axis=0), np.fmax.reduce(fitted.rows, axis=0)
    return {"bounds": (np.fmin(low, mean), np.fmax(high, mean)), "radius": radius}


def find_samples(fitted: Fitted, values: NDArray[Any], n_samples: int) -> dict[str, NDArray[Any]]:
    """Return the rows with the highest values of each unit, and these values."""
    order = most_active(values, n_samples).T
    chosen: Any = fitted.rows[order.ravel()]
    rows = chosen.toarray() if issparse(chosen) else chosen
    return {
        "samples": rows.reshape(*order.shape, -1),
        "sample_activations": np.take_along_axis(values.T, order, axis=1),
    }


def optimize_units(
    fitted: Fitted, layer: int | str, units: Sequence[int], options: dict[str, Any]
) -> dict[str, NDArray[Any]]:
    """Return the input that activates each unit most, and these activations."""
    results = [ascend(fitted, layer, unit, **options) for unit in units]
    return {
        "optimized": np.stack([result.input for result in results]),
        "optimized_activations": np.array([result.activation for result in results]),
    }

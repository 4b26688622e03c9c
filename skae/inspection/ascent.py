"""The input to which a unit responds most."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch, check_random_state
from torch import Tensor

from skae.core.ascent import maximise
from skae.core.layers import LayerReader
from skae.core.numerics import threads_for, torch_defaults
from skae.inspection.fitted import Fitted
from skae.inspection.layers import check_unit, follows_bits, in_user_units, layer_number, open_layer
from skae.utils.validation import check_count

Bounds = tuple[ArrayLike, ArrayLike]
# Times the scale of the training data. Squares of larger distances might overflow.
_MAX_RADIUS = 1e100


def maximize_activation(
    estimator: Any,
    unit: int,
    *,
    layer: int | str = "code",
    bounds: Bounds | None = None,
    radius: float | None = None,
    n_restarts: int = 4,
    max_iter: int = 200,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Find the input that maximises the activation of a unit, by gradient ascent [1]_.

    .. math::

        \max_x\; h(x) \quad\text{where}\quad \|x - \bar x\| \le r
        \;\text{ and }\; l_j \le x_j \le u_j,

    where :math:`h` is what enters the activation function of the unit: where the activation is
    flat, ascent would end. The activation rises with :math:`h`; that of "gelu" and "silu" does
    wherever it is positive. Each restart has a step size of its own, which doubles while the
    activation rises.

    Parameters
    ----------
    estimator : object
        As in `activations`.
    unit : int
        Number of the unit in its layer; of a convolution, number of the channel, whose activation
        is the largest over all positions.
    layer : int or "code", default="code"
        As in `activations`. Of a code that is binary or keeps only its largest units, the unit
        before that step is maximised.
    bounds : (low, high), default=None
        Lowest and highest value of the features, each a number or an array of shape (n_features,),
        in the units that the autoencoder sees. None is (0, 1) with ``loss="log_loss"``, (0, inf)
        with a loss of counts, and otherwise no bounds.
    radius : float, default=None
        Largest distance from `mean_`, in the same units. None is the root mean squared distance of
        the training rows if `bounds` is None too, and otherwise no limit.
    n_restarts : int, default=4
        Number of starts: the mean row and random ones. The best result is `input`.
    max_iter : int, default=200
        Largest number of steps.
    random_state : int, RandomState instance or None, default=None
        Seed of the random starts.

    Returns
    -------
    result : Bunch
        Dictionary-like object, with the following attributes.

        input : ndarray of shape (n_features,)
            The input with the highest activation.
        activation : float
            Its activation, as `activations` returns it.
        inputs : ndarray of shape (n_restarts, n_features)
            The results of all restarts, best first.
        activations : ndarray of shape (n_restarts,)
            Their activations.

    Raises
    ------
    ValueError
        If there is no such layer or unit, the layer follows a binary code, `bounds` exclude
        `mean_`, or another parameter is not as documented.
    TypeError
        If `estimator` has no autoencoder of skae.

    Warns
    -----
    UserWarning
        As in `activations`.

    References
    ----------
    .. [1] Erhan, D., Bengio, Y., Courville, A., & Vincent, P. (2009). Visualizing higher-layer
       features of a deep network. Technical report 1341, Université de Montréal.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder
    >>> from skae.inspection import maximize_activation
    >>> X = load_digits().data
    >>> autoencoder = Autoencoder(8, max_iter=5, random_state=0).fit(X)
    >>> found = maximize_activation(autoencoder, 0, bounds=(0, 16), random_state=0)
    >>> found.input.reshape(8, 8).shape
    (8, 8)
    """
    check_count("n_restarts", n_restarts)
    check_count("max_iter", max_iter, lowest=0)
    fitted, _ = open_layer(estimator, layer)
    return ascend(fitted, layer, unit, bounds, radius, n_restarts, max_iter, random_state)


def ascend(
    fitted: Fitted,
    layer: int | str,
    unit: int,
    bounds: Bounds | None = None,
    radius: float | None = None,
    n_restarts: int = 4,
    max_iter: int = 200,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Return what `maximize_activation` returns."""
    number = layer_number(fitted, layer)
    if follows_bits(fitted, number):
        raise ValueError(
            f"layer={layer!r} follows bits, through which no gradient passes. Choose a layer of "
            "the encoder, or decode codes of your own with inverse_transform."
        )
    project, size = _allowed_set(fitted, bounds, radius)
    n_features, units = len(fitted.names), fitted.units
    noise = check_random_state(random_state).standard_normal((n_restarts, n_features))
    with torch_defaults(), threads_for(units.network_in(torch.float64).cost * n_restarts, 8):
        reader = LayerReader(fitted.network(torch.float64), number)
        check_unit(unit, reader.outputs(torch.zeros(1, n_features).to(units.mean)).shape[1], layer)
        starts = torch.from_numpy(noise)
        starts *= size / starts.norm(dim=1, keepdim=True).clamp_min(1e-300)
        starts[0] = 0.0  # the mean
        starts = project(starts.to(units.device))

        def responses(z: Tensor) -> Tensor:
            return _of_unit(reader.inputs(z), unit)

        found, values = maximise(responses, starts, project, size, max_iter)
        order = values.sort(descending=True, stable=True).indices
        found = found[order]
        outputs = _of_unit(in_user_units(fitted, reader, found), unit)
    inputs = found.cpu().numpy() * units.scale + units.mean.numpy()
    return Bunch(
        input=inputs[0],
        activation=float(outputs[0]),
        inputs=inputs,
        activations=outputs.numpy(),
    )


def _of_unit(outputs: Tensor, unit: int) -> Tensor:
    """Return the activation of a unit for each row; the largest over all positions."""
    return outputs[:, unit].reshape(len(outputs), -1).amax(1)


def _allowed_set(
    fitted: Fitted, bounds: Bounds | None, radius: float | None
) -> tuple[Callable[[Tensor], Tensor], float]:
    """Return the projection onto the allowed inputs, in training units, and their size."""
    units, n_features = fitted.units, len(fitted.names)
    most = _MAX_RADIUS * units.scale
    if radius is not None and not (isinstance(radius, Real) and 0 < radius <= most):
        raise ValueError(
            f"radius must be None or a number above 0, and at most {most:.3g} for the scale of the "
            f"training data. Got {radius!r}."
        )
    length = math.sqrt(n_features) if radius is None else float(radius) / units.scale
    has_ball = radius is not None or bounds is None
    mean = units.mean.numpy()
    if bounds is None:
        loss = fitted.model.loss
        bounds = loss.domain or ((0.0, math.inf) if loss.is_relative else (-math.inf, math.inf))
    low, high = ((bound - mean) / units.scale for bound in _read_bounds(bounds, n_features))
    outside = np.flatnonzero((low > 1e-9) | (high < -1e-9))
    if outside.size:
        raise ValueError(
            f"bounds must contain mean_, in the units that the autoencoder sees, but they do not "
            f"for {outside.size} of {n_features} features, the first of which is "
            f"{fitted.names[outside[0]]}."
        )
    if not has_ball:
        widths = np.minimum(high, length) - np.maximum(low, -length)
        length = max(float(np.linalg.norm(widths)) / 2, 1e-300)
    lowest, highest = (torch.from_numpy(bound).to(units.device) for bound in (low, high))

    def project(z: Tensor) -> Tensor:
        if has_ball:
            z = z * _scale_into_ball(z, lowest, highest, length)
        return torch.minimum(torch.maximum(z, lowest), highest)

    return project, length


def _scale_into_ball(z: Tensor, lowest: Tensor, highest: Tensor, radius: float) -> Tensor:
    """Return the largest t <= 1 for each row such that t z, cut at the bounds, is in the ball.

    With 0 within the bounds, the cut t z is the nearest point to z in both the ball and the box:
    t is 1 / (1 + m) for the multiplier m of the ball. It rises from below: the entries that are
    not cut fill what the others leave of the ball, until no more of them are cut.
    """
    scale = (radius / z.norm(dim=1, keepdim=True)).clamp_max(1.0)
    while True:
        scaled = scale * z
        cut = torch.minimum(torch.maximum(scaled, lowest), highest)
        is_free = cut == scaled
        room = radius**2 - cut.square().masked_fill(is_free, 0.0).sum(1, keepdim=True)
        free = z.square().masked_fill(~is_free, 0.0).sum(1, keepdim=True)
        higher = (room.clamp_min(0.0) / free.clamp_min(1e-300)).sqrt().clamp_max(1.0)
        if not (higher > scale * (1.0 + 1e-12)).any():
            return scale
        scale = torch.maximum(scale, higher)


def _read_bounds(bounds: Any, n_features: int) -> list[NDArray[np.float64]]:
    """Return the lowest and the highest value of each feature."""
    try:
        low, high = (np.asarray(bound, dtype=np.float64) for bound in bounds)
        both = [np.broadcast_to(bound, n_features) for bound in (low, high)]
        is_valid = max(low.ndim, high.ndim) < 2 and bool((both[0] <= both[1]).all())
    except (TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise ValueError(
            "bounds must be a pair (low, high) of numbers, or of arrays with a value for each of "
            f"the {n_features} features, and no low may be above its high."
        )
    return both

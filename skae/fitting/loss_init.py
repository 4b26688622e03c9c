"""The parts of a new model that depend on its loss: output biases, baselines and models of counts.

Of counts, the encoder sees the logarithms, and the decoder starts as a Poisson regression. With a
linear code, this start is one half-step of generalised PCA (Collins et al. 2001; Townes et
al. 2019): the code is PCA's of the log counts, and the rates are log-linear in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch import Tensor

from skae.core.csr_rows import CSRRows
from skae.core.losses import count_level
from skae.core.model import Model
from skae.core.networks.log_inputs import LogInputs
from skae.core.numerics import chunk_size
from skae.core.poisson_regression import poisson_regression
from skae.utils.csr import Array, values_of

# Largest ratio of the mean of the positive counts to the unit of their logarithm.
_MAX_RATIO = 1e3
# A Poisson regression has at most this many rows and features, the first columns of the code. Those
# have the largest variance. It has fewer rows if an iteration would need more multiply-adds, but at
# least ten per coefficient.
_MAX_ROWS = 4096
_MAX_COMPONENTS = 64
_MAX_MULTIPLY_ADDS = 2**33
_MIN_ROWS_PER_COEFFICIENT = 10
# A count of 0, for a mean that is much larger than the unit; the next number above -1 in float32
# would be half of that away.
_FLOOR = 2.0**-22 - 1.0
# Standard deviations below this share of the largest are rounding noise of float32.
_NO_DEVIATION = 1e-5
# Precision of the prior of the coefficients, for a code of variance 1. It hardly matters: on word
# counts and single cells, 0.1, 1 and 10 gave the same deviance within 2 %.
_PRECISION = 0.1


class LogOfCounts:
    """The logarithm of counts, ``log(1 + x / unit)``.

    The unit is the smallest positive value, which is 1 for counts, but not so small that the
    logarithm would be governed by it.

    Parameters
    ----------
    X : array or CSR matrix
    rows : ndarray or None
        Rows that determine the unit; None is all.
    by_total : bool
        Whether each row is first divided by its total, relative to the mean total.
    """

    def __init__(self, X: Array, rows: NDArray[np.int64] | None, *, by_total: bool) -> None:
        X = X if rows is None else X[rows]
        values = values_of(X)
        positive = values[values > 0]
        self.by_total, self.unit = by_total, 1.0
        if len(positive):
            mean = float(positive.mean(dtype=np.float64))
            self.unit = max(float(positive.min()), mean / _MAX_RATIO)
        self.mean_total = float(_totals(X).mean()) or 1.0

    def __call__(self, X: Any) -> Array:
        """Return the logarithms."""
        unit: Any = self.unit
        if self.by_total:
            totals = _totals(X) / self.mean_total
            unit = unit * np.where(totals > 0, totals, 1.0)[:, None]
        if not issparse(X):
            return np.log1p(X / unit).astype(X.dtype, copy=False)
        logarithms: Any = X.copy()
        if self.by_total:
            unit = np.repeat(unit[:, 0], np.diff(X.indptr))
        logarithms.data = np.log1p(X.data / unit).astype(X.dtype, copy=False)
        return logarithms

    def input_map(
        self,
        mean: NDArray[np.float64],
        scale: float,
        log_mean: NDArray[np.float64],
        log_scale: float,
    ) -> LogInputs:
        """Return the map from counts in training units to standardised logarithms."""
        return LogInputs(
            torch.from_numpy(scale / (self.unit + mean)),
            torch.from_numpy(np.maximum(-mean / (self.unit + mean), _FLOOR)),
            torch.from_numpy(log_mean - np.log1p(mean / self.unit)),
            log_scale,
            scale / float(mean.sum()) if self.by_total and mean.any() else 0.0,
        )


def _totals(X: Array) -> NDArray[np.float64]:
    return np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()


@torch.no_grad()
def init_log_linear_decoder(
    model: Model, z: Tensor, folds: Sequence[Tensor], unit: float, generator: torch.Generator
) -> None:
    """Set the decoder's skip connection to a Poisson regression on the code.

    The coefficients have a normal prior, which keeps those of features with few counts near 0.

    Parameters
    ----------
    model : Model
        Model of counts; with a skip connection of the encoder, if the code starts at PCA.
    z : Tensor of shape (n_samples, n_features)
        Rows in training units, those of the last model.
    folds : sequence of Tensor
        Rows of each of the other models.
    unit : float
        Unit of a count.
    generator : torch.Generator
    """
    network, level = model.network, count_level(model.mean)
    if network.encoder.skip is None:
        # Random outputs are far worse than the mean, so start at the mean.
        network.decoder.zero_output()
        network.decoder.set_skip(None, None)
        return
    n_components = min(_MAX_COMPONENTS, network.encoder.layers[-1].bias.shape[-1])
    cost = len(level) * (n_components + 1) ** 2
    n_rows = max(_MIN_ROWS_PER_COEFFICIENT * (n_components + 1), _MAX_MULTIPLY_ADDS // cost)
    training = [*folds, torch.arange(len(z))]
    n_rows = min(_MAX_ROWS, n_rows, *map(len, training))
    drawn = [own[torch.randperm(len(own), generator=generator)[:n_rows]] for own in training]
    network.float().eval()
    # Sparse rows become dense a part at a time.
    size = chunk_size(_MAX_ROWS, len(drawn) * len(level)) if isinstance(z, CSRRows) else n_rows
    parts = [z[numbers].float() for numbers in torch.stack(drawn).split(size, 1)]
    codes = torch.cat([network.encode(part) for part in parts], 1).double()
    network.train()
    weights, biases = [], []
    for numbers, code in zip(drawn, codes, strict=True):
        weight = code.new_zeros(code.shape[1], len(level))
        code = code[:, :n_components]
        mean, deviation = code.mean(0), code.std(0)
        # Columns beyond the rank of the rows hold rounding noise, and get no coefficient.
        deviation = torch.where(deviation > _NO_DEVIATION * deviation.max(), deviation, torch.inf)
        found, bias = _regression(model, z, numbers, (code - mean) / deviation, unit)
        weight[:n_components] = found / deviation[:, None]
        weights.append(weight)
        biases.append((bias - mean @ weight[:n_components])[None])
    network.decoder.scale = 1.0
    network.decoder.set_skip(torch.stack(weights), torch.stack(biases))


def _regression(
    model: Model, z: Tensor, numbers: Tensor, code: Tensor, unit: float
) -> tuple[Tensor, Tensor]:
    """Return the Poisson regression of these rows on their code."""
    level, found = count_level(model.mean), []
    is_sparse = isinstance(z, CSRRows)
    drawn = z.select(numbers) if isinstance(z, CSRRows) else z[numbers]
    size = chunk_size(len(level), len(numbers)) if is_sparse else len(level)
    for columns in torch.arange(len(level)).split(size):
        own = drawn[:, columns] if is_sparse else drawn
        own_level = level[columns]
        relative = own.double() * (model.scale / own_level) + (model.mean[columns] / own_level - 1)
        found.append(poisson_regression(code, relative, _PRECISION * unit / own_level))
    weights, biases = zip(*found, strict=True)
    return torch.cat(weights, 1), torch.cat(biases)


@torch.no_grad()
def init_output_bias(model: Model, largest: float) -> None:
    """Set the decoder's bias to the logit of the mean, with PCA as a first-order step from there.

    Parameters
    ----------
    model : Model
        Model with probabilities.
    largest : float
        Largest entry of X.
    """
    loss, decoder = model.loss, model.network.decoder
    assert loss.link is not None
    bias = loss.link(model.mean).expand(len(decoder.layers[-1].bias), 1, -1)
    skip, skip_bias = decoder.exact_skip
    if skip is not None:
        # The smallest slope of the logit in the range of X: 4, or more if all entries are small.
        highest = min(max(largest, 1e-30), 0.5)
        slope = 1.0 / (highest * (1.0 - highest))
        skip = skip * (slope * model.scale)
        if skip_bias is not None:  # from a code whose mean is not 0
            bias = bias + skip_bias * (slope * model.scale)
        decoder.scale = 1.0
    else:
        # Through a link, random outputs are far worse than the mean, so start at the mean.
        decoder.zero_output()
    decoder.set_skip(skip, bias)


def set_baseline(model: Model, z: Tensor, missing: Tensor | None) -> None:
    """Set the loss of predicting the mean, which all losses are relative to.

    The parameters are those of `loss_of_mean`.
    """
    baseline = loss_of_mean(model, z, missing) or 1.0
    if model.loss.is_relative:
        model.deviance_of_mean = baseline
        model._count_units.clear()
    else:
        model.baseline = baseline


@torch.no_grad()
def loss_of_mean(model: Model, z: Tensor, missing: Tensor | None) -> float:
    """Return the mean loss of predicting the mean.

    Parameters
    ----------
    model : Model
    z : Tensor of shape (n_samples, n_features)
        In training units.
    missing : Tensor of bool, of the shape of z, or None
        Imputed entries of z, which have no loss.
    """
    loss, total = model.loss, 0.0
    output = torch.zeros(z.shape[1:], dtype=torch.float32)
    levels: tuple[Tensor, ...] = ()
    if loss.is_relative:
        output, levels = output.double(), (count_level(model.mean),)
    elif loss.link is not None:
        output = loss.link(model.mean)
    start = 0
    for chunk in z.split(chunk_size(_MAX_ROWS, z.shape[-1])):
        chunk = chunk.to(output.dtype)
        target = model.target(chunk, chunk)
        losses = loss.function(output.expand_as(target), target, *levels, reduction="none")
        if missing is not None:
            losses = losses.masked_fill(missing[start : start + len(chunk)], 0.0)
        start += len(chunk)
        total += float(losses.sum(dtype=torch.float64))
    return total / math.prod(z.shape)

"""Rows that `partial_fit` keeps of those that have passed, and the start that they renew."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import issparse, vstack

from skae.core.model import Model
from skae.core.networks.autoencoder import AutoencoderNetwork
from skae.core.networks.variational import VariationalNetwork
from skae.fitting.data import mean_and_scale
from skae.fitting.pca_init import fit_pca, new_model
from skae.fitting.split import no_split
from skae.utils.csr import values_of

_MAX_ROWS = 2048
_MAX_ENTRIES = 2**22
# The start is examined again each time that this many times as many rows have passed.
_GROWTH = 1.1
# A new start must be better by this share of the error. With less, no network would gain.
_MIN_GAIN = 0.02
_MIN_STEP_ROWS = 64
# A share of the variance needs more rows to fix the number of components, but at most this many.
_MAX_ROWS_OF_SHARE = 1000
# Rows with an entry this many times as far from the mean as others are left out of the sample, as
# they would set the units of all others. Training on them diverges, and is taken back.
_ASTRAY = 1e5


def join_rows(parts: list[Any]) -> Any:
    """Return dense arrays or CSR matrices below one another."""
    if len(parts) == 1:
        return parts[0]
    is_sparse = any(issparse(part) for part in parts)
    return vstack(parts, format="csr") if is_sparse else np.concatenate(parts)


def min_rows(n_components: int | float | None, n_features: int) -> int:
    """Return the number of rows that PCA needs."""
    wanted = int(n_components) if isinstance(n_components, Integral) else _MAX_ROWS_OF_SHARE
    return max(2, min(wanted, n_features))


class Sample:
    """A uniform sample, without replacement, of all rows that have passed.

    However the rows are ordered, each is as likely to be in it as any other.

    Attributes
    ----------
    rows : array or CSR matrix of shape (n_sampled, n_features), or None
    n_seen : int
        Number of rows that have passed.
    """

    def __init__(self, n_features: int, least: int, seed: int) -> None:
        self.size = max(4 * least, min(_MAX_ROWS, _MAX_ENTRIES // n_features))
        self.least = least
        self.seed, self.random = seed, np.random.default_rng(seed)
        self.keys = np.empty(0)
        self.rows: Any = None
        self.n_seen = self.n_examined = 0

    def add(self, X: Any) -> None:
        """Let rows pass: those with the smallest random keys stay."""
        keys = np.concatenate([self.keys, self.random.random(X.shape[0])])
        kept = keys.argsort(kind="stable")[: self.size]
        kept = np.sort(kept)  # rows stay in the order in which they came
        old, new = kept[kept < len(self.keys)], kept[kept >= len(self.keys)] - len(self.keys)
        parts = [] if self.rows is None else [self.rows[old]]
        self.rows, self.keys = join_rows([*parts, X[new]]), keys[kept]
        self.n_seen += X.shape[0]

    def draw(self, n_rows: int) -> list[Any]:
        """Return up to this many rows, as a list of at most one array."""
        if self.rows is None or n_rows <= 0:
            return []
        order = self.random.permutation(len(self.keys))[:n_rows]
        return [self.rows[np.sort(order)]]

    def let_pass(self, estimator: Any, model: Model, X: Any, *, is_first: bool) -> Any:
        """Renew the start of the model if need be; return the rows to train on.

        These are X and, from the second call on, as many of the sample. Otherwise, training would
        forget earlier rows that differ from later ones, and a step on few rows would be noise.
        """
        mean = model.mean.numpy()
        farthest = np.nanmax(np.abs(values_of(X)), initial=0.0) + np.abs(mean).max()
        if not is_first and not farthest < _ASTRAY * (model.scale + np.abs(mean).max()):
            return X
        self.add(X)
        if is_first:  # the start is that of X
            self.n_examined = self.n_seen
            return X
        if self.calls_for_new_start(model):
            renew_start(estimator, model, self.rows, self.seed)
        n_rows = X.shape[0]
        return join_rows([X, *self.draw(max(n_rows, _MIN_STEP_ROWS - n_rows))])

    def calls_for_new_start(self, model: Model) -> bool:
        """Return whether units and PCA from half of the sample suit the other half better.

        That is so if the start stands on few rows, or on rows unlike those that came later.
        """
        n_sampled = len(self.keys)
        if self.n_seen < _GROWTH * self.n_examined or n_sampled < 2 * self.least:
            return False
        if model.loss.is_relative:  # its start is no PCA of X, whose errors could be compared
            # Of a start on unknown rows, such as one that was saved, it is not clear how many.
            is_old = self.n_seen >= 2 * (self.n_examined or self.size // 2)
            self.n_examined = self.n_seen if is_old else self.n_examined
            return is_old
        self.n_examined = self.n_seen
        order = self.random.permutation(n_sampled)
        half, other = (_dense(self.rows[part]) for part in np.array_split(order, 2))
        mean, scale = mean_and_scale(half)
        encode = model.network.encoder.exact_skip[0]
        axes = old_axes = np.zeros((0, len(mean)))
        if encode is not None:
            z = np.nan_to_num((half - mean) / scale, copy=False)
            axes = fit_pca(z, encode.shape[-1], torch.Generator().manual_seed(0)).components
            old_axes = np.linalg.qr(encode[0].cpu().numpy())[0].T
        unit = model.scale  # so that no square overflows
        found = _costs(other, mean, scale, axes, unit)
        present = _costs(other, model.mean.numpy(), model.scale, old_axes, unit)
        rest, rest_present = found[0], present[0]
        return rest < (1 - _MIN_GAIN) * rest_present or found[1] < present[1] - _MIN_GAIN


def _dense(X: Any) -> Any:
    return X.toarray() if issparse(X) else X


def _costs(
    X: Any, mean: NDArray[np.float64], scale: float, axes: NDArray[np.float64], unit: float
) -> tuple[float, float]:
    """Return the mean square that axes leave over, and how badly the units suit the rows.

    The latter is minus the log-likelihood of an entry under N(mean, scale), up to a constant.
    """
    z = np.nan_to_num((X - mean) / unit, copy=False)
    total, rest = (float(np.square(part).mean()) for part in (z, z - z @ axes.T @ axes))
    relative = scale / unit
    return rest, 0.5 * total / relative**2 + np.log(relative)


@torch.no_grad()
def renew_start(estimator: Any, model: Model, X: Any, seed: int) -> None:
    """Set units, PCA and baseline of a model to those of these rows; its weights stay.

    The principal axes are turned such that the code changes little, and the output layer of the
    decoder is scaled such that it adds what it has added before, in training units.
    """
    network = model.network
    estimator = copy.copy(estimator)
    estimator.n_components = network.architecture.n_components  # not a share of the variance
    seeded = torch.Generator().manual_seed(seed)
    fresh, _ = new_model(estimator, X, no_split(X.shape[0]), seeded)
    _align(fresh.network, network)
    for old, new in zip(network.mlps, fresh.network.mlps, strict=True):
        if old in network.decoders and not old.layers[-1].transposed:
            old.scale_output(old.scale / new.scale)
            old.scale = new.scale
        old.set_skip(*new.exact_skip, torch.float32)
    if isinstance(network, VariationalNetwork) and network.noise_variance is not None:
        assert isinstance(fresh.network, VariationalNetwork)
        assert fresh.network.noise_variance is not None
        network.noise_variance = fresh.network.noise_variance.to(network.noise_variance)
    model.mean, model.scale, model.code_unit = fresh.mean, fresh.scale, fresh.code_unit
    model.baseline, model.row_total = fresh.baseline, fresh.row_total
    model.deviance_of_mean = fresh.deviance_of_mean
    input_map = fresh.network.encoder.input_map
    network.encoder.input_map = None if input_map is None else input_map.to(model.device)
    model._means.clear()
    model._count_units.clear()


def _align(fresh: AutoencoderNetwork, network: AutoencoderNetwork) -> None:
    """Turn a linear code of `fresh` such that it is close to that of `network`.

    An ordered code keeps its axes: the first columns of a turned one would not be a code.
    """
    encode, old = fresh.encoder.exact_skip[0], network.encoder.exact_skip[0]
    if encode is None or old is None or not fresh.is_code_linear or len(fresh.decoders) > 1:
        return
    overlap = encode[0].T @ old[0].to(encode)
    if not isinstance(fresh, VariationalNetwork):
        left, _, right = torch.linalg.svd(overlap)  # orthogonal Procrustes
        turn = left @ right
    else:  # the posterior has independent columns, so the axes may only change places and signs
        rows, columns = linear_sum_assignment(-overlap.abs().numpy())
        turn = torch.zeros_like(overlap)
        turn[rows, columns] = torch.where(overlap[rows, columns] < 0, -1.0, 1.0).to(turn)
        bias = fresh.log_variance.exact_skip[1]
        assert bias is not None
        fresh.log_variance.set_skip(None, bias @ turn.abs(), torch.float32)
    decode, bias = fresh.decoder.exact_skip
    assert decode is not None
    fresh.encoder.set_skip(encode @ turn, None)
    fresh.decoder.set_skip(turn.T @ decode, bias)

"""A network together with the units of its data: everything that `transform` needs."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

from skae._core.chunks import rows_at_a_time
from skae._core.losses import ReconstructionLoss
from skae._core.networks import AutoencoderNetwork, Network
from skae._core.numerics import defaults_of_torch
from skae._core.refinement import refined

_ROWS_AT_A_TIME = 8192
# A step on a thousand codes finds in the cache what it reads again.
_REFINED_AT_A_TIME = 1024
# Share of the loss of predicting the mean.
_GOOD_ENOUGH = 1e-3


AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def packed(state: dict[str, object]) -> dict[str, bytes]:
    """Return a state as bytes, the same ones each time, that open without the device it is on.

    A tensor's own pickle names its storage by an address, so that no two of one model would be
    alike, and caches (joblib's, a `Pipeline`'s) would never know it again.
    """
    # A pickle tells equal strings from the same string. Loaded ones are the same, so a state that
    # was loaded once gives what it will give when it is loaded again.
    return _saved(unpacked(_saved(state)))


def _saved(state: dict[str, object]) -> dict[str, bytes]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return {"packed": buffer.getvalue()}


def unpacked(stored: dict[str, bytes]) -> dict[str, object]:
    """Return the state that was packed."""
    with defaults_of_torch():
        # Like any pickle, it may hold code.
        state: dict[str, object] = torch.load(
            io.BytesIO(stored["packed"]), map_location="cpu", weights_only=False
        )
    return state


@dataclass
class NetworkInUnits(Generic[AnyNetwork]):
    """A network together with the units of its rows, in any precision asked for.

    Attributes
    ----------
    network : Network
        Works on z = (x - mean) / scale.
    mean : Tensor of shape (n_features,), float64
    scale : float
        Root mean square of X - mean over all entries: one number, so that features keep their
        relative sizes as they do under PCA, and shifting or scaling X changes nothing.
    """

    network: AnyNetwork
    mean: Tensor
    scale: float
    _networks: dict[torch.dtype, AnyNetwork] = field(init=False, repr=False, default_factory=dict)
    _means: dict[tuple[torch.device, torch.dtype], Tensor] = field(
        init=False, repr=False, default_factory=dict
    )

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # A copy, unlike a pickle, stays on its device.
        copied = object.__new__(type(self))
        memo[id(self)] = copied
        state = {**self.__dict__, "_networks": {}, "_means": {}}
        copied.__dict__.update(copy.deepcopy(state, memo))
        return copied

    def __getstate__(self) -> dict[str, bytes]:
        return packed({**self.__dict__, "_networks": {}, "_means": {}})

    def __setstate__(self, state: dict[str, bytes]) -> None:
        self.__dict__.update(unpacked(state))

    @property
    def device(self) -> torch.device:
        """Where the network is. The mean stays on the CPU: not every device has float64."""
        return next(self.network.parameters()).device

    @property
    def rows_at_a_time(self) -> int:
        """Number of rows that go through the network at once where nothing is trained."""
        return rows_at_a_time(_ROWS_AT_A_TIME, self.network.widest())

    def mean_like(self, z: Tensor) -> Tensor:
        """Return the mean on the device and in the precision of z."""
        key = (z.device, z.dtype)
        if key not in self._means:
            self._means[key] = self.mean.to(z.dtype).to(z.device)
        return self._means[key]

    def network_in(self, dtype: torch.dtype) -> AnyNetwork:
        """Return the network in another precision. Casting upwards is exact."""
        if dtype not in self._networks:
            self._networks[dtype] = copy.deepcopy(self.network).to(dtype).eval()
        return self._networks[dtype]

    def standardised(self, x: Tensor) -> Tensor:
        """Rows in the units of X to training units, on the model's device."""
        rows = x.to(self.device)
        mean = self.mean_like(rows)
        z = rows - mean
        if z.dtype != self.mean.dtype:
            # What rounding took from the mean: training subtracts all of it.
            z -= (self.mean - mean.cpu()).to(z)
        return z.div_(self.scale)


@dataclass
class Model(NetworkInUnits[AutoencoderNetwork]):
    """An autoencoder's network, loss and units.

    Attributes
    ----------
    loss : ReconstructionLoss
    baseline : float
        Loss of predicting the mean; losses are reported relative to it.
    code_unit : float
        `scale` where the code scales with X, so that codes are in the units of X; otherwise 1.
    total : float
        Mean total of a row, of which a loss of shares reconstructs the parts.
    preconditioner : Tensor of shape (n_components, n_components), float64, or None
        Of the steps from the encoder's code to that of the nearest reconstruction; None where codes
        stay where they are.
    """

    loss: ReconstructionLoss
    baseline: float = 1.0
    code_unit: float = 1.0
    total: float = 1.0
    preconditioner: Tensor | None = None

    def response(self, output: Tensor) -> Tensor:
        """Output to reconstruction, in the units of the loss; shares are those of a mean row."""
        response = self.loss.response(output)
        return response * self.total if self.loss.shares else response

    def target(self, z: Tensor, output: Tensor) -> Tensor:
        """Return what the loss compares the output with: itself where an entry is missing."""
        x = z if self.loss.link is None else torch.add(self.mean_like(z), z, alpha=self.scale)
        if not self.network.fills_missing:
            return x
        # No loss has a gradient there.
        return torch.where(x.isnan(), self.response(output.detach()), x)

    def entry_losses(self, output: Tensor, z: Tensor) -> Tensor:
        """Loss of each entry; 0 where it is missing."""
        losses = self.loss.function(output, self.target(z, output), reduction="none")
        return losses.masked_fill(z.isnan(), 0.0) if self.network.fills_missing else losses

    def reconstruction(self, output: Tensor, z: Tensor) -> Tensor:
        """Mean loss, in units of the loss of predicting the mean."""
        if self.network.fills_missing:
            loss = self.entry_losses(output, z).mean()
        else:
            loss = self.loss.function(output, self.target(z, output))
        return loss if self.baseline == 1.0 else loss / self.baseline

    def row_losses(self, output: Tensor, z: Tensor) -> Tensor:
        """Loss of each row, in the same units."""
        return self.entry_losses(output, z).flatten(z.ndim - 1).mean(-1) / self.baseline

    def decode(self, code: Tensor, network: AutoencoderNetwork | None = None) -> Tensor:
        """Code to reconstruction, both in training units."""
        output = (network or self.network).decode(code)
        if self.loss.link is None:
            return output
        return (self.response(output) - self.mean_like(output)) / self.scale

    def encode(
        self, z: Tensor, n_refinements: int | None = None, network: AutoencoderNetwork | None = None
    ) -> Tensor:
        """Rows to codes, both in training units: the encoder's, and so many steps on from them."""
        network = network or self.network
        code = network.encode(z)
        if self.preconditioner is None or not n_refinements:
            return code
        preconditioner = self.preconditioner.to(code.dtype).to(code.device)
        z = self._attainable(z, network)
        # A loss through a link may fall for ever as the code goes to infinity.
        good_enough = 0.0 if self.loss.link is None else _GOOD_ENOUGH * 0.5 * z.shape[1]

        def losses(part: Tensor, code: Tensor, rows: Tensor) -> Tensor:
            # Half the squared distance, or what corresponds to it under another loss.
            entries = self.entry_losses(network.decode(code), part[rows])
            return entries.sum(1) * (0.5 / self.baseline)

        n_rows = rows_at_a_time(_REFINED_AT_A_TIME, 4 * network.widest())
        return torch.cat(
            [
                refined(
                    partial(losses, part),
                    start,
                    preconditioner,
                    n_refinements,
                    good_enough=good_enough,
                )
                for part, start in zip(z.split(n_rows), code.split(n_rows), strict=True)
            ]
        )

    def _attainable(self, z: Tensor, network: AutoencoderNetwork) -> Tensor:
        """Rows as a step may want them: what the encoder ignores at its mean, all in the domain."""
        z = z.masked_fill(network.encoder.ignores(), 0.0)
        if self.loss.domain is None:
            return z
        return z.clamp(*((bound - self.mean_like(z)) / self.scale for bound in self.loss.domain))

    def encoded_chunks(self, z: Tensor) -> Iterator[Tensor]:
        """Yield the encoder's codes of a part of the rows after another, in training units.

        In the units of X, float32 might overflow.
        """
        network = self.network_in(z.dtype)
        for chunk in z.split(self.rows_at_a_time):
            with torch.no_grad():
                codes = network.encode(chunk.to(self.device)).cpu()
            yield codes

    @defaults_of_torch()
    @torch.no_grad()
    def codes_of(self, x: Tensor, n_refinements: int | None = None) -> Tensor:
        """Rows in the units of X to codes, in the precision of x."""
        network = self.network_in(x.dtype)
        codes = []
        for chunk in x.split(self.rows_at_a_time):
            code = self.encode(self.standardised(chunk), n_refinements, network)
            codes.append(code.mul_(self.code_unit).cpu())
        return torch.cat(codes)

    @defaults_of_torch()
    @torch.no_grad()
    def rows_of(self, codes: Tensor) -> Tensor:
        """Codes to rows in the units of X, in the precision of the codes."""
        network = self.network_in(codes.dtype)
        rows = []
        for chunk in codes.split(self.rows_at_a_time):
            z = self.decode(chunk.to(self.device) / self.code_unit, network)
            rows.append(z.mul_(self.scale).add_(self.mean_like(z)).cpu())
        return torch.cat(rows)

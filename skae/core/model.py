"""A network together with the units of its data: everything that `transform` needs."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from skae.core import numerics
from skae.core.entry_rows import EntryRows
from skae.core.losses import LOSSES, CountUnits, ReconstructionLoss, count_level
from skae.core.networks.autoencoder import AutoencoderNetwork, Network
from skae.core.networks.storage import restore_network, store_network
from skae.core.numerics import chunk_size, on_python_threads, threads_for, torch_defaults
from skae.core.refine import refine, shrink, with_gradients
from skae.core.serialise import StoredState, to_plain

_MAX_ROWS = 8192
# Most rows refined at once. Few stay in the cache, and give threads about equal work.
_MAX_PART = 256
# Loss below which a code is not refined further, as a share of the loss of predicting the mean.
_LOSS_TOL = 1e-3
# Smaller for counts: the mean may have thousands of times the deviance of a good reconstruction.
_DEVIANCE_TOL = 1e-6

_CACHES = frozenset({"_networks", "_means", "_count_units", "_masks"})

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


@dataclass
class NetworkInUnits(ABC, Generic[AnyNetwork]):
    """A network and the units of its data, for use in float32 or float64.

    Attributes
    ----------
    network : Network
        Takes z = (x - mean) / scale.
    mean : Tensor of shape (n_features,), float64
    scale : float
        Root mean square of X - mean over all entries. A single number preserves the relative scales
        of the features, as in PCA, and makes the fit invariant to shifting or scaling X.
    """

    network: AnyNetwork
    mean: Tensor
    scale: float
    _networks: dict[torch.dtype, AnyNetwork] = field(init=False, repr=False, default_factory=dict)
    _means: dict[tuple[torch.device, torch.dtype], Tensor] = field(
        init=False, repr=False, default_factory=dict
    )

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # Unlike a pickle, a copy stays on its device.
        copied = object.__new__(type(self))
        memo[id(self)] = copied
        state = {name: {} if name in _CACHES else v for name, v in self.__dict__.items()}
        copied.__dict__.update(copy.deepcopy(state, memo))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        state = {part.name: getattr(self, part.name) for part in fields(self) if part.init}
        return to_plain(state | self._stored_parts())

    @torch_defaults()
    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = StoredState(state, type(self).__name__)
        values = self._restored_parts(stored)
        n_features = values["network"].architecture.n_features
        values["mean"] = stored.read_tensor("mean", (n_features,), (torch.float64,))
        values |= {p.name: stored.read(p.name, float) for p in fields(self) if p.type == "float"}
        stored.end()
        self.__dict__.update(vars(type(self)(**values)))

    @abstractmethod
    def _stored_parts(self) -> dict[str, Any]:
        """Return plain values and tensors for the network and the other objects."""

    @abstractmethod
    def _restored_parts(self, stored: StoredState) -> dict[str, Any]:
        """Return the network and all fields that are neither the mean nor floats."""

    @property
    def device(self) -> torch.device:
        """Device of the network. The mean stays on the CPU: not every device has float64."""
        return next(self.network.parameters()).device

    @property
    def chunk_size(self) -> int:
        """Number of rows that pass through the network at once outside training."""
        return chunk_size(_MAX_ROWS, self.network.max_width)

    def mean_like(self, z: Tensor) -> Tensor:
        """Return the mean on the device and in the precision of z."""
        key = (z.device, z.dtype)
        if key not in self._means:
            self._means[key] = self.mean.to(z.dtype).to(z.device)
        return self._means[key]

    def network_in(self, dtype: torch.dtype) -> AnyNetwork:
        """Return the network in this precision. Casting to a higher precision is exact."""
        if dtype not in self._networks:
            with threads_for(0):
                network = copy.deepcopy(self.network).to(dtype).eval()
            network.cost = network.multiply_adds()
            self._networks[dtype] = network
        return self._networks[dtype]

    def standardise(self, x: Tensor) -> Tensor:
        """Convert rows from the units of X to training units, on the model's device."""
        rows = x.to(self.device)
        mean = self.mean_like(rows)
        z = rows - mean
        if z.dtype != self.mean.dtype:
            # Subtract the rounding error of the mean too; training subtracts the exact mean.
            z -= (self.mean - mean.cpu()).to(z)
        return z.div_(self.scale)


@dataclass
class Model(NetworkInUnits[AutoencoderNetwork]):
    """An autoencoder: network, loss and units.

    Attributes
    ----------
    loss : ReconstructionLoss
    baseline : float
        Loss of predicting the mean; losses are reported relative to it.
    code_unit : float
        `scale` if the code scales with X, so that codes have the units of X; otherwise 1.
    deviance_of_mean : float
        Loss of predicting the mean, for a relative loss. The levels are divided by it, and
        `baseline` stays 1, because sums in the units of X might overflow float32.
    row_total : float
        Mean total of a row, which a loss with `has_row_total` distributes over the columns.
    preconditioner : Tensor of shape (n_components, n_components), float64, or None
        Preconditioner of the refinement steps; None if codes are not refined.
    """

    loss: ReconstructionLoss
    baseline: float = 1.0
    code_unit: float = 1.0
    deviance_of_mean: float = 1.0
    row_total: float = 1.0
    preconditioner: Tensor | None = None
    _count_units: dict[tuple[torch.device, torch.dtype], CountUnits] = field(
        init=False, repr=False, default_factory=dict
    )
    _masks: dict[torch.dtype, Tensor] = field(init=False, repr=False, default_factory=dict)

    def _stored_parts(self) -> dict[str, Any]:
        names = [name for name, loss in LOSSES.items() if loss == self.loss]
        if not names:
            raise TypeError("A model whose loss is not in skae.core.losses.LOSSES cannot be saved.")
        return {"network": store_network(self.network), "loss": names[0]}

    def _restored_parts(self, stored: StoredState) -> dict[str, Any]:
        network = restore_network(stored.read_state("network"))
        n_components = network.architecture.n_components
        shape, dtypes = (n_components, n_components), (torch.float64,)
        has_preconditioner = stored.has("preconditioner")
        return {
            "network": network,
            "loss": LOSSES[stored.read_choice("loss", LOSSES)],
            "preconditioner": (
                stored.read_tensor("preconditioner", shape, dtypes) if has_preconditioner else None
            ),
        }

    # -- losses, of a batch in training units ----------------------------------------------------

    def count_units(self, z: Tensor) -> CountUnits:
        """Return the units of counts on the device and in the precision of z."""
        key = (z.device, z.dtype)
        if key not in self._count_units:
            level = count_level(self.mean)
            parts = (
                level,
                level / self.deviance_of_mean,
                self.scale / level,
                self.mean / level - 1,
                (level / level.sum()).log(),
            )
            self._count_units[key] = CountUnits(*(part.to(z.dtype).to(z.device) for part in parts))
        return self._count_units[key]

    def response(self, output: Tensor) -> Tensor:
        """Convert output to reconstruction, in the units of X."""
        if not self.loss.is_relative:
            return self.loss.response(output)
        units = self.count_units(output)
        if self.loss.has_row_total:
            return torch.softmax(output + units.log_share, -1) * self.row_total
        return self.loss.response(output) * units.level

    def target(self, z: Tensor, output: Tensor) -> Tensor:
        """Return the target of the loss; for a missing entry, it is the reconstruction."""
        if self.loss.is_relative:
            units = self.count_units(z)
            x = torch.addcmul(units.excess, z, units.slope)
        elif self.loss.link is not None:
            x = torch.add(self.mean_like(z), z, alpha=self.scale)
        else:
            x = z
        if not self.network.imputes_missing:
            return x
        # At this target, every loss has its minimum and no gradient.
        perfect = self.loss.response(output.detach())
        return torch.where(x.isnan(), perfect - 1 if self.loss.is_relative else perfect, x)

    def entry_losses(self, output: Tensor, z: Tensor, reduction: str = "none") -> Tensor:
        """Return the loss of each entry, or the mean; that of a missing entry is 0."""
        arguments = [output, self.target(z, output)]
        if self.loss.is_relative:
            arguments.append(self.count_units(z).weight)
        if not self.network.imputes_missing:
            return self.loss.function(*arguments, reduction=reduction)
        losses = self.loss.function(*arguments, reduction="none").masked_fill(z.isnan(), 0.0)
        return losses if reduction == "none" else losses.mean()

    def row_losses(self, output: Tensor, z: Tensor) -> Tensor:
        """Return the loss of each row, relative to that of predicting the mean."""
        if isinstance(z, EntryRows) and self.loss.has_row_total:
            return z.multinomial_losses(output, self.count_units(z)) / z.shape[-1]
        return self.entry_losses(output, z).flatten(z.ndim - 1).mean(-1) / self.baseline

    def reconstruction(self, output: Tensor, z: Tensor) -> Tensor:
        """Return the mean loss, relative to that of predicting the mean."""
        if isinstance(z, EntryRows) and self.loss.has_row_total:
            return self.row_losses(output, z).mean()
        loss = self.entry_losses(output, z, "mean")
        return loss if self.baseline == 1.0 else loss / self.baseline

    # -- codes and reconstructions, in training units --------------------------------------------

    def encode(
        self, z: Tensor, n_steps: int | None = None, network: AutoencoderNetwork | None = None
    ) -> Tensor:
        """Encode rows, and refine the codes in at most `n_steps` steps (`skae.core.refine`)."""
        network = network or self.network
        if self.preconditioner is None or not n_steps:
            return network.encode(z)
        on_cpu, size = z.device.type == "cpu", _MAX_ROWS
        if on_cpu:
            # At least what one thread does (see `threads_for`), otherwise a part for each of two.
            cost = 3 * (network.cost or network.multiply_adds()) * (z.itemsize / 4)
            size = min(_MAX_PART, max(1, int(numerics.SMALL_STEP / cost), (len(z) + 1) // 2))
        parts = z.split(chunk_size(size, network.max_width))
        calls = [partial(self._refined_codes, part, n_steps, network) for part in parts]
        n_threads = min(torch.get_num_threads(), len(parts)) if on_cpu else 1
        results = on_python_threads(calls, n_threads) if n_threads > 1 else [c() for c in calls]
        return torch.cat(results)

    @torch.no_grad()
    def _refined_codes(self, z: Tensor, n_steps: int, network: AutoencoderNetwork) -> Tensor:
        codes = network.encode(z)
        # The target has masked inputs at their mean, and values within the domain.
        masks = {} if network is self.network else self._masks  # it may still be trained
        if z.dtype not in masks:
            masks[z.dtype] = network.encoder.masked_inputs()
        target = z.masked_fill(masks[z.dtype], 0.0)
        if self.loss.domain is not None:
            bounds = ((bound - self.mean_like(z)) / self.scale for bound in self.loss.domain)
            target = target.clamp(*bounds)
        # A loss with a link may keep falling as the code goes to infinity.
        loss_tol = 0.0
        if self.loss.link is not None:
            loss_tol = (_DEVIANCE_TOL if self.loss.is_relative else _LOSS_TOL) * 0.5 * z.shape[1]

        def losses(codes: Tensor, rows: Any) -> Tensor:
            # Half the squared distance, or its counterpart for another loss.
            entries = self.entry_losses(network.decode(codes), target[rows])
            return entries.sum(1) * (0.5 / self.baseline)

        if self.loss.is_relative:
            codes = shrink(losses, codes)
        is_distance = self.loss.function is mse_loss and self.baseline == 1.0
        if is_distance and network.has_dense_decoder and not network.imputes_missing:
            part = network if len(network.decoders) > 1 else network.decoder
            evaluate = part.distances_to(target)
        else:
            evaluate = with_gradients(losses)
        assert self.preconditioner is not None
        preconditioner = self.preconditioner.to(codes.dtype).to(codes.device)
        return refine(evaluate, codes, preconditioner, n_steps, loss_tol)

    def decode(self, codes: Tensor, network: AutoencoderNetwork | None = None) -> Tensor:
        """Reconstruct rows from their codes."""
        output = (network or self.network).decode(codes)
        if self.loss.link is None:
            return output
        return (self.response(output) - self.mean_like(output)) / self.scale

    def encoder_codes(self, z: Tensor) -> Iterator[Tensor]:
        """Yield the encoder's codes in chunks.

        They are in training units, because they might overflow in the units of X.
        """
        network = self.network_in(z.dtype)
        for chunk in z.split(self.chunk_size):
            with torch.no_grad(), threads_for(network.cost * len(chunk), z.dtype.itemsize):
                codes = network.encode(chunk.to(self.device)).cpu()
            yield codes

    # -- rows and codes, in the units of X -------------------------------------------------------

    @torch_defaults()
    @torch.no_grad()
    def transform(self, x: Tensor, n_steps: int | None = None) -> Tensor:
        """Encode rows, in the precision of the rows."""
        network = self.network_in(x.dtype)
        # The encoder's pass; decoding and its gradient are another two.
        n_passes = 3 if n_steps and self.preconditioner is not None else 1
        codes = []
        for chunk in x.split(self.chunk_size):
            with threads_for(n_passes * network.cost * len(chunk), x.dtype.itemsize):
                code = self.encode(self.standardise(chunk), n_steps, network)
                codes.append(code.mul_(self.code_unit).cpu())
        return torch.cat(codes)

    @torch_defaults()
    @torch.no_grad()
    def inverse_transform(self, codes: Tensor) -> Tensor:
        """Decode codes, in the precision of the codes."""
        network = self.network_in(codes.dtype)
        rows = []
        for chunk in codes.split(self.chunk_size):
            with threads_for(network.cost * len(chunk), codes.itemsize):
                z = self.decode(chunk.to(self.device) / self.code_unit, network)
                rows.append(z.mul_(self.scale).add_(self.mean_like(z)).cpu())
        return torch.cat(rows)

    # -- the model axis of training --------------------------------------------------------------

    def select_model(self, model: int) -> Model:
        """Return one of the models on the model axis, with its own network."""
        return replace(self, network=self.network.select_model(model))

    def with_model_axis(self) -> Model:
        """Return a copy whose network has a model axis, for training."""
        return replace(self, network=self.network.with_model_axis(), preconditioner=None)

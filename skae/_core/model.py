"""A network together with the units of its data: everything that `transform` needs."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skae._core.losses import ReconstructionLoss
from skae._core.networks import AutoencoderNetwork

_CHUNK = 8192


@dataclass
class Model:
    """Network, loss and units.

    Attributes
    ----------
    network : AutoencoderNetwork
        Works on z = (x - mean) / scale.
    loss : ReconstructionLoss
    mean : Tensor of shape (n_features,), float64
    scale : float
        Root mean square of X - mean over all entries: one number, so that features keep their
        relative sizes as they do under PCA, and shifting or scaling X changes nothing.
    baseline : float
        Loss of predicting the mean; losses are reported relative to it.
    code_unit : float
        `scale` where the code is linear, so that codes are in the units of X; otherwise 1.
    """

    network: AutoencoderNetwork
    loss: ReconstructionLoss
    mean: Tensor
    scale: float
    baseline: float = 1.0
    code_unit: float = 1.0
    _cast: dict[torch.dtype, AutoencoderNetwork] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, object]:
        # A fitted model opens on a machine without the device it was fitted on.
        network = copy.deepcopy(self.network).cpu()
        return {**self.__dict__, "network": network, "mean": self.mean.cpu(), "_cast": {}}

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.mean.device

    def target(self, z: Tensor) -> Tensor:
        """What the loss compares the output with."""
        if self.loss.link is None:
            return z
        return torch.addcmul(self.mean.to(z.dtype), z, z.new_tensor(self.scale))

    def reconstruction(self, output: Tensor, z: Tensor) -> Tensor:
        """Mean loss, in units of the loss of predicting the mean."""
        loss = self.loss.function(output, self.target(z))
        return loss if self.baseline == 1.0 else loss / self.baseline

    def row_losses(self, output: Tensor, z: Tensor) -> Tensor:
        """Loss of each row, in the same units."""
        losses = self.loss.function(output, self.target(z), reduction="none")
        return losses.flatten(z.ndim - 1).mean(-1) / self.baseline

    def decode(self, code: Tensor, network: AutoencoderNetwork | None = None) -> Tensor:
        """Code to reconstruction, both in training units."""
        output = (network or self.network).decode(code)
        if self.loss.link is None:
            return output
        return (self.loss.response(output) - self.mean.to(output.dtype)) / self.scale

    def cast(self, dtype: torch.dtype) -> AutoencoderNetwork:
        """Return the network in another precision. Casting upwards is exact."""
        if dtype not in self._cast:
            self._cast[dtype] = copy.deepcopy(self.network).to(dtype).eval()
        return self._cast[dtype]

    @torch.inference_mode()
    def codes_of(self, x: Tensor) -> Tensor:
        """Rows in the units of X to codes, in the precision of x."""
        network, mean = self.cast(x.dtype), self.mean.to(x.dtype)
        codes = [
            network.encode((chunk.to(self.device) - mean).div_(self.scale)).mul_(self.code_unit)
            for chunk in x.split(_CHUNK)
        ]
        return torch.cat(codes).cpu()

    @torch.inference_mode()
    def rows_of(self, codes: Tensor) -> Tensor:
        """Codes to rows in the units of X, in the precision of the codes."""
        network, mean = self.cast(codes.dtype), self.mean.to(codes.dtype)
        rows = [
            self.decode(chunk.to(self.device) / self.code_unit, network).mul_(self.scale).add_(mean)
            for chunk in codes.split(_CHUNK)
        ]
        return torch.cat(rows).cpu()
